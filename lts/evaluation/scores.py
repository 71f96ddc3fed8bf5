"""Scores of cases and of a cohort, by the names that `cases.csv` and `metrics.json` use."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from lts.evaluation.confidence import MIN_CASES, Bootstrap, ratio_interval
from lts.evaluation.rules import ScoringRules
from lts.evaluation.score import FAMILIES, CaseRegion, CohortRegion, CohortScore, Score, Value
from lts.scores import CaseScores
from lts.scores.overlap import defined

CohortScores = dict[str, dict[Score, CohortScore]]
"""By region, in the order of the table."""


def case_rows(cases: Sequence[CaseScores], *, rules: ScoringRules) -> list[dict[str, Any]]:
    """One row a case and region: `case`, `region` and the scores, None where they are not defined."""
    columns = sorted(
        (score for score in rules.scores if score.is_of_cases),
        key=lambda score: FAMILIES.index(score.family),
    )
    regions = [
        CaseRegion(case, region, channel) for case in cases for channel, region in enumerate(rules.regions)
    ]
    return [
        {
            "case": one.case.counts.case,
            "region": one.region,
            **{score.name: score.in_case(one) for score in columns},
        }
        for one in regions
    ]


def cohort_scores(
    cases: Sequence[CaseScores],
    rows: Sequence[Mapping[str, Any]],
    *,
    rules: ScoringRules,
    auroc: Mapping[str, float] | None = None,
) -> CohortScores:
    """Scores of all cases together.

    Args:
        cases: At least one case.
        rows: What `case_rows` made of them.
        rules: By which they were scored.
        auroc: By region, of the pooled voxels; None where only masks were scored.
    """
    assert cases
    found: CohortScores = {}
    for channel, region in enumerate(rules.regions):
        area = None if auroc is None else defined(auroc[region])
        cohort = CohortRegion(cases, rows, region, channel, area)
        found[region] = {
            score: score.in_cohort(cohort)
            for score in rules.scores
            if score.of_cohort is not None and score.is_of(region)
        }
    return found


def plain_scores(found: Mapping[Score, CohortScore]) -> dict[str, Value]:
    """The scores of a region by name, and how many cases or slices a mean is of under `<score>_n`.

    The latter follows each mean of a column of `cases.csv`, and of the other scores all of them.
    """
    plain: dict[str, Value] = {}
    groups = groupby(found, key=lambda score: score.name if score.of_cohort == "mean" else score.regions)
    for _, group in groups:
        scores = {score.name: found[score] for score in group}
        plain |= {name: score.value for name, score in scores.items()}
        plain |= {f"{name}_n": score.n for name, score in scores.items() if score.n is not None}
    return plain


def intervals(found: CohortScores, *, bootstrap: Bootstrap) -> dict[str, Any]:
    """By region and score `[low, high]` or None under `intervals`, their level, and the cases behind them."""
    settings: dict[str, Any] = asdict(bootstrap)
    ends: dict[str, dict[str, list[float] | None]] = {}
    counts: dict[str, dict[str, int]] = {}
    for region, scores in found.items():
        ends[region], counts[region] = {}, {}
        # means before ratios of pooled voxels
        for score, one in sorted(scores.items(), key=lambda item: item[1].n is None):
            if one.terms is not None:
                interval = ratio_interval(*one.terms, **settings)
                ends[region][score.name] = None if interval is None else [interval.low, interval.high]
                counts[region][score.name] = int((one.terms[1] > 0).sum())
    return {
        "intervals": ends,
        "intervals_level": bootstrap.level,
        "intervals_n": counts,
        "intervals_min_cases": MIN_CASES,
    }
