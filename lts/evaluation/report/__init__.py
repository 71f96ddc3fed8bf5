"""The report of an evaluation and of a comparison: HTML files that open offline, sort and print."""

from lts.evaluation.report.comparison import write_comparison
from lts.evaluation.report.data import CasePictures, ComparisonData, ReportData
from lts.evaluation.report.page import write_report

__all__ = ["CasePictures", "ComparisonData", "ReportData", "write_comparison", "write_report"]
