"""Values and labels of a kept result on disk, read as planes of three kinds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lts.service.blocks import BlockFile, Shape
from lts.viewer import ValueScale

VALUES_FILE, LABELS_FILE = "values.int16", "labels.uint8"

PlaneKind = Literal["slices", "coronal", "sagittal"]
"""As in addresses; slices are axial."""

PLANE_AXES: dict[PlaneKind, int] = {"slices": 0, "coronal": 1, "sagittal": 2}
"""The axis of `(Z, H, W)` along which planes of a kind follow each other."""

_DTYPES: dict[str, np.dtype[Any]] = {VALUES_FILE: np.dtype("<i2"), LABELS_FILE: np.dtype("u1")}


def write_values(path: Path, voxels: NDArray[Any]) -> ValueScale:
    """Write voxels `(Z, H, W)` as int16; returns what gives back their own scale."""
    scale = ValueScale.of(voxels)
    BlockFile(voxels.shape, _DTYPES[VALUES_FILE]).write(path, map(scale.stored, voxels))
    return scale


def write_labels(path: Path, labels: NDArray[np.uint8]) -> None:
    """Write labels `(Z, H, W)`."""
    BlockFile(labels.shape, _DTYPES[LABELS_FILE]).write(path, labels)


def read_labels(folder: Path, *, shape: Shape) -> Iterator[NDArray[np.uint8]]:
    """The labels of a result, a slice `(H, W)` at a time, from the feet up.

    Args:
        folder: Of the result.
        shape: `(Z, H, W)` of the scan.

    Raises:
        FileNotFoundError: The result is no longer kept.
    """
    with (folder / LABELS_FILE).open("rb", buffering=0) as file:
        yield from BlockFile(shape, _DTYPES[LABELS_FILE]).read_slices(file)


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
    axis, planes = PLANE_AXES[kind], []
    for path, dtype in files:
        with path.open("rb", buffering=0) as file:
            plane = BlockFile(shape, dtype).read_plane(file, axis, index)
        planes.append((plane if axis == 0 else plane[::-1]).tobytes())
    return b"".join(planes)
