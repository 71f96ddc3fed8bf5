"""Cases on disk: layouts, splits by patient, scans to predict."""

from lts.cohort.archive import ArchiveLimits
from lts.cohort.case import Case, Cohort, IncompleteCohortError, case_id_problem
from lts.cohort.files import case_stem
from lts.cohort.layouts import LAYOUTS, find_cases
from lts.cohort.scans import FoundScans, ScanSource, find_scans
from lts.cohort.series import SeriesChoice
from lts.cohort.splits import Split, check_draw, limit_split, read_split, split_by_patient, split_into_folds

__all__ = [
    "LAYOUTS",
    "ArchiveLimits",
    "Case",
    "Cohort",
    "FoundScans",
    "IncompleteCohortError",
    "ScanSource",
    "SeriesChoice",
    "Split",
    "case_id_problem",
    "case_stem",
    "check_draw",
    "find_cases",
    "find_scans",
    "limit_split",
    "read_split",
    "split_by_patient",
    "split_into_folds",
]
