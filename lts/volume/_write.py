"""Masks and scans from memory into files."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lts.base import LABELS, VolumeError
from lts.volume._formats import written_format_of
from lts.volume._geometry import Geometry

PROBABILITY_STEPS = 65535
"""A probability on disk is a whole number of so many steps."""


def write_mask(
    path: str | os.PathLike[str], labels_zhw: npt.NDArray[np.integer[Any]], *, geometry: Geometry
) -> None:
    """Write labels on exactly the grid of a file: same axes, affines, codes and units.

    The file appears whole or not at all.

    Args:
        path: Ends in .nii, .nii.gz, .nrrd or .mha; an existing file is replaced.
        labels_zhw: `(Z, H, W)` integers 0, 1, 2.
        geometry: The grid to write on.

    Raises:
        VolumeError: The shape is not the grid's, a label is not known, or the name has another ending.
        StorageError: The file cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> grid = Geometry.from_affine(np.diag([1, 1, 2, 1]), shape=(6, 5, 4))
        >>> labels = np.zeros(grid.canonical_shape, np.uint8)
        >>> labels[1:3, 2:4, 2:5] = 1
        >>> with TemporaryDirectory() as folder:
        ...     write_mask(f"{folder}/mask.nii.gz", labels, geometry=grid)
        ...     [path.name for path in Path(folder).iterdir()]
        ['mask.nii.gz']
    """
    path = Path(path)
    check_labels(path, labels_zhw, geometry=geometry)
    _write(path, geometry.to_disk(labels_zhw.astype(np.uint8, copy=False)), geometry=geometry)


def write_probabilities(
    path: str | os.PathLike[str], steps_zhw: npt.NDArray[np.uint16], *, geometry: Geometry
) -> None:
    """Write the probabilities of a region on exactly the grid of a file, as `write_mask` does.

    Args:
        path: Ends in .nii, .nii.gz, .nrrd or .mha; an existing file is replaced.
        steps_zhw: `(Z, H, W)` uint16, probabilities in steps of 1 / 65535; a reader sees 0 to 1.
        geometry: The grid to write on.

    Raises:
        VolumeError: The shape is not the grid's, or the name has another ending.
        StorageError: The file cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from lts.volume import read_mr
        >>> grid = Geometry.from_affine(np.diag([1, 1, 2, 1]), shape=(6, 5, 4))
        >>> steps = np.full(grid.canonical_shape, PROBABILITY_STEPS // 5, np.uint16)
        >>> with TemporaryDirectory() as folder:
        ...     write_probabilities(f"{folder}/liver.nii.gz", steps, geometry=grid)
        ...     round(float(read_mr(f"{folder}/liver.nii.gz").voxels[0, 0, 0]), 4)
        0.2
    """
    path = Path(path)
    assert steps_zhw.dtype == np.uint16
    _write(path, geometry.to_disk(steps_zhw), geometry=geometry, slope=1 / PROBABILITY_STEPS)


def write_volume(
    path: str | os.PathLike[str], voxels_on_disk: npt.NDArray[np.int16], *, affine: npt.ArrayLike
) -> None:
    """Write a scan in mm, as NIfTI-1 with sform and qform. It appears whole or not at all.

    Args:
        path: Ends in .nii, .nii.gz, .nrrd or .mha; an existing file is replaced.
        voxels_on_disk: `(X, Y, Z)` int16, in the order that the affine says.
        affine: `(4, 4)`, index on disk to world RAS mm.

    Raises:
        VolumeError: Not a volume of int16, a degenerate affine, or the name has another ending.
        StorageError: The file cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from lts.volume import read_ct
        >>> with TemporaryDirectory() as folder:
        ...     write_volume(f"{folder}/ct.nii", np.zeros((6, 5, 4), np.int16), affine=np.diag([1, 1, 2, 1]))
        ...     read_ct(f"{folder}/ct.nii").voxels.shape
        (4, 5, 6)
    """
    path = Path(path)
    if voxels_on_disk.ndim != 3 or not voxels_on_disk.size or voxels_on_disk.dtype != np.int16:
        raise VolumeError(
            f"{path}: must be (X, Y, Z) int16, got {voxels_on_disk.shape} {voxels_on_disk.dtype}"
        )
    try:
        geometry = Geometry.from_affine(affine, shape=voxels_on_disk.shape)
    except VolumeError as error:
        raise VolumeError(f"{path}: {error}") from error
    _write(path, voxels_on_disk, geometry=geometry)


def check_labels(path: Path, labels_zhw: npt.NDArray[np.integer[Any]], *, geometry: Geometry) -> None:
    """Check labels before they are written.

    Raises:
        VolumeError: The shape is not the grid's, or a label is not known.
    """
    if labels_zhw.shape != geometry.canonical_shape:
        raise VolumeError(f"{path}: labels must be {geometry.canonical_shape}, got {labels_zhw.shape}")
    if labels_zhw.dtype.kind not in "iu":
        raise VolumeError(f"{path}: labels must be integers, got {labels_zhw.dtype}")
    if labels_zhw.min() < min(LABELS) or labels_zhw.max() > max(LABELS):
        raise VolumeError(
            f"{path}: labels must be among {list(LABELS)}, got {labels_zhw.min()} to {labels_zhw.max()}"
        )


def _write(path: Path, voxels_on_disk: npt.NDArray[Any], *, geometry: Geometry, slope: float = 1.0) -> None:
    write = written_format_of(path).write
    assert write is not None
    write(path, voxels_on_disk, geometry=geometry, slope=slope)
