"""The report of an evaluation: one HTML file that opens offline, sorts and prints."""

from lts.evaluation.report.data import ReportData
from lts.evaluation.report.page import write_report

__all__ = ["ReportData", "write_report"]
