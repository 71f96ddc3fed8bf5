"""The data doctor: what is wrong with the cases of a folder, and what corrects it."""

from lts.cohort.doctor.examine import CaseReport, examine_case, examine_cases
from lts.cohort.doctor.findings import CHECKS, Check, Finding, found
from lts.cohort.doctor.headers import check_headers
from lts.cohort.doctor.overlap import Content, judge_contents, judge_split

__all__ = [
    "CHECKS",
    "CaseReport",
    "Check",
    "Content",
    "Finding",
    "check_headers",
    "examine_case",
    "examine_cases",
    "found",
    "judge_contents",
    "judge_split",
]
