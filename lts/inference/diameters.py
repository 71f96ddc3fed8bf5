"""The longest diameter of a lesion in an axial slice, as radiologists measure it."""

import numpy as np
from numpy.typing import NDArray

from lts.volume import Geometry


def longest_axial_mm(lesion_zhw: NDArray[np.bool_], *, geometry: Geometry) -> float:
    """The greatest distance between two points of a lesion that lie in one axial slice, in mm.

    A voxel counts with all of its area, so a lesion of one is as long as the diagonal of its voxel; between
    the middles of voxels it would be 0. Slices are those of the volume in memory: the planes of its grid
    nearest to axial ones.

    Args:
        lesion_zhw: `(Z, H, W)` bool, with one voxel at least; any part of the volume that holds the lesion.
        geometry: The grid of the volume.

    Example:
        >>> grid = Geometry.from_affine(np.diag([3, 4, 5, 1]), shape=(8, 8, 8))
        >>> round(longest_axial_mm(np.ones((1, 1, 1), bool), geometry=grid), 3)
        5.0
        >>> round(longest_axial_mm(np.ones((9, 1, 8), bool), geometry=grid), 2)
        24.33
    """
    along_rows, along_columns = geometry.canonical_affine[:3, 1], geometry.canonical_affine[:3, 2]
    longest = 0.0
    for plane in lesion_zhw[lesion_zhw.any(axis=(1, 2))]:
        rows, columns = _corners(plane)
        places = rows[:, None] * along_rows + columns[:, None] * along_columns
        longest = max(longest, _greatest_distance(places))
    return longest


def _corners(plane: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Corners of pixels `(H, W)` among which are the two that lie farthest apart, in whole edges."""
    rows = np.flatnonzero(plane.any(axis=1))
    first = plane[rows].argmax(axis=1)
    last = plane.shape[1] - plane[rows, ::-1].argmax(axis=1)
    # of each row its outermost pixels, and of these their upper and lower corners
    return np.concatenate([rows, rows, rows + 1, rows + 1]), np.concatenate([first, last, first, last])


def _greatest_distance(places_mm: NDArray[np.float64]) -> float:
    from scipy.spatial.distance import pdist  # slow to import, and needed for lesions alone

    return float(pdist(places_mm).max())
