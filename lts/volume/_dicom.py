"""Scans from DICOM series into memory, `(Z, H, W)`."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lts.base import AIR_HU, Modality, VolumeError
from lts.volume._dicom_files import DicomSeries, needs, parsing
from lts.volume._dicom_slices import UNSPECIFIED, Slice
from lts.volume._dicom_stack import Stack, read_stack
from lts.volume._geometry import FloatArray, Geometry
from lts.volume._read import Volume

_INT16 = np.iinfo(np.int16)


def read_dicom_ct(series: DicomSeries) -> Volume:
    """Read a CT series: files of one slice, or of many frames.

    PixelPaddingValue is not looked at, as it is often wrong; padding is told by its value alone.

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
    for index, values in _slices(stack):
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


def read_dicom_mr(series: DicomSeries) -> Volume:
    """Read an MR series on its own scale: files of one slice, or of many frames.

    Returns:
        int16 where every value is an integer that fits, else float32; geometry as from `read_dicom_ct`.

    Raises:
        VolumeError: As `read_dicom_ct`; or a voxel is beyond float32.
        ConfigError: pydicom is not installed.
    """
    stack = read_stack(series, modality="MR")
    signal, on_disk = _empty(series, stack.geometry)
    for index, values in _slices(stack):
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


def read_dicom(series: DicomSeries, *, modality: Modality) -> Volume:
    """Read a series by what made it: `read_dicom_ct` or `read_dicom_mr`."""
    return read_dicom_ct(series) if modality == "ct" else read_dicom_mr(series)


def _empty(series: DicomSeries, geometry: Geometry) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """A new volume `(Z, H, W)`, and its memory seen as `(columns, rows, slices)`: nothing is copied later."""
    try:
        voxels = np.empty(geometry.canonical_shape, dtype=np.int16)
    except MemoryError as error:
        raise VolumeError(f"{series.folder}: {geometry.shape} voxels do not fit into memory") from error
    return voxels, geometry.to_disk(voxels)


def _slices(stack: Stack) -> Iterator[tuple[int, FloatArray]]:
    """The place of each slice in the stack and its values `(columns, rows)`, one in memory at a time."""
    by_path: dict[Path, list[int]] = {}
    for index, each in enumerate(stack.slices):
        by_path.setdefault(each.path, []).append(index)
    for syntax, path in {each.transfer_syntax: each.path for each in stack.slices}.items():
        _check_decoder(path, syntax)
    pixels = needs("pydicom.pixels")
    for path, indices in by_path.items():
        frames = [stack.slices[index].frame or 0 for index in indices]
        source = _source(path, stack.slices[indices[0]].transfer_syntax)
        with closing(pixels.iter_pixels(source, indices=frames, raw=True)) as images:
            for index in indices:
                with parsing(path, broken="truncated or broken pixel data"):
                    stored = next(images)
                yield index, _values(stored, stack.slices[index])


def _source(path: Path, syntax: str) -> Any:
    """What pydicom takes frames from: the file, unless it is deflated as a whole."""
    if syntax != needs("pydicom.uid").DeflatedExplicitVRLittleEndian:
        return path
    with parsing(path, broken="truncated or broken data"):
        return needs("pydicom").dcmread(path)


def _values(stored: npt.NDArray[Any], each: Slice) -> FloatArray:
    assert stored.shape == each.shape, "pydicom shapes frames as the header says"
    values: FloatArray = stored.T.astype(np.float64)
    with np.errstate(all="ignore"):
        values *= each.slope
        values += each.intercept
    if not np.isfinite(values).all():
        raise VolumeError(f"{each.path}: voxels must be finite, got NaN or infinity")
    return values


def _check_decoder(path: Path, syntax: str) -> None:
    if not syntax:
        raise VolumeError(f"{path}: TransferSyntaxUID is missing")
    with parsing(path):
        name = f"{needs('pydicom.uid').UID(syntax).name} ({syntax})"
        try:
            decoder = needs("pydicom.pixels").get_decoder(syntax)
        except NotImplementedError as error:
            raise VolumeError(f"{path}: transfer syntax cannot be decoded: {name}") from error
    if not decoder.is_available:
        plugins = " or ".join(decoder.missing_dependencies)
        raise VolumeError(
            f"{path}: transfer syntax cannot be decoded here: {name}; it takes one of {plugins}"
        )
