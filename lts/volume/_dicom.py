"""Scans from DICOM series into memory, `(Z, H, W)`."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lts.base import AIR_HU, Modality, VolumeError
from lts.volume._dicom_decoding import Wanted, decoded_frames
from lts.volume._dicom_files import DicomSeries
from lts.volume._dicom_pixels import check_decoder, is_compressed, stored_frames
from lts.volume._dicom_slices import UNSPECIFIED, Slice
from lts.volume._dicom_stack import Stack, read_stack
from lts.volume._geometry import FloatArray, Geometry
from lts.volume._read import Volume

_INT16 = np.iinfo(np.int16)

Check = Callable[[], None]
"""Called often while a series is read; what it raises ends the reading at once."""


def _go_on() -> None:
    pass


def read_dicom_ct(series: DicomSeries, *, check: Check = _go_on) -> Volume:
    """Read a CT series: files of one slice, or of many frames.

    PixelPaddingValue is not looked at, as it is often wrong; padding is told by its value alone. Compressed
    pixels are decoded in processes of their own, for as long as `FRAME_LIMIT_S` a frame.

    Args:
        series: Its files.
        check: Called often; what it raises ends the reading at once.

    Returns:
        int16 HU; padding under -1024 is lifted to it, fractions are rounded (and a note says so). The
        geometry is that of the array `(columns, rows, slices)`, slices sorted along their normal.

    Raises:
        VolumeError: The series is no CT or makes no volume (the message says why and where), pixels cannot be
            decoded, or a voxel is above 32767.
        ConfigError: pydicom is not installed.
    """
    stack = read_stack(series, modality="CT")
    hu, on_disk = _empty(series, stack.geometry)
    fractions = False
    with closing(_slices(stack, check=check)) as slices:
        for index, values in slices:
            rounded = np.rint(values)
            fractions = fractions or bool((rounded != values).any())
            if rounded.max() > _INT16.max:
                path = stack.slices[index].path
                raise VolumeError(f"{path}: HU must be at most {_INT16.max}, got {rounded.max():g}")
            on_disk[..., index] = np.maximum(rounded, AIR_HU)
    notes = stack.notes
    if any(each.rescale_type == UNSPECIFIED for each in stack.slices):
        notes = (*notes, "That values are HU is unproven: RescaleType is US, unspecified.")
    if fractions:
        notes = (*notes, "Fractions of HU were rounded.")
    return Volume(voxels=hu, geometry=stack.geometry, notes=notes)


def read_dicom_mr(series: DicomSeries, *, check: Check = _go_on) -> Volume:
    """Read an MR series on its own scale: files of one slice, or of many frames.

    Args:
        series: Its files.
        check: Called often; what it raises ends the reading at once.

    Returns:
        int16 where every value is an integer that fits, else float32; geometry as from `read_dicom_ct`.

    Raises:
        VolumeError: As `read_dicom_ct`; or a voxel is beyond float32.
        ConfigError: pydicom is not installed.
    """
    stack = read_stack(series, modality="MR")
    signal, on_disk = _empty(series, stack.geometry)
    with closing(_slices(stack, check=check)) as slices:
        for index, values in slices:
            largest = np.abs(values).max()
            if largest > np.finfo(np.float32).max:
                path = stack.slices[index].path
                raise VolumeError(f"{path}: voxels must fit into float32, got {largest:g}")
            fit = values.min() >= _INT16.min and values.max() <= _INT16.max
            if signal.dtype == np.int16 and not (fit and (np.rint(values) == values).all()):
                signal = signal.astype(np.float32)  # exact for the slices read so far
                on_disk = stack.geometry.to_disk(signal)
            on_disk[..., index] = values
    return Volume(voxels=signal, geometry=stack.geometry, notes=stack.notes)


def read_dicom(series: DicomSeries, *, modality: Modality, check: Check = _go_on) -> Volume:
    """Read a series by what made it: `read_dicom_ct` or `read_dicom_mr`."""
    read = read_dicom_ct if modality == "ct" else read_dicom_mr
    return read(series, check=check)


def _empty(series: DicomSeries, geometry: Geometry) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """A new volume `(Z, H, W)`, and its memory seen as `(columns, rows, slices)`: nothing is copied later."""
    try:
        voxels = np.empty(geometry.canonical_shape, dtype=np.int16)
    except MemoryError as error:
        raise VolumeError(f"{series.folder}: {geometry.shape} voxels do not fit into memory") from error
    return voxels, geometry.to_disk(voxels)


def _slices(stack: Stack, *, check: Check) -> Generator[tuple[int, FloatArray]]:
    """The place of each slice in the stack and its values `(columns, rows)`, one in memory at a time."""
    by_path: dict[Path, list[int]] = {}
    for index, each in enumerate(stack.slices):
        by_path.setdefault(each.path, []).append(index)
    syntaxes = {each.transfer_syntax: each.path for each in stack.slices}
    for syntax, path in syntaxes.items():
        check_decoder(path, syntax)
    files = [
        Wanted(
            path=path,
            frames=tuple(stack.slices[index].frame or 0 for index in indices),
            syntax=stack.slices[indices[0]].transfer_syntax,
            shape=stack.slices[indices[0]].shape,
        )
        for path, indices in by_path.items()
    ]
    compressed = any(is_compressed(syntax) for syntax in syntaxes)
    frames = decoded_frames(files, check=check) if compressed else _frames_of(files, check=check)
    indices = (index for indices in by_path.values() for index in indices)
    with closing(frames):
        for index, stored in zip(indices, frames, strict=True):
            yield index, _values(stored, stack.slices[index])


def _frames_of(files: Sequence[Wanted], *, check: Check) -> Generator[npt.NDArray[Any]]:
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
