"""The table of scores: name, meaning, which way is better, and function of each.

A new score only needs an entry here: `cases.csv`, `metrics.json`, comparisons and the report read this table,
and a test prints the line that `docs/scores.md` lacks.
"""

import math
import re
from collections.abc import Sequence
from functools import partial
from operator import attrgetter, methodcaller

import numpy as np
from numpy.typing import NDArray

from lts.evaluation.lesion_table import LESION_SCORES
from lts.evaluation.score import CaseRegion, CohortRegion, CohortScore, Score
from lts.scores import dice, iou, precision, recall, rvd, voe
from lts.scores.overlap import dice_terms, iou_terms, precision_terms, recall_terms

_NOT_SCORED = "the case was not scored"
_BOTH_EMPTY = "prediction and reference are empty in all cases"
_NO_REFERENCE = "the reference is empty"

_EMPTY_SIDE = "prediction or reference is empty, so there is no surface to measure"
_surface = partial(Score, why_undefined=_EMPTY_SIDE, family="surfaces")
_SHARE, _POSITIVE = (0.0, 1.0), (0.0, math.inf)
_share = partial(Score, bounds=_SHARE)
_volume = partial(Score, unit="ml", decimals=1, bounds=_POSITIVE, family="volumes")


def surface_dice(tolerance_mm: float) -> Score:
    """The surface Dice at a tolerance: `nsd_2mm`, `nsd_0.5mm`."""
    mm = f"{tolerance_mm:g}"
    meaning = f"Surface Dice: share of both surfaces that lies within {mm} mm of the other, 1 is perfect."
    label = f"NSD {mm}\N{NO-BREAK SPACE}mm"
    of_surfaces = methodcaller("nsd", tolerance_mm)
    return _surface(f"nsd_{mm}mm", label, meaning, bounds=_SHARE, of_surfaces=of_surfaces)


def _distance(name: str, label: str, meaning: str) -> Score:
    return _surface(
        name,
        label,
        meaning,
        unit="mm",
        decimals=2,
        best="low",
        bounds=_POSITIVE,
        of_surfaces=attrgetter(name),
    )


def _volume_error_ml(region: CaseRegion) -> float:
    predicted_ml, reference_ml = region.volumes_ml
    return float(predicted_ml - reference_ml)


def _dice_of_slices(counts: NDArray[np.int64]) -> CohortScore:
    """The mean over the slices that hold the region in the reference, from `(3, slices)`."""
    tp, _, fn = counts
    return CohortScore.of_slices(dice(*counts[:, tp + fn > 0]))


def _burden_rmse(cohort: CohortRegion) -> CohortScore:
    """Over the cases where both sides have a liver."""
    volumes: dict[str, dict[str, tuple[float, float]]] = {}
    for row in cohort.rows:
        volumes.setdefault(row["case"], {})[row["region"]] = (row["predicted_ml"], row["reference_ml"])
    errors = [
        found["tumor"][0] / found["liver"][0] - found["tumor"][1] / found["liver"][1]
        for found in volumes.values()
        if "liver" in found and min(found["liver"]) > 0
    ]
    rmse = math.sqrt(sum(error**2 for error in errors) / len(errors)) if errors else None
    return CohortScore(rmse, len(errors))


DICE = _share(
    "dice",
    "Dice",
    "Overlap of two masks, 2 TP / (2 TP + FP + FN), 1 is perfect. 1 if both are empty, 0 if one is.",
    _NOT_SCORED,
    of_case=lambda region: dice(*region.overlap),
    of_cohort=None,
)
_NSD = surface_dice(2.0)

SCORES: tuple[Score, ...] = (
    DICE,
    _share(
        "iou",
        "IoU",
        "Intersection over union, TP / (TP + FP + FN), empty masks as for Dice.",
        _NOT_SCORED,
        of_case=lambda region: iou(*region.overlap),
        of_cohort=None,
    ),
    _share(
        "dice_per_case",
        "Dice per case",
        "Overlap with the reference, 1 is perfect: mean over cases, each counts the same. The one to quote.",
        "there is no case",
        of_cohort=lambda cohort: CohortScore.of_cases(dice(*cohort.counts)[:, cohort.channel]),
    ),
    _share(
        "iou_per_case",
        "IoU per case",
        "Intersection over union, the mean over cases.",
        "there is no case",
        of_cohort=lambda cohort: CohortScore.of_cases(iou(*cohort.counts)[:, cohort.channel]),
    ),
    _share(
        "dice_per_slice",
        "Dice per slice",
        "Mean over the slices that hold the region in the reference; false alarms elsewhere cost nothing.",
        "no slice holds the region in the reference",
        family="slices",
        of_case=lambda region: _dice_of_slices(region.slices).value,
        of_cohort=lambda cohort: _dice_of_slices(cohort.by_slice),
    ),
    _share(
        "dice_per_slice_with_empty",
        "Dice per slice, with empty",
        "Mean over all slices, where most are empty and count 1 if predicted empty. Not to be quoted.",
        "there is no slice",
        family="slices",
        of_cohort=lambda cohort: CohortScore.of_slices(dice(*cohort.by_slice)),
    ),
    _share(
        "dice_global",
        "Dice, pooled",
        "The same overlap of all cases taken as one: large organs and tumors decide it.",
        _BOTH_EMPTY,
        of_cohort=lambda cohort: CohortScore.of_sums(*dice_terms(*cohort.by_case)),
    ),
    _share(
        "iou_global",
        "IoU, pooled",
        "Intersection over union of the pooled voxels of all cases.",
        _BOTH_EMPTY,
        of_cohort=lambda cohort: CohortScore.of_sums(*iou_terms(*cohort.by_case)),
    ),
    _share(
        "precision",
        "Precision",
        "Share of the predicted voxels that are right, TP / (TP + FP).",
        "nothing was predicted",
        of_case=lambda region: precision(*region.overlap[:2]),
        of_cohort=lambda cohort: CohortScore.of_sums(*precision_terms(*cohort.by_case[:2])),
    ),
    _share(
        "recall",
        "Recall",
        "Share of the reference that was found, TP / (TP + FN).",
        _NO_REFERENCE,
        of_case=lambda region: recall(*region.overlap[::2]),
        of_cohort=lambda cohort: CohortScore.of_sums(*recall_terms(*cohort.by_case[::2])),
    ),
    _share(
        "auroc",
        "AUROC",
        "Area under the ROC curve: how well probabilities rank the pooled voxels, at any threshold.",
        "only masks were scored, or a class is absent",
        family="probabilities",
        of_cohort=lambda cohort: CohortScore(cohort.auroc),
    ),
    _distance("assd_mm", "ASSD", "Mean distance between the two surfaces, both directions pooled."),
    _distance("hd95_mm", "HD95", "95 % of either surface lies within this distance of the other."),
    _distance("msd_mm", "MSD", "Largest distance between the two surfaces (Hausdorff)."),
    _NSD,
    _share(
        "voe",
        "VOE",
        "Volumetric overlap error, 1 - IoU: 0 is perfect.",
        _NOT_SCORED,
        family="volumes",
        best="low",
        of_case=lambda region: voe(*region.overlap),
    ),
    Score(
        "rvd",
        "RVD",
        "Relative volume difference, (predicted - reference) / reference.",
        _NO_REFERENCE,
        signed=True,
        family="volumes",
        best="zero",
        bounds=(-1.0, math.inf),
        of_case=lambda region: rvd(*region.voxels),
    ),
    _volume(
        "volume_error_ml",
        "Volume error",
        "Predicted minus reference volume.",
        signed=True,
        best="zero",
        bounds=(-math.inf, math.inf),
        of_case=_volume_error_ml,
    ),
    _volume(
        "volume_abs_error_ml",
        "Absolute volume error",
        "Predicted minus reference volume, without its sign.",
        best="low",
        of_case=lambda region: abs(_volume_error_ml(region)),
    ),
    _volume(
        "reference_ml",
        "Reference",
        "Volume of the reference.",
        best=None,
        of_case=lambda region: float(region.volumes_ml[1]),
        of_cohort=None,
    ),
    _volume(
        "predicted_ml",
        "Predicted",
        "Volume of the prediction.",
        best=None,
        of_case=lambda region: float(region.volumes_ml[0]),
        of_cohort=None,
    ),
    *LESION_SCORES,
    Score(
        "burden_rmse",
        "Burden error",
        "Root mean square error of the share of tumor in the liver, tumor / liver volume.",
        "no case has a liver on both sides",
        family="volumes",
        best="low",
        bounds=_POSITIVE,
        regions=("tumor",),
        of_cohort=_burden_rmse,
    ),
)
"""In the order of `metrics.json`; the surface Dice stands for one a tolerance."""

TILES = (
    "dice_per_case",
    "dice_global",
    "hd95_mm",
    "assd_mm",
    "nsd",
    "lesion_recall",
    "lesion_precision",
    "burden_rmse",
)
"""The large numbers of a report, in their order; `nsd` is the first surface Dice."""

PRINTED = ("dice_per_case", "dice_global", "iou_per_case", "iou_global", "precision", "recall", "auroc")
"""Scores that an evaluation prints."""

COMPARED = ("dice", "iou", "hd95_mm", "assd_mm", "volume_abs_error_ml")
"""Scores that a comparison prints."""


def score_table(nsd_mm: Sequence[float] = (2.0,)) -> tuple[Score, ...]:
    """All scores, with a surface Dice for each tolerance.

    >>> [score.name for score in score_table((1.0, 2.5)) if score.family == "surfaces"]
    ['assd_mm', 'hd95_mm', 'msd_mm', 'nsd_1mm', 'nsd_2.5mm']
    """
    own = [surface_dice(tolerance_mm) for tolerance_mm in nsd_mm]
    return tuple(score for entry in SCORES for score in (own if entry is _NSD else [entry]))


def find_score(name: str) -> Score:
    """The entry of a score; an unknown one has just its name and no better direction.

    >>> find_score("nsd_0.5mm").best, find_score("hd95_mm").title, find_score("new_score").title
    ('high', 'HD95 (mm)', 'new score')
    """
    if tolerance := re.fullmatch(r"nsd_(\d+(?:\.\d+)?(?:e[-+]\d+)?)mm", name):
        return surface_dice(float(tolerance[1]))
    unknown = Score(name, name.replace("_", " "), best=None)
    return next((score for score in SCORES if score.name == name), unknown)
