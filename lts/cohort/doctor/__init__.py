"""The data doctor: checks the cases of a folder, with corrections."""

from lts.cohort.doctor.diagnose import Diagnosis, Survey, diagnose, survey_cohort
from lts.cohort.doctor.examine import CaseReport, examine_case, examine_cases
from lts.cohort.doctor.findings import CHECKS, Check, Finding
from lts.cohort.doctor.headers import check_headers
from lts.cohort.doctor.overlap import Content, judge_contents
from lts.cohort.doctor.scans import scan_warnings

__all__ = [
    "CHECKS",
    "CaseReport",
    "Check",
    "Content",
    "Diagnosis",
    "Finding",
    "Survey",
    "check_headers",
    "diagnose",
    "examine_case",
    "examine_cases",
    "judge_contents",
    "scan_warnings",
    "survey_cohort",
]
