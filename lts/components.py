"""Connected components of a mask: lesions, and the pieces of a liver."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_EVERYWHERE = np.ones((3, 3, 3), np.bool_)
# Lists of all voxels of a large mask would take more memory than the scan.
_SLAB = 32

_Mask = NDArray[np.bool_]
_Labels = NDArray[np.int32]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Component:
    """A 26-connected component: voxels that touch at a corner belong together.

    Attributes:
        label: Its number in the labeled array, from 1.
        voxels: How many voxels it has.
        volume_ml: Its volume.
        diameter_mm: Its size: the diameter of the sphere of equal volume.
        center: Mean voxel index along Z, H, W.
        box: Its bounding box.

    Example:
        >>> _, (cube,) = find_components(np.ones((2, 2, 2), bool), voxel_ml=1.0)
        >>> cube.volume_ml, cube.center, round(cube.diameter_mm, 1)
        (8.0, (0.5, 0.5, 0.5), 24.8)
    """

    label: int
    voxels: int
    volume_ml: float
    diameter_mm: float
    center: tuple[float, float, float]
    box: Box


def find_components(mask: _Mask, *, voxel_ml: float) -> tuple[_Labels, tuple[Component, ...]]:
    """Label the components of a mask and measure each.

    Args:
        mask: `(Z, H, W)` bool; without a voxel it has none.
        voxel_ml: Volume of a voxel.

    Returns:
        `(Z, H, W)` int32, 0 outside, and the components in the order of their labels.

    Example:
        >>> mask = np.zeros((4, 8, 8), bool)
        >>> mask[1, 2:4, 2:4] = mask[3, 6, 6] = True
        >>> labels, found = find_components(mask, voxel_ml=0.5)
        >>> [(each.voxels, each.volume_ml) for each in found]
        [(4, 2.0), (1, 0.5)]
    """
    labels = np.zeros(mask.shape, np.int32)
    box = bounding_box(mask)
    if box is None:
        return labels, ()
    inside = labels[box]
    count = ndimage.label(mask[box], structure=_EVERYWHERE, output=inside)
    first = np.array([side.start for side in box])
    voxels, means = _moments(inside, count)
    found = zip(voxels.tolist(), (means + first).tolist(), ndimage.find_objects(inside), strict=True)
    return labels, tuple(
        Component(
            label=label,
            voxels=size,
            volume_ml=size * voxel_ml,
            diameter_mm=math.cbrt(6000 * size * voxel_ml / math.pi),
            center=(z, y, x),
            box=_moved(of_one, first.tolist()),
        )
        for label, (size, (z, y, x), of_one) in enumerate(found, start=1)
    )


def bounding_box(mask: _Mask) -> Box | None:
    """The smallest box that holds a `(Z, H, W)` bool mask, None for an empty one.

    Example:
        >>> mask = np.zeros((4, 8, 8), bool)
        >>> mask[1, 2:4, 5] = True
        >>> bounding_box(mask)
        (slice(1, 2, None), slice(2, 4, None), slice(5, 6, None))
    """
    planes = np.flatnonzero(np.any(mask, axis=(1, 2)))
    if not len(planes):
        return None
    z = slice(int(planes[0]), int(planes[-1]) + 1)
    shadow = np.any(mask[z], axis=0)
    rows, columns = (np.flatnonzero(np.any(shadow, axis=axis)) for axis in (1, 0))
    return z, slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _moments(labels: _Labels, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Voxels `(count,)` and mean indices `(count, 3)` of the labels from 1."""
    voxels, sums = np.zeros(count, np.int64), np.zeros((count, 3))
    for start in range(0, len(labels), _SLAB):
        slab = labels[start : start + _SLAB]
        index = slab.nonzero()
        of_voxel = slab[index] - 1
        in_slab = np.bincount(of_voxel, minlength=count)
        voxels += in_slab
        sums[:, 0] += start * in_slab
        for axis, along in enumerate(index):
            sums[:, axis] += np.bincount(of_voxel, weights=along, minlength=count)
    return voxels, sums / voxels[:, None]


def _moved(box: Iterable[slice], first: Iterable[int]) -> Box:
    z, y, x = (slice(side.start + n, side.stop + n) for side, n in zip(box, first, strict=True))
    return z, y, x
