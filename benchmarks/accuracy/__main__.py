"""Train lts and its peers for equal minutes on equal cores, and score their masks.

python -m benchmarks.accuracy --parts a --folds 0 --systems lts monai --minutes 1
python -m benchmarks.accuracy --page

The second runs what is missing, writes docs/accuracy.md, and draws the ten patients of each part in whom
lts did worst in data/accuracy/pictures.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.accuracy.lanes import measured
from benchmarks.accuracy.page import Page, gather, write_page
from benchmarks.accuracy.parts import PARTS, ROOT, Fold, real_data
from benchmarks.accuracy.pictures import draw_worst
from benchmarks.accuracy.records import Record, Run, add_record, as_line, read_records
from benchmarks.accuracy.systems import SYSTEMS, absent, is_known
from lts.base import usable_processors, write_utf8


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line names."""
    asked = _parse(arguments)
    folder = asked.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    skipped = _skipped(asked)
    for line in skipped:
        print(f"skipped {line}", flush=True)
    all_folds = {
        part: PARTS[part].folds(folder, real_data())
        for part in asked.parts
        if not PARTS[part].absent(real_data())
    }
    folds = {
        part: [fold for fold in of_part if asked.folds is None or fold.number in asked.folds]
        for part, of_part in all_folds.items()
    }
    systems = [system for system in asked.systems if not absent(system)]
    planned = {
        part: {system: _runs(of_part, system, asked) for system in systems} for part, of_part in folds.items()
    }
    wanted = [
        (run, fold)
        for part, of_part in folds.items()
        for fold in of_part
        for runs in planned[part].values()
        for run in runs
        if run.fold == fold.number
    ]
    is_complete = _run_missing(wanted, folder, at_once=asked.at_once)
    page = gather(planned, read_records(folder), skipped + _not_asked_for(asked, all_folds))
    is_written = not asked.page or _write(page, asked.docs)
    if asked.page and asked.keep:
        write_utf8(asked.keep, "".join(map(as_line, page.records)))
    if asked.page:
        for path in draw_worst(folder, page, all_folds):
            print(f"wrote {path}")
    return 0 if is_complete and is_written else 1


def _write(page: Page, docs: Path) -> bool:
    """Write the page if there is a complete result; return whether there is one."""
    if page.parts:
        write_page(docs, page)
        print(f"wrote {docs / 'accuracy.md'}")
    else:
        print("no page: no system has complete results in any part")
    return bool(page.parts)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--folds", nargs="+", type=int, help="numbers of folds; default all")
    parser.add_argument(
        "--systems",
        nargs="+",
        default=list(SYSTEMS),
        help=f"of {', '.join(SYSTEMS)}; with options as in lts:model.norm=instance",
    )
    minutes = ", ".join(f"{part.minutes:g} in {name}" for name, part in PARTS.items())
    parser.add_argument("--minutes", type=float, help=f"of each training; default {minutes}")
    parser.add_argument("--cores", type=int, default=1, help="processors of each training")
    parser.add_argument(
        "--at-once", type=int, default=1, help="trainings at once, each on processors of its own"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "data" / "accuracy", help="of results, masks and phantoms"
    )
    parser.add_argument(
        "--page", action="store_true", help="write docs/accuracy.md, and pictures, of complete results"
    )
    parser.add_argument(
        "--keep", type=Path, help="with --page, a file for the scores of each case, a JSON line a run"
    )
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder of the page")
    asked = parser.parse_args(arguments)
    for system in asked.systems:
        if not is_known(system):
            parser.error(f"--systems: must be of {', '.join(SYSTEMS)}, or a module, got {system}")
    if asked.minutes is not None and asked.minutes <= 0:
        parser.error(f"--minutes: must be > 0, got {asked.minutes:g}")
    if not 1 <= asked.cores <= usable_processors():
        parser.error(f"--cores: must be from 1 to {usable_processors()}, got {asked.cores}")
    most = usable_processors() // asked.cores
    if not 1 <= asked.at_once <= most:
        parser.error(f"--at-once: must be from 1 to {most} with --cores {asked.cores}, got {asked.at_once}")
    return asked


def _skipped(asked: argparse.Namespace) -> list[str]:
    """Why parts and systems cannot run."""
    parts = {f"part {part}": PARTS[part].absent(real_data()) for part in asked.parts}
    systems = {system: absent(system) for system in asked.systems}
    return [f"{name}: {why}" for name, why in (parts | systems).items() if why]


def _not_asked_for(asked: argparse.Namespace, folds: Mapping[str, Sequence[Fold]]) -> list[str]:
    """Parts, systems and folds that the command line leaves out."""
    names = {system.partition(":")[0] for system in asked.systems}
    lines = [
        f"part {name} ({part.title}): not run" for name, part in PARTS.items() if name not in asked.parts
    ]
    lines += [f"{system}: not run" for system in SYSTEMS if system not in names]
    for part, of_part in folds.items():
        left = [fold.number for fold in of_part if asked.folds is not None and fold.number not in asked.folds]
        if left:
            lines.append(f"part {part}: folds not run: {', '.join(map(str, left))}")
    return lines


def _runs(folds: Sequence[Fold], system: str, asked: argparse.Namespace) -> list[Run]:
    return [
        Run(
            part=fold.part,
            fold=fold.number,
            system=system,
            seed=seed,
            minutes=PARTS[fold.part].minutes if asked.minutes is None else asked.minutes,
            cores=asked.cores,
        )
        for fold in folds
        for seed in asked.seeds
    ]


def _run_missing(wanted: Sequence[tuple[Run, Fold]], folder: Path, *, at_once: int) -> bool:
    """Run what has no result; return whether all have one now."""
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


if __name__ == "__main__":
    sys.exit(main())
