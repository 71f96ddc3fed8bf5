"""Voxel counts of a case by slice and region: what every overlap score is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

_Mask = NDArray[np.bool_]
_Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CaseCounts:
    """Voxel counts of one case on the scan's own grid.

    >>> mask = np.ones((3, 1, 8, 8), bool)
    >>> counts = CaseCounts.join("a", 0.5, [count_overlap(mask, mask)])
    >>> counts.reference.tolist()
    [[64], [64], [64]]

    Attributes:
        case: Case id.
        voxel_volume_ml: Volume of a voxel.
        tp: Voxels in prediction and reference, `(Z, R)` int64.
        fp: Voxels in the prediction alone, `(Z, R)` int64.
        fn: Voxels in the reference alone, `(Z, R)` int64.
    """

    case: str
    voxel_volume_ml: float
    tp: _Counts
    fp: _Counts
    fn: _Counts

    @property
    def stacked(self) -> _Counts:
        """tp, fp and fn, `(3, Z, R)`."""
        return np.stack([self.tp, self.fp, self.fn])

    @property
    def reference(self) -> _Counts:
        """Voxels of the reference, `(Z, R)`."""
        return self.tp + self.fn

    @property
    def predicted(self) -> _Counts:
        """Voxels of the prediction, `(Z, R)`."""
        return self.tp + self.fp

    @classmethod
    def join(
        cls, case: str, voxel_volume_ml: float, slabs: Sequence[tuple[_Counts, _Counts, _Counts]]
    ) -> Self:
        """Put the counts of slabs together, from the feet up."""
        tp, fp, fn = (np.concatenate(parts) for parts in zip(*slabs, strict=True))
        return cls(case, voxel_volume_ml, tp, fp, fn)


def count_overlap(prediction: _Mask, reference: _Mask) -> tuple[_Counts, _Counts, _Counts]:
    """Count the voxels of each slice.

    >>> prediction, reference = np.zeros((2, 4, 4), bool), np.zeros((2, 4, 4), bool)
    >>> prediction[0], reference[0, 1:] = True, True
    >>> tp, fp, fn = count_overlap(prediction, reference)
    >>> tp, fp, fn
    (array([12,  0]), array([4, 0]), array([0, 0]))

    Args:
        prediction: `(..., H, W)` bool.
        reference: `(..., H, W)` bool.

    Returns:
        tp, fp, fn, each `(...)` int64: voxels in both, in the prediction alone, in the reference alone.
    """
    tp, predicted, referred = map(_count, (prediction & reference, prediction, reference))
    return tp, predicted - tp, referred - tp


def _count(mask: _Mask) -> _Counts:
    # One slice after the other: given an axis, NumPy adds bytes one by one.
    slices = mask.reshape(-1, *mask.shape[-2:])
    return np.array([np.count_nonzero(one) for one in slices], np.int64).reshape(mask.shape[:-2])
