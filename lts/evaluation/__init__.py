"""Scores of a cohort, what went wrong and why, and a report of it."""

from lts.evaluation.calibration import CalibrationCounts
from lts.evaluation.compare import PairedComparison, check_scores, compare_cases
from lts.evaluation.compare_many import RankedRuns, RunPair, common_cases, holm, rank_runs
from lts.evaluation.confidence import MIN_CASES, Bootstrap
from lts.evaluation.differing import DifferingCase, differing_cases
from lts.evaluation.missing_scores import Lack, lacking
from lts.evaluation.ranking import rank_cases, worst_first
from lts.evaluation.report import CasePictures, ComparisonData, ReportData, write_comparison, write_report
from lts.evaluation.rules import ScoringRules
from lts.evaluation.score import CaseRegion, CohortRegion, CohortScore, Score
from lts.evaluation.scorer import CaseScorer, ProbabilityScores
from lts.evaluation.summary import Summary, summarize
from lts.evaluation.table import COMPARED, PRINTED, find_score, score_table

__all__ = [
    "COMPARED",
    "MIN_CASES",
    "PRINTED",
    "Bootstrap",
    "CalibrationCounts",
    "CasePictures",
    "CaseRegion",
    "CaseScorer",
    "CohortRegion",
    "CohortScore",
    "ComparisonData",
    "DifferingCase",
    "Lack",
    "PairedComparison",
    "ProbabilityScores",
    "RankedRuns",
    "ReportData",
    "RunPair",
    "Score",
    "ScoringRules",
    "Summary",
    "check_scores",
    "common_cases",
    "compare_cases",
    "differing_cases",
    "find_score",
    "holm",
    "lacking",
    "rank_cases",
    "rank_runs",
    "score_table",
    "summarize",
    "worst_first",
    "write_comparison",
    "write_report",
]
