"""Formulas and measurements of masks on plain arrays: overlap, surfaces, lesions, and all of them of a case.

Importing it brings NumPy and SciPy and nothing that trains or draws: a process which scores cases starts at
once.
"""

from lts.scores.case import CaseMasks, CaseScores, score_case
from lts.scores.counts import CaseCounts, count_overlap
from lts.scores.findings import LesionFinding, describe_lesions
from lts.scores.lesions import LesionCounts, LesionMatch, count_lesions, lesion_scores, match_lesions
from lts.scores.lits import LITS_NOTES, LitsCase, lits_case, lits_scores
from lts.scores.overlap import accuracy, dice, iou, precision, recall, rvd, voe
from lts.scores.regions import region_masks
from lts.scores.surfaces import SurfaceDistances, surface_distances

__all__ = [
    "LITS_NOTES",
    "CaseCounts",
    "CaseMasks",
    "CaseScores",
    "LesionCounts",
    "LesionFinding",
    "LesionMatch",
    "LitsCase",
    "SurfaceDistances",
    "accuracy",
    "count_lesions",
    "count_overlap",
    "describe_lesions",
    "dice",
    "iou",
    "lesion_scores",
    "lits_case",
    "lits_scores",
    "match_lesions",
    "precision",
    "recall",
    "region_masks",
    "rvd",
    "score_case",
    "surface_distances",
    "voe",
]
