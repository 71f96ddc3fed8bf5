"""DICOM segmentations from files into memory, on the grid of the scan that they are of."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lts.base import LIVER, TUMOR, VolumeError, listed, short_name
from lts.volume._dicom_calls import parsing, read_whole, require
from lts.volume._dicom_pixels import is_compressed
from lts.volume._dicom_terms import code
from lts.volume._geometry import RAS_FROM_LPS, Geometry
from lts.volume._notes import CORNER_TOLERANCE, Note, farthest_corner
from lts.volume._read import Volume, within_memory

_SEG_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Of segmentations, and of those that are one map of labels."""

_TYPES = {"Liver": LIVER, "Neoplasm": TUMOR, "Mass": TUMOR, "Lesion": TUMOR}
"""Labels by pydicom's keywords of SNOMED CT for what a segment is."""

_LIVER = re.compile(r"(whole )?liver")
_TUMOR = re.compile(r"\b(tumou?rs?|lesions?|neoplasms?|mass(es)?|metastas[ei]s|hcc|cancers?|carcinomas?)\b")
_INSIDE = 0.5
"""The least share or probability that counts as inside, of a segmentation in fractions."""

_SHOWN = 5


def read_dicom_seg(path: str | os.PathLike[str], *, image: Geometry) -> Volume:
    """Read a DICOM SEG as the mask of an image.

    What a segment is follows from the code of its type, else from its label; segments that are neither liver
    nor tumor are left out, and a note says so. Where segments overlap, a tumor counts. Slices without a frame
    are background.

    Args:
        path: A file.
        image: The grid of the image.

    Returns:
        uint8 labels 0, 1, 2 in the image's canonical shape.

    Raises:
        VolumeError: It is no DICOM SEG, is compressed, has no segment of liver or tumor, or does not lie on
            voxels of the image.
        ConfigError: pydicom or highdicom are not installed.

    Example:
        >>> from pydicom.data import get_testdata_file
        >>> grid = Geometry.from_affine(np.diag([1, 1, 2, 1]), shape=(6, 5, 4))
        >>> read_dicom_seg(get_testdata_file("CT_small.dcm"), image=grid)
        Traceback (most recent call last):
        lts.base...VolumeError: ...CT_small.dcm: must be a DICOM SEG, got CT Image Storage
    """
    path = Path(path)
    with (
        within_memory(path, lambda: image),
        parsing(path, broken="cannot be read as a DICOM SEG"),
    ):
        segmentation = _open(path)
        labels_of, left_out = _labels_of(path, segmentation)
        grid = _grid_of(path, segmentation)
        z, y, x = _first_voxel(path, grid, image=image)
        depth, height, width = grid.canonical_shape
        labels = np.zeros(image.canonical_shape, np.uint8)
        part = labels[z : z + depth, y : y + height, x : x + width]
        for number, label in sorted(labels_of.items(), key=lambda item: item[1]):
            part[grid.to_canonical(_segment(segmentation, number))] = label
    return Volume(labels, image, left_out)


def _open(path: Path) -> Any:
    dataset = read_whole(path)
    sop_class = dataset.get("SOPClassUID", "")
    if sop_class not in _SEG_CLASSES:
        name = require("pydicom.uid").UID(sop_class).name
        raise VolumeError(f"{path}: must be a DICOM SEG, got {short_name(name) or 'no SOPClassUID'}")
    syntax = dataset.file_meta.TransferSyntaxUID
    if is_compressed(syntax):
        raise VolumeError(f"{path}: must not be compressed to be read as a mask, got {syntax.name}")
    return require("highdicom.seg").Segmentation.from_dataset(dataset, copy=False)


def _labels_of(path: Path, segmentation: Any) -> tuple[Mapping[int, int], tuple[Note, ...]]:
    """Labels by number of segment, and what is told of other segments."""
    found, others = {}, []
    for number in segmentation.segment_numbers:
        segment = segmentation.get_segment_description(number)
        label = _label_of(segment)
        if label is None:
            others.append(repr(short_name(str(segment.segment_label))))
        else:
            found[int(number)] = label
    told = listed(others, most=_SHOWN)
    if not found:
        raise VolumeError(f"{path}: must have a segment of the liver or of a tumor, got {told or 'none'}")
    text = f"Segments that are neither liver nor tumor were left out: {told}."
    return found, (Note(text, code="segments-left-out"),) if others else ()


def _label_of(segment: Any) -> int | None:
    for keyword, label in _TYPES.items():
        if segment.segmented_property_type == code(keyword):
            return label
    words = re.sub(r"[\W_]+", " ", str(segment.segment_label)).strip().lower()
    if _TUMOR.search(words):
        return TUMOR
    return LIVER if _LIVER.fullmatch(words) else None


def _grid_of(path: Path, segmentation: Any) -> Geometry:
    """The grid of its frames, from the first to the last, in the order of `_segment`."""
    grid = segmentation.get_volume_geometry()
    if grid is None:
        raise VolumeError(f"{path}: the frames of a DICOM SEG must make one evenly spaced volume")
    return Geometry.from_affine(RAS_FROM_LPS @ grid.affine, shape=grid.spatial_shape, is_exact=True)


def _first_voxel(path: Path, grid: Geometry, *, image: Geometry) -> tuple[int, int, int]:
    """The voxel of the image that the first one of a grid in it lies on."""
    own, whole = grid.canonical_affine, image.canonical_affine
    first = np.rint(np.linalg.solve(whole, own[:, 3])[:3])
    moved = whole.copy()
    moved[:3, 3] += whole[:3, :3] @ first
    off = farthest_corner(own, reference=moved, shape=grid.canonical_shape)
    last = first + grid.canonical_shape
    if off > CORNER_TOLERANCE or (first < 0).any() or (last > image.canonical_shape).any():
        raise VolumeError(
            f"{path}: a mask's voxels must be voxels of its image, within {CORNER_TOLERANCE} of one: "
            f"mask {grid.describe()}; image {image.describe()}",
            code="grids-differ",
        )
    z, y, x = first.astype(int).tolist()
    return z, y, x


def _segment(segmentation: Any, number: int) -> npt.NDArray[np.bool_]:
    """Where a segment is, on the grid of `_grid_of`."""
    inside: npt.NDArray[np.bool_] = segmentation.get_volume(segment_numbers=[number]).array[..., 0] >= _INSIDE
    return inside
