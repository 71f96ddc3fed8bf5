"""What a loader worker holds, whether it grows, and what a prediction of a long scan holds."""

import multiprocessing
import subprocess
import sys
from pathlib import Path

from benchmarks.config import shipped
from benchmarks.measuring import Figure, Report
from benchmarks.scans import MATRIX, full_size_case
from benchmarks.training_run import train_briefly
from lts.data import SliceDataModule
from lts.slices import Recipe

ROOT = Path(__file__).parents[1]
EPOCHS, SLICES, SETTLED, SIZE = 20, 160, 3, 256
GOAL_MIB, GROWTH_MIB = 300, 8
LONG_DEPTH, PREDICTION_MIB = 1000, 2048
PEAK_OF = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""KiB of a command. In a small process of its own: Linux counts what the one held that started it, too."""


def main(result: Path, scratch: Path, depth: int = LONG_DEPTH) -> None:
    """Measure and write the figures."""
    data = SliceDataModule(
        cases={"train": [case := full_size_case(scratch)], "val": [case]},
        recipe=Recipe(image_size=SIZE, pixel_mm=None, modality="ct"),
        store_dir=scratch / "store",
        intensity=shipped("intensity/ct_windows"),
        augment=shipped("augment/default"),
        regions=["liver", "tumor"],
        context=0,
        batch_size=16,
        num_workers=1,
        region_share=0.5,
        slices_per_epoch=SLICES,
        seed=0,
    )
    data.setup("fit")
    loader = data.train_dataloader()
    resident, private = [], []
    for _ in range(EPOCHS):
        for _batch in loader:
            pass
        (worker,) = multiprocessing.active_children()
        facts = _memory_mib(worker.pid)
        resident.append(facts["Rss"])
        private.append(facts["Private_Clean"] + facts["Private_Dirty"])
    report = Report()
    report.figures.append(
        Figure(
            what="memory of a loader worker beyond what it shares with its parent",
            against="its parent",
            values=(max(private),),
            unit="MiB",
            goal=GOAL_MIB,
            better="less",
            detail=f"the most in {EPOCHS} epochs; resident with all that is shared: {max(resident):.0f} MiB",
        )
    )
    report.figures.append(
        Figure(
            what=f"growth of a loader worker over {EPOCHS} epochs",
            against=f"itself after {SETTLED}",
            values=(resident[-1] - resident[SETTLED - 1],),
            unit="MiB",
            goal=GROWTH_MIB,
            better="less",
            detail=f"{resident[SETTLED - 1]:.0f} to {resident[-1]:.0f} MiB resident",
        )
    )
    report.figures.append(
        Figure(
            what=f"memory of `python predict.py`, {MATRIX}x{MATRIX}x{depth}",
            against="for itself",
            values=(_prediction_mib(scratch, depth),),
            unit="MiB",
            goal=PREDICTION_MIB,
            better="less",
            detail=f"the most that was resident, libraries included; U-Net as shipped at {SIZE}x{SIZE}, CPU",
        )
    )
    report.save(result)


def _prediction_mib(scratch: Path, depth: int) -> float:
    """The peak of a process that predicts a scan of so many slices."""
    ckpt, scan = train_briefly(scratch, f"data.image_size={SIZE}"), full_size_case(scratch, depth=depth).image
    arguments = [f"ckpt={ckpt}", f"input={scan}", f"output={scratch / 'masks'}", "device=cpu"]
    command = [sys.executable, "-c", PEAK_OF, sys.executable, "predict.py", *arguments]
    return int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout) / 1024


def _memory_mib(pid: int | None) -> dict[str, float]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    return {name.rstrip(":"): int(kib) / 1024 for name, kib, *_ in fields}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
