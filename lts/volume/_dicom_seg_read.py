"""DICOM segmentations from files into memory, on the grid of the scan that they are of."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lts.base import LIVER, TUMOR, VolumeError, listed, short_name
from lts.volume._dicom_calls import parsing, read_whole, require
from lts.volume._dicom_pixels import is_compressed
from lts.volume._dicom_terms import code
from lts.volume._geometry import RAS_FROM_LPS, FloatArray, Geometry
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


@dataclass(frozen=True)
class _Frame:
    """A frame, and where it lies in the image.

    Attributes:
        index: Its place in the file, from 0.
        labels: What its values mean: by number of segment the label; for a map of labels, those of all.
        grid: Its own, one slice thick.
        where: Its voxels in the canonical array of the image.
    """

    index: int
    labels: Mapping[int, int]
    grid: Geometry
    where: tuple[slice, slice, slice]


def read_dicom_seg(path: str | os.PathLike[str], *, image: Geometry) -> Volume:
    """Read a DICOM SEG as the mask of an image.

    What a segment is follows from the code of its type, else from its label; segments that are neither liver
    nor tumor are left out, and a note says so. Where segments overlap, a tumor counts. Each frame is placed
    by its own position, in whatever order frames come; slices without a frame are background.

    Args:
        path: A file.
        image: The grid of the image.

    Returns:
        uint8 labels 0, 1, 2 in the image's canonical shape.

    Raises:
        VolumeError: It is no DICOM SEG, is compressed, has no segment of liver or tumor, has two frames of a
            segment in one place, or a frame that does not lie on voxels of the image.
        ConfigError: pydicom is not installed.

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
        dataset = _open(path)
        labels_of, left_out = _labels_of(path, dataset)
        frames = _frames_of(path, dataset, labels_of, image=image)
        labels = np.zeros(image.canonical_shape, np.uint8)
        for frame, values in zip(frames, _stored(dataset, [frame.index for frame in frames]), strict=True):
            part = labels[frame.where]
            seen = frame.grid.to_canonical(values.T[..., None])
            for number, label in sorted(frame.labels.items(), key=lambda item: item[1]):
                part[_inside(dataset, seen, number)] = label
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
    return dataset


def _is_label_map(dataset: Any) -> bool:
    return bool(dataset.SegmentationType == "LABELMAP")


def _labels_of(path: Path, dataset: Any) -> tuple[Mapping[int, int], tuple[Note, ...]]:
    """Labels by number of segment, and what is told of other segments."""
    found, others = {}, []
    for segment in dataset.SegmentSequence:
        number = int(segment.SegmentNumber)
        if _is_label_map(dataset) and number == dataset.get("PixelPaddingValue", 0):
            continue  # a map of labels may describe its background
        label = _label_of(segment)
        if label is None:
            others.append(repr(short_name(str(segment.get("SegmentLabel", "")))))
        else:
            found[number] = label
    told = listed(others, most=_SHOWN)
    if not found:
        raise VolumeError(f"{path}: must have a segment of the liver or of a tumor, got {told or 'none'}")
    text = f"Segments that are neither liver nor tumor were left out: {told}."
    return found, (Note(text, code="segments-left-out"),) if others else ()


def _label_of(segment: Any) -> int | None:
    for kind in segment.get("SegmentedPropertyTypeCodeSequence", ()):
        # equal to SNOMED's older codes (SRT) too
        own = require("pydicom.sr.coding").Code(
            str(kind.get("CodeValue", "")), str(kind.get("CodingSchemeDesignator", "")), ""
        )
        for keyword, label in _TYPES.items():
            if own == code(keyword):
                return label
    words = re.sub(r"[\W_]+", " ", str(segment.get("SegmentLabel", ""))).strip().lower()
    if _TUMOR.search(words):
        return TUMOR
    return LIVER if _LIVER.fullmatch(words) else None


def _frames_of(
    path: Path, dataset: Any, labels_of: Mapping[int, int], *, image: Geometry
) -> Sequence[_Frame]:
    """The frames of known segments, those of tumors last."""
    groups = dataset.PerFrameFunctionalGroupsSequence
    n_frames = int(dataset.NumberOfFrames)
    if len(groups) != n_frames:
        raise VolumeError(
            f"{path}: must say of each of its {n_frames} frames where it lies, got {len(groups)}"
        )
    shared = dataset.get("SharedFunctionalGroupsSequence", ())
    frames: list[_Frame] = []
    taken: dict[object, int] = {}
    for index, group in enumerate(groups):
        about = _About(path, index + 1, (group, *shared))
        labels = labels_of
        if not _is_label_map(dataset):
            number = int(about.of("SegmentIdentificationSequence").ReferencedSegmentNumber)
            if number not in labels_of:
                continue
            labels = {number: labels_of[number]}
        grid = about.grid((int(dataset.Columns), int(dataset.Rows)), image=image)
        where = about.place(grid, image=image)
        place = (*labels, *((along.start, along.stop) for along in where))
        other = taken.setdefault(place, index + 1)
        if other != index + 1:
            raise VolumeError(
                f"{path}: must have one frame of a segment in one place, got frames {other} and {index + 1}"
            )
        frames.append(_Frame(index, labels, grid, where))
    return sorted(frames, key=lambda frame: max(frame.labels.values()))


@dataclass(frozen=True)
class _About:
    """What a file says of a frame.

    Attributes:
        path: The file.
        number: Of the frame, from 1.
        groups: Functional groups, its own before those of all frames.
    """

    path: Path
    number: int
    groups: Sequence[Any]

    def of(self, name: str) -> Any:
        """The item of a functional group.

        Raises:
            VolumeError: There is none.
        """
        for group in self.groups:
            if group.get(name):
                return group[name][0]
        raise VolumeError(f"{self.path}: frame {self.number} must have a {name}, has none")

    def grid(self, size: tuple[int, int], *, image: Geometry) -> Geometry:
        """The grid of the frame, whose third axis is that of the image which leaves its plane.

        Args:
            size: Columns and rows.
            image: The grid of the image.

        Raises:
            VolumeError: It is none.
        """
        across, down = np.reshape(self.of("PlaneOrientationSequence").ImageOrientationPatient, (2, 3))
        row_gap_mm, column_gap_mm = self.of("PixelMeasuresSequence").PixelSpacing
        affine: FloatArray = np.eye(4)
        affine[:3, 0] = across.astype(float) * float(column_gap_mm)
        affine[:3, 1] = down.astype(float) * float(row_gap_mm)
        affine[:3, 3] = np.asarray(self.of("PlanePositionSequence").ImagePositionPatient, float)
        affine = RAS_FROM_LPS @ affine
        axes = image.affine[:3, :3] / np.linalg.norm(image.affine[:3, :3], axis=0)
        through = int(np.abs(np.cross(affine[:3, 0], affine[:3, 1]) @ axes).argmax())
        affine[:3, 2] = image.affine[:3, through]
        try:
            return Geometry.from_affine(affine, shape=(*size, 1), is_exact=True)
        except VolumeError as error:
            raise VolumeError(f"{self.path}: frame {self.number}: {error}") from error

    def place(self, grid: Geometry, *, image: Geometry) -> tuple[slice, slice, slice]:
        """Which voxels of the image those of the frame are.

        Raises:
            VolumeError: They are none.
        """
        own, whole = grid.canonical_affine, image.canonical_affine
        first = np.rint(np.linalg.solve(whole, own[:, 3])[:3])
        moved = whole.copy()
        moved[:3, 3] += whole[:3, :3] @ first
        off = farthest_corner(own, reference=moved, shape=grid.canonical_shape)
        last = first + grid.canonical_shape
        if off > CORNER_TOLERANCE or (first < 0).any() or (last > image.canonical_shape).any():
            raise VolumeError(
                f"{self.path}: a mask's voxels must be voxels of its image, within {CORNER_TOLERANCE} of "
                f"one, those of frame {self.number} are not: frame {grid.describe()}; "
                f"image {image.describe()}",
                code="grids-differ",
            )
        z, y, x = (slice(int(start), int(stop)) for start, stop in zip(first, last, strict=True))
        return z, y, x


def _stored(dataset: Any, indices: Sequence[int]) -> Iterator[npt.NDArray[Any]]:
    """The values of frames, `(rows, columns)`."""
    pixels, size = require("pydicom.pixels"), (int(dataset.Rows), int(dataset.Columns))
    if dataset.BitsAllocated == 1 and np.prod(size) % 8:
        # Frames share bytes, and pydicom leaves off the last bits of one that is read alone.
        whole = pixels.pixel_array(dataset, raw=True).reshape(-1, *size)
        yield from (whole[index] for index in indices)
    elif indices:
        yield from pixels.iter_pixels(dataset, indices=indices, raw=True)


def _inside(dataset: Any, values: npt.NDArray[Any], number: int) -> npt.NDArray[np.bool_]:
    """Where values of frames are inside of a segment."""
    if _is_label_map(dataset):
        inside: npt.NDArray[np.bool_] = values == number
    elif dataset.SegmentationType == "FRACTIONAL":
        inside = values >= _INSIDE * int(dataset.MaximumFractionalValue)
    else:
        inside = values > 0
    return inside
