from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from lts.evaluation.confidence import Interval, mean_interval, ratio_interval

FEW = {"level": 0.9, "resamples": 500, "seed": 7, "min_cases": 2}
MANY = {"level": 0.9, "resamples": 40_000, "seed": 7, "min_cases": 2}


def expanded(level: float, cases: int) -> float:
    """The level of plain percentiles that reach as far as Student's distribution (Hesterberg 2015)."""
    reach = stats.t.ppf((1 + level) / 2, cases - 1) * np.sqrt(cases / (cases - 1))
    return float(2 * stats.norm.cdf(reach) - 1)


def all_draws(cases: NDArray[np.float64]) -> NDArray[np.float64]:
    """Every way to draw as many cases as there are, each equally likely: `(draws, cases, ...)`."""
    return np.array([cases[list(drawn)] for drawn in product(range(len(cases)), repeat=len(cases))])


def test_the_interval_of_a_mean_is_that_of_all_draws_there_are() -> None:
    scores = np.array([0.1, 0.35, 0.62, 0.7, 0.95])
    means = np.sort(all_draws(scores).mean(1))
    for level in (0.5, 0.8, 0.9):
        found = mean_interval(scores, level=level, resamples=40_000, seed=1, min_cases=5)
        assert found is not None
        plain = expanded(level, 5)
        for end, share in ((found.low, (1 - plain) / 2), (found.high, (1 + plain) / 2)):
            below, up_to = (np.searchsorted(means, end + nudge) / len(means) for nudge in (-1e-9, 1e-9))
            # As many draws lie below an end as there should, but for chance and for draws that lie on it.
            assert below - 0.005 < share < up_to + 0.005


def test_the_interval_of_a_mean_is_that_of_scipy() -> None:
    scores = np.random.default_rng(0).beta(5, 2, 60)
    found = mean_interval(scores, **MANY)
    # Another stream of random numbers: equal up to chance.
    theirs = stats.bootstrap(
        (scores,), np.mean, n_resamples=40_000, confidence_level=expanded(0.9, 60), method="percentile"
    ).confidence_interval
    width = theirs.high - theirs.low
    assert found is not None
    assert [found.low, found.high] == pytest.approx([theirs.low, theirs.high], abs=0.03 * width)


def test_the_interval_of_pooled_dice_is_that_of_scipy() -> None:
    rng = np.random.default_rng(1)
    tp, errors = rng.integers(0, 4000, 40), rng.integers(10, 900, 40)

    def pooled(above: NDArray[np.float64], below: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        return above.sum(axis) / below.sum(axis)

    found = ratio_interval(2 * tp, 2 * tp + errors, **MANY)
    theirs = stats.bootstrap(
        (2 * tp, 2 * tp + errors),
        pooled,
        paired=True,
        n_resamples=40_000,
        confidence_level=expanded(0.9, 40),
        method="percentile",
    ).confidence_interval
    width = theirs.high - theirs.low
    assert found is not None
    assert [found.low, found.high] == pytest.approx([theirs.low, theirs.high], abs=0.03 * width)


def test_a_mean_of_many_cases_is_as_sure_as_theory_says() -> None:
    scores = np.random.default_rng(2).normal(0.7, 0.1, 900)
    found = mean_interval(scores, level=0.95, resamples=20_000, seed=0)
    low, high = stats.norm.interval(0.95, scores.mean(), scores.std() / 30)
    assert found is not None
    assert [found.low, found.high] == pytest.approx([low, high], abs=0.0003)


def test_cases_are_drawn_and_not_voxels() -> None:
    # A draw is one of them twice, or both. Drawing voxels, it would hardly vary.
    found = ratio_interval([0, 9000], [1000, 9000], **MANY)
    assert found == Interval(0, 1)


def test_draws_of_empty_cases_alone_are_left_out() -> None:
    # One draw in 27 takes the empty case alone and has no ratio; the others lie between those of the two.
    assert ratio_interval([0, 3, 1], [0, 4, 4], **MANY) == Interval(0.25, 0.75)


def test_cases_with_both_sides_empty_are_drawn_like_others() -> None:
    settings = {**MANY, "level": 0.27}
    # Of 0 / 1, 0 / 1 and 1 / 1 alone, the ratio is 0 in 8 of 27 draws, fewer than the 31.4 % below the end.
    without = ratio_interval([0, 0, 1], [1, 1, 1], **settings)
    # Among many empty cases, so few of them are drawn that it is 0 in 33 %.
    among_empty = ratio_interval([0, 0, 1, *[0] * 40], [1, 1, 1, *[0] * 40], **settings)
    assert without is not None
    assert among_empty is not None
    assert without.low == pytest.approx(1 / 3)
    assert among_empty.low == 0


def test_without_a_ratio_in_any_draw_there_is_no_interval() -> None:
    assert ratio_interval([0, 0, 0], [0, 0, 0], **FEW) is None


def test_undefined_scores_are_left_out() -> None:
    scores = [0.2, np.nan, 0.5, 0.9, np.nan]
    assert mean_interval(scores, **FEW) == mean_interval([0.2, 0.5, 0.9], **FEW)


@pytest.mark.parametrize("cases", [0, 1, 2, 9])
def test_fewer_than_ten_cases_have_no_interval(cases: int) -> None:
    scores = np.linspace(0.1, 0.9, cases)
    settings = {"level": 0.95, "resamples": 500, "seed": 7}
    undefined = [np.nan] * 5
    assert mean_interval([*scores, *undefined], **settings) is None
    assert ratio_interval([*scores, *[0] * 5], [*np.ones(cases), *[0] * 5], **settings) is None
    assert mean_interval([*np.linspace(0.1, 0.9, 10), *undefined], **settings) is not None


def test_cases_all_alike_have_no_interval() -> None:
    assert mean_interval([0.1] * 30, **FEW) is None
    assert ratio_interval([2, 4, 6], [2, 4, 6], **FEW) is None


@pytest.mark.parametrize(("cases", "tail"), [(10, 0.00856), (20, 0.01587), (30, 0.01878), (10_000, 0.02500)])
def test_few_cases_have_wider_intervals_than_plain_percentiles(cases: int, tail: float) -> None:
    # Of 10 cases, Student's t is 2.262 where the normal distribution has 1.960; 2.262 * sqrt(10 / 9) = 2.384,
    # beyond which lies 0.856 % of a normal distribution.
    assert (1 - expanded(0.95, cases)) / 2 == pytest.approx(tail, abs=5e-5)
    scores = np.random.default_rng(5).random(cases)
    found = mean_interval(scores, level=0.95, resamples=2000, seed=9)
    plain = mean_interval(scores, level=expanded(0.95, cases), resamples=2000, seed=9)
    assert found is not None
    assert plain is not None
    assert plain.low <= found.low


def test_an_interval_of_ten_cases_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(6)
    cohorts = rng.normal(0.7, 0.1, (600, 10))
    found = [mean_interval(scores, level=0.95, resamples=400, seed=0) for scores in cohorts]
    held = np.mean([interval is not None and interval.low <= 0.7 <= interval.high for interval in found])
    # Plain percentiles hold it in 90 %.
    assert 0.92 < held < 0.98


def test_the_seed_alone_decides_and_not_the_order_of_cases() -> None:
    rng = np.random.default_rng(3)
    below = rng.integers(0, 5, 30)
    above = np.minimum(below, rng.integers(0, 5, 30))
    order = rng.permutation(30)
    assert mean_interval(above, **FEW) == mean_interval(above, **FEW) == mean_interval(above[order], **FEW)
    assert ratio_interval(above, below, **FEW) == ratio_interval(above[order], below[order], **FEW)
    assert ratio_interval(above, below, **FEW) != ratio_interval(above, below, **{**FEW, "seed": 8})


def test_a_higher_level_gives_a_wider_interval_around_the_mean() -> None:
    scores = np.random.default_rng(4).random(20)
    narrow, wide = (mean_interval(scores, level=level, resamples=4000, seed=0) for level in (0.5, 0.99))
    assert narrow is not None
    assert wide is not None
    assert wide.low < narrow.low < scores.mean() < narrow.high < wide.high


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": 0}, r"level: must be in \(0, 1\), got 0"),
        ({"level": 1}, r"level: must be in \(0, 1\), got 1"),
        ({"resamples": 0}, "resamples: must be at least 1, got 0"),
        ({"min_cases": 1}, "min_cases: must be at least 2, got 1"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mean_interval([0.1, 0.2], **{**FEW, **change})


def test_cases_are_one_number_each() -> None:
    with pytest.raises(ValueError, match=r"cases: one number each, got shape \(2, 2\)"):
        ratio_interval(np.ones((2, 2)), np.ones((2, 2)), **FEW)
