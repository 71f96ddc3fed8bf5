"""Runs that have no result yet."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.accuracy.lanes import measured
from benchmarks.accuracy.parts import Fold
from benchmarks.accuracy.records import Record, Run, add_record, read_records


def run_missing(wanted: Sequence[tuple[Run, Fold]], folder: Path, *, at_once: int) -> bool:
    """Run what has no result, and say how each ended; return whether all have one now.

    Args:
        wanted: The runs with their cases.
        folder: Folder of the benchmark.
        at_once: Number of runs that share the machine.
    """
    there = read_records(folder)
    for run, _ in wanted:
        if run in there:
            print(f"{run}: exists; {_told(there[run])}", flush=True)
    missing = [(run, fold) for run, fold in wanted if run not in there]
    failed = 0
    for run, outcome in measured(missing, folder, at_once=at_once):
        if isinstance(outcome, Record):
            add_record(folder, outcome)
            print(f"{run}: {_told(outcome)}", flush=True)
        else:
            print(f"{run}: failed: {outcome}", flush=True)
            failed += 1
    return not failed


def _told(record: Record) -> str:
    regions = record.cases[0]["rows"]
    means = {
        region: sum(case["rows"][region]["dice"] for case in record.cases) / len(record.cases)
        for region in regions
    }
    dice = ", ".join(f"{region} {value:.3f}" for region, value in means.items())
    return (
        f"mean Dice {dice}; {record.slices_seen:,} slices in {record.train_s:.0f} s, "
        f"{record.all_s:.0f} s in all, {record.cpu_s:.0f} s of processor time"
    )
