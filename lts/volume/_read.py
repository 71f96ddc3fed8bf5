"""Scans from files into memory, `(Z, H, W)`."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lts.base import AIR_HU, BACKGROUND, Modality, VolumeError
from lts.volume._dicom import Check, go_on, open_series
from lts.volume._dicom_files import DicomSeries
from lts.volume._formats import format_of
from lts.volume._geometry import Geometry
from lts.volume._notes import Note
from lts.volume._stored import Stored

_INT16 = np.iinfo(np.int16)


@dataclass(frozen=True, eq=False)
class Volume:
    """A scan or mask in memory.

    Attributes:
        voxels: `(Z, H, W)`, C order.
        geometry: The grid on disk.
        notes: What could not be proven or was corrected, one sentence each.
        ignored: Of a mask, `(Z, H, W)` bool, the voxels on which it says nothing, which are background in
            `voxels`; None where there are none.

    Example:
        >>> grid = Geometry.from_affine(np.diag([1, 1, 2, 1]), shape=(6, 5, 4))
        >>> Volume(np.zeros(grid.canonical_shape, np.int16), grid).geometry.spacing_mm
        (2.0, 1.0, 1.0)
    """

    voxels: npt.NDArray[Any]
    geometry: Geometry
    notes: tuple[str, ...] = ()
    ignored: npt.NDArray[np.bool_] | None = None

    def where_known(self, labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Other labels of the same grid, background where this mask says nothing, as it is itself there."""
        return labels if self.ignored is None else np.where(self.ignored, BACKGROUND, labels)


def read_geometry(path: str | os.PathLike[str]) -> Geometry:
    """Read the grid of a scan or mask from headers alone.

    Args:
        path: A file of NIfTI, NRRD or MetaImage, or a folder that holds one DICOM series.

    Raises:
        VolumeError: It is missing, or not one volume of real numbers on a sound grid.

    Example:
        >>> from nibabel.testing import data_path
        >>> read_geometry(Path(data_path) / "anatomical.nii").canonical_shape
        (25, 41, 33)
    """
    path = Path(path)
    return format_of(path).read_geometry(path)


def read_ct(path: str | os.PathLike[str]) -> Volume:
    """Read a CT scan.

    Args:
        path: As `read_geometry`.

    Returns:
        int16 HU; padding under -1024 is lifted to it, fractions are rounded (and a note says so).

    Raises:
        VolumeError: As `read_geometry`; or a voxel is not finite or above 32767.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from lts.volume import write_volume
        >>> with TemporaryDirectory() as folder:
        ...     hu = np.full((6, 5, 4), -2000, np.int16)  # toward the right, the front, the head
        ...     write_volume(f"{folder}/ct.nii.gz", hu, affine=np.diag([1, 1, 2, 1]))
        ...     scan = read_ct(f"{folder}/ct.nii.gz")
        >>> scan.voxels.shape, int(scan.voxels.max()), scan.geometry.spacing_mm
        ((4, 5, 6), -1024, (2.0, 1.0, 1.0))
    """
    return read_image(path, modality="ct")


def read_mr(path: str | os.PathLike[str]) -> Volume:
    """Read an MR scan on its own scale.

    Args:
        path: As `read_geometry`.

    Returns:
        int16 where every value is an integer that fits, else float32.

    Raises:
        VolumeError: As `read_geometry`; or a voxel is not finite or beyond float32.

    Example:
        >>> from nibabel.testing import data_path
        >>> scan = read_mr(Path(data_path) / "anatomical.nii")
        >>> scan.voxels.shape, scan.voxels.dtype
        ((25, 41, 33), dtype('int16'))
    """
    return read_image(path, modality="mr")


def read_image(path: str | os.PathLike[str], *, modality: Modality = "ct") -> Volume:
    """Read a scan by what made it: `read_ct` or `read_mr`.

    Example:
        >>> from nibabel.testing import data_path
        >>> read_image(Path(data_path) / "anatomical.nii", modality="mr").geometry.axes
        'LAS'
    """
    path = Path(path)
    with within_memory(path, lambda: read_geometry(path)):
        return _as_image(format_of(path).read_image(path, modality), modality)


def read_dicom(series: DicomSeries, *, modality: Modality = "ct", check: Check = go_on) -> Volume:
    """Read a series of a folder that may hold several: files of one slice, or of many frames.

    Args:
        series: As `find_dicom` tells it.
        modality: What the scan is taken for.
        check: Called often; what it raises ends the reading at once.

    Returns:
        As `read_ct` or `read_mr`. The geometry is that of the array `(columns, rows, slices)`, slices sorted
        along their normal.

    Raises:
        VolumeError: The series is of another modality or makes no volume (the message says why and where),
            pixels cannot be decoded, or a value is out of bounds.
        ConfigError: pydicom is not installed.

    Example:
        >>> from pydicom.data import get_testdata_file
        >>> from lts.volume import find_dicom
        >>> (series,) = find_dicom(Path(get_testdata_file("CT_small.dcm"))).series
        >>> read_dicom(series)
        Traceback (most recent call last):
        lts.base...VolumeError: ...must hold 2 slices or more, as one has no spacing, got 1 (CT_small.dcm)
    """
    stored = open_series(series, modality=modality, check=check)
    with within_memory(series.folder, lambda: stored.geometry):
        return _as_image(stored, modality)


@contextmanager
def within_memory(path: Path, geometry_of: Callable[[], Geometry]) -> Iterator[None]:
    """Refuse what memory does not hold, wherever on the way that shows."""
    try:
        yield
    except MemoryError as error:
        raise VolumeError(f"{path}: {geometry_of().shape} voxels do not fit into memory") from error


def _as_image(stored: Stored, modality: Modality) -> Volume:
    if stored.plain is not None and np.can_cast(stored.plain.dtype, np.int16):
        # the stored numbers themselves where they are int16 of this machine, else a copy
        plain = stored.plain.astype(np.int16, order="F", copy=False)
        if modality == "ct":
            np.maximum(plain, AIR_HU, out=plain)
        return volume_of(plain, stored.geometry, notes=stored.notes)
    return _as_ct(stored) if modality == "ct" else _as_mr(stored)


def _as_ct(stored: Stored) -> Volume:
    hu, on_disk = _empty(stored.geometry, np.dtype(np.int16))
    fractions = False
    with closing(stored.slices()) as slices:
        for index, values in slices:
            rounded = np.rint(values)
            fractions = fractions or bool((rounded != values).any())
            if rounded.max() > _INT16.max:
                place = stored.place_of(index)
                raise VolumeError(f"{place}: HU must be at most {_INT16.max}, got {rounded.max():g}")
            on_disk[..., index] = np.maximum(rounded, AIR_HU)
    rounding = (Note("Fractions of HU were rounded.", code="hu-rounded"),) if fractions else ()
    return Volume(voxels=hu, geometry=stored.geometry, notes=(*stored.notes, *rounding))


def _as_mr(stored: Stored) -> Volume:
    signal: npt.NDArray[Any] | None = None
    with closing(stored.slices()) as slices:
        for index, values in slices:
            largest = np.abs(values).max()
            if largest > np.finfo(np.float32).max:
                place = stored.place_of(index)
                raise VolumeError(f"{place}: voxels must fit into float32, got {largest:g}")
            fit = values.min() >= _INT16.min and values.max() <= _INT16.max
            dtype = np.dtype(np.int16 if fit and (np.rint(values) == values).all() else np.float32)
            if signal is None:
                signal, on_disk = _empty(stored.geometry, dtype)
            elif not np.can_cast(dtype, signal.dtype):
                signal = signal.astype(dtype)  # exact for the slices read so far
                on_disk = stored.geometry.to_disk(signal)
            on_disk[..., index] = values
    assert signal is not None
    return Volume(voxels=signal, geometry=stored.geometry, notes=stored.notes)


def _empty(geometry: Geometry, dtype: np.dtype[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """A new volume `(Z, H, W)`, and its memory seen as `(X, Y, Z)`: nothing is copied later."""
    voxels = np.empty(geometry.canonical_shape, dtype)
    return voxels, geometry.to_disk(voxels)


def volume_of(array_on_disk: npt.NDArray[Any], geometry: Geometry, *, notes: tuple[str, ...]) -> Volume:
    """A volume in memory of an array as it lies on disk, `(X, Y, Z)`."""
    voxels = np.ascontiguousarray(geometry.to_canonical(array_on_disk))
    # A turned axis of one voxel is contiguous to numpy, and not to torch.
    if min(voxels.strides) < 0:
        voxels = voxels.copy()
    return Volume(voxels=voxels, geometry=geometry, notes=notes)
