"""Voxel counts of a case by slice and region: what every overlap score is made of."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class CaseCounts:
    """Voxel counts of one case on the scan's own grid.

    Attributes:
        case: Case id.
        voxel_volume_ml: Volume of a voxel.
        tp: Voxels in prediction and reference, `(Z, R)` int64.
        fp: Voxels in the prediction alone, `(Z, R)` int64.
        fn: Voxels in the reference alone, `(Z, R)` int64.
    """

    case: str
    voxel_volume_ml: float
    tp: Tensor
    fp: Tensor
    fn: Tensor

    @property
    def reference(self) -> Tensor:
        """Voxels of the reference, `(Z, R)`."""
        return self.tp + self.fn

    @property
    def predicted(self) -> Tensor:
        """Voxels of the prediction, `(Z, R)`."""
        return self.tp + self.fp

    @classmethod
    def join(
        cls, case: str, voxel_volume_ml: float, slabs: list[tuple[Tensor, Tensor, Tensor]]
    ) -> "CaseCounts":
        """Put the counts of slabs together, from the feet up."""
        tp, fp, fn = (torch.cat(parts) for parts in zip(*slabs, strict=True))
        return cls(case, voxel_volume_ml, tp, fp, fn)


def count_slab(prediction: Tensor, reference: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Count some slices.

    Args:
        prediction: `(N, R, H, W)` bool.
        reference: `(N, R, H, W)` bool.

    Returns:
        tp, fp, fn, each `(N, R)` int64.
    """
    tp, predicted, referred = map(count_voxels, (prediction & reference, prediction, reference))
    return tp, predicted - tp, referred - tp


def count_voxels(mask: Tensor) -> Tensor:
    """Voxels of each slice of a `(..., H, W)` bool mask, int64."""
    slices = mask.flatten(-2).flatten(0, -2).numpy()  # counted by numpy, as torch adds bytes one by one
    return torch.tensor([np.count_nonzero(one) for one in slices]).reshape(mask.shape[:-2])
