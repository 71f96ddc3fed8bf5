"""Overlap of prediction and reference, counted by case."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from lts.base import MASK_THRESHOLD, ConfigError
from lts.metrics.checks import check_batch, check_channels, check_ignored, outside_unit_interval
from lts.scores import accuracy, dice, iou, precision, recall

_NAN = float("nan")


class CaseOverlap(Metric):
    """Overlap per case and pooled, from slices that come in any order.

    Each slice adds its voxel counts to those of its case, on the device, as integers: the scores do not
    depend on the order of slices, the size of batches or the number of processes. A slice must come once.

    `compute()` gives float32 scalars `<region>/<score>`:

    - `dice_per_case`, `iou_per_case`: mean over the cases that had a slice; a case counts 1 where prediction
      and reference are both empty, 0 where only one is.
    - `dice_where_present`: mean over the cases whose reference holds the region; NaN where none does.
    - `dice_global`, `iou_global`, `precision`, `recall`, `accuracy`: of the pooled voxels; NaN for 0 / 0.

    >>> metric = CaseOverlap(regions=["kidney"], cases=2)
    >>> probs = torch.tensor([[[[0.9, 0.8]]], [[[0.1, 0.7]]]])
    >>> metric.update(probs, torch.tensor([[[[True, True]]], [[[True, True]]]]), torch.tensor([0, 1]))
    >>> scores = metric.compute()
    >>> scores["kidney/dice_global"].item(), scores["kidney/recall"].item()
    (0.8571428656578064, 0.75)

    Args:
        regions: Names of the channels, each once.
        cases: How many cases there are.
        threshold: A voxel is predicted where its probability exceeds this; in [0, 1).
        validate_args: Check every batch. Without it, a batch that breaks a rule gives undefined scores.

    Raises:
        ConfigError: `regions`, `cases` or `threshold` break their rule.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    counts: Tensor
    bad_batches: Tensor

    def __init__(
        self,
        *,
        regions: Sequence[str],
        cases: int,
        threshold: float = MASK_THRESHOLD,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if cases < 1:
            raise ConfigError(f"cases: must be at least 1, got {cases}")
        if not 0 <= threshold < 1:
            raise ConfigError(f"threshold: must be in [0, 1), got {threshold}")
        self.regions = check_channels(regions)
        self.cases = cases
        self.threshold = threshold
        self.validate_args = validate_args
        self.add_state(
            "counts", torch.zeros(cases, len(self.regions), 4, dtype=torch.int64), dist_reduce_fx="sum"
        )
        self.add_state("bad_batches", torch.zeros(2, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, probs: Tensor, target: Tensor, case: Tensor, *, ignored: Tensor | None = None) -> None:
        """Count one batch of slices.

        Args:
            probs: `(B, R, H, W)` probabilities in [0, 1], of any floating-point dtype.
            target: `(B, R, H, W)` bool, the reference.
            case: `(B,)` int64, the case of each slice, in [0, cases).
            ignored: `(B, H, W)` bool, pixels that do not count; None for none.

        Raises:
            ValueError: A shape, dtype or device is wrong. Values out of their range raise in `compute()`: to
                look at them here would wait for the device.
        """
        if self.validate_args:
            self._check(probs, target, case)
            check_ignored(ignored, probs)
            case = case.clamp(0, self.cases - 1)
        # Compared in bfloat16, the threshold would be rounded to three digits.
        predicted = probs.to(torch.promote_types(probs.dtype, torch.float32)) > self.threshold
        pixels: int | Tensor = target.shape[2] * target.shape[3]
        if ignored is not None:
            known = ~ignored[:, None]
            predicted, target = predicted & known, target & known
            pixels = known.sum(dim=(2, 3), dtype=torch.int32)
        tp, positive, reference = (
            mask.sum(dim=(2, 3), dtype=torch.int32) for mask in (predicted & target, predicted, target)
        )
        tn = pixels - positive - reference + tp
        counts = torch.stack((tp, positive - tp, reference - tp, tn), dim=-1)
        self.counts.index_add_(0, case, counts.to(torch.int64))

    def compute(self) -> dict[str, Tensor]:
        """The scores of all batches, by the names that the class lists.

        Raises:
            ValueError: A batch held a probability outside [0, 1] or a case that does not exist.
        """
        counts = self._checked_counts()
        per_case = counts[counts.sum(dim=(1, 2)) > 0].unbind(-1)
        tp, fp, fn, tn = counts.sum(dim=0).unbind(-1)
        holds = per_case[0] + per_case[2] > 0
        scores = {
            "dice_per_case": dice(*per_case[:3], empty=1.0).mean(dim=0),
            "dice_where_present": dice(*per_case[:3], empty=_NAN).where(holds, _NAN).nanmean(dim=0),
            "iou_per_case": iou(*per_case[:3], empty=1.0).mean(dim=0),
            "dice_global": dice(tp, fp, fn, empty=_NAN),
            "iou_global": iou(tp, fp, fn, empty=_NAN),
            "precision": precision(tp, fp, empty=_NAN),
            "recall": recall(tp, fn, empty=_NAN),
            "accuracy": accuracy(tp, fp, fn, tn, empty=_NAN),
        }
        return {
            f"{region}/{name}": score[channel].to(self.counts.device, torch.float32)
            for channel, region in enumerate(self.regions)
            for name, score in scores.items()
        }

    def per_case(self) -> dict[str, Tensor]:
        """The figures of each case, on the CPU; every process must call it, as with `compute()`.

        Returns:
            `tp`, `fp`, `fn`, `tn` (int64 voxels) and `dice`, `iou` (float64), each `(cases, R)`. A case
            without a slice has zero voxels and NaN scores.

        Raises:
            ValueError: As for `compute()`.
        """
        with self.sync_context(dist_sync_fn=self.dist_sync_fn, should_sync=self.sync_on_compute):
            counts = self._checked_counts()
        tp, fp, fn, tn = counts.unbind(-1)
        unseen = counts.sum(dim=-1) == 0
        return {
            "tp": tp,
            "fp": fp,
            "fn": fn,
            "tn": tn,
            "dice": dice(tp, fp, fn, empty=1.0).masked_fill(unseen, _NAN),
            "iou": iou(tp, fp, fn, empty=1.0).masked_fill(unseen, _NAN),
        }

    def _check(self, probs: Tensor, target: Tensor, case: Tensor) -> None:
        check_batch(probs, target, regions=self.regions)
        if probs.ndim != 4:
            raise ValueError(f"probs: must be (B, R, H, W), got {tuple(probs.shape)}")
        if case.shape != probs.shape[:1] or case.dtype != torch.int64 or case.device != probs.device:
            raise ValueError(
                f"case: must be int64 ({len(probs)},) on {probs.device}, "
                f"got {case.dtype} {tuple(case.shape)} on {case.device}"
            )
        unknown = ((case < 0) | (case >= self.cases)).any()
        self.bad_batches += torch.stack((outside_unit_interval(probs), unknown))

    def _checked_counts(self) -> Tensor:
        # Scores are worked out on the CPU: not every device has float64.
        outside, unknown = self.bad_batches.tolist()
        if outside:
            raise ValueError(f"probs: must lie in [0, 1], {outside} batches held other values or NaN")
        if unknown:
            raise ValueError(f"case: must be in [0, {self.cases}), {unknown} batches held other values")
        return self.counts.cpu()
