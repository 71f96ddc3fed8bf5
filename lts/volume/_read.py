"""Scans and masks from files into memory, `(Z, H, W)`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lts.base import AIR_HU, LABELS, Modality, VolumeError, listed
from lts.volume._geometry import Geometry
from lts.volume._nifti import Stored, read_header, read_stored
from lts.volume._notes import CORNER_TOLERANCE, UNPROVEN, Note, farthest_corner, grid_notes

LABEL_NOISE = 0.01
"""How far a stored label may lie from the integer it stands for."""

_INT16 = np.iinfo(np.int16)
_SHOWN = 5
_AIR_HU = -500
"""What lies below is air in a scan, and no label of any mask."""


@dataclass(frozen=True, eq=False)
class Volume:
    """A scan or mask in memory.

    Attributes:
        voxels: `(Z, H, W)`, C order.
        geometry: The grid on disk.
        notes: What could not be proven or was corrected, one sentence each.
    """

    voxels: npt.NDArray[Any]
    geometry: Geometry
    notes: tuple[str, ...] = ()


def read_geometry(path: str | os.PathLike[str]) -> Geometry:
    """Read the grid of a NIfTI file from its header alone.

    Raises:
        VolumeError: The file is missing, or not one volume of real numbers on a sound grid.
    """
    return read_header(Path(path)).geometry


@contextmanager
def _within_memory(path: str | os.PathLike[str]) -> Iterator[None]:
    """Refuse what memory does not hold, wherever on the way that shows."""
    try:
        yield
    except MemoryError as error:
        shape = read_geometry(path).shape
        raise VolumeError(f"{path}: {shape} voxels do not fit into memory") from error


def read_ct(path: str | os.PathLike[str]) -> Volume:
    """Read a CT scan.

    Returns:
        int16 HU; padding under -1024 is lifted to it, fractions are rounded (and a note says so).

    Raises:
        VolumeError: As `read_geometry`; or a voxel is not finite or above 32767.
    """
    with _within_memory(path):
        stored = read_stored(Path(path))
        notes: tuple[str, ...] = grid_notes(stored.header.geometry)
        if _is_plain_int16(stored):
            hu = _native_int16(stored)
            np.maximum(hu, AIR_HU, out=hu)
            return _volume(hu, stored.header.geometry, notes=notes)
        hu = np.empty(stored.voxels.shape, dtype=np.int16, order="F")
        fractions = False
        for index, values in stored.slices():
            rounded = np.rint(values)
            fractions = fractions or bool((rounded != values).any())
            if rounded.max() > _INT16.max:
                raise VolumeError(f"{stored.path}: HU must be at most {_INT16.max}, got {rounded.max():g}")
            hu[..., index] = np.maximum(rounded, AIR_HU)
        if fractions:
            notes = (*notes, Note("Fractions of HU were rounded.", code="hu-rounded"))
        return _volume(hu, stored.header.geometry, notes=notes)


def read_mr(path: str | os.PathLike[str]) -> Volume:
    """Read an MR scan on its own scale.

    Returns:
        int16 where every value is an integer that fits, else float32.

    Raises:
        VolumeError: As `read_geometry`; or a voxel is not finite or beyond float32.
    """
    with _within_memory(path):
        stored = read_stored(Path(path))
        notes = grid_notes(stored.header.geometry)
        if _is_plain_int16(stored):
            return _volume(_native_int16(stored), stored.header.geometry, notes=notes)
        signal: npt.NDArray[Any] = np.empty(stored.voxels.shape, dtype=np.float32, order="F")
        integers = True
        for index, values in stored.slices():
            largest = np.abs(values).max()
            if largest > np.finfo(np.float32).max:
                raise VolumeError(f"{stored.path}: voxels must fit into float32, got {largest:g}")
            fit = values.min() >= _INT16.min and values.max() <= _INT16.max
            integers = integers and bool(fit and (np.rint(values) == values).all())
            signal[..., index] = values
        geometry = stored.header.geometry
        del stored, values
        return _volume(signal.astype(np.int16) if integers else signal, geometry, notes=notes)


def read_image(path: str | os.PathLike[str], *, modality: Modality) -> Volume:
    """Read a scan by what made it: `read_ct` or `read_mr`."""
    return read_ct(path) if modality == "ct" else read_mr(path)


def match_mask_grid(
    path: str | os.PathLike[str], mask: Geometry, *, image: Geometry
) -> tuple[Geometry, tuple[str, ...]]:
    """Hold the grid of a mask against that of its image; no voxel is needed.

    Args:
        path: The file of the mask, for messages.
        mask: The grid that it states.
        image: The grid of the image.

    Returns:
        The grid of the mask as `read_mask` takes it, and notes on what was corrected or other programs read
        otherwise.

    Raises:
        VolumeError: The grids differ.
    """
    reason = mask.unproven
    if reason and not image.unproven and mask.shape == image.shape:
        text = f"The image's grid was taken for the mask: {reason}."
        return image, (Note(text, code="grid-corrected"),)
    grids = f"mask {mask.describe()}; image {image.describe()}"
    if mask.canonical_shape != image.canonical_shape:
        raise VolumeError(f"{path}: the mask's shape must be its image's: {grids}", code="grids-differ")
    affines = mask.canonical_affine, image.canonical_affine
    distance = farthest_corner(affines[0], reference=affines[1], shape=image.canonical_shape)
    if distance > CORNER_TOLERANCE:
        raise VolumeError(
            f"{path}: the mask's corners must lie within {CORNER_TOLERANCE} voxels of its image's, "
            f"got {distance:.3g}: {grids}",
            code="grids-differ",
        )
    # that nothing is proven is said of the image
    return mask, tuple(note for note in grid_notes(mask) if note.code != UNPROVEN)


def read_mask(path: str | os.PathLike[str], *, image: Geometry) -> Volume:
    """Read the mask of an image.

    One thing is corrected, and a note says so: where the mask's affine is the identity or its header states
    no orientation, neither is so of the image, and the shapes on disk are equal, the image's grid is taken
    (LiTS volume 53).

    Args:
        path: The file of the mask. Its axes on disk may differ from the image's.
        image: The grid of the image.

    Returns:
        uint8 labels 0, 1, 2 in the image's canonical shape, rounded where they lie within 0.01 of one.

    Raises:
        VolumeError: As `read_geometry`; or another label; or corners that lie off the image's by more than a
            tenth of a voxel.
    """
    with _within_memory(path):
        stored = read_stored(Path(path))
        geometry, notes = match_mask_grid(path, stored.header.geometry, image=image)
        plain_integers = stored.voxels.dtype.kind in "iu" and not stored.header.scaled
        if plain_integers and stored.voxels.min() >= min(LABELS) and stored.voxels.max() <= max(LABELS):
            return _volume(stored.voxels.astype(np.uint8, copy=False), geometry, notes=notes)
        labels = np.empty(stored.voxels.shape, dtype=np.uint8, order="F")
        others: set[float] = set()
        noise = False
        for index, values in stored.slices():
            rounded = np.rint(values)
            off = np.abs(values - rounded)
            known = (off <= LABEL_NOISE) & (rounded >= min(LABELS)) & (rounded <= max(LABELS))
            others.update(np.unique(values[~known]).tolist())
            noise = noise or bool(off.any())
            labels[..., index] = np.where(known, rounded, 0)
        if others:
            shown = listed((f"{label:g}" for label in sorted(others)), most=_SHOWN)
            if min(others) < _AIR_HU:
                shown += ": values of a scan, so image and mask may be swapped"
            raise VolumeError(
                f"{stored.path}: labels must be among {list(LABELS)}, got {shown}",
                code="labels-unknown",
            )
        if noise:
            text = "Labels were rounded to the integers they lay next to."
            notes = (*notes, Note(text, code="labels-rounded"))
        return _volume(labels, geometry, notes=notes)


def _is_plain_int16(stored: Stored) -> bool:
    return not stored.header.scaled and np.can_cast(stored.voxels.dtype, np.int16)


def _native_int16(stored: Stored) -> npt.NDArray[np.int16]:
    """The stored numbers themselves where they are int16 of this machine, else a copy."""
    return stored.voxels.astype(np.int16, order="F", copy=False)


def _volume(array_on_disk: npt.NDArray[Any], geometry: Geometry, *, notes: tuple[str, ...]) -> Volume:
    voxels = np.ascontiguousarray(geometry.to_canonical(array_on_disk))
    # A turned axis of one voxel is contiguous to numpy, and not to torch.
    if min(voxels.strides) < 0:
        voxels = voxels.copy()
    return Volume(voxels=voxels, geometry=geometry, notes=notes)
