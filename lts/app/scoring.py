"""Scores a model or masks on cases, and writes what was found."""

import csv
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from lts.app.console import ShowProgress, print_table, say
from lts.app.masks import MaskPair
from lts.app.provenance import RunRecord, write_json
from lts.base import ConfigError, Modality
from lts.cohort import Case
from lts.evaluation import (
    Bootstrap,
    CaseMasks,
    CaseScorer,
    LesionFinding,
    ProbabilityScores,
    ReportData,
    ScoringRules,
    Summary,
    summarize,
    write_report,
)
from lts.figures import save_roc
from lts.inference import Predictor
from lts.volume import read_geometry, read_image, read_mask

METRICS_FILE, CASES_FILE = "metrics.json", "cases.csv"

_TABLE = ("dice_per_case", "dice_global", "iou_per_case", "iou_global", "precision", "recall", "auroc")
_SLICES_OF_A_BATCH = 16
_SHOWN_CASES = 3


@dataclass(frozen=True, kw_only=True)
class ScoringSettings:
    """The settings of `scoring`; see `conf/scoring/default.yaml`.

    Raises:
        ConfigError: A setting breaks its rule.
    """

    nsd_mm: list[float]
    lits: bool
    level: float
    resamples: int
    seed: int
    workers: int | None

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ConfigError(f"scoring.level: must lie between 0 and 1, got {self.level}")
        for name in ("resamples", "workers"):
            value = getattr(self, name)
            if value is not None and not value >= 1:
                raise ConfigError(f"scoring.{name}: must be >= 1, got {value}")

    def bootstrap(self) -> Bootstrap:
        """How intervals are drawn."""
        return Bootstrap(level=self.level, resamples=self.resamples, seed=self.seed)

    def rules(
        self, regions: Sequence[str], *, output_dir: Path, window_hu: tuple[float, float] | None
    ) -> ScoringRules:
        """What is scored, with pictures in `overlays/`."""
        return ScoringRules(
            regions=tuple(regions),
            nsd_mm=tuple(self.nsd_mm),
            lits=self.lits,
            overlay_dir=output_dir / "overlays",
            window_hu=window_hu,
        )

    def processes(self, cases: int) -> int:
        """Processes for so many cases."""
        return min(cases, self.workers or os.cpu_count() or 1)


def score_model(
    predictor: Predictor,
    cases: Sequence[Case],
    *,
    subset: str,
    output_dir: Path,
    rules: ScoringRules,
    settings: ScoringSettings,
    record: RunRecord,
) -> dict[str, Any]:
    """Score a model on each scan's own grid and write all files of an evaluation.

    Args:
        predictor: The model.
        cases: Cases with masks, at least one.
        subset: What the cases are called in `metrics.json`.
        output_dir: Folder that the files are written to.
        rules: What is scored, made of the settings before anything costly began.
        settings: How masks are scored.
        record: The run, for the report.

    Returns:
        What `metrics.json` holds.

    Raises:
        VolumeError: A scan or mask cannot be read.
    """
    probabilities = ProbabilityScores(predictor.regions)
    with _case_scorer(rules, settings, title=f"scoring {subset} cases", cases=len(cases)) as scorer:
        for case in cases:
            scan = read_image(case.image, modality=predictor.modality)
            assert case.mask is not None
            reference = read_mask(case.mask, image=scan.geometry)
            prediction = predictor.mask(scan, on_slab=partial(probabilities.add, reference))
            scorer.add(
                CaseMasks(
                    case=case.id,
                    prediction=prediction,
                    reference=reference.voxels,
                    image=scan.voxels,
                    is_ct=predictor.modality == "ct",
                    spacing_mm=scan.geometry.spacing_mm,
                )
            )
        scored = scorer.result()
    summary = summarize(
        scored,
        rules=rules,
        probabilities=probabilities,
        batch_size=predictor.checkpoints[0].config["data"]["batch_size"],
        bootstrap=settings.bootstrap(),
    )
    return _write(
        summary,
        rules,
        title=f"{subset} subset",
        subset=subset,
        output_dir=output_dir,
        level=settings.level,
        record=record,
    )


def score_masks(
    pairs: Sequence[MaskPair],
    *,
    modality: Modality,
    output_dir: Path,
    rules: ScoringRules,
    settings: ScoringSettings,
    record: RunRecord,
) -> None:
    """Score masks of any system against their references; otherwise as `score_model`."""
    with _case_scorer(rules, settings, title="scoring masks", cases=len(pairs)) as scorer:
        for pair in pairs:
            image = read_image(pair.image, modality=modality) if pair.image else None
            geometry = image.geometry if image else read_geometry(pair.reference)
            prediction, reference = (
                read_mask(path, image=geometry) for path in (pair.prediction, pair.reference)
            )
            scorer.add(
                CaseMasks(
                    case=pair.case,
                    prediction=prediction.voxels,
                    reference=reference.voxels,
                    image=image.voxels if image else None,
                    is_ct=modality == "ct",
                    spacing_mm=geometry.spacing_mm,
                )
            )
        scored = scorer.result()
    summary = summarize(
        scored,
        rules=rules,
        probabilities=None,
        batch_size=_SLICES_OF_A_BATCH,
        bootstrap=settings.bootstrap(),
    )
    _write(
        summary,
        rules,
        title="masks",
        subset="masks",
        output_dir=output_dir,
        level=settings.level,
        record=record,
    )


def _case_scorer(rules: ScoringRules, settings: ScoringSettings, *, title: str, cases: int) -> CaseScorer:
    progress = ShowProgress(title)
    return CaseScorer(rules, workers=settings.processes(cases), on_scored=lambda done: progress(done, cases))


def _write(
    summary: Summary,
    rules: ScoringRules,
    *,
    title: str,
    subset: str,
    output_dir: Path,
    level: float,
    record: RunRecord,
) -> dict[str, Any]:
    n_cases = len(summary.rows) // len(rules.regions)
    metrics = {"subset": subset, "n_cases": n_cases, **summary.metrics}
    write_json(output_dir / METRICS_FILE, metrics)
    write_csv(output_dir / CASES_FILE, summary.rows)
    lesions = [asdict(finding) for finding in summary.findings]
    if "tumor" in rules.regions:
        write_csv(
            output_dir / "lesions.csv", lesions, columns=[field.name for field in fields(LesionFinding)]
        )
    if summary.roc:
        save_roc(output_dir / "roc.png", summary.roc)
    assert rules.overlay_dir is not None
    write_report(
        output_dir / "report.html",
        ReportData(
            title=f"{title}, cases: {n_cases}",
            regions=rules.regions,
            metrics=metrics,
            cases=summary.rows,
            lesions=lesions,
            failure_totals=metrics.get("failures", {}),
            advice=metrics.get("advice", []),
            panel=metrics["panel"],
            panel_remarks=metrics["panel_remarks"],
            roc={name: (fpr.tolist(), tpr.tolist(), area) for name, (fpr, tpr, area) in summary.roc.items()}
            if summary.roc
            else None,
            reliability=summary.reliability,
            pictures=_pictures(summary.rows, rules),
            lits=metrics.get("lits"),
            provenance=record.origins(),
            notes=[],
            level=level,
        ),
    )
    print_table(
        f"{title}, cases: {n_cases}, on each scan's own grid",
        [
            {"region": region, **{name: found[name] for name in _TABLE}}
            for region, found in metrics["regions"].items()
        ],
    )
    for remark in (*metrics["panel_remarks"], *metrics.get("advice", ())):
        say(remark)
    return metrics


def _pictures(rows: Sequence[dict[str, Any]], rules: ScoringRules) -> list[tuple[str, str, Path]]:
    """The worst and the best cases by Dice of the last region, with their overlays."""
    assert rules.overlay_dir is not None
    region = rules.regions[-1]
    ranked = sorted((row for row in rows if row["region"] == region), key=lambda row: row["dice"])
    worst = ranked[:_SHOWN_CASES]
    best = [row for row in ranked[::-1][:_SHOWN_CASES] if row not in worst]
    return [
        (row["case"], f"{name}: {region} Dice {row['dice']:.3f}", rules.overlay_dir / f"{row['case']}.png")
        for name, group in (("worst", worst), ("best", best))
        for row in group
    ]


def write_csv(path: Path, rows: Sequence[dict[str, Any]], *, columns: Sequence[str] | None = None) -> None:
    """Write rows that share their keys; `columns` names them where there may be no row."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(columns or rows[0]))
        writer.writeheader()
        writer.writerows(rows)
