"""The lesion scores of the table of scores."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product

from lts.evaluation.score import Best, CaseRegion, CohortRegion, CohortScore, Score
from lts.scores.lesions import SIZE_GROUPS


def _share(kind: str, label: str, meaning: str) -> Score:
    return Score(kind, label, meaning, "there is no such lesion", bounds=(0.0, 1.0))


def _count(kind: str, label: str, meaning: str, best: Best) -> Score:
    def of_case(region: CaseRegion) -> int | None:
        found: int | None = getattr(region.case.lesions, kind, None)
        return found

    why = "lesions are counted for tumors only"
    return Score(kind, label, meaning, why, decimals=0, best=best, bounds=(0.0, math.inf), of_case=of_case)


_KINDS = (
    _share(
        "precision", "Lesion precision", "Share of the predicted lesions that are real, matched at IoU > 0.5."
    ),
    _share("recall", "Lesion recall", "Share of the lesions that were found, matched at IoU > 0.5."),
    _share("f1", "Lesion F1", "Harmonic mean of lesion recall and precision."),
    _count("tp", "Lesions found", "Lesions of the reference matched at IoU > 0.5.", "high"),
    _count("fp", "False alarms", "Predicted lesions without a match at IoU > 0.5.", "low"),
    _count("fn", "Lesions missed", "Lesions of the reference without a match at IoU > 0.5.", "low"),
)


def _scores() -> Iterator[Score]:
    """By matching rule, size and kind; only those of all sizes at IoU > 0.5 are documented."""
    for rule, size, kind in product(("", "any_"), ("", *(f"_{group}" for group in SIZE_GROUPS)), _KINDS):
        name = f"lesion_{rule}{kind.name}{size}"
        score = replace(kind, name=name, family="lesions", regions=("tumor",), of_cohort=_of_cohort(name))
        is_described = not (rule or size)
        yield (
            score if is_described else replace(score, label=name.replace("_", " "), meaning="", of_case=None)
        )


def _of_cohort(name: str) -> Callable[[CohortRegion], CohortScore]:
    return lambda cohort: CohortScore(cohort.lesion_scores[name])


LESION_SCORES = tuple(_scores())
"""In the order of `metrics.json`."""
