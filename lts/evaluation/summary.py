"""From scored cases to all that an evaluation tells."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from lts.evaluation.calibration import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability,
)
from lts.evaluation.confidence import MIN_CASES, mean_interval, ratio_interval
from lts.evaluation.failures import advice, failure_totals
from lts.evaluation.panel import dice_panel, panel_remarks
from lts.evaluation.rules import ScoringRules
from lts.evaluation.scorer import ProbabilityScores
from lts.evaluation.scores import case_rows, cohort_scores, mean_names
from lts.scores import LITS_NOTES, CaseScores, LesionFinding, lits_scores

_CALIBRATION = ("ece", "ece_uncertain", "brier", "nll", "temperature")
_PER_CASE = {"dice_per_case": "dice", "iou_per_case": "iou"}


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """How intervals are drawn.

    Attributes:
        level: Confidence level, in (0, 1).
        resamples: How often cases are drawn anew.
        seed: Of the random numbers.
    """

    level: float = 0.95
    resamples: int = 2000
    seed: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Summary:
    """What an evaluation found.

    Attributes:
        metrics: Plain types: `regions`, `intervals`, how many cases each rests on (`intervals_n`) and takes
            (`intervals_min_cases`), `panel`, `panel_remarks`, with tumors `failures` and `advice`, with
            probabilities `calibration`, and where it was asked for `lits`.
        rows: One row a case and region.
        findings: Every lesion found, missed or falsely seen.
        roc: Per region false-positive rates, true-positive rates and the area; None without probabilities.
        reliability: Per region the reliability curve; None without probabilities.
    """

    metrics: dict[str, Any]
    rows: list[dict[str, Any]]
    findings: tuple[LesionFinding, ...]
    roc: dict[str, tuple[Tensor, Tensor, float]] | None
    reliability: dict[str, dict[str, Any]] | None


def summarize(
    cases: Sequence[CaseScores],
    *,
    rules: ScoringRules,
    probabilities: ProbabilityScores | None,
    batch_size: int,
    bootstrap: Bootstrap,
) -> Summary:
    """Put scored cases together.

    Args:
        cases: At least one case.
        rules: By which they were scored.
        probabilities: What only probabilities tell; None where masks were scored.
        batch_size: Slices of a batch, for the convention of averaging over batches.
        bootstrap: How intervals are drawn.
    """
    regions = rules.regions
    auroc = probabilities.auroc.compute() if probabilities else None
    rows = case_rows(cases, regions=regions, nsd_mm=rules.nsd_mm)
    findings = tuple(finding for case in cases for finding in case.findings)
    panel = dice_panel([case.counts for case in cases], regions=regions, batch_size=batch_size)
    metrics: dict[str, Any] = {
        "regions": cohort_scores(cases, rows, regions=regions, nsd_mm=rules.nsd_mm, auroc=auroc),
        **_intervals(cases, rows, rules=rules, bootstrap=bootstrap),
        "panel": panel,
        "panel_remarks": panel_remarks(panel),
    }
    if "tumor" in regions:
        metrics |= {"failures": failure_totals(findings), "advice": advice(findings)}
    roc, curves = None, None
    if probabilities and auroc:
        roc = {
            region: (*probabilities.auroc.roc(region), float(auroc[f"{region}/auroc"])) for region in regions
        }
        curves = _reliability(probabilities, regions)
        metrics["calibration"] = {
            region: {name: curve[name] for name in _CALIBRATION} for region, curve in curves.items()
        }
    if rules.lits:
        scored = [case.lits for case in cases if case.lits is not None]
        metrics["lits"] = {**lits_scores(scored), "notes": list(LITS_NOTES)}
    return Summary(metrics=metrics, rows=rows, findings=findings, roc=roc, reliability=curves)


def _intervals(
    cases: Sequence[CaseScores],
    rows: Sequence[dict[str, Any]],
    *,
    rules: ScoringRules,
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """By region and score `[low, high]` or None under `intervals`, and the cases behind it."""
    settings: dict[str, Any] = asdict(bootstrap)
    columns = {**_PER_CASE, **{name: name for name in mean_names(rules.nsd_mm)}}
    intervals: dict[str, dict[str, list[float] | None]] = {}
    counts: dict[str, dict[str, int]] = {}
    for channel, region in enumerate(rules.regions):
        of_region = [row for row in rows if row["region"] == region]
        tp, fp, fn = (
            np.array([int(getattr(case.counts, name)[:, channel].sum()) for case in cases])
            for name in ("tp", "fp", "fn")
        )
        means = {
            score: np.array([row[column] for row in of_region], float) for score, column in columns.items()
        }
        ratios = {
            "dice_global": (2 * tp, 2 * tp + fp + fn),
            "iou_global": (tp, tp + fp + fn),
            "precision": (tp, tp + fp),
            "recall": (tp, tp + fn),
        }
        found = {score: mean_interval(values, **settings) for score, values in means.items()}
        found |= {score: ratio_interval(*parts, **settings) for score, parts in ratios.items()}
        intervals[region] = {
            score: None if interval is None else [interval.low, interval.high]
            for score, interval in found.items()
        }
        counts[region] = {score: int((~np.isnan(values)).sum()) for score, values in means.items()}
        counts[region] |= {score: int((below > 0).sum()) for score, (_, below) in ratios.items()}
    return {"intervals": intervals, "intervals_n": counts, "intervals_min_cases": MIN_CASES}


def _reliability(probabilities: ProbabilityScores, regions: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Per region the curve over all voxels, the errors, and the temperature that fits best."""
    counts = probabilities.calibration
    found = {}
    for region in regions:
        curve, uncertain = (reliability(counts, region, uncertain=only) for only in (False, True))
        found[region] = {
            **asdict(curve),
            "ece": expected_calibration_error(curve),
            "ece_uncertain": expected_calibration_error(uncertain),
            "brier": brier_score(counts, region),
            "nll": negative_log_likelihood(counts, region, temperature=1.0),
            "temperature": fit_temperature(counts, region),
        }
    return found
