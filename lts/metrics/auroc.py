"""Area under the ROC curve in constant memory, for probabilities that crowd at the ends."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from lts.metrics.checks import check_batch, check_channels, check_ignored, outside_unit_interval

# A bin is a float32 of `p - nearest anchor`, cut to its sign, its exponent and these bits of its mantissa.
_MANTISSA_BITS = 10
_DROPPED_BITS = 23 - _MANTISSA_BITS
_QUARTER = 125 << _MANTISSA_BITS  # 0.25, the farthest that a probability lies from an anchor
_ANCHOR_BINS = 2 * _QUARTER + 2
_BINS = 2 * _ANCHOR_BINS + 1


class BinnedAUROC(Metric):
    """Area under the ROC curve per region, pooled over all voxels, in 8 MB a region.

    Positives and negatives are counted in 512,005 bins. They narrow from 1e-4 at the quarters down to single
    float32 values next to 0, 0.5 and 1, where networks crowd their probabilities: a confident one at the
    ends, an untrained one in the middle. Voxels in one bin count as ties, one half. The result is within
    1e-3 of the exact area once the probabilities spread over some ten bins: a standard deviation of 1e-3
    anywhere, of 1e-6 at 0, 0.5 and 1.

    `compute()` gives float32 scalars `<region>/auroc`, NaN where one class is absent.

    >>> metric = BinnedAUROC(regions=["kidney"])
    >>> metric.update(torch.tensor([[[0.1, 0.4, 0.4, 0.9]]]), torch.tensor([[[False, False, True, True]]]))
    >>> metric.compute()["kidney/auroc"].item()
    0.875

    Args:
        regions: Names of the channels, each once.
        validate_args: Check every batch. Without it, a batch that breaks a rule gives undefined scores.

    Raises:
        ConfigError: `regions` breaks its rule.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    histogram: Tensor
    bad_batches: Tensor

    def __init__(self, *, regions: Sequence[str], validate_args: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.regions = check_channels(regions)
        self.validate_args = validate_args
        self.add_state(
            "histogram", torch.zeros(len(self.regions), 2, _BINS, dtype=torch.int64), dist_reduce_fx="sum"
        )
        self.add_state("bad_batches", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, probs: Tensor, target: Tensor, *, ignored: Tensor | None = None) -> None:
        """Count one batch.

        Args:
            probs: `(B, R, ...)` probabilities in [0, 1], taken as float32.
            target: `(B, R, ...)` bool, the reference.
            ignored: `(B, ...)` bool, voxels that do not count; None for none.

        Raises:
            ValueError: A shape, dtype or device is wrong. Probabilities outside [0, 1] raise in `compute()`:
                to look at them here would wait for the device.
        """
        if self.validate_args:
            check_batch(probs, target, regions=self.regions)
            check_ignored(ignored, probs)
            self.bad_batches += outside_unit_interval(probs)
        probs = probs.detach().to(torch.float32)
        rows = torch.arange(2 * len(self.regions), dtype=torch.int32, device=probs.device) * _BINS
        row_of_region = rows[::2].view(-1, *[1] * (probs.ndim - 2))
        index = _bin(probs).add_(target.to(torch.int32), alpha=_BINS).add_(row_of_region).flatten()
        if ignored is None:
            counted = torch.ones((), dtype=torch.int64, device=probs.device).expand(len(index))
        else:
            counted = (~ignored)[:, None].expand_as(probs).flatten().to(torch.int64)
        self.histogram.view(-1).index_add_(0, index, counted)

    def compute(self) -> dict[str, Tensor]:
        """The area per region, `<region>/auroc`.

        Raises:
            ValueError: A batch held a probability outside [0, 1].
        """
        return {
            f"{region}/auroc": _area(*histogram).to(self.histogram.device, torch.float32)
            for region, histogram in zip(self.regions, self._checked_histogram(), strict=True)
        }

    def roc(self, region: str, *, points: int = 512) -> tuple[Tensor, Tensor]:
        """The curve of one region, thinned for a plot; every process must call it, as with `compute()`.

        Args:
            region: One of the metric's regions.
            points: At most this many points, evenly spaced along the curve.

        Returns:
            False positive rate and true positive rate, float64 on the CPU, from (0, 0) to (1, 1); both empty
            where a class is absent.

        Raises:
            ValueError: `region` is not one of the metric's, or as for `compute()`.
        """
        if region not in self.regions:
            raise ValueError(f"region: must be one of {list(self.regions)}, got {region!r}")
        with self.sync_context(dist_sync_fn=self.dist_sync_fn, should_sync=self.sync_on_compute):
            histogram = self._checked_histogram()[self.regions.index(region)]
        totals = histogram.sum(dim=1, keepdim=True)
        if (totals == 0).any():
            return torch.empty(0, dtype=torch.float64), torch.empty(0, dtype=torch.float64)
        rates = histogram.flip(1).cumsum(1).to(torch.float64) / totals
        rates = torch.nn.functional.pad(rates, (1, 0))
        way = rates.sum(dim=0)
        kept = torch.searchsorted(way, torch.linspace(0, 2, points, dtype=torch.float64))
        fpr, tpr = rates[:, torch.unique_consecutive(kept)]
        return fpr, tpr

    def _checked_histogram(self) -> Tensor:
        # Worked out on the CPU: not every device has float64.
        if self.bad_batches:
            raise ValueError(
                f"probs: must lie in [0, 1], {int(self.bad_batches)} batches held other values or NaN"
            )
        return self.histogram.cpu()


def _bin(probs: Tensor) -> Tensor:
    """The bin of each probability, int32 in [0, _BINS), never falling as the probability rises.

    Anchors 0, 0.5 and 1 are taken away exactly: within 0.25 of them the difference is a float32.
    """
    anchor = (probs * 2).round_()
    bits = torch.sub(probs, anchor, alpha=0.5).view(torch.int32)
    # Floats sort like their bits, once those of the negative ones are turned over.
    bits = bits.bitwise_xor((bits >> 31).bitwise_and_(0x7FFFFFFF)).bitwise_right_shift_(_DROPPED_BITS)
    index = bits.add_(anchor.to(torch.int32), alpha=_ANCHOR_BINS)
    # Values out of range are refused in compute(); until then they must not write out of bounds.
    return index.clamp_(0, _BINS - 1)


def _area(negatives: Tensor, positives: Tensor) -> Tensor:
    """The share of (positive, negative) pairs in the right order, ties one half: Mann-Whitney's statistic."""
    below = (negatives.cumsum(0) - negatives).to(torch.float64)
    positives, negatives = positives.to(torch.float64), negatives.to(torch.float64)
    won = (positives * (below + negatives / 2)).sum()
    return won / (positives.sum() * negatives.sum())
