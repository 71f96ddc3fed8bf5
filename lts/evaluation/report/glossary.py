"""What each score is called, how it is written, and what it means in one line."""

import re
from dataclasses import dataclass
from typing import Any

from lts.evaluation.report.markup import Cell, Child, Column, format_number, is_defined, undefined

_EMPTY_SIDE = "prediction or reference is empty, so there is no surface to measure"
_NO_CT = "no CT was at hand"
_NO_LESION = "there is no such lesion"


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """A score.

    Attributes:
        label: What it is called.
        text: What it means, a sentence; empty where that is not known.
        why_undefined: Why it may have no value.
        decimals: Digits after the point.
        unit: Written after a single number.
        signed: Whether a plus is written.
        numeric: Whether its values are numbers.
    """

    label: str
    text: str = ""
    why_undefined: str = "there is nothing to compute it from"
    decimals: int = 3
    unit: str = ""
    signed: bool = False
    numeric: bool = True

    def write(self, value: float) -> str:
        """The number without its unit."""
        return format_number(value, decimals=self.decimals, signed=self.signed)

    def show(self, value: object) -> Child:
        """The number, or a dash that tells why there is none."""
        if not is_defined(value):
            return undefined(self.why_undefined)
        return self.write(value) if self.numeric and isinstance(value, int | float) else str(value)

    def cell(self, value: Any) -> Cell:
        """A cell of a table."""
        return Cell(self.show(value), value if is_defined(value) else None)

    def column(self) -> Column:
        """The column of a table."""
        return Column(label=self.label, about=self.text, numeric=self.numeric)


def _length(label: str, text: str) -> Meaning:
    return Meaning(label=label, text=text, why_undefined=_EMPTY_SIDE, decimals=2, unit="mm")


def _volume(label: str, text: str, *, signed: bool = False) -> Meaning:
    return Meaning(label=label, text=text, decimals=1, unit="ml", signed=signed)


def _count(label: str, text: str) -> Meaning:
    return Meaning(label=label, text=text, decimals=0, why_undefined="lesions are counted for tumors only")


def _ratio(label: str, text: str, why: str) -> Meaning:
    return Meaning(label=label, text=text, why_undefined=why)


_NOTHING_PREDICTED = "nothing was predicted"
_NO_REFERENCE = "the reference is empty"
_BOTH_EMPTY = "prediction and reference are empty in all cases"

GLOSSARY: dict[str, Meaning] = {
    "case": Meaning(label="Case", numeric=False),
    "region": Meaning(label="Region", text="Liver includes its tumors.", numeric=False),
    "dice": _ratio(
        "Dice",
        "Overlap of two masks, 2 TP / (2 TP + FP + FN), 1 is perfect. 1 if both are empty, 0 if one is.",
        "the case was not scored",
    ),
    "iou": _ratio(
        "IoU",
        "Intersection over union, TP / (TP + FP + FN), empty masks as for Dice.",
        "the case was not scored",
    ),
    "dice_per_case": _ratio(
        "Dice per case",
        "Overlap with the reference, 1 is perfect: mean over cases, each counts the same. The one to quote.",
        "there is no case",
    ),
    "iou_per_case": _ratio(
        "IoU per case", "Intersection over union, the mean over cases.", "there is no case"
    ),
    "dice_global": _ratio(
        "Dice, pooled",
        "The same overlap of all cases taken as one: large organs and tumors decide it.",
        _BOTH_EMPTY,
    ),
    "iou_global": _ratio(
        "IoU, pooled", "Intersection over union of the pooled voxels of all cases.", _BOTH_EMPTY
    ),
    "dice_per_slice": _ratio(
        "Dice per slice",
        "Mean over the slices that hold the region in the reference; false alarms elsewhere cost nothing.",
        "no slice holds the region in the reference",
    ),
    "dice_per_slice_with_empty": _ratio(
        "Dice per slice, with empty",
        "Mean over all slices, where most are empty and count 1 if predicted empty. Not to be quoted.",
        "there is no slice",
    ),
    "precision": _ratio(
        "Precision", "Share of the predicted voxels that are right, TP / (TP + FP).", _NOTHING_PREDICTED
    ),
    "recall": _ratio("Recall", "Share of the reference that was found, TP / (TP + FN).", _NO_REFERENCE),
    "auroc": _ratio(
        "AUROC",
        "Area under the ROC curve: how well probabilities rank the pooled voxels, at any threshold.",
        "only masks were scored, or a class is absent",
    ),
    "assd_mm": _length("ASSD (mm)", "Mean distance between the two surfaces, both directions pooled."),
    "hd95_mm": _length("HD95 (mm)", "95 % of either surface lies within this distance of the other."),
    "msd_mm": _length("MSD (mm)", "Largest distance between the two surfaces (Hausdorff)."),
    "voe": _ratio("VOE", "Volumetric overlap error, 1 - IoU: 0 is perfect.", "the case was not scored"),
    "rvd": Meaning(
        label="RVD",
        text="Relative volume difference, (predicted - reference) / reference.",
        why_undefined=_NO_REFERENCE,
        signed=True,
    ),
    "volume_error_ml": _volume("Volume error (ml)", "Predicted minus reference volume.", signed=True),
    "volume_abs_error_ml": _volume(
        "Absolute volume error (ml)", "Predicted minus reference volume, without its sign."
    ),
    "reference_ml": _volume("Reference (ml)", "Volume of the reference."),
    "predicted_ml": _volume("Predicted (ml)", "Volume of the prediction."),
    "burden_rmse": _ratio(
        "Burden error",
        "Root mean square error of the share of tumor in the liver, tumor / liver volume.",
        "no case has a liver on both sides",
    ),
    "lesion_tp": _count("Lesions found", "Lesions of the reference matched at IoU > 0.5."),
    "lesion_fp": _count("False alarms", "Predicted lesions without a match at IoU > 0.5."),
    "lesion_fn": _count("Lesions missed", "Lesions of the reference without a match at IoU > 0.5."),
    "lesion_recall": _ratio(
        "Lesion recall", "Share of the lesions that were found, matched at IoU > 0.5.", _NO_LESION
    ),
    "lesion_precision": _ratio(
        "Lesion precision", "Share of the predicted lesions that are real, matched at IoU > 0.5.", _NO_LESION
    ),
    "lesion_f1": _ratio("Lesion F1", "Harmonic mean of lesion recall and precision.", _NO_LESION),
    "slice": Meaning(
        label="Slice", text="Axial slice with most of the lesion, counted from 1 at the feet.", decimals=0
    ),
    "diameter_mm": Meaning(
        label="Diameter (mm)", text="Diameter of the sphere of equal volume.", decimals=1, unit="mm"
    ),
    "volume_ml": Meaning(label="Volume (ml)", text="Volume of the lesion.", decimals=2, unit="ml"),
    "mean_hu": Meaning(label="Mean (HU)", text="Mean in the lesion.", why_undefined=_NO_CT, decimals=0),
    "contrast_hu": Meaning(
        label="Contrast (HU)",
        text="Mean of the lesion minus the median of the liver around it.",
        why_undefined="no CT was at hand, or too little liver lies around the lesion",
        decimals=0,
        signed=True,
    ),
    "texture_hu": Meaning(
        label="Texture (HU)", text="Standard deviation in the lesion.", why_undefined=_NO_CT, decimals=0
    ),
    "edge_mm": Meaning(
        label="To edge (mm)",
        text="Distance to the edge of the liver; negative outside of it.",
        why_undefined="the liver is not known",
        decimals=1,
    ),
    "outside_share": Meaning(
        label="Outside liver",
        text="Share of the lesion that lies outside the reference liver.",
        why_undefined="the liver is not known",
        decimals=2,
    ),
    "elongation": Meaning(
        label="Elongation", text="Ratio of the two longest axes: a tube has much more than 1.", decimals=1
    ),
    "cause": Meaning(
        label="Likely cause",
        text="The first rule that applies, of contrast, size, place and shape.",
        why_undefined="only a failure has a cause",
        numeric=False,
    ),
}

CONVENTIONS = {
    "per_case": ("per case", "Mean over cases, 1 where prediction and reference are both empty."),
    "per_case_without_empty": (
        "per case, without empty",
        "The same without the cases that are empty on both sides.",
    ),
    "per_slice": ("per slice", "Mean over the slices that hold the region in the reference."),
    "per_slice_with_empty": (
        "per slice, with empty",
        "Mean over all slices, 1 for an empty one predicted empty.",
    ),
    "per_batch": ("per batch", "Mean over batches of slices, as a training loop logs it."),
    "global": ("pooled voxels", "All voxels of all cases taken together."),
}

HONEST_CONVENTION = "per_case"


def meaning(name: str) -> Meaning:
    """What a score means; one that is not known goes by its name."""
    if tolerance := re.fullmatch(r"nsd_(.+)mm", name):
        mm = tolerance[1]
        text = f"Surface Dice: share of both surfaces that lies within {mm} mm of the other, 1 is perfect."
        return Meaning(label=f"NSD {mm}\N{NO-BREAK SPACE}mm", text=text, why_undefined=_EMPTY_SIDE)
    return GLOSSARY.get(name, Meaning(label=name.replace("_", " ")))
