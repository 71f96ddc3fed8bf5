"""DICOM series as stored volumes: slices in checked order, decoded one after the other."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lts.base import Modality, VolumeError, is_folder
from lts.volume._dicom_decoding import DecodeRequest, decoded_frames
from lts.volume._dicom_files import DicomSeries, describe_series, find_dicom, is_dicom
from lts.volume._dicom_pixels import check_decoder, is_compressed, stored_frames
from lts.volume._dicom_slices import UNSPECIFIED, Slice
from lts.volume._dicom_stack import Stack, read_stack
from lts.volume._geometry import FloatArray, Geometry

Check = Callable[[], None]
"""Called often while a series is read; what it raises ends the reading at once."""


def go_on() -> None:
    """A check that never ends the reading."""


@dataclass(frozen=True, eq=False)
class StoredSeries:
    """A series as a `Stored` of `(columns, rows, slices)`, slices sorted along their normal.

    Compressed pixels are decoded in processes of their own, for as long as `FRAME_LIMIT_S` a frame.
    PixelPaddingValue is ignored, as it is often wrong; padding is recognized by its value.

    Attributes:
        stack: Its slices in order.
        notes: See `Stored`.
        check: Called often; what it raises ends the reading at once.
    """

    stack: Stack
    notes: tuple[str, ...]
    check: Check = go_on

    @property
    def geometry(self) -> Geometry:
        """See `Stored`."""
        return self.stack.geometry

    @property
    def plain(self) -> npt.NDArray[Any] | None:
        """See `Stored`: slices have a slope and an intercept each, and lie in files."""
        return None

    def slices(self) -> Generator[tuple[int, FloatArray]]:
        """See `Stored`; one slice is in memory at a time."""
        by_path: dict[Path, list[int]] = {}
        for index, each in enumerate(self.stack.slices):
            by_path.setdefault(each.path, []).append(index)
        syntaxes = {each.transfer_syntax: each.path for each in self.stack.slices}
        for syntax, path in syntaxes.items():
            check_decoder(path, syntax)
        files = [
            DecodeRequest(
                path=path,
                frames=tuple(self.stack.slices[index].frame or 0 for index in indices),
                syntax=self.stack.slices[indices[0]].transfer_syntax,
                shape=self.stack.slices[indices[0]].shape,
            )
            for path, indices in by_path.items()
        ]
        compressed = any(is_compressed(syntax) for syntax in syntaxes)
        frames = (decoded_frames if compressed else _frames_of)(files, check=self.check)
        indices = (index for indices in by_path.values() for index in indices)
        with closing(frames):
            for index, stored in zip(indices, frames, strict=True):
                yield index, _values(stored, self.stack.slices[index])

    def place_of(self, index: int) -> Path:
        """See `Stored`."""
        return self.stack.slices[index].path


def open_series(series: DicomSeries, *, modality: Modality, check: Check = go_on) -> StoredSeries:
    """Sort a series by its headers.

    Raises:
        VolumeError: It has another modality, or is not a volume; the message says why and where.
        ConfigError: pydicom is not installed.
    """
    stack = read_stack(series, modality="CT" if modality == "ct" else "MR")
    notes = stack.notes
    if modality == "ct" and any(each.rescale_type == UNSPECIFIED for each in stack.slices):
        notes = (*notes, "That values are HU is unproven: RescaleType is US, unspecified.")
    return StoredSeries(stack, notes, check)


def only_series(path: Path) -> DicomSeries:
    """The one series of a folder that may be a volume, or that of a file.

    Series that cannot be a volume by their headers, such as localizers, do not count if another may.

    Raises:
        VolumeError: There is none, or more than one.
        ConfigError: There is DICOM, and pydicom is not installed.
    """
    found = find_dicom(path)
    if path.is_file() and found.series:  # taken for what it was named for, whether it makes a volume or not
        return replace(found.series[0], no_volume="")
    volumes = [one for one in found.series if not one.no_volume]
    if len(volumes) == 1:
        return volumes[0]
    if not found.series:
        instead = "only DICOM files without an image" if found.no_images else "none"
        raise VolumeError(f"{path}: must hold a DICOM series, got {instead}")
    listing = describe_series(volumes or found.series, below=path)
    if not volumes:
        raise VolumeError(f"{path}: must hold a DICOM series that may be a volume, got {listing}")
    raise VolumeError(
        f"{path}: must hold one DICOM series, got {len(volumes)}: {listing}; name the folder of one of them"
    )


def holds_dicom(path: Path) -> bool:
    """Whether to read a path as DICOM: a folder, or a file that is DICOM or named as such."""
    return is_folder(path) or is_dicom(path)


def series_geometry(path: Path) -> Geometry:
    """The grid of the series of a folder or file, by its headers."""
    series = only_series(path)
    return read_stack(series, modality=series.modality).geometry


def _frames_of(files: Sequence[DecodeRequest], *, check: Check) -> Generator[npt.NDArray[Any]]:
    for file in files:
        for stored in stored_frames(file.path, file.frames, syntax=file.syntax):
            check()
            yield stored


def _values(stored: npt.NDArray[Any], each: Slice) -> FloatArray:
    assert stored.shape == each.shape, "pydicom shapes frames as the header says"
    values: FloatArray = stored.T.astype(np.float64)
    with np.errstate(all="ignore"):
        values *= each.slope
        values += each.intercept
    if not np.isfinite(values).all():
        raise VolumeError(f"{each.path}: voxels must be finite, got NaN or infinity")
    return values
