"""Values and labels of a kept result on disk: written slice by slice, read as planes of three kinds."""

from collections.abc import Callable, Iterable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lts.viewer import ValueScale

VALUES_FILE, LABELS_FILE = "values.int16", "labels.uint8"

PlaneKind = Literal["slices", "coronal", "sagittal"]
"""As in addresses; slices are axial."""

PLANE_AXES: dict[PlaneKind, int] = {"slices": 0, "coronal": 1, "sagittal": 2}
"""The axis of `(Z, H, W)` along which planes of a kind follow each other."""

_DTYPES: dict[str, np.dtype[Any]] = {VALUES_FILE: np.dtype("<i2"), LABELS_FILE: np.dtype("u1")}

Shape = tuple[int, int, int]


def write_values(path: Path, voxels: NDArray[Any]) -> ValueScale:
    """Write voxels `(Z, H, W)` as int16; returns what gives back their own scale."""
    scale = ValueScale.of(voxels)
    write_slices(path, map(scale.stored, voxels))
    return scale


def write_slices(path: Path, slices: Iterable[NDArray[Any]]) -> None:
    """Write arrays one after the other; `tofile` would not report a full disk."""
    with path.open("wb") as file:
        for one in slices:
            file.write(one.tobytes())


def read_labels(folder: Path, *, shape: Shape) -> Iterator[NDArray[np.uint8]]:
    """The labels of a result, a slice `(H, W)` at a time, from the feet up.

    Args:
        folder: Of the result.
        shape: `(Z, H, W)` of the scan.

    Raises:
        FileNotFoundError: The result is no longer kept.
    """
    with (folder / LABELS_FILE).open("rb", buffering=0) as file:
        for index in range(shape[0]):
            yield _read_axial(file, index, shape, _DTYPES[LABELS_FILE])


def read_plane(
    folder: Path, kind: PlaneKind, index: int, *, shape: Shape, second: Path | None = None
) -> bytes:
    """Values as int16, then labels as uint8, of one plane as it is seen; little endian.

    Slices are `(H, W)`, coronal planes `(Z, W)` and sagittal ones `(Z, H)`; H runs front to back, W from the
    patient's right to left, and Z here from head to feet, so that the head is above.

    The files are not mapped into memory: were one emptied meanwhile, that would end the process.

    Args:
        folder: Of the result.
        kind: Which planes.
        index: Of the plane, from the feet, the front or the right.
        shape: `(Z, H, W)` of the scan.
        second: Labels of a second mask, which then follow.

    Raises:
        FileNotFoundError: The result is no longer kept.
    """
    files = [(folder / name, dtype) for name, dtype in _DTYPES.items()]
    if second is not None:
        files.append((second, _DTYPES[LABELS_FILE]))
    planes = []
    for path, dtype in files:
        with path.open("rb", buffering=0) as file:
            planes.append(_READERS[kind](file, index, shape, dtype).tobytes())
    return b"".join(planes)


def _read_axial(file: FileIO, index: int, shape: Shape, dtype: np.dtype[Any]) -> NDArray[Any]:
    _, height, width = shape
    plane = np.empty((height, width), dtype)
    _read_into(plane, file, index * plane.nbytes)
    return plane


def _read_coronal(file: FileIO, index: int, shape: Shape, dtype: np.dtype[Any]) -> NDArray[Any]:
    depth, height, width = shape
    plane = np.empty((depth, width), dtype)
    for z, row in enumerate(plane):
        _read_into(row, file, (z * height + index) * row.nbytes)
    return plane[::-1]


def _read_sagittal(file: FileIO, index: int, shape: Shape, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The whole file passes through one slice of memory: 0.1 s for 512 x 512 x 1000 values."""
    depth, height, width = shape
    plane, axial = np.empty((depth, height), dtype), np.empty((height, width), dtype)
    for z in range(depth):
        _read_into(axial, file, z * axial.nbytes)
        plane[z] = axial[:, index]
    return plane[::-1]


_READERS: dict[PlaneKind, Callable[[FileIO, int, Shape, np.dtype[Any]], NDArray[Any]]] = {
    "slices": _read_axial,
    "coronal": _read_coronal,
    "sagittal": _read_sagittal,
}


def _read_into(array: NDArray[Any], file: FileIO, offset: int) -> None:
    file.seek(offset)
    if file.readinto(array.data) != array.nbytes:
        raise FileNotFoundError(f"{file.name}: was emptied")
