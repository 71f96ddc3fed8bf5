"""Masks from files into memory, `(Z, H, W)`, held against the grid of their image."""

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lts.base import BACKGROUND, IGNORED, LABELS, MaskLabels, VolumeError, listed
from lts.volume._formats import mask_format_of
from lts.volume._geometry import FloatArray, Geometry
from lts.volume._notes import CORNER_TOLERANCE, UNPROVEN, Note, farthest_corner, grid_notes
from lts.volume._read import Volume, volume_of, within_memory
from lts.volume._stored import Stored

LABEL_NOISE = 0.01
"""How far a stored label may lie from the integer it stands for."""

_SHOWN = 5
_MANY = 1000
"""Unknown labels after which no more are looked for: a mask of probabilities may have one for each voxel."""
_AIR_HU = -500
"""What lies below is air in a scan, and no label of any mask."""


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

    Example:
        >>> image, moved = (np.diag([1.0, 1, 2, 1]) for _ in range(2))
        >>> moved[0, 3] = 0.5
        >>> grids = (Geometry.from_affine(affine, shape=(6, 5, 4)) for affine in (moved, image))
        >>> match_mask_grid("m.nii", next(grids), image=next(grids))
        Traceback (most recent call last):
        lts.base...VolumeError: m.nii: the mask's corners must lie within 0.1 voxels of its image's, ...
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


def read_mask_geometry(path: str | os.PathLike[str]) -> Geometry:
    """Read the grid of a mask from its header alone.

    Raises:
        VolumeError: As `read_geometry`; or masks are not read from such files.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     read_mask_geometry(folder)
        Traceback (most recent call last):
        lts.base...VolumeError: ...a mask must be NIfTI, NRRD or MetaImage, got DICOM ...
    """
    path = Path(path)
    return mask_format_of(path).read_geometry(path)


def read_mask(path: str | os.PathLike[str], *, image: Geometry, labels: MaskLabels | None = None) -> Volume:
    """Read the mask of an image.

    One thing is corrected, and a note says so: where the mask's affine is the identity or its header states
    no orientation, neither is so of the image, and the shapes on disk are equal, the image's grid is taken
    (LiTS volume 53).

    Args:
        path: A file, or a folder where `labels` names files. Its axes on disk may differ from the image's.
        image: The grid of the image.
        labels: What in it is liver, tumor and to be ignored, None for 1 and 2 and nothing else.

    Returns:
        uint8 labels 0, 1, 2 in the image's canonical shape, of numbers within 0.01 of an integer, and which
        voxels are ignored.

    Raises:
        VolumeError: As `read_mask_geometry`; or another label; or corners that lie off the image's by more
            than a tenth of a voxel.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from lts.volume import write_mask
        >>> grid = Geometry.from_affine(np.diag([1, 1, 2, 1]), shape=(6, 5, 4))
        >>> labels = np.ones(grid.canonical_shape, np.uint8)
        >>> with TemporaryDirectory() as folder:
        ...     write_mask(f"{folder}/mask.nii.gz", labels, geometry=grid)
        ...     mask = read_mask(f"{folder}/mask.nii.gz", image=grid)
        >>> bool((mask.voxels == labels).all()), mask.notes
        (True, ())
    """
    path = Path(path)
    if labels and labels.are_files:
        return _read_organs(path, image=image, labels=labels)
    read = mask_format_of(path).read_mask
    assert read is not None
    with within_memory(path, lambda: read_mask_geometry(path)):
        stored = read(path)
        geometry, notes = match_mask_grid(path, stored.geometry, image=image)
        voxels, noise = _labels_of(path, stored) if labels is None else _named_of(path, stored, labels)
        if noise:
            text = "Labels were rounded to the integers they lay next to."
            notes = (*notes, Note(text, code="labels-rounded"))
        return _without_ignored(volume_of(voxels, geometry, notes=notes))


def _without_ignored(mask: Volume) -> Volume:
    """The mask with what it ignores apart, and background there."""
    ignored = mask.voxels == IGNORED
    if not ignored.any():
        return mask
    mask.voxels[ignored] = BACKGROUND
    return replace(mask, ignored=ignored)


def _read_organs(folder: Path, *, image: Geometry, labels: MaskLabels) -> Volume:
    """The mask that files of single organs make together, of each all that is not 0."""
    if not folder.is_dir():
        raise VolumeError(f"{folder}: a mask must be a folder, as labels name files, got a file or nothing")
    joined = np.zeros(image.canonical_shape, np.uint8)
    notes: dict[str, None] = {}
    for label, names in labels.by_label().items():
        for name in names:
            path = folder / str(name)
            read = mask_format_of(path).read_mask
            assert read is not None
            with within_memory(path, lambda path=path: read_mask_geometry(path)):  # type: ignore[misc]
                stored = read(path)
                geometry, told = match_mask_grid(path, stored.geometry, image=image)
                organ = np.zeros(stored.geometry.shape, dtype=np.uint8, order="F")
                for index, integers, _ in _integers(path, stored):
                    organ[..., index] = integers != 0
            joined[geometry.to_canonical(organ) > 0] = label
            notes |= dict.fromkeys(told)
    return _without_ignored(Volume(joined, image, tuple(notes)))


def _labels_of(path: Path, stored: Stored) -> tuple[npt.NDArray[np.uint8], bool]:
    """Labels `(X, Y, Z)`, and whether some had to be rounded."""
    plain = stored.plain
    if plain is not None and plain.dtype.kind in "iu" and _are_labels(plain):
        return plain.astype(np.uint8, copy=False), False
    labels = np.empty(stored.geometry.shape, dtype=np.uint8, order="F")
    others: set[float] = set()
    noise = False
    with closing(stored.slices()) as slices:
        for index, values in slices:
            rounded = np.rint(values)
            off = np.abs(values - rounded)
            known = (off <= LABEL_NOISE) & (rounded >= min(LABELS)) & (rounded <= max(LABELS))
            others.update(np.unique(values[~known]).tolist())
            if len(others) > _MANY:
                break
            noise = noise or bool(off.any())
            labels[..., index] = np.where(known, rounded, 0)
    if others:
        shown = listed((f"{label:g}" for label in sorted(others)), most=_SHOWN)
        if len(others) > _MANY:
            shown += " in the first slices"
        if min(others) < _AIR_HU:
            shown += ": values of a scan, so image and mask may be swapped"
        elif all(label > 0 and label.is_integer() for label in others):
            shown += "; others can be named by settings"
        raise VolumeError(f"{path}: labels must be among {list(LABELS)}, got {shown}", code="labels-unknown")
    return labels, noise


def _named_of(path: Path, stored: Stored, named: MaskLabels) -> tuple[npt.NDArray[np.uint8], bool]:
    """As `_labels_of`, of the integers that are named; all others are background.

    Raises:
        VolumeError: A number lies next to no integer.
    """
    labels = np.zeros(stored.geometry.shape, dtype=np.uint8, order="F")
    noise = False
    for index, integers, off in _integers(path, stored):
        noise = noise or off
        for label, numbers in named.by_label().items():
            labels[..., index][np.isin(integers, np.array(numbers, np.float64))] = label
    return labels, noise


def _integers(path: Path, stored: Stored) -> Iterator[tuple[int, FloatArray, bool]]:
    """The numbers of each slice, rounded, and whether some had to be.

    Raises:
        VolumeError: One lies next to no integer.
    """
    with closing(stored.slices()) as slices:
        for index, values in slices:
            rounded = np.rint(values)
            off = np.abs(values - rounded)
            if off.max() > LABEL_NOISE:
                odd = values.flat[int(off.argmax())]
                raise VolumeError(f"{path}: labels must be integers, got {odd:g}", code="labels-unknown")
            yield index, rounded, bool(off.any())


def _are_labels(numbers: npt.NDArray[Any]) -> bool:
    return bool(numbers.min() >= min(LABELS) and numbers.max() <= max(LABELS))
