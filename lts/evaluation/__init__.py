"""Scores on the scan's own grid, what went wrong and why, and a report of it."""

from lts.evaluation.calibration import CalibrationCounts
from lts.evaluation.case import CaseMasks, CaseScores, ScoringRules, score_case
from lts.evaluation.compare import PairedComparison, compare_cases
from lts.evaluation.confidence import MIN_CASES
from lts.evaluation.counts import CaseCounts, count_slab
from lts.evaluation.failures import LesionFinding
from lts.evaluation.lesions import match_lesions
from lts.evaluation.pictures import CaseViews
from lts.evaluation.ranking import rank_cases
from lts.evaluation.report import ReportData, write_report
from lts.evaluation.score import CaseScorer, ProbabilityScores
from lts.evaluation.scores import case_rows, cohort_scores
from lts.evaluation.summary import Bootstrap, Summary, summarize
from lts.evaluation.surfaces import surface_distances

__all__ = [
    "MIN_CASES",
    "Bootstrap",
    "CalibrationCounts",
    "CaseCounts",
    "CaseMasks",
    "CaseScorer",
    "CaseScores",
    "CaseViews",
    "LesionFinding",
    "PairedComparison",
    "ProbabilityScores",
    "ReportData",
    "ScoringRules",
    "Summary",
    "case_rows",
    "cohort_scores",
    "compare_cases",
    "count_slab",
    "match_lesions",
    "rank_cases",
    "score_case",
    "summarize",
    "surface_distances",
    "write_report",
]
