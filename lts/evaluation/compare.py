"""Two runs on the same cases, compared case by case."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from lts.base import CohortError
from lts.evaluation.confidence import Bootstrap, Interval, mean_interval
from lts.evaluation.table import find_score

_LEVEL_OF_P = 0.05
_DECIMALS = 10
_SAME_REFERENCE = 1e-3
_ROUNDING = 1e-6
_MOST = 1e100
"""Sums of squares of larger numbers are no numbers any more."""

_Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class PairedComparison:
    """One score of one region in two runs, a and b; differences are b - a. `compare_cases` makes it.

    >>> rows = [{"case": "1", "region": "liver", "hd95_mm": None}]
    >>> (found,) = compare_cases(rows, rows)
    >>> found.left_out, found.mean_difference
    (1, None)

    Attributes:
        region: The region.
        score: Name of the score.
        pairs: Cases where both runs have the score. What follows is over these.
        left_out: Cases where one run or both lack it.
        mean_a: Mean of the first run; None without pairs, as are the other means and the p.
        mean_b: Mean of the second run.
        mean_difference: Mean of the differences.
        median_difference: Their median.
        interval: Bootstrap interval of the mean difference; None with fewer than 10 pairs, or where all
            differences are alike.
        p_value: Of Wilcoxon's signed-rank test, two-sided; cases without a difference do not count, 1
            where all are such.
        wins: Cases where b is better; None where the score is neither good nor bad, such as a volume.
        ties: Cases without a difference; None likewise.
        losses: Cases where a is better; None likewise.
        remark: A caveat on these figures, None for none.
        differences: The difference of each pair, by case.
    """

    region: str
    score: str
    pairs: int
    left_out: int
    mean_a: float | None
    mean_b: float | None
    mean_difference: float | None
    median_difference: float | None
    interval: Interval | None
    p_value: float | None
    wins: int | None
    ties: int | None
    losses: int | None
    remark: str | None
    differences: dict[str, float]


def compare_cases(
    a_rows: _Rows,
    b_rows: _Rows,
    *,
    scores: Sequence[str] | None = None,
    bootstrap: Bootstrap | None = None,
    names: tuple[str, str] = ("a", "b"),
) -> list[PairedComparison]:
    """Compare two runs by the regions that both have.

    Differences are rounded to 10 decimals, so that floating-point noise makes no difference.

    >>> a = [{"case": "1", "region": "liver", "dice": 0.5}, {"case": "2", "region": "liver", "dice": 0.75}]
    >>> b = [{"case": "1", "region": "liver", "dice": 0.75}, {"case": "2", "region": "liver", "dice": 1.0}]
    >>> (found,) = compare_cases(a, b)
    >>> found.mean_difference, found.wins
    (0.25, 2)

    Args:
        a_rows: Rows of the first run's `cases.csv`: `case`, `region` and the scores, as numbers or their
            text; None, empty text and NaN say that a score is not defined.
        b_rows: The same of the second run.
        scores: Names of scores that both have; None for all of them.
        bootstrap: How intervals are drawn; None for the defaults.
        names: What remarks and messages call the runs.

    Returns:
        One comparison a region and score, in the order of the first run's regions.

    Raises:
        CohortError: The runs share no region, a case is only in one of them or twice in one, their references
            differ in volume, or a row lacks a score or has one that is not a finite number.
    """
    if scores is None:
        first, second = (next(iter(rows), {}) for rows in (a_rows, b_rows))
        scores = [name for name in first if name in second and name not in ("case", "region")]
    if not scores:
        raise CohortError(f"compare: no score is in both runs, {names[0]} and {names[1]}")
    bootstrap = bootstrap or Bootstrap()
    a, b = (_by_region(rows, run=name) for rows, name in zip((a_rows, b_rows), names, strict=True))
    shared = [region for region in a if region in b]
    if not shared:
        raise CohortError(
            f"compare: no region is in both runs: {names[0]} has {list(a)}, {names[1]} has {list(b)}"
        )
    found = []
    for region in shared:
        _check_same_cases(a[region], b[region], region=region, names=names)
        for score in scores:
            values = np.array(
                [
                    [score_of(rows[case], score, run=name) for case in a[region]]
                    for name, rows in zip(names, (a[region], b[region]), strict=True)
                ]
            )
            found.append(
                _compare(
                    values, tuple(a[region]), region=region, score=score, bootstrap=bootstrap, names=names
                )
            )
    return found


def _compare(
    values: NDArray[np.float64],
    cases: Sequence[str],
    *,
    region: str,
    score: str,
    bootstrap: Bootstrap,
    names: tuple[str, str],
) -> PairedComparison:
    defined = ~np.isnan(values).any(0)
    a, b = values[:, defined]
    differences = np.round(b - a, _DECIMALS)
    pairs = len(differences)
    gains = _gains(a, b, score)
    return PairedComparison(
        region=region,
        score=score,
        pairs=pairs,
        left_out=len(cases) - pairs,
        mean_a=float(a.mean()) if pairs else None,
        mean_b=float(b.mean()) if pairs else None,
        mean_difference=float(differences.mean()) if pairs else None,
        median_difference=float(np.median(differences)) if pairs else None,
        interval=mean_interval(differences, **asdict(bootstrap)),
        p_value=_p_value(differences) if pairs else None,
        wins=None if gains is None else int((gains > 0).sum()),
        ties=None if gains is None else int((gains == 0).sum()),
        losses=None if gains is None else int((gains < 0).sum()),
        remark=_remark(differences, ~np.isnan(values), names),
        differences=dict(zip(np.array(cases)[defined].tolist(), differences.tolist(), strict=True)),
    )


def _gains(a: NDArray[np.float64], b: NDArray[np.float64], score: str) -> NDArray[np.float64] | None:
    """How much better b is than a; None where the score is neither good nor bad."""
    best = find_score(score).best
    if best is None:
        return None
    gains = {"high": b - a, "low": a - b, "zero": np.abs(a) - np.abs(b)}[best]
    return np.round(gains, _DECIMALS)


def _p_value(differences: NDArray[np.float64]) -> float:
    return float(wilcoxon(differences[differences != 0]).pvalue) if differences.any() else 1.0


def _remark(
    differences: NDArray[np.float64], defined: NDArray[np.bool_], names: tuple[str, str]
) -> str | None:
    """What limits the differences of pairs, where `(2, cases)` says which scores each run has."""
    remarks = []
    unlike = int(np.count_nonzero(differences))
    # The least p there is: all differences point the same way.
    least_p = 2 * 0.5**unlike
    if unlike > 0 and least_p > _LEVEL_OF_P:
        remarks.append(f"cases that differ: {unlike}, too few for p to reach {_LEVEL_OF_P}")
    for run, has, lacks in zip(names, defined, defined[::-1], strict=True):
        if alone := int((has & ~lacks).sum()):
            remarks.append(f"cases left out since only {run} has the score: {alone}")
    return "; ".join(remarks) or None


def _by_region(rows: _Rows, *, run: str) -> dict[str, dict[str, Mapping[str, Any]]]:
    counts = Counter((str(row["case"]), str(row["region"])) for row in rows)
    for (case, region), count in counts.items():
        if count > 1:
            raise CohortError(f"compare: case {case!r}, region {region!r} stands {count} times in run {run}")
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(str(row["region"]), {})[str(row["case"])] = row
    return found


def _check_same_cases(
    a: Mapping[str, Mapping[str, Any]],
    b: Mapping[str, Mapping[str, Any]],
    *,
    region: str,
    names: tuple[str, str],
) -> None:
    if a.keys() != b.keys():
        only = [
            f"only in {run}: {sorted(these.keys() - those.keys())}"
            for run, these, those in ((names[0], a, b), (names[1], b, a))
            if these.keys() - those.keys()
        ]
        raise CohortError(f"compare: both runs must have the same cases, region {region!r} {', '.join(only)}")
    for case in a:
        if "reference_ml" not in a[case] or "reference_ml" not in b[case]:
            continue
        volumes_ml = [score_of(run[case], "reference_ml") for run in (a, b)]
        if not math.isclose(*volumes_ml, rel_tol=_SAME_REFERENCE):
            raise CohortError(
                f"compare: case {case!r} must have the same reference in both runs, {region} is "
                f"{volumes_ml[0]:g} ml in {names[0]} and {volumes_ml[1]:g} ml in {names[1]}"
            )


def score_of(row: Mapping[str, Any], score: str, *, run: str = "") -> float:
    """The score of a row of `cases.csv` of a run, NaN where it is not defined.

    >>> score_of({"case": "1", "region": "liver", "dice": "0.5"}, "dice")
    0.5

    Raises:
        CohortError: The row lacks it, or it is not a finite number.
    """
    of_run = f"run {run}, " if run else ""
    where = f"compare: {of_run}case {row['case']!r}, region {row['region']!r}"
    if score not in row:
        raise CohortError(f"{where}: has no score {score!r}")
    value = row[score]
    if value is None or value == "":
        return math.nan
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.inf
    if math.isinf(number):
        raise CohortError(f"{where}: {score} must be a finite number or empty, got {value!r}")
    return number


def check_scores(rows: _Rows, *, file: object) -> None:
    """Check that the scores in a file can be such scores.

    >>> check_scores([{"case": "1", "region": "liver", "dice": "1.5"}], file="cases.csv")
    Traceback (most recent call last):
    lts.base._errors.CohortError: cases.csv: case '1', region 'liver': dice must be from 0 to 1, got '1.5'

    Args:
        rows: Rows of `cases.csv`, as `compare_cases` takes them; one that is no number is told there.
        file: Where they come from.

    Raises:
        CohortError: A number lies outside the bounds of its score.
    """
    names = dict.fromkeys(name for row in rows for name in row if name not in ("case", "region"))
    bounds = {name: find_score(name).bounds for name in names}
    for row in rows:
        for name in (name for name in names if name in row):
            try:
                number = float(row[name])
            except (TypeError, ValueError):
                continue
            low, high = bounds[name]
            least, most = max(low - _ROUNDING, -_MOST), min(high + _ROUNDING, _MOST)
            if not math.isnan(number) and not least <= number <= most:
                raise CohortError(
                    f"{file}: case {row['case']!r}, region {row['region']!r}: {name} must be "
                    f"from {max(low, -_MOST):g} to {min(high, _MOST):g}, got {row[name]!r}"
                )
