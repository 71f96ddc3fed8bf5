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

from benchmarks.accuracy.missing import run_missing
from benchmarks.accuracy.options import absent_systems, add_options, check_options
from benchmarks.accuracy.page import Page, gather, write_page
from benchmarks.accuracy.parts import PARTS, ROOT, Fold, real_data
from benchmarks.accuracy.pictures import draw_worst
from benchmarks.accuracy.records import Run, as_line, read_records
from benchmarks.accuracy.systems import SYSTEMS, absent
from lts.base import write_utf8

_WRITTEN_BY = "Written by `make accuracy`."
_MORE = (
    "[Recipes](recipes.md#the-patients) explains those of lts. The scores of each case are in "
    "`benchmarks/results/accuracy.jsonl`."
)


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
    is_complete = run_missing(wanted, folder, at_once=asked.at_once)
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
        path = docs / "accuracy.md"
        write_page(path, page, parts=PARTS, written_by=_WRITTEN_BY, more=_MORE)
        print(f"wrote {path}")
    else:
        print("no page: no system has complete results in any part")
    return bool(page.parts)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--folds", nargs="+", type=int, help="numbers of folds; default all")
    minutes = ", ".join(f"{part.minutes:g} in {name}" for name, part in PARTS.items())
    add_options(parser, minutes=f"default {minutes}")
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
    check_options(parser, asked)
    return asked


def _skipped(asked: argparse.Namespace) -> list[str]:
    """Why parts and systems cannot run."""
    reasons = {f"part {part}": PARTS[part].absent(real_data()) for part in asked.parts}
    return [f"{name}: {why}" for name, why in reasons.items() if why] + absent_systems(asked)


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


if __name__ == "__main__":
    sys.exit(main())
