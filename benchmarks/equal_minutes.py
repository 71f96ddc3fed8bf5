"""Tumor Dice on phantoms that networks of lts and others reach in the same minutes, by the same recipe.

python -m benchmarks.equal_minutes RESULT SCRATCH [MINUTES]
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.measuring import Figure, Report

ROOT = Path(__file__).parents[1]
MINUTES, CASES, SEEDS = 4.0, 40, (0,)
OURS = "U-Net"
LEAST = 0.01
"""Of a goal, which is what the other network reached."""
NETWORKS: Mapping[str, tuple[str, ...]] = {
    OURS: (),
    "smp Unet (mobilenet_v2)": ("model=smp_unet", "model.encoder_name=mobilenet_v2", "~model.width"),
    "MONAI BasicUNet": ("model=monai_basicunet", "~model.width"),
}
"""What the command line of each has of its own; the recipe's width is one of the networks of lts."""


def main(result: Path, scratch: Path, minutes: float = MINUTES) -> None:
    """Train, and write the figures."""
    runs = [{name: _trained(name, scratch, seed, minutes) for name in NETWORKS} for seed in SEEDS]
    report = Report()
    for name in NETWORKS:
        if name == OURS:
            continue
        report.figures.append(
            Figure(
                what=f"tumor Dice of the test phantoms after {minutes:g} minutes, {OURS} of "
                "`experiment=phantom_cpu`",
                against=f"{name} by the same recipe, locator included",
                values=tuple(_dice(run[OURS]) for run in runs),
                unit="",
                goal=max(LEAST, statistics.fmean(_dice(run[name]) for run in runs)),
                better="more",
                detail="; ".join(f"{_told(run[OURS])} against {_told(run[name])}" for run in runs),
            )
        )
    report.save(result)


def _trained(name: str, scratch: Path, seed: int, minutes: float) -> dict[str, Any]:
    """The scores and the record of a run."""
    folder = scratch / f"run-{seed}-{len(list(scratch.glob('run-*')))}"
    arguments = (
        *("experiment=phantom_cpu", *NETWORKS[name], f"data.phantom.cases={CASES}"),
        *(f"budget_minutes={minutes:g}", f"seed={seed}", "trainer=cpu", "logger=none"),
        *(f"paths.output_dir={folder}", f"paths.data_dir={scratch / 'data'}"),
    )
    subprocess.run([sys.executable, "train.py", *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return {file: json.loads((folder / f"{file}.json").read_text()) for file in ("metrics", "run")}


def _dice(run: Mapping[str, Any]) -> float:
    dice: float = run["metrics"]["regions"]["tumor"]["dice_per_case"]
    return dice


def _told(run: Mapping[str, Any]) -> str:
    record = run["run"]
    seen = record["train_slices_per_s"] * record["fit_s"]
    return f"{_dice(run):.3f} ({seen:,.0f} slices seen)"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(float, sys.argv[3:]))
