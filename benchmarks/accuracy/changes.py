"""Change a recipe in one thing at a time, with several seeds, and see what the same number of slices teach.

python -m benchmarks.accuracy.changes --parts a --folds 0 1 --seeds 0 1 2

Results in the folder are not run again. Writes docs/changes.md of the changes that have all folds and seeds.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accuracy.missing import run_missing
from benchmarks.accuracy.page import conditions, wrapped
from benchmarks.accuracy.parts import PARTS, ROOT, Fold, real_data
from benchmarks.accuracy.records import Record, Run, as_line, read_records
from benchmarks.accuracy.tables import Results, compared
from lts.base import usable_processors, write_utf8
from lts.evaluation import holm


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is compared on a part of the bench.

    Attributes:
        slices: How many slices each training sees, in `epochs` epochs.
        epochs: Their number.
        folds: Folds that are run unless the command line names others.
        changes: Words of the command line of `train.py`, each a change of the part's recipe.
    """

    slices: int
    epochs: int
    folds: tuple[int, ...]
    changes: tuple[str, ...]

    @property
    def settings(self) -> str:
        """Words that fix the slices seen, for the recipe and for each change."""
        each = self.slices // self.epochs
        return f"budget_minutes=null trainer.max_epochs={self.epochs} data.slices_per_epoch={each}"

    def system(self, change: str) -> str:
        """The system of the bench that is the recipe with a change; without one for an empty word."""
        given = {word.partition("=")[0] for word in change.split()}
        kept = [word for word in self.settings.split() if word.partition("=")[0] not in given]
        return f"lts:{' '.join([*kept, *change.split()])}"


PLANS = {
    "a": Plan(
        slices=2000,
        epochs=4,
        folds=(0, 1),
        changes=(
            "model.norm=batch",
            "model.norm=group",
            "model.deep_supervision=3",
            "callbacks=weight_averaging",
            "intensity=ct_windows",
            "intensity=ct_fitted",
            "intensity=ct_enhanced",
            "augment=strong",
            "augment=light",
            "augment.gamma_probability=0.3",
            "augment.blur_probability=0.2",
            "augment.coarse_probability=0.25",
            "augment.elastic_probability=0.3",
            "augment.hu_shift=[-60,60]",
            "augment.flip_left_right=0.5",
            "loss=focal_dice",
            "loss=tversky",
            "data.image_size=192 data.slices_per_epoch=222",
            "data.image_size=256 model.patch=2",
        ),
    ),
    "b": Plan(
        slices=3200,
        epochs=4,
        folds=(0, 1, 2),
        changes=(
            "model.norm=instance",
            "intensity=ct_windows",
            "augment.tumor_probability=0",
            "augment=strong augment.tumor_probability=0.3",
            "augment.gamma_probability=0.3",
            "augment.elastic_probability=0.3",
            "loss=tversky",
            "loss=focal_dice",
            "data.context=1",
            "model.deep_supervision=3",
            "callbacks=weight_averaging",
        ),
    ),
    "c": Plan(
        slices=3200,
        epochs=4,
        folds=(0,),
        changes=(
            "model.norm=instance",
            "data.context=0",
            "data.context=2",
            "model.deep_supervision=3",
            "augment.tumor_probability=0.3",
            "augment=strong",
            "loss=tversky",
            "loss=focal_dice",
            "callbacks=weight_averaging",
        ),
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line names."""
    asked = _parse(arguments)
    folder = asked.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    runs = {part: _runs(part, asked) for part in asked.parts if not PARTS[part].absent(real_data())}
    folds = {part: {fold.number: fold for fold in PARTS[part].folds(folder, real_data())} for part in runs}
    # By seed, so that a stopped bench leaves whole seeds.
    wanted = sorted(
        ((run, folds[part][run.fold]) for part, of_part in runs.items() for run in of_part),
        key=lambda pair: (pair[0].part, pair[0].seed),
    )
    is_complete = run_missing(wanted, folder, at_once=asked.at_once)
    found = read_records(folder)
    complete = {part: _complete(part, of_part, found) for part, of_part in runs.items()}
    there = {part: changes for part, changes in complete.items() if len(changes) > 1 and "" in changes}
    if there:
        write_utf8(asked.docs / "changes.md", _page(there, folds))
        print(f"wrote {asked.docs / 'changes.md'}")
    if asked.keep:
        kept = [record for changes in there.values() for one in changes.values() for record in one.records]
        write_utf8(asked.keep, "".join(map(as_line, kept)))
    return 0 if is_complete else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.changes", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--parts", nargs="+", choices=list(PLANS), default=list(PLANS))
    parser.add_argument("--folds", nargs="+", type=int, help="numbers of folds; default those of the plan")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--at-once", type=int, default=1, help="trainings at once, each on one processor")
    parser.add_argument("--folder", type=Path, default=ROOT / "data" / "changes", help="of results and masks")
    parser.add_argument("--keep", type=Path, help="a file for the scores of each case, a JSON line a run")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder of the page")
    asked = parser.parse_args(arguments)
    if not 1 <= asked.at_once <= usable_processors():
        parser.error(f"--at-once: must be from 1 to {usable_processors()}, got {asked.at_once}")
    return asked


def _runs(part: str, asked: argparse.Namespace) -> list[Run]:
    plan = PLANS[part]
    return [
        Run(part=part, fold=fold, system=plan.system(change), seed=seed, minutes=0, cores=1)
        for fold in (asked.folds or plan.folds)
        for seed in asked.seeds
        for change in ("", *plan.changes)
    ]


def _complete(part: str, runs: Sequence[Run], found: Mapping[Run, Record]) -> dict[str, Results]:
    """The changes of which every run has a result; the recipe itself is the empty word."""
    there = {}
    for change in ("", *PLANS[part].changes):
        of_change = [run for run in runs if run.system == PLANS[part].system(change)]
        if all(run in found for run in of_change):
            there[change] = Results(change, [found[run] for run in of_change])
    return there


def _page(parts: Mapping[str, Mapping[str, Results]], folds: Mapping[str, Mapping[int, Fold]]) -> str:
    records = [record for changes in parts.values() for one in changes.values() for record in one.records]
    lines = [
        "# One change at a time",
        "",
        *wrapped(
            "Written by `python -m benchmarks.accuracy.changes`. Each row changes a recipe in one thing. All "
            "see as many slices, so what makes a slice dearer is not charged, unless the row itself lowers "
            "their number. A patient's Dice is averaged over the seeds; pairs by Wilcoxon's test over "
            "patients, corrected by Holm for the rows of a table. So short trainings say what helps early."
        ),
        "",
        *conditions(records),
        "",
    ]
    for part, changes in parts.items():
        lines += list(_part(part, changes, folds[part]))
    return "\n".join(lines).rstrip() + "\n"


def _part(part: str, changes: Mapping[str, Results], folds: Mapping[int, Fold]) -> Iterator[str]:
    recipe = changes[""]
    numbers = sorted({record.run.fold for record in recipe.records})
    of_folds = ", ".join(map(str, numbers))
    yield f"## {PARTS[part].label}: {PARTS[part].title[0].lower()}{PARTS[part].title[1:]}"
    yield ""
    yield f"Folds: {of_folds}. Recipe: `{folds[numbers[0]].recipe}`. Slices seen: {PLANS[part].slices:,}."
    yield ""
    for region in reversed(recipe.regions):
        yield from [f"### Dice of the {region}", "", *_table(changes, region), ""]


def _table(changes: Mapping[str, Results], region: str) -> Iterator[str]:
    recipe = changes[""]
    against = {name: compared(one, recipe, region) for name, one in changes.items() if name}
    corrected = dict(zip(against, holm([one.p_value for one in against.values()]), strict=True))
    yield "| change | mean | of each seed | median | worst | gain | better in | p (Holm) |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, one in changes.items():
        values = list(one.dice(region).values())
        own = f"| {f'`{name}`' if name else 'none'} | {statistics.fmean(values):.3f} "
        own += f"| {', '.join(f'{mean:.3f}' for mean in _seed_means(one, region))} "
        own += f"| {statistics.median(values):.3f} | {min(values):.3f} "
        if not name:
            yield f"{own}| | | |"
            continue
        found, p = against[name], corrected[name]
        yield (
            f"{own}| {found.mean_difference:+.3f} | {found.wins} of {found.pairs} "
            f"| {'none' if p is None else f'{p:.2g}'} |"
        )


def _seed_means(one: Results, region: str) -> list[float]:
    """The mean over patients, by seed in order."""
    of_seed: dict[int, list[float]] = {}
    for record in one.records:
        of_seed.setdefault(record.run.seed, []).extend(case["rows"][region]["dice"] for case in record.cases)
    return [statistics.fmean(of_seed[seed]) for seed in sorted(of_seed)]


if __name__ == "__main__":
    sys.exit(main())
