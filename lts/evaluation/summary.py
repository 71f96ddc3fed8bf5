"""From scored cases to the results of an evaluation."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from lts.evaluation.calibration import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability,
)
from lts.evaluation.confidence import Bootstrap
from lts.evaluation.failures import advice, failure_totals
from lts.evaluation.panel import dice_panel, panel_remarks
from lts.evaluation.rules import ScoringRules
from lts.evaluation.scorer import ProbabilityScores
from lts.evaluation.scores import case_rows, cohort_scores, intervals, plain_scores
from lts.scores import LITS_NOTES, CaseScores, LesionFinding, lits_scores

_CALIBRATION = ("ece", "ece_uncertain", "brier", "nll", "temperature")


@dataclass(frozen=True, kw_only=True, eq=False)
class Summary:
    """The results of an evaluation. `summarize` makes it.

    >>> Summary(metrics={"regions": {}}, rows=[]).findings
    ()

    Attributes:
        metrics: Plain types: `regions`, `intervals`, their `intervals_level`, how many cases each rests on
            (`intervals_n`) and takes (`intervals_min_cases`), `panel`, `panel_remarks`, with probabilities
            `calibration`, with tumors `failures` and `advice` (none without probabilities, as of masks it
            is not known what made them), and where it was asked for `lits`.
        rows: One row a case and region.
        findings: Every lesion found, missed or falsely seen.
        roc: Per region false-positive rates, true-positive rates and the area; None without probabilities.
        reliability: Per region the reliability curve; None without probabilities.
    """

    metrics: dict[str, Any]
    rows: list[dict[str, Any]]
    findings: tuple[LesionFinding, ...] = ()
    roc: dict[str, tuple[Tensor, Tensor, float]] | None = None
    reliability: dict[str, dict[str, Any]] | None = None


def summarize(
    cases: Sequence[CaseScores],
    *,
    rules: ScoringRules | None = None,
    probabilities: ProbabilityScores | None = None,
    batch_size: int = 16,
    bootstrap: Bootstrap | None = None,
) -> Summary:
    """Summarize scored cases.

    >>> import numpy as np
    >>> from lts.scores import CaseMasks
    >>> from lts.volume import Voxel
    >>> reference = np.zeros((4, 16, 16), np.uint8)
    >>> reference[1:3, 4:12, 4:12], reference[2, 6:9, 6:9] = 1, 2
    >>> prediction = np.minimum(reference, 1)
    >>> masks = CaseMasks(
    ...     case="a", prediction=prediction, reference=reference, voxel=Voxel.of_spacing((5, 1, 1))
    ... )
    >>> summary = summarize([ScoringRules().score_case(masks)])
    >>> {region: scores["dice_per_case"] for region, scores in summary.metrics["regions"].items()}
    {'liver': 1.0, 'tumor': 0.0}

    Args:
        cases: At least one case.
        rules: By which they were scored; None for the defaults.
        probabilities: Scores of probabilities; None if masks were scored.
        batch_size: Slices of a batch, for the convention of averaging over batches.
        bootstrap: How intervals are drawn; None for the defaults.
    """
    rules = rules or ScoringRules()
    regions, rows = rules.regions, case_rows(cases, rules=rules)
    areas = probabilities.areas() if probabilities else None
    found = cohort_scores(cases, rows, rules=rules, auroc=areas)
    findings = tuple(finding for case in cases for finding in case.findings)
    panel = dice_panel([case.counts for case in cases], regions=regions, batch_size=batch_size)
    metrics: dict[str, Any] = {
        "regions": {region: plain_scores(scores) for region, scores in found.items()},
        **intervals(found, bootstrap=bootstrap or Bootstrap()),
        "panel": panel,
        "panel_remarks": panel_remarks(panel),
    }
    if "tumor" in regions:
        metrics |= {"failures": failure_totals(findings), "advice": advice(findings) if probabilities else []}
    roc, curves = None, None
    if probabilities and areas:
        roc = {region: (*probabilities.auroc.roc(region), area) for region, area in areas.items()}
        curves = _reliability(probabilities, regions)
        metrics["calibration"] = {
            region: {name: curve[name] for name in _CALIBRATION} for region, curve in curves.items()
        }
    if rules.lits:
        scored = [case.lits for case in cases if case.lits is not None]
        metrics["lits"] = {**lits_scores(scored), "notes": list(LITS_NOTES)}
    return Summary(metrics=metrics, rows=rows, findings=findings, roc=roc, reliability=curves)


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
