"""One HTML file that tells an evaluation to a reader: opens offline, sorts, prints."""

from lts.evaluation.report.data import ReportData
from lts.evaluation.report.page import write_report

__all__ = ["ReportData", "write_report"]
