"""Scores of a cohort, what went wrong and why, and a report of it."""

from lts.evaluation.calibration import CalibrationCounts
from lts.evaluation.compare import PairedComparison, compare_cases
from lts.evaluation.confidence import MIN_CASES
from lts.evaluation.ranking import rank_cases
from lts.evaluation.report import ReportData, write_report
from lts.evaluation.rules import ScoringRules
from lts.evaluation.scorer import CaseScorer, ProbabilityScores
from lts.evaluation.scores import case_rows, cohort_scores
from lts.evaluation.summary import Bootstrap, Summary, summarize

__all__ = [
    "MIN_CASES",
    "Bootstrap",
    "CalibrationCounts",
    "CaseScorer",
    "PairedComparison",
    "ProbabilityScores",
    "ReportData",
    "ScoringRules",
    "Summary",
    "case_rows",
    "cohort_scores",
    "compare_cases",
    "rank_cases",
    "summarize",
    "write_report",
]
