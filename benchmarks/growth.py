"""How cost grows with cases and slices: each size in a process of its own, with its time and memory."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.config import shipped
from benchmarks.measuring import Report, peak_mib
from benchmarks.scans import copies, full_size_case
from lts.app.commands.store import store
from lts.app.config.settings import DataSettings, RunPaths, SplitSettings, StoreSettings
from lts.cohort import Case
from lts.data import SliceDataModule
from lts.evaluation import ScoringRules
from lts.inference import Predictor
from lts.scores import CaseMasks
from lts.slices import Recipe, build_store
from lts.volume import read_ct, read_mask

ROOT = Path(__file__).parents[1]
TIMES = (1, 2, 4, 8)
DEPTH, SLICES, SIZE = 32, 64, 128
RECIPE = Recipe(image_size=SIZE, pixel_mm=None, modality="ct")
REGIONS = ("liver", "tumor")
SHARDED = f"store build of {max(TIMES)} scans"


def main(result: Path, scratch: Path) -> None:
    """Measure every size, and fit the exponents."""
    from benchmarks.training_run import train_briefly

    _cases(scratch, max(TIMES))
    train_briefly(scratch, "model.width=16", f"data.image_size={SIZE}")
    report = Report()
    for what in STEPS:
        measured = [_in_a_process(what, times, scratch) for times in TIMES]
        seconds = [one["seconds"] for one in measured]
        memory = [one["peak_mib"] for one in measured]
        report.growth[what] = {
            "unit": UNITS[what],
            "sizes": [times * SIZES[what] for times in TIMES],
            "seconds": [round(one, 3) for one in seconds],
            "peak_mib": [round(one) for one in memory],
            "exponent": _exponent(seconds),
            "memory_exponent": _exponent(memory),
        }
    report.save(result)


def _exponent(costs: list[float]) -> float:
    """The slope of the line through the logarithms, to two digits."""
    return round(float(np.polyfit(np.log(TIMES), np.log(costs), 1)[0]), 2) + 0.0  # -0.0 is 0


def _in_a_process(what: str, times: int, scratch: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.growth", what, str(times), str(scratch)]
    stdout = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    measured: dict[str, float] = json.loads(stdout.splitlines()[-1])
    return measured


def _cases(scratch: Path, count: int) -> list[Case]:
    folder = scratch / "cases"
    if not folder.exists():
        copies(full_size_case(scratch, depth=DEPTH), folder, count=count)
    numbers = range(count)
    return [
        Case(
            id=f"volume-{number}",
            patient=str(number),
            image=folder / f"volume-{number}.nii.gz",
            mask=folder / f"segmentation-{number}.nii.gz",
        )
        for number in numbers
    ]


def _store(times: int, scratch: Path) -> Callable[[], object]:
    cases, folder = _cases(scratch, times), scratch / f"store-{time.monotonic_ns()}"
    return lambda: build_store(cases, RECIPE, store_dir=folder, workers=1)


def _shards(times: int, scratch: Path) -> Callable[[], object]:
    """All shards of one store, one after the other on one processor."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    paths = RunPaths(store_dir=str(scratch / f"store-{time.monotonic_ns()}"))
    data = DataSettings(layout="lits", root=str(scratch / "cases"), image_size=SIZE)
    split = SplitSettings(val_share=0, test_share=0)
    shards = [
        StoreSettings(data=data, split=split, paths=paths, shards=times, shard=number)
        for number in range(times)
    ]
    return lambda: [store(shard) for shard in shards]


def _epoch(times: int, scratch: Path) -> Callable[[], object]:
    (case,) = _cases(scratch, 1)
    data = SliceDataModule(
        cases={"train": [case], "val": [case]},
        recipe=RECIPE,
        store_dir=scratch / "store",
        intensity=shipped("intensity/ct_windows"),
        augment=shipped("augment/default"),
        regions=REGIONS,
        context=0,
        batch_size=8,
        num_workers=0,
        region_share=0.5,
        slices_per_epoch=SLICES * times,
        seed=0,
    )
    data.setup("fit")
    network = shipped("model/unet", "model", in_channels=data.channels, out_channels=len(REGIONS), width=8)
    network = network.to(memory_format=torch.channels_last)
    loss, optimizer = shipped("loss/bce_dice"), torch.optim.Adam(network.parameters())

    def work() -> None:
        for raw in data.train_dataloader():
            batch = data.on_after_batch_transfer(raw, 0)
            optimizer.zero_grad()
            loss(network(batch["image"]), batch["mask"]).backward()
            optimizer.step()

    return work


def _evaluation(times: int, scratch: Path) -> Callable[[], object]:
    (case,) = _cases(scratch, 1)
    assert case.mask is not None
    scan = read_ct(case.image)
    reference = read_mask(case.mask, image=scan.geometry).voxels
    masks = CaseMasks(
        case=case.id,
        prediction=np.roll(reference, 2, axis=1),
        reference=reference,
        image=scan.voxels,
        is_ct=True,
        voxel=scan.geometry.voxel,
    )
    rules = ScoringRules(regions=REGIONS)
    return lambda: [rules.score_case(replace(masks, case=str(number))) for number in range(times)]


def _prediction(times: int, scratch: Path) -> Callable[[], object]:
    (case,) = _cases(scratch, 1)
    scan = read_ct(case.image)
    scan = replace(scan, voxels=np.concatenate([scan.voxels] * times))
    predictor = Predictor.from_checkpoint(scratch / "run" / "checkpoints" / "best.ckpt", device="cpu")
    return lambda: predictor.mask(scan)


STEPS: dict[str, Callable[[int, Path], Callable[[], object]]] = {
    "store build": _store,
    SHARDED: _shards,
    "epoch": _epoch,
    "evaluation": _evaluation,
    "prediction": _prediction,
}
UNITS = {
    "store build": f"scans of 512x512x{DEPTH}",
    SHARDED: "shards, one after the other",
    "epoch": f"slices of {SIZE}x{SIZE}",
    "evaluation": f"scans of 512x512x{DEPTH}",
    "prediction": "slices of 512x512 in one scan",
}
SIZES = {"store build": 1, SHARDED: 1, "epoch": SLICES, "evaluation": 1, "prediction": DEPTH}


def _measure(what: str, times: int, scratch: Path) -> None:
    work = STEPS[what](times, scratch)
    began = time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "peak_mib": peak_mib()}))


if __name__ == "__main__":
    if len(sys.argv) == 4:
        _measure(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
    else:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
