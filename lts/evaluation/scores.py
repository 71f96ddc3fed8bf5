"""Scores of cases and of a cohort, by the names that `metrics.json` and `cases.csv` use."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lts.evaluation.rules import nsd_name
from lts.scores import (
    CaseCounts,
    CaseScores,
    LesionCounts,
    dice,
    iou,
    lesion_scores,
    precision,
    recall,
)

Score = float | None
"""None where a score is not defined."""

_NAN = float("nan")
_SURFACES = ("assd_mm", "hd95_mm", "msd_mm")
_VOLUMES = ("voe", "rvd", "volume_error_ml", "volume_abs_error_ml")


def mean_names(nsd_mm: Sequence[float]) -> tuple[str, ...]:
    """Columns of `cases.csv` whose mean over cases is a score of the cohort under the same name."""
    return (*_SURFACES, *map(nsd_name, nsd_mm), *_VOLUMES)


def case_rows(
    cases: Sequence[CaseScores], *, regions: Sequence[str], nsd_mm: Sequence[float]
) -> list[dict[str, Any]]:
    """One row a case and region.

    Returns:
        Rows with `case`, `region`, `dice` and `iou` (1 where prediction and reference are both empty),
        `precision` and `recall` (None where undefined), surfaces (None where a side is empty), `voe` (0 where
        both are empty), `rvd` (None where the reference is empty), `volume_error_ml` (predicted minus
        reference) and its absolute value, `dice_per_slice` (mean over slices that hold the region in the
        reference, None without one), `reference_ml`, `predicted_ml`, and for tumors how many lesions are
        found at IoU > 0.5, falsely seen and missed.
    """
    rows = []
    for scored in cases:
        case = scored.counts
        tp, fp, fn = (torch.from_numpy(counts.sum(0)) for counts in (case.tp, case.fp, case.fn))
        volumes = {"reference": tp + fn, "predicted": tp + fp}
        reference_ml, predicted_ml = (voxels * case.voxel_volume_ml for voxels in volumes.values())
        overlap = iou(tp, fp, fn, empty=1.0)
        scores = {
            "dice": dice(tp, fp, fn, empty=1.0),
            "iou": overlap,
            "precision": precision(tp, fp, empty=_NAN),
            "recall": recall(tp, fn, empty=_NAN),
        }
        volume_scores = {
            "voe": 1 - overlap,
            "rvd": _relative_difference(volumes["predicted"], volumes["reference"]),
            "volume_error_ml": predicted_ml - reference_ml,
            "volume_abs_error_ml": (predicted_ml - reference_ml).abs(),
            "reference_ml": reference_ml,
            "predicted_ml": predicted_ml,
        }
        for channel, region in enumerate(regions):
            surfaces = scored.surfaces[channel] or {}
            per_slice = _slice_dice(case, channel)
            lesions = scored.lesions if region == "tumor" else None
            rows.append(
                {
                    "case": case.case,
                    "region": region,
                    **{name: _plain(values[channel]) for name, values in scores.items()},
                    **{name: surfaces.get(name) for name in (*_SURFACES, *map(nsd_name, nsd_mm))},
                    **{name: _plain(values[channel]) for name, values in volume_scores.items()},
                    "dice_per_slice": _plain(per_slice[case.reference[:, channel] > 0].mean()),
                    **_lesion_columns(lesions),
                }
            )
    return rows


def cohort_scores(
    scored: Sequence[CaseScores],
    rows: Sequence[dict[str, Any]],
    *,
    regions: Sequence[str],
    nsd_mm: Sequence[float],
    auroc: dict[str, Tensor] | None,
) -> dict[str, dict[str, Score]]:
    """Scores of all cases together.

    Args:
        scored: At least one case.
        rows: What `case_rows` made of them.
        regions: Regions in channel order.
        nsd_mm: Tolerances of the surface Dice.
        auroc: `<region>/auroc`, of the pooled voxels; None where only masks were scored.

    Returns:
        Per region the scores, and under `<score>_n` how many cases or slices a mean was taken over.
    """
    assert scored
    cases = [case.counts for case in scored]
    tp, fp, fn = torch.from_numpy(np.stack([case.stacked.sum(axis=1) for case in cases], axis=1))
    per_case = {"dice_per_case": dice(tp, fp, fn, empty=1.0), "iou_per_case": iou(tp, fp, fn, empty=1.0)}
    pooled = {
        "dice_global": dice(tp.sum(0), fp.sum(0), fn.sum(0), empty=_NAN),
        "iou_global": iou(tp.sum(0), fp.sum(0), fn.sum(0), empty=_NAN),
        "precision": precision(tp.sum(0), fp.sum(0), empty=_NAN),
        "recall": recall(tp.sum(0), fn.sum(0), empty=_NAN),
    }
    scores: dict[str, dict[str, Score]] = {}
    for channel, region in enumerate(regions):
        per_slice = torch.cat([_slice_dice(case, channel) for case in cases])
        held = torch.from_numpy(np.concatenate([case.reference[:, channel] > 0 for case in cases]))
        means = {
            **{name: values[:, channel] for name, values in per_case.items()},
            "dice_per_slice": per_slice[held],
            "dice_per_slice_with_empty": per_slice,
        }
        scores[region] = {name: _plain(values.mean()) for name, values in means.items()}
        scores[region] |= {name: _plain(values[channel]) for name, values in pooled.items()}
        scores[region]["auroc"] = None if auroc is None else _plain(auroc[f"{region}/auroc"])
        scores[region] |= {f"{name}_n": len(values) for name, values in means.items()}
        for name in mean_names(nsd_mm):
            defined = [row[name] for row in rows if row["region"] == region and row[name] is not None]
            scores[region][name] = sum(defined) / len(defined) if defined else None
            scores[region][f"{name}_n"] = len(defined)
    if "tumor" in regions:
        scores["tumor"] |= lesion_scores([case.lesions for case in scored if case.lesions is not None])
        scores["tumor"] |= _burden_rmse(rows)
    return scores


def _burden_rmse(rows: Sequence[dict[str, Any]]) -> dict[str, Score]:
    """Root mean square error of tumor / liver volume over cases where both sides have a liver."""
    volumes: dict[str, dict[str, tuple[float, float]]] = {}
    for row in rows:
        volumes.setdefault(row["case"], {})[row["region"]] = (row["predicted_ml"], row["reference_ml"])
    errors = [
        found["tumor"][0] / found["liver"][0] - found["tumor"][1] / found["liver"][1]
        for found in volumes.values()
        if "liver" in found and min(found["liver"]) > 0
    ]
    rmse = math.sqrt(sum(error**2 for error in errors) / len(errors)) if errors else None
    return {"burden_rmse": rmse, "burden_rmse_n": len(errors)}


def _relative_difference(predicted: Tensor, reference: Tensor) -> Tensor:
    """(predicted - reference) / reference, NaN where the reference is empty."""
    difference = (predicted - reference).to(torch.float64)
    return torch.where(reference > 0, difference / reference, _NAN)


def _lesion_columns(lesions: LesionCounts | None) -> dict[str, int | None]:
    return {f"lesion_{name}": getattr(lesions, name, None) for name in ("tp", "fp", "fn")}


def _slice_dice(case: CaseCounts, channel: int) -> Tensor:
    return torch.from_numpy(dice(*case.stacked[..., channel]))


def _plain(value: Tensor) -> Score:
    number = float(value)
    return None if math.isnan(number) else number
