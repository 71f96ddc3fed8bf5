"""Distances between the surfaces of two masks."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from lts.components import bounding_box
from lts.volume import Voxel

# Share of a tolerance that rounding may add. Headers hold spacings as float32, where three voxels of 2/3 mm
# come to 2.0000001 mm: they must be within 2 mm. Real differences are never so small.
_SLACK = 1e-6

# Surface voxels per voxel of the box from which on a distance transform of the box is faster than queries
# to a tree. Livers lie at 1/60, noise above.
_DENSE = 1 / 20

_Mask = NDArray[np.bool_]
_Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Distances from each surface voxel of a mask to the nearest surface voxel of the other.

    >>> distances = SurfaceDistances(np.array([0.0, 1.0]), np.array([0.0, 0.0, 5.0]))
    >>> distances.assd_mm, distances.msd_mm, distances.nsd(2.0)
    (1.2, 5.0, 0.8)

    Attributes:
        from_prediction: `(P,)`, of the prediction's surface to the reference's, in mm; P > 0.
        from_reference: `(R,)`, of the reference's surface to the prediction's, in mm; R > 0.
    """

    from_prediction: NDArray[np.float64]
    from_reference: NDArray[np.float64]

    @property
    def assd_mm(self) -> float:
        """Average symmetric surface distance: the mean of both directions pooled."""
        return float(self._pooled.mean())

    @property
    def hd95_mm(self) -> float:
        """The larger of the two directed 95th percentiles, interpolated linearly."""
        return float(max(np.percentile(one, 95) for one in (self.from_prediction, self.from_reference)))

    @property
    def msd_mm(self) -> float:
        """Maximum of both directions: the Hausdorff distance."""
        return float(self._pooled.max())

    def nsd(self, tolerance_mm: float) -> float:
        """Normalized surface Dice: the share of both surfaces pooled that lies within a tolerance.

        Args:
            tolerance_mm: Largest distance that counts, >= 0. A millionth more counts too, so that rounded
                spacings do not decide.
        """
        return float((self._pooled <= tolerance_mm * (1 + _SLACK)).mean())

    @property
    def _pooled(self) -> NDArray[np.float64]:
        return np.concatenate([self.from_prediction, self.from_reference])


def surface_distances(prediction: _Mask, reference: _Mask, *, voxel: Voxel) -> SurfaceDistances | None:
    """Measure the distances between the surfaces of two masks.

    A surface voxel is one that 6-connected erosion removes, the border of the image counting as outside.
    Distances run between the centers of voxels in the world and are exact.

    >>> reference = np.zeros((4, 8, 8), bool)
    >>> reference[1:3, 2:6, 2:6] = True
    >>> prediction = np.roll(reference, 1, axis=0)
    >>> surface_distances(prediction, reference, voxel=Voxel.of_spacing((5.0, 1.0, 1.0))).msd_mm
    5.0

    Args:
        prediction: `(Z, H, W)` bool.
        reference: `(Z, H, W)` bool.
        voxel: The voxel of their grid.

    Returns:
        The distances, or None where a mask is empty, or both are.

    Raises:
        ValueError: As `check_masks`.
    """
    check_masks(prediction, reference)
    ours, theirs = surface_voxels(prediction), surface_voxels(reference)
    if not (len(ours) and len(theirs)):
        return None
    return SurfaceDistances(_distances_mm(ours, theirs, voxel), _distances_mm(theirs, ours, voxel))


def surface_voxels(mask: _Mask) -> _Index:
    """Find the voxels that 6-connected erosion removes, the border of the image counting as outside.

    Args:
        mask: `(Z, H, W)` bool.

    Returns:
        Their indices, `(N, 3)`, as they lie in memory.
    """
    box = bounding_box(mask)
    if box is None:
        return np.empty((0, 3), np.int64)
    inside = mask[box]
    # SciPy's erosion takes six times as long.
    core = [slice(1, -1)] * 3
    deep = inside[*core].copy()
    for axis in range(3):
        for side in (slice(None, -2), slice(2, None)):
            deep &= inside[*core[:axis], side, *core[axis + 1 :]]
    surface = inside.copy()
    surface[*core] &= ~deep
    in_box = np.unravel_index(np.flatnonzero(surface), surface.shape)  # faster than argwhere
    index: _Index = np.stack(in_box, axis=1) + [side.start for side in box]
    return index


def check_masks(prediction: _Mask, reference: _Mask) -> None:
    """Check two masks of one scan.

    Raises:
        ValueError: They are not bool, not three-dimensional or not of one shape.
    """
    if prediction.shape != reference.shape or prediction.ndim != 3:
        raise ValueError(
            f"masks: must be (Z, H, W) of one shape, got {prediction.shape} and {reference.shape}"
        )
    if prediction.dtype != np.bool_ or reference.dtype != np.bool_:
        raise ValueError(f"masks: must be bool, got {prediction.dtype} and {reference.dtype}")


def _distances_mm(voxels: _Index, others: _Index, voxel: Voxel) -> NDArray[np.float64]:
    """From each of `(N, 3)` voxels to the nearest of `(M, 3)` others."""
    first = np.minimum(voxels.min(axis=0), others.min(axis=0))
    shape = np.maximum(voxels.max(axis=0), others.max(axis=0)) - first + 1
    dense = len(voxels) > _DENSE * math.prod(shape.tolist())
    if dense and not voxel.sheared:  # a distance transform knows right angles alone
        nearest = _nearest_in_box(voxels - first, others - first, shape, voxel.spacing_mm) + first
    else:
        # Balanced or compact trees take several times as long for surfaces that lie far apart.
        places = voxel.positions_mm(others)
        tree = cKDTree(places, leafsize=32, balanced_tree=False, compact_nodes=False)
        nearest = others[tree.query(voxel.positions_mm(voxels))[1]]
    distances: NDArray[np.float64] = np.linalg.norm(voxel.positions_mm(voxels - nearest), axis=1)
    return distances


def _nearest_in_box(
    voxels: _Index, others: _Index, shape: _Index, spacing_mm: tuple[float, float, float]
) -> _Index:
    elsewhere = np.ones(shape, np.bool_)
    elsewhere[tuple(others.T)] = False
    # Distances of the whole box would take five times the memory of the indices.
    nearest = ndimage.distance_transform_edt(
        elsewhere, sampling=spacing_mm, return_distances=False, return_indices=True
    )
    index: _Index = nearest[:, *voxels.T].T
    return index
