"""What a loader worker holds, and whether it grows."""

import multiprocessing
import sys
from pathlib import Path

from benchmarks.config import shipped
from benchmarks.measuring import Figure, Report
from benchmarks.scans import full_size_case
from lts.data import SliceDataModule
from lts.slices import Recipe

EPOCHS, SLICES, SETTLED = 20, 160, 3
GOAL_MIB, GROWTH_MIB = 300, 8


def main(result: Path, scratch: Path) -> None:
    """Measure and write the figures."""
    data = SliceDataModule(
        cases={"train": [case := full_size_case(scratch)], "val": [case]},
        recipe=Recipe(image_size=256, pixel_mm=None, modality="ct"),
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
    report.save(result)


def _memory_mib(pid: int | None) -> dict[str, float]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    return {name.rstrip(":"): int(kib) / 1024 for name, kib, *_ in fields}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
