"""Masks from memory into DICOM segmentations that refer to the series they were made from."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lts.base import REGION_MIN_LABEL, VolumeError, check_regions, written_whole
from lts.volume._dicom_calls import needs, parsing, read_header
from lts.volume._dicom_files import DicomSeries
from lts.volume._dicom_slices import find_value
from lts.volume._dicom_stack import Stack, read_stack
from lts.volume._geometry import Geometry
from lts.volume._write import check_labels

_SEGMENTS = {  # DICOM's name, category and type, as in CID 7150 and CID 7159
    "liver": ("Liver", "AnatomicalStructure", "Liver"),
    "tumor": ("Tumor", "MorphologicallyAbnormalStructure", "Neoplasm"),
}

_SERIES_NUMBER = 900
"""Beyond what scanners count to, so that the segmentation is listed behind the scans of its study."""

_MUST_HAVE = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPClassUID", "SOPInstanceUID")

_MAY_LACK = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime"),
)


def write_dicom_seg(
    path: str | os.PathLike[str],
    labels_zhw: npt.NDArray[np.integer[Any]],
    *,
    series: DicomSeries,
    geometry: Geometry,
    regions: Sequence[str],
    version: str,
) -> None:
    """Write labels as a binary DICOM SEG on the slices of a series, in its frame of reference.

    A segment is a region, in the order liver, tumor; the liver holds its tumors. Frames without a voxel of
    their segment are left out, so a segment that is empty (no tumor) is described and has no frame. DICOM
    wants one frame at least: where every segment is empty, all frames are written, empty.

    The file appears whole or not at all.

    Args:
        path: Ends in .dcm; an existing file is replaced.
        labels_zhw: `(Z, H, W)` integers 0, 1, 2.
        series: What the labels were made from: files of one slice, or one file of many frames.
        geometry: The grid of the series, as its reader gave it.
        regions: Which regions the labels tell; others are not written.
        version: Of lts.

    Raises:
        VolumeError: The shape is not the grid's, a label is not known, the grid is not that of the series,
            or the series makes no volume or lacks a UID to refer to.
        StorageError: The file cannot be written.
        ConfigError: No region or an unknown one, or highdicom is not installed.
    """
    path = Path(path)
    regions = check_regions(regions)
    if path.suffix != ".dcm":
        raise VolumeError(f"{path}: must end in .dcm")
    check_labels(path, labels_zhw, geometry=geometry)
    stack = read_stack(series, modality=series.modality)
    if geometry != stack.geometry:
        raise VolumeError(
            f"{path}: the mask's grid must be that of its series: mask {geometry.describe()}; "
            f"series {stack.geometry.describe()}"
        )
    # (columns, rows, slices) to (slices, rows, columns): slice i of the stack is frame i
    labels = geometry.to_disk(labels_zhw).transpose(2, 1, 0)
    sources = _sources(series, stack)
    with parsing(path, broken="the series cannot be referred to"), written_whole(path) as stream:
        _segmentation(labels, sources, stack=stack, regions=regions, version=version).save_as(stream)


def _segmentation(
    labels: npt.NDArray[np.integer[Any]],
    sources: list[Any],
    *,
    stack: Stack,
    regions: Sequence[str],
    version: str,
) -> Any:
    highdicom, seg = needs("highdicom"), needs("highdicom.seg")
    planes, masks = _planes(labels, regions=regions)
    return seg.Segmentation(
        source_images=sources,
        pixel_array=masks,
        segmentation_type=seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _description(region, number=number, version=version) for number, region in enumerate(regions, 1)
        ],
        plane_positions=[
            highdicom.PlanePositionSequence("PATIENT", stack.slices[index].position_mm) for index in planes
        ],
        omit_empty_frames=bool(masks.any()),
        series_instance_uid=highdicom.UID(),
        series_number=_SERIES_NUMBER,
        series_description="Liver tumor segmentation by lts",
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="lts",
        manufacturer_model_name="lts",
        software_versions=version,
        device_serial_number=version,  # DICOM wants one, and software has none
        content_label="LTS",
    )


def _planes(
    labels: npt.NDArray[np.integer[Any]], *, regions: Sequence[str]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.uint8]]:
    """The slices `(N,)` to write, and their masks `(N, rows, columns, regions)`, 1 inside.

    These are the slices with a voxel of a region, or all where there is none: highdicom would leave the
    others out itself, after it has taken eight bytes for each of their pixels.
    """
    smallest = [REGION_MIN_LABEL[region] for region in regions]
    planes = np.flatnonzero((labels >= min(smallest)).any(axis=(1, 2)))
    if not planes.size:
        planes = np.arange(len(labels))
    masks = np.empty((len(planes), *labels.shape[1:], len(regions)), dtype=np.uint8)
    for index, label in enumerate(smallest):
        masks[..., index] = labels[planes] >= label
    return planes, masks


def _description(region: str, *, number: int, version: str) -> Any:
    highdicom, seg = needs("highdicom"), needs("highdicom.seg")
    codes = needs("pydicom.sr.codedict").codes
    label, category, kind = _SEGMENTS[region]
    return seg.SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=getattr(codes.SCT, category),
        segmented_property_type=getattr(codes.SCT, kind),
        anatomic_regions=None if region == "liver" else [codes.SCT.Liver],
        algorithm_type=seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="lts", family=codes.DCM.ArtificialIntelligence, version=version
        ),
    )


def _sources(series: DicomSeries, stack: Stack) -> list[Any]:
    """The headers of the series in the order of the stack, made alike where highdicom asks that they are."""
    paths = list(dict.fromkeys(each.path for each in stack.slices))
    n_frames = sum(each.frame is not None for each in stack.slices)
    if n_frames and len(paths) > 1:
        raise VolumeError(
            f"{series.folder}: a segmentation refers to files of one slice or to one file of many, "
            f"got {len(paths)} files with {n_frames} frames"
        )
    sources = []
    for path in paths:
        with parsing(path):
            source = read_header(path)
            _complete(source, path=path)
            _state_grid(source, stack=stack)
        sources.append(source)
    return sources


def _state_grid(source: Any, *, stack: Stack) -> None:
    """State the grid of the stack in a header: its gap, and the spacing and orientation of its first slice.

    highdicom wants them equal to the last digit, and for many frames in the group that these share.
    """
    first, new = stack.slices[0], needs("pydicom").Dataset
    if first.frame is None:
        measures = orientation = source
        thickness = source.get("SliceThickness")
    else:
        shared = (source.get("SharedFunctionalGroupsSequence") or [new()])[0]
        groups = [source.PerFrameFunctionalGroupsSequence[first.frame], shared]
        thickness = find_value(groups, "PixelMeasuresSequence", "SliceThickness")
        measures, orientation = new(), new()
        shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
        source.SharedFunctionalGroupsSequence = [shared]
    measures.PixelSpacing = [_decimal(x) for x in first.spacing_mm]
    measures.SpacingBetweenSlices = _decimal(stack.gap_mm)
    measures.SliceThickness = thickness or _decimal(stack.gap_mm)
    orientation.ImageOrientationPatient = [_decimal(x) for x in first.directions]


def _decimal(number: float) -> Any:
    """A number in DICOM's 16 characters."""
    return needs("pydicom.valuerep").DSfloat(number, auto_format=True)


def _complete(source: Any, *, path: Path) -> None:
    """Add what may be told elsewhere, or left empty.

    Raises:
        VolumeError: A UID is missing that a segmentation refers to.
    """
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        if not source.get(keyword):
            setattr(source, keyword, source.file_meta.get(f"MediaStorage{keyword}") or "")
    for keyword in _MUST_HAVE:
        if not source.get(keyword):
            raise VolumeError(f"{path}: a segmentation refers to its {keyword}, which is missing")
    for keyword in _MAY_LACK:
        if keyword not in source:
            setattr(source, keyword, "")
