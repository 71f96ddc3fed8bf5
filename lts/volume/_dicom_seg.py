"""Masks from memory into DICOM segmentations that refer to the series they were made from."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from lts import __version__
from lts.base import REGION_MIN_LABEL, ConfigError, check_regions
from lts.volume._dicom_calls import require
from lts.volume._dicom_files import DicomSeries
from lts.volume._dicom_referred import ReferredSeries, refer_to
from lts.volume._dicom_terms import SEG_SERIES, SERIES_DESCRIPTION, TERMS, algorithm, code, head
from lts.volume._geometry import Geometry

SegLayout = Literal["nested", "disjoint", "labelmap"]
"""How regions become segments.

- `nested`: The liver holds its tumors, so segments overlap.
- `disjoint`: A voxel is in one segment at most: that of the liver holds no tumor.
- `labelmap`: As `disjoint`, in one image whose values are the segments' numbers. DICOM has it since 2024.
"""


@dataclass(frozen=True)
class WrittenSeg:
    """What others refer to a segmentation by.

    Attributes:
        sop_class_uid: Of the file.
        sop_instance_uid: Of the file.
        series_uid: Its SeriesInstanceUID.
        segments: Numbers of its segments by region.

    Example:
        >>> WrittenSeg("1.2.840.10008.5.1.4.1.1.66.4", "2.25.1", "2.25.2", {"liver": 1}).segments["liver"]
        1
    """

    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str
    segments: Mapping[str, int]


_CALLED = "a segmentation"
_LIVER_ALONE = "Liver without tumor"


def check_dicom_seg(layout: str) -> None:
    """Check what does not depend on a series.

    Raises:
        ConfigError: There is no such layout, or pydicom or highdicom are not installed.

    Example:
        >>> check_dicom_seg("nested")
        >>> check_dicom_seg("merged")
        Traceback (most recent call last):
        lts.base...ConfigError: dicom_seg_layout: must be one of nested, disjoint, labelmap, got 'merged'
    """
    known = get_args(SegLayout)
    if layout not in known:
        raise ConfigError(f"dicom_seg_layout: must be one of {', '.join(known)}, got {layout!r}")
    require("highdicom.seg")


class DicomSegWriter:
    """Writes labels as a DICOM SEG on the slices of a series, in its frame of reference.

    To be made before there are labels: a segmentation without a voxel is tried, so that whatever about the
    series stands in the way is known before anything costly begins. A segment is a region, in the order
    liver, tumor.

    Args:
        series: What the labels are of: files of one slice, or one file of many frames; or what `refer_to` has
            read of it, where several objects are written.
        regions: Which regions the labels tell; others are not written.
        version: Of lts.
        layout: How regions become segments.

    Attributes:
        notes: What of the series had to be mended, left empty or left out, one sentence each.

    Raises:
        VolumeError: The series makes no volume, or cannot be referred to.
        ConfigError: No region or an unknown one, no such layout, or highdicom is not installed.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from pydicom import dcmread
        >>> from pydicom.data import get_testdata_file
        >>> from lts.volume import find_dicom, read_dicom
        >>> with TemporaryDirectory() as folder:
        ...     for number in range(3):
        ...         dataset = dcmread(get_testdata_file("CT_small.dcm"))
        ...         dataset.SOPInstanceUID += f".{number}"
        ...         dataset.ImagePositionPatient = [-40, -40, 5 * number]
        ...         dataset.save_as(f"{folder}/{number}.dcm")
        ...     (series,) = find_dicom(Path(folder)).series
        ...     scan = read_dicom(series)
        ...     labels = (scan.voxels > 100).astype(np.uint8)
        ...     written = DicomSegWriter(series).write(f"{folder}/seg.dcm", labels, geometry=scan.geometry)
        ...     [part.SegmentLabel for part in dcmread(f"{folder}/seg.dcm").SegmentSequence]
        ['Liver', 'Tumor']
    """

    def __init__(
        self,
        series: DicomSeries | ReferredSeries,
        *,
        regions: Sequence[str] = tuple(REGION_MIN_LABEL),
        version: str = __version__,
        layout: SegLayout = "nested",
    ) -> None:
        check_dicom_seg(layout)
        self._regions = check_regions(regions)
        self._version, self._layout = version, layout
        self._referred = refer_to(series)
        self.notes = self._referred.notes
        nothing = np.zeros((1, *self._referred.stack.slices[0].shape), np.uint8)
        self._referred.rehearse(_CALLED, lambda: self._segmentation(nothing, [0]))

    def write(
        self,
        path: str | os.PathLike[str],
        labels_zhw: npt.NDArray[np.integer[Any]],
        *,
        geometry: Geometry,
    ) -> WrittenSeg:
        """Write a segmentation. The file appears whole or not at all.

        Frames without a voxel of their segment are left out, so a segment that is empty (no tumor) is
        described and has no frame. DICOM wants one frame at least: where every segment is empty, all frames
        are written, empty.

        Args:
            path: Ends in .dcm; an existing file is replaced.
            labels_zhw: `(Z, H, W)` integers 0, 1, 2.
            geometry: The grid of the series, as its reader gave it.

        Returns:
            What a report refers to it by.

        Raises:
            VolumeError: The shape is not the grid's, a label is not known, or the grid is not that of the
                series.
            StorageError: The file cannot be written.
        """
        path = Path(path)
        labels = self._referred.on_slices(path, labels_zhw, geometry=geometry)
        # highdicom would leave the others out itself, after it has taken eight bytes for each of their pixels
        planes = np.flatnonzero((labels >= min(self._smallest())).any(axis=(1, 2))).tolist()
        planes = planes or list(range(len(labels)))
        made = self._referred.write(_CALLED, path, lambda: self._segmentation(labels[planes], planes))
        return WrittenSeg(
            sop_class_uid=str(made.SOPClassUID),
            sop_instance_uid=str(made.SOPInstanceUID),
            series_uid=str(made.SeriesInstanceUID),
            segments={region: number for number, region in enumerate(self._regions, start=1)},
        )

    def _smallest(self) -> list[int]:
        """The smallest label of each region."""
        return [REGION_MIN_LABEL[region] for region in self._regions]

    def _segmentation(self, labels: npt.NDArray[np.integer[Any]], planes: Sequence[int]) -> Any:
        """A segmentation of some slices of the stack.

        Args:
            labels: `(N, rows, columns)`.
            planes: `N` indices into the stack.
        """
        highdicom, seg = require("highdicom"), require("highdicom.seg")
        stack, pixels = self._referred.stack, self._pixels(labels)
        made = seg.Segmentation(
            source_images=list(self._referred.source.headers),
            pixel_array=pixels,
            segmentation_type="LABELMAP" if self._layout == "labelmap" else "BINARY",
            segment_descriptions=[
                self._description(region, number=number) for number, region in enumerate(self._regions, 1)
            ],
            plane_positions=[
                highdicom.PlanePositionSequence("PATIENT", stack.slices[index].position_mm)
                for index in planes
            ],
            omit_empty_frames=bool(pixels.any()),
            content_label="LTS",
            **head(SEG_SERIES, SERIES_DESCRIPTION, version=self._version),
        )
        # DICOM wants it there, and no person made this
        made.ContentCreatorName = ""
        return made

    def _pixels(self, labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.uint8]:
        """Masks `(N, rows, columns, regions)`, 1 inside, or for a label map `(N, rows, columns)` numbers."""
        numbers = np.zeros(labels.shape, np.uint8)
        for number, smallest in enumerate(self._smallest(), 1):
            numbers[labels >= smallest] = number  # tumor comes last, so its voxels are its own
        if self._layout == "labelmap":
            return numbers
        masks = np.empty((*labels.shape, len(self._regions)), np.uint8)
        for index in range(len(self._regions)):
            number = index + 1
            masks[..., index] = numbers >= number if self._layout == "nested" else numbers == number
        return masks

    def _description(self, region: str, *, number: int) -> Any:
        seg, terms = require("highdicom.seg"), TERMS[region]
        alone = region == "liver" and "tumor" in self._regions and self._layout != "nested"
        return seg.SegmentDescription(
            segment_number=number,
            segment_label=_LIVER_ALONE if alone else terms.label,
            segmented_property_category=code(terms.category),
            segmented_property_type=code(terms.kind),
            anatomic_regions=None if region == "liver" else [code("Liver")],
            algorithm_type=seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm(self._version),
        )
