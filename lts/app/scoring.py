"""Scores a checkpoint on cases and writes what was found."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lts.app.console import ShowProgress, print_table
from lts.app.provenance import write_json
from lts.cohort import Case
from lts.evaluation import CohortScorer, CohortScores
from lts.figures import save_roc
from lts.inference import Predictor
from lts.slices import read_image
from lts.volume import read_mask

METRICS_FILE = "metrics.json"

_TABLE = ("dice_per_case", "dice_global", "iou_per_case", "iou_global", "precision", "recall", "auroc")


def score_cases(
    predictor: Predictor,
    cases: Sequence[Case],
    *,
    subset: str,
    output_dir: Path,
    window_hu: tuple[float, float] | None,
) -> CohortScores:
    """Score a model on each scan's own grid; write `metrics.json`, `cases.csv`, `overlays/` and `roc.png`.

    Args:
        predictor: The model.
        cases: Cases with masks, at least one.
        subset: What the cases are called in `metrics.json`.
        output_dir: Folder that the files are written to.
        window_hu: Level and width of the pictures, None for percentiles of each scan.

    Raises:
        VolumeError: A scan or mask cannot be read.
    """
    checkpoint = predictor.checkpoint
    scorer = CohortScorer(
        regions=checkpoint.regions, overlay_dir=output_dir / "overlays", window_hu=window_hu
    )
    progress = ShowProgress(f"scoring {subset} cases")
    for done, case in enumerate(cases, start=1):
        scan = read_image(case.image, modality=checkpoint.recipe.modality)
        assert case.mask is not None
        mask = read_mask(case.mask, image=scan.geometry)
        scorer.add(case.id, scan=scan, mask=mask, slabs=predictor.slabs(scan))
        progress(done, len(cases))
    scores = scorer.result()
    write_json(
        output_dir / METRICS_FILE,
        {"subset": subset, "n_cases": len(cases), "regions": scores.cohort},
    )
    _write_csv(output_dir / "cases.csv", scores.cases)
    save_roc(output_dir / "roc.png", scores.roc)
    rows = [
        {"region": region, **{name: found[name] for name in _TABLE}}
        for region, found in scores.cohort.items()
    ]
    print_table(f"{subset} subset, cases: {len(cases)}, on each scan's own grid", rows)
    return scores


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
