"""The kind of a DICOM file by its header: a slice of a volume, another image, or not an image."""

import filecmp
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lts.base import VolumeError, counted
from lts.volume._dicom_calls import parsing

_NO_IMAGES = frozenset({"SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "RTRECORD", "SR", "PR", "KO", "REG", "DOC"})
"""Modalities of objects that describe images; some of them have rows and columns of their own."""

_STORAGE = "1.2.840.10008.5.1.4.1.1"

_NO_IMAGE_CLASSES = (f"{_STORAGE}.66", f"{_STORAGE}.481.2", f"{_STORAGE}.4.2")
"""What the SOP classes of segmentations and registrations, doses, and spectra start with: they may name the
modality of an image, and have rows and columns."""

_IMAGE_CLASSES = ("", *(f"{_STORAGE}.{n}" for n in ("2", "2.1", "2.2", "4", "4.1", "4.4")))
"""SOP classes, of CT and MR and where none is named, that must have rows and columns."""

_SCREENS = f"{_STORAGE}.7"
"""Prefixes of SOP classes of screenshots, pages and films."""

_VOLUME_MODALITIES = ("CT", "MR", "")
"""Modalities that can be read; without a modality, the reader refuses the series."""

_ACROSS = 0.2
"""Planes whose normals have a smaller cosine stand about at a right angle."""

_NO_PLANE = 0.1
"""How far the length of a normal may differ from 1."""

SLICES_PER_LOCALIZER = 10
"""Least slices of a volume per unmarked localizer among them."""

TAGS = [
    *("SOPClassUID", "SOPInstanceUID", "Modality"),
    *("SeriesInstanceUID", "SeriesDescription", "SeriesNumber"),
    *("Rows", "Columns", "NumberOfFrames", "ImageType", "ImageOrientationPatient", "ImagePositionPatient"),
]


@dataclass(frozen=True)
class Image:
    """An image, or several frames, by its header.

    Attributes:
        path: The file.
        instance: SOPInstanceUID or "".
        uid: SeriesInstanceUID or "".
        number: SeriesNumber or "".
        modality: DICOM's or "".
        description: SeriesDescription or "".
        shape: Rows and columns.
        n_frames: 1 or more.
        directions: ImageOrientationPatient; None if there are not six numbers.
        aside: Its kind if it is not a slice, in the singular; "" if it may be one.
    """

    path: Path
    instance: str
    uid: str
    number: str
    modality: str
    description: str
    shape: tuple[int, int]
    n_frames: int
    directions: tuple[float, ...] | None
    aside: str

    @property
    def n_voxels(self) -> int:
        """Rows times columns times frames."""
        return self.shape[0] * self.shape[1] * self.n_frames


def image_of(path: Path, header: Any) -> Image | None:
    """The image of a header, or None if it is not an image.

    Raises:
        VolumeError: It is an image without a size.
    """
    modality = str(header.get("Modality") or "")
    sop_class = str(header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID") or "")
    rows, columns = int(header.get("Rows") or 0), int(header.get("Columns") or 0)
    if modality in _NO_IMAGES or sop_class.startswith(_NO_IMAGE_CLASSES):
        return None
    if min(rows, columns) < 1:
        if sop_class in _IMAGE_CLASSES:
            # a slice that is left out at either end of a volume would never be missed
            raise VolumeError(f"{path}: an image must have Rows and Columns, got {rows} and {columns}")
        return None
    return Image(
        path=path,
        instance=str(header.get("SOPInstanceUID") or ""),
        uid=str(header.get("SeriesInstanceUID") or ""),
        number=_number(header),
        modality=modality,
        description=str(header.get("SeriesDescription") or ""),
        shape=(rows, columns),
        n_frames=int(header.get("NumberOfFrames") or 1),
        directions=_directions(header),
        aside=_aside(header, sop_class=sop_class),
    )


def is_localizer(header: Any) -> bool:
    """Whether an image is marked as a localizer."""
    image_type = header.get("ImageType") or ()
    return "LOCALIZER" in ([image_type] if isinstance(image_type, str) else image_type)


def sorted_by_kind(images: Sequence[Image]) -> dict[str, list[Image]]:
    """Images that are not slices, by kind and count: `{"2 localizers": [...]}`."""
    kinds: dict[str, list[Image]] = {}
    for image in images:
        kinds.setdefault(image.aside, []).append(image)
    return {counted(len(alike), kind): alike for kind, alike in kinds.items()}


def without_copies(images: Sequence[Image]) -> tuple[list[Image], list[Image]]:
    """Images, and those whose files hold the bytes of another one's, as where a study was exported twice.

    Raises:
        VolumeError: A file cannot be read.
    """
    kept: list[Image] = []
    copies: list[Image] = []
    first: dict[str, Image] = {}
    for image in images:
        other = first.setdefault(image.instance or str(image.path), image)
        (copies if other is not image and _are_equal(other.path, image.path) else kept).append(image)
    return kept, copies


def _are_equal(one: Path, other: Path) -> bool:
    with parsing(other):
        return filecmp.cmp(one, other, shallow=False)


def why_no_volume(images: Sequence[Image]) -> str:
    """Why a series cannot be a volume, by its headers alone; "" if it may be one.

    Args:
        images: Images of one series.
    """
    slices = [image for image in images if not image.aside]
    if not slices:
        return ", ".join(sorted_by_kind(images))
    if slices[0].modality not in _VOLUME_MODALITIES:
        return f"modality {slices[0].modality}"
    if len(slices) == 1 and slices[0].n_frames == 1:
        return "1 image, which has no spacing"
    return _why_no_stack(slices)


def _why_no_stack(slices: Sequence[Image]) -> str:
    """As localizers of an MR: a few slices in each of two or three planes."""
    planes = [image.directions for image in slices if image.directions and image.n_frames == 1]
    if len(planes) < len(slices):
        return ""
    across = stands_across(planes)
    few = SLICES_PER_LOCALIZER * across.sum() > (~across).sum()
    return f"{len(slices)} images in planes at right angles" if across.any() and few else ""


def stands_across(directions: Sequence[Sequence[float]]) -> npt.NDArray[np.bool_]:
    """Which planes are about at a right angle to the most frequent one; none if one is not a plane.

    Args:
        directions: `(n, 6)`, n > 0: where a row runs, then where a column runs.
    """
    with np.errstate(all="ignore"):
        normals = np.cross(*np.reshape(directions, (-1, 2, 3)).transpose(1, 0, 2))
    if not np.abs(np.linalg.norm(normals, axis=1) - 1).max() < _NO_PLANE:
        return np.zeros(len(normals), dtype=bool)
    ((most, _),) = Counter(map(tuple, np.round(normals, 2))).most_common(1)
    cosines = np.abs(normals @ most)
    return np.asarray(cosines < _ACROSS)


def _number(header: Any) -> str:
    try:
        number = header.get("SeriesNumber")
    except ValueError:  # it names the series and says nothing of its voxels
        return ""
    return "" if number is None else str(number)


def _directions(header: Any) -> tuple[float, ...] | None:
    """An orientation with six numbers; the rest is checked when slices are sorted."""
    try:
        numbers = tuple(float(number) for number in header.get("ImageOrientationPatient") or ())
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == 6 and all(abs(number) <= 2 for number in numbers) else None


def _aside(header: Any, *, sop_class: str) -> str:
    if is_localizer(header):
        return "localizer"
    return "screenshot" if sop_class.startswith(_SCREENS) and "ImagePositionPatient" not in header else ""
