"""Bootstrap intervals of a cohort's scores over cases.

Cases are resampled with replacement, never voxels, which are not independent within a patient. Intervals are
percentiles of the resampled scores, expanded for few cases: plain percentiles of n cases are too narrow, by
the square root of (n - 1) / n and as the normal distribution is against Student's
(the expanded percentile interval of T. Hesterberg, The American Statistician 69:371, 2015). The same cases,
level, resamples and seed give the same interval, in whatever order the cases come.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, stdtrit

MIN_CASES = 10
"""Fewer cases have no interval. Resamples never leave the range of the cases seen, so a 95 % interval would
hold the true mean in half of the cohorts of two cases, and in three of four of three; see
`docs/scores.md`."""


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """How intervals are drawn.

    >>> Bootstrap(level=0.9).resamples
    2000

    Attributes:
        level: Confidence level, in (0, 1).
        resamples: How often cases are drawn anew, >= 1.
        seed: Of the random numbers.
    """

    level: float = 0.95
    resamples: int = 2000
    seed: int = 0


@dataclass(frozen=True)
class Interval:
    """Where a score lies, with the confidence that was asked for.

    Attributes:
        low: Lower end.
        high: Upper end, >= `low`.
    """

    low: float
    high: float


def mean_interval(
    values: ArrayLike, *, level: float, resamples: int, seed: int, min_cases: int = MIN_CASES
) -> Interval | None:
    """The interval of a mean over cases.

    Args:
        values: `(cases,)` one score a case, NaN where it is not defined; such cases are left out.
        level: Confidence level, in (0, 1).
        resamples: How often cases are drawn, >= 1.
        seed: Of the random numbers.
        min_cases: Fewer have no interval; >= 2.

    Returns:
        None with too few cases, or if all are alike, as resampling them shows no spread.

    Raises:
        ValueError: The shape, `level`, `resamples` or `min_cases` break their rule.
    """
    scores = np.asarray(values, np.float64)
    defined = scores[~np.isnan(scores)]
    return ratio_interval(
        defined,
        np.ones_like(defined),
        level=level,
        resamples=resamples,
        seed=seed,
        min_cases=min_cases,
    )


def ratio_interval(
    numerators: ArrayLike,
    denominators: ArrayLike,
    *,
    level: float,
    resamples: int,
    seed: int,
    min_cases: int = MIN_CASES,
) -> Interval | None:
    """The interval of a ratio of sums over cases, as pooled voxels give it.

    Dice of pooled voxels has 2 tp above and 2 tp + fp + fn below, IoU tp and tp + fp + fn. A case with both
    sides empty adds nothing to either sum, yet may be drawn.

    Args:
        numerators: `(cases,)` finite.
        denominators: `(cases,)` finite, >= 0.
        level: Confidence level, in (0, 1).
        resamples: How often cases are drawn, >= 1. Draws of denominators that are all 0 are left out.
        seed: Of the random numbers.
        min_cases: Fewer that add something to the denominator have no interval; >= 2.

    Returns:
        None with too few cases, or where all draws give the same: cases that are all alike, such as a recall
        of 1 in each, tell nothing of others.

    Raises:
        ValueError: A shape, `level`, `resamples` or `min_cases` break their rule.
    """
    cases = np.stack([np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)])
    if cases.ndim != 2:
        raise ValueError(f"cases: one number each, got shape {cases.shape[1:]}")
    if not 0 < level < 1:
        raise ValueError(f"level: must be in (0, 1), got {level}")
    if resamples < 1:
        raise ValueError(f"resamples: must be at least 1, got {resamples}")
    if min_cases < 2:
        raise ValueError(f"min_cases: must be at least 2, got {min_cases}")
    count = int((cases[1] > 0).sum())
    if count < min_cases:
        return None
    above, below = _draw(cases, resamples=resamples, seed=seed)
    ratios = above[below > 0] / below[below > 0]
    if not len(ratios) or ratios.min() == ratios.max():
        return None
    tail = _tail(level, count)
    low, high = np.quantile(ratios, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _tail(level: float, count: int) -> float:
    """The share of draws beyond each end of the interval: (1 - level) / 2 for many cases, less for few."""
    students = float(stdtrit(count - 1, (1 + level) / 2))
    return float(ndtr(-math.sqrt(count / (count - 1)) * students))


def _draw(cases: NDArray[np.float64], *, resamples: int, seed: int) -> NDArray[np.float64]:
    """Sums over cases drawn with replacement: `(2, cases)` to `(2, resamples)`."""
    # In an order of their own, so that the order they came in does not matter.
    ordered = cases[:, np.lexsort(cases)]
    count = cases.shape[1]
    drawn = np.random.default_rng(seed).integers(count, size=(resamples, count))
    return np.stack([values[drawn].sum(1) for values in ordered])
