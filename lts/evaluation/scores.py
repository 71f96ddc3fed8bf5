"""Scores of cases and of a cohort, by the names that `metrics.json` and `cases.csv` use."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lts.evaluation.counts import CaseCounts
from lts.metrics import dice, iou, precision, recall

Score = float | None
"""None where a score is not defined."""

_NAN = float("nan")


def case_rows(cases: Sequence[CaseCounts], *, regions: Sequence[str]) -> list[dict[str, Any]]:
    """One row a case and region.

    Returns:
        Rows with `case`, `region`, `dice` and `iou` (1 where prediction and reference are both empty),
        `precision` and `recall` (None where undefined), `dice_per_slice` (mean over slices that hold the
        region in the reference, None without one), `reference_ml` and `predicted_ml`.
    """
    rows = []
    for case in cases:
        tp, fp, fn = (counts.sum(0) for counts in (case.tp, case.fp, case.fn))
        scores = {
            "dice": dice(tp, fp, fn, empty=1.0),
            "iou": iou(tp, fp, fn, empty=1.0),
            "precision": precision(tp, fp, empty=_NAN),
            "recall": recall(tp, fn, empty=_NAN),
            "reference_ml": case.reference.sum(0) * case.voxel_volume_ml,
            "predicted_ml": case.predicted.sum(0) * case.voxel_volume_ml,
        }
        for channel, region in enumerate(regions):
            per_slice = _slice_dice(case, channel)
            rows.append(
                {
                    "case": case.case,
                    "region": region,
                    **{name: _plain(values[channel]) for name, values in scores.items()},
                    "dice_per_slice": _plain(per_slice[case.reference[:, channel] > 0].mean()),
                }
            )
    return rows


def cohort_scores(
    cases: Sequence[CaseCounts], *, regions: Sequence[str], auroc: dict[str, Tensor]
) -> dict[str, dict[str, Score]]:
    """Scores of all cases together.

    Args:
        cases: At least one case.
        regions: Regions in channel order.
        auroc: `<region>/auroc`, of the pooled voxels.

    Returns:
        Per region the scores, and under `<score>_n` how many cases or slices a mean was taken over.
    """
    assert cases
    tp, fp, fn = (torch.stack([getattr(case, name).sum(0) for case in cases]) for name in ("tp", "fp", "fn"))
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
        held = torch.cat([case.reference[:, channel] > 0 for case in cases])
        means = {
            **{name: values[:, channel] for name, values in per_case.items()},
            "dice_per_slice": per_slice[held],
            "dice_per_slice_with_empty": per_slice,
        }
        scores[region] = {name: _plain(values.mean()) for name, values in means.items()}
        scores[region] |= {name: _plain(values[channel]) for name, values in pooled.items()}
        scores[region]["auroc"] = _plain(auroc[f"{region}/auroc"])
        scores[region] |= {f"{name}_n": len(values) for name, values in means.items()}
    return scores


def _slice_dice(case: CaseCounts, channel: int) -> Tensor:
    return dice(case.tp[:, channel], case.fp[:, channel], case.fn[:, channel], empty=1.0)


def _plain(value: Tensor) -> Score:
    number = float(value)
    return None if math.isnan(number) else number
