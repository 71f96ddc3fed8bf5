"""Three or more runs on the same cases: their ranks, and every pair of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import friedmanchisquare, rankdata

from lts.base import CohortError
from lts.evaluation.compare import PairedComparison, compare_cases, score_of
from lts.evaluation.confidence import Bootstrap
from lts.evaluation.table import find_score

_FEW = 10
"""Friedman's statistic has a chi-squared distribution for more cases; so scipy.stats says."""

_Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class RunPair:
    """Two of several runs by one score of one region. `rank_runs` makes it.

    >>> runs = {name: [{"case": "1", "region": "liver", "dice": 0.5}] for name in "abc"}
    >>> (found,) = rank_runs(runs, scores=["dice"])
    >>> [(pair.a, pair.b) for pair in found.pairs if isinstance(pair, RunPair)]
    [('a', 'b'), ('a', 'c'), ('b', 'c')]

    Attributes:
        a: Name of the first run.
        b: Name of the second.
        compared: Their comparison, b - a.
        p_corrected: Its p corrected by Holm for all pairs of this score and region; None without a p.
    """

    a: str
    b: str
    compared: PairedComparison
    p_corrected: float | None


@dataclass(frozen=True, kw_only=True)
class RankedRuns:
    """Several runs by one score of one region. `rank_runs` makes it.

    >>> runs = {name: [{"case": "1", "region": "liver", "dice": 0.5}] for name in "abc"}
    >>> [RankedRuns.__name__ for found in rank_runs(runs, scores=["dice"]) if found.p_value is None]
    ['RankedRuns']

    Attributes:
        region: The region.
        score: Name of the score, one that is good or bad.
        cases: Cases where every run has the score. Means and ranks are over these.
        left_out: Cases where a run lacks it.
        means: By run, best mean rank first.
        mean_ranks: Likewise: rank 1 is the best run of a case; runs that are alike share the mean of theirs.
        p_value: Of Friedman's test that the runs rank alike; None with fewer than two cases, 1 where no case
            tells them apart.
        remark: A caveat on that p, None for none.
        pairs: All pairs of runs, over the cases where both have the score.
    """

    region: str
    score: str
    cases: int
    left_out: int
    means: dict[str, float]
    mean_ranks: dict[str, float]
    p_value: float | None
    remark: str | None
    pairs: tuple[RunPair, ...]

    @property
    def against_best(self) -> dict[str, RunPair]:
        """Of each other run, its pair with the best one; empty where no case can be ranked."""
        best = next(iter(self.mean_ranks), None)
        return {
            name: pair
            for pair in self.pairs
            for name, other in ((pair.a, pair.b), (pair.b, pair.a))
            if other == best
        }


def rank_runs(
    runs: Mapping[str, _Rows], *, scores: Sequence[str], bootstrap: Bootstrap | None = None
) -> list[RankedRuns]:
    """Rank three or more runs by the regions that all have.

    >>> dice = {"a": 0.5, "b": 0.9, "c": 0.9}
    >>> runs = {name: [{"case": "1", "region": "liver", "dice": value}] for name, value in dice.items()}
    >>> (found,) = rank_runs(runs, scores=["dice"])
    >>> found.mean_ranks
    {'b': 1.5, 'c': 1.5, 'a': 3.0}

    Args:
        runs: Rows of each run's `cases.csv`, as `compare_cases` takes them.
        scores: Names of scores that all have; those that are neither good nor bad are left out.
        bootstrap: How intervals of pairs are drawn; None for the defaults.

    Returns:
        One entry a region and score.

    Raises:
        CohortError: There are fewer than three runs, or two of them cannot be compared.
    """
    if len(runs) < 3:
        raise CohortError(f"compare: must be three runs or more to be ranked, got {len(runs)}")
    ranked = [name for name in scores if find_score(name).best is not None]
    if not ranked:
        raise CohortError(f"compare: no score that can be ranked is in all runs, {', '.join(runs)}")
    pairs = {
        (a, b): {
            (one.region, one.score): one
            for one in compare_cases(runs[a], runs[b], scores=ranked, bootstrap=bootstrap, names=(a, b))
        }
        for a, b in combinations(runs, 2)
    }
    shared = [key for key in next(iter(pairs.values())) if all(key in found for found in pairs.values())]
    if not shared:
        raise CohortError(f"compare: no region is in all runs, {', '.join(runs)}")
    return [_ranked(runs, key, {names: found[key] for names, found in pairs.items()}) for key in shared]


def _ranked(
    runs: Mapping[str, _Rows],
    key: tuple[str, str],
    compared: Mapping[tuple[str, str], PairedComparison],
) -> RankedRuns:
    region, score = key
    values = _values(runs, region, score)
    defined = values[:, ~np.isnan(values).any(axis=0)]
    cases = defined.shape[1]
    ranks = rankdata(_losses(defined, score), axis=0)
    means = dict(zip(runs, defined.mean(axis=1).tolist(), strict=True)) if cases else {}
    mean_ranks = dict(zip(runs, ranks.mean(axis=1).tolist(), strict=True)) if cases else {}
    order = sorted(mean_ranks, key=mean_ranks.__getitem__)
    corrected = holm([one.p_value for one in compared.values()])
    return RankedRuns(
        region=region,
        score=score,
        cases=cases,
        left_out=values.shape[1] - cases,
        means={name: means[name] for name in order},
        mean_ranks={name: mean_ranks[name] for name in order},
        p_value=_friedman_p(ranks) if cases > 1 else None,
        remark=_remark(cases),
        pairs=tuple(
            RunPair(a=a, b=b, compared=one, p_corrected=p)
            for ((a, b), one), p in zip(compared.items(), corrected, strict=True)
        ),
    )


def _remark(cases: int) -> str | None:
    if not cases:
        return "in no case do all runs have the score"
    return f"p (Friedman) is approximate, {cases} cases are few for it" if 1 < cases <= _FEW else None


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P values corrected for their number by Holm's step-down procedure; None stays None and does not count.

    Source: Holm, Scandinavian Journal of Statistics 6:65-70, 1979.

    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]
    """
    there = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    found: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for step, (p, index) in enumerate(there):
        largest = max(largest, min(1.0, (len(there) - step) * p))
        found[index] = largest
    return found


def common_cases(runs: Mapping[str, _Rows]) -> tuple[dict[str, list[Mapping[str, Any]]], dict[str, int]]:
    """The rows of cases that all runs have in a region, and how many cases each run has beside these.

    A region that not all runs have is left out, and no case counts for it.

    >>> a, b = ([{"case": case, "region": "liver"} for case in cases] for cases in ("12", "2"))
    >>> kept, left_out = common_cases({"a": a, "b": b})
    >>> [row["case"] for row in kept["a"]], left_out
    (['2'], {'a': 1, 'b': 0})

    Raises:
        CohortError: No region is in all of them, or no case.
    """
    found = {name: {(str(row["region"]), str(row["case"])) for row in rows} for name, rows in runs.items()}
    shared = set.intersection(*({region for region, _ in own} for own in found.values()))
    if not shared:
        raise CohortError(f"compare: no region is in all runs, {', '.join(runs)}")
    common = set.intersection(*found.values())
    if not common:
        raise CohortError(f"compare: no case is in all runs, {', '.join(runs)}")
    kept = {
        name: [row for row in rows if (str(row["region"]), str(row["case"])) in common]
        for name, rows in runs.items()
    }
    left_out = {
        name: len({case for region, case in own - common if region in shared}) for name, own in found.items()
    }
    return kept, left_out


def _values(runs: Mapping[str, _Rows], region: str, score: str) -> NDArray[np.float64]:
    """`(runs, cases)`, NaN where a run lacks the score; `compare_cases` has checked the rows."""
    of_runs = [
        {str(row["case"]): score_of(row, score) for row in rows if row["region"] == region}
        for rows in runs.values()
    ]
    cases = list(of_runs[0])
    return np.array([[run[case] for case in cases] for run in of_runs]).reshape(len(runs), -1)


def _losses(values: NDArray[np.float64], score: str) -> NDArray[np.float64]:
    """The same order with the best lowest, without floating-point noise."""
    best = find_score(score).best
    losses = -values if best == "high" else np.abs(values) if best == "zero" else values
    return np.round(losses, 10)


def _friedman_p(ranks: NDArray[np.float64]) -> float:
    if (ranks == ranks[0]).all():
        return 1.0
    return float(friedmanchisquare(*ranks).pvalue)
