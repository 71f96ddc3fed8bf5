"""Selects the best epoch of a training: by one score, ties by the validation loss."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

Mode = Literal["min", "max"]

VAL_LOSS, TRAIN_LOSS = "val/loss", "train/loss"

_OF_ALL = ("loss", "accuracy")
_OF_PRESENT = ("dice_where_present", "dice_global", "iou_global", "precision", "recall", "auroc")
_OF_REGION = ("dice_per_case", "iou_per_case", *_OF_PRESENT)


def score_names(regions: Sequence[str] = ("liver", "tumor")) -> tuple[str, ...]:
    """The scores that a training logs after each epoch, which can choose a checkpoint.

    Example:
        >>> score_names(["tumor"])[3:6]
        ('val/accuracy', 'val/tumor/dice_per_case', 'val/tumor/iou_per_case')
    """
    of_all = [f"{stage}/{score}" for stage in ("train", "val") for score in _OF_ALL]
    return (*of_all, *(f"val/{region}/{score}" for region in regions for score in _OF_REGION))


def needs_region(score: str) -> str | None:
    """The region that a score needs to be defined or to differ between models; else None.

    Example:
        >>> needs_region("val/tumor/auroc"), needs_region("val/loss")
        ('tumor', None)
    """
    _, *region, kind = score.split("/")  # training scores have no region
    return region[0] if region and kind in _OF_PRESENT else None


def mode_of(score: str) -> Mode:
    """Whether the lowest or the highest value of a score is the best.

    Example:
        >>> mode_of("val/loss"), mode_of("val/tumor/dice_global")
        ('min', 'max')
    """
    return "min" if score.endswith("/loss") else "max"


def is_better(
    score: float, loss: float, *, best_score: float, best_loss: float, highest_is_best: bool
) -> bool:
    """Whether one epoch is better than another: by the score, ties by the lower loss.

    An undefined score is worse than any; an unknown loss is NaN and breaks no tie.
    """
    worst = -math.inf if highest_is_best else math.inf
    ours, theirs = (worst if math.isnan(value) else value for value in (score, best_score))
    if ours == theirs:
        return loss < best_loss
    return ours > theirs if highest_is_best else ours < theirs


def best_epoch(
    epochs: Mapping[int, Mapping[str, float]], *, monitor: str | None, highest_is_best: bool
) -> int | None:
    """The number of the best epoch, None if no epoch has the score.

    Args:
        epochs: Scores by the number of the epoch.
        monitor: The score that decides; None for the last epoch.
        highest_is_best: Whether the best is the highest.
    """
    if monitor is None:
        return max(epochs, default=None)
    best: int | None = None
    for epoch in sorted(epochs):
        scores = epochs[epoch]
        if monitor in scores and (
            best is None
            or is_better(
                scores[monitor],
                scores.get(VAL_LOSS, math.nan),
                best_score=epochs[best][monitor],
                best_loss=epochs[best].get(VAL_LOSS, math.nan),
                highest_is_best=highest_is_best,
            )
        ):
            best = epoch
    return best


def standstill(epochs: Mapping[int, Mapping[str, float]], monitor: str | None) -> str | None:
    """A line that says that a score was the same in all of two or more epochs; else None.

    Example:
        >>> print(standstill({1: {"val/accuracy": 0.5}, 2: {"val/accuracy": 0.5}}, "val/accuracy"))
        val/accuracy never moved from 0.5000 in 2 epochs: it cannot tell them apart,
        so the lowest val/loss chose best.ckpt
    """
    values = [scores[monitor] for scores in epochs.values() if monitor in scores] if monitor else []
    if len(values) < 2:
        return None
    if all(math.isnan(value) for value in values):
        reason = f"{monitor} was not defined in any of {len(values)} epochs"
    elif len(set(values)) == 1:
        reason = f"{monitor} never moved from {values[0]:.4f} in {len(values)} epochs"
    else:
        return None
    return f"{reason}: it cannot tell them apart, so the lowest {VAL_LOSS} chose best.ckpt"
