"""The Dice of the same predictions under every convention in use, and why they differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lts.evaluation.score import mean
from lts.evaluation.table import DICE
from lts.scores import CaseCounts, dice

_REMARKABLE = 0.1

_Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Convention:
    """A way to average.

    Attributes:
        label: What it is called.
        meaning: How it averages, a sentence.
        why_high: Why it may exceed the others, with `{region}` for the region; empty where it never does.
    """

    label: str
    meaning: str
    why_high: str = ""


CONVENTIONS = {
    "per_case": Convention(
        "per case",
        "Mean over cases, 1 where prediction and reference are both empty.",
        "every case counts the same, however small its {region}, and 1 where it has none and none is "
        "predicted",
    ),
    "per_case_without_empty": Convention(
        "per case, without empty", "The same without the cases that are empty on both sides."
    ),
    "per_slice": Convention(
        "per slice",
        "Mean over the slices that hold the region in the reference.",
        "slices without {region} are left out, so false alarms there cost nothing",
    ),
    "per_slice_with_empty": Convention(
        "per slice, with empty",
        "Mean over all slices, 1 for an empty one predicted empty.",
        "every slice without {region} that is predicted empty counts 1",
    ),
    "per_batch": Convention(
        "per batch",
        "Mean over batches of slices, as a training loop logs it.",
        "in a batch of slices large areas outweigh small ones, and a batch without {region} counts 1 where "
        "none is predicted",
    ),
    "global": Convention(
        "pooled voxels",
        "All voxels of all cases taken together.",
        "the voxels of all cases are pooled: much {region} in one case outweighs little in others",
    ),
}

HONEST_CONVENTION = "per_case"


def dice_panel(
    cases: Sequence[CaseCounts], *, regions: Sequence[str], batch_size: int
) -> dict[str, dict[str, float | None]]:
    """Dice per region under each convention.

    - `per_case`: mean over cases, 1 where prediction and reference are both empty. The one to quote.
    - `per_case_without_empty`: the same over the cases where not both are empty.
    - `per_slice`: mean over slices that hold the region in the reference.
    - `per_slice_with_empty`: mean over all slices, 1 where both are empty.
    - `per_batch`: mean over batches of consecutive slices, as a loader without shuffling makes them: a
      batch may reach over cases, the last may be smaller. Its voxels are pooled; 1 where both are empty.
    - `global`: of the pooled voxels of all cases.

    Args:
        cases: At least one case, in the order of the loader.
        regions: Regions in channel order.
        batch_size: Slices of a batch, >= 1.

    Returns:
        Region, then convention; None where there is nothing to average, or no voxel on either side.

    Raises:
        ValueError: `batch_size` is less than 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size: must be at least 1, got {batch_size}")
    assert cases
    # (tp, fp, fn) by slice, `(3, Z, R)` a case.
    slices = [case.stacked for case in cases]
    per_case = np.stack([counts.sum(axis=1) for counts in slices], axis=1)
    per_slice = np.concatenate(slices, axis=1)
    per_batch = np.add.reduceat(per_slice, np.arange(0, per_slice.shape[1], batch_size), axis=1)
    return {
        region: _conventions(per_case[..., channel], per_slice[..., channel], per_batch[..., channel])
        for channel, region in enumerate(regions)
    }


def panel_remarks(panel: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    """Explain where conventions differ, and which score to quote.

    Args:
        panel: What `dice_panel` made.

    Returns:
        One remark for each region whose conventions differ by more than 0.1: the highest and the lowest, why
        the highest is so high, and `dice_per_case`, the one to quote.
    """
    return [
        remark
        for region, conventions in panel.items()
        if (
            remark := _remark(
                region, {name: value for name, value in conventions.items() if value is not None}
            )
        )
    ]


def _remark(region: str, dice_of: Mapping[str, float]) -> str | None:
    if not dice_of:
        return None
    # Of equals the first is taken, and `per_case` is the first.
    high, low = max(dice_of, key=dice_of.__getitem__), min(dice_of, key=dice_of.__getitem__)
    if dice_of[high] - dice_of[low] <= _REMARKABLE:
        return None
    why = CONVENTIONS[high].why_high.format(region=region)
    shown = {name: DICE.format(value) for name, value in dice_of.items()}
    return (
        f"{region}: the Dice of the same masks is {shown[high]} by {high} and {shown[low]} by {low}; "
        f"{high} is the highest because {why}. Quote dice_per_case, {shown['per_case']}{_but(dice_of)}."
    )


def _but(dice_of: Mapping[str, float]) -> str:
    """An addition to the advice to quote `per_case`, if empty cases alone make it high."""
    without = dice_of["per_case_without_empty"]
    if dice_of["per_case"] - without <= _REMARKABLE:
        return ""
    return f", and say that it is {DICE.format(without)} without the cases that are empty on both sides"


def _conventions(per_case: _Counts, per_slice: _Counts, per_batch: _Counts) -> dict[str, float | None]:
    """The panel of one region, from counts `(3, cases)`, `(3, slices)`, `(3, batches)`."""
    tp, _, fn = per_slice
    return {
        "per_case": _mean_dice(per_case),
        "per_case_without_empty": _mean_dice(per_case[:, per_case.sum(0) > 0]),
        "per_slice": _mean_dice(per_slice[:, tp + fn > 0]),
        "per_slice_with_empty": _mean_dice(per_slice),
        "per_batch": _mean_dice(per_batch),
        "global": _mean_dice(per_slice.sum(axis=1, keepdims=True)) if per_slice.any() else None,
    }


def _mean_dice(counts: _Counts) -> float | None:
    """Mean over units of `(3, units)` counts, 1 where both sides are empty; None without a unit."""
    return mean(dice(*counts))
