"""Scores on the scan's own grid, and pictures of what was found and missed."""

from lts.evaluation.counts import CaseCounts, count_slab
from lts.evaluation.pictures import CaseViews
from lts.evaluation.score import CohortScorer, CohortScores
from lts.evaluation.scores import case_rows, cohort_scores

__all__ = [
    "CaseCounts",
    "CaseViews",
    "CohortScorer",
    "CohortScores",
    "case_rows",
    "cohort_scores",
    "count_slab",
]
