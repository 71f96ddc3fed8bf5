"""The slice store: scans decompressed, reoriented and resampled once, then read as mapped slices."""

from lts.slices.arrays import IMAGE_TYPE, LABELS_TYPE
from lts.slices.box import Box, check_margin
from lts.slices.build import build_store, missing_cases, store_case
from lts.slices.context import slices_around
from lts.slices.fingerprint import CaseFingerprint, fingerprint_cases, region_hu_counts_of
from lts.slices.fitted_square import FittedSquare, fit_square
from lts.slices.histogram import count_hu
from lts.slices.plane import PlaneFit, check_plane, fit_plane, lay_on_plane
from lts.slices.recipe import Recipe
from lts.slices.store import (
    SourceFile,
    StoredCase,
    case_folder,
    content_hash,
    content_hash_of_all,
    hu_counts_of,
)
from lts.slices.view import View, view_of

__all__ = [
    "IMAGE_TYPE",
    "LABELS_TYPE",
    "Box",
    "CaseFingerprint",
    "FittedSquare",
    "PlaneFit",
    "Recipe",
    "SourceFile",
    "StoredCase",
    "View",
    "build_store",
    "case_folder",
    "check_margin",
    "check_plane",
    "content_hash",
    "content_hash_of_all",
    "count_hu",
    "fingerprint_cases",
    "fit_plane",
    "fit_square",
    "hu_counts_of",
    "lay_on_plane",
    "missing_cases",
    "region_hu_counts_of",
    "slices_around",
    "store_case",
    "view_of",
]
