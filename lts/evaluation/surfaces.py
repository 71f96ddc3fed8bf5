"""Distances between the surfaces of two masks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

_SLACK = 1e-9
"""Share of a tolerance that the rounding of spacings may add: voxels 2 mm apart are within 2 mm."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Distances from each surface voxel of a mask to the nearest of the other.

    Attributes:
        from_prediction: Of the prediction's surface, in mm.
        from_reference: Of the reference's surface, in mm.
    """

    from_prediction: NDArray[np.float64]
    from_reference: NDArray[np.float64]

    @property
    def assd_mm(self) -> float:
        """Average symmetric surface distance: the mean over both surfaces pooled."""
        return float(self._pooled.mean())

    @property
    def hd95_mm(self) -> float:
        """The larger of the two directed 95th percentiles (interpolated linearly)."""
        return float(max(np.percentile(one, 95) for one in (self.from_prediction, self.from_reference)))

    @property
    def msd_mm(self) -> float:
        """Largest distance of both directions: the Hausdorff distance."""
        return float(self._pooled.max())

    def nsd(self, tolerance_mm: float) -> float:
        """Share of both surfaces pooled that lies within a tolerance of the other (surface Dice)."""
        return float((self._pooled <= tolerance_mm * (1 + _SLACK)).mean())

    @property
    def _pooled(self) -> NDArray[np.float64]:
        return np.concatenate([self.from_prediction, self.from_reference])


def surface_distances(
    prediction: Mask, reference: Mask, *, spacing_mm: Sequence[float]
) -> SurfaceDistances | None:
    """Measure the distances between two surfaces.

    A surface voxel is one that 6-connected erosion removes, the border of the image counting as outside.
    Distances run between voxel centers, to the nearest neighbor in a k-d tree: exact, and with a cost that
    follows the surfaces and not the volume.

    Args:
        prediction: `(Z, H, W)` bool.
        reference: `(Z, H, W)` bool.
        spacing_mm: Size of a voxel along Z, H, W.

    Returns:
        The distances, or None where a mask is empty.

    Raises:
        ValueError: Shapes differ or are not three-dimensional.
    """
    if prediction.shape != reference.shape or prediction.ndim != 3:
        raise ValueError(
            f"masks: must be (Z, H, W) of one shape, got {prediction.shape} and {reference.shape}"
        )
    ours, theirs = (_surface_mm(mask, spacing_mm) for mask in (prediction, reference))
    if not (len(ours) and len(theirs)):
        return None
    return SurfaceDistances(_nearest(ours, theirs), _nearest(theirs, ours))


def _surface_mm(mask: Mask, spacing_mm: Sequence[float]) -> NDArray[np.float64]:
    """Centers of the surface voxels, `(N, 3)` mm."""
    boxes = ndimage.find_objects(mask.view(np.uint8))
    if not boxes:
        return np.empty((0, 3))
    inside = mask[boxes[0]]
    surface = inside & ~ndimage.binary_erosion(inside, border_value=0)
    first = [part.start for part in boxes[0]]
    centers: NDArray[np.float64] = (np.argwhere(surface) + first) * np.array(spacing_mm, np.float64)
    return centers


def _nearest(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    # Balanced trees and compact nodes cost more to build than they save on points of a grid.
    tree = cKDTree(others, balanced_tree=False, compact_nodes=False)
    distances: NDArray[np.float64] = tree.query(points)[0]
    return distances
