"""Train lts and other systems on your own cases for equal minutes, and compare their masks.

python -m benchmarks.head_to_head --data lits --root /data/LiTS --minutes 60 --cores 4
python -m benchmarks.head_to_head --data pairs --root cases.csv --split split.json --minutes 60

Every system that is installed is trained on the same training cases, on CPU cores alone, and predicts the
same test cases. The folder then holds a page with all scores, the masks and the evaluation of each system,
and comparison/comparison.html. The same command again goes on where it was stopped.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import lts
from benchmarks.accuracy.missing import run_missing
from benchmarks.accuracy.options import absent_systems, add_options, check_options
from benchmarks.accuracy.own_cases import as_nifti, write_cases
from benchmarks.accuracy.page import gather, write_page
from benchmarks.accuracy.parts import LIVER, LIVER_AND_TUMOR, ROOT, Fold, Part, fold_of
from benchmarks.accuracy.records import Run, read_records
from benchmarks.accuracy.running import folder_name, masks_of
from benchmarks.accuracy.systems import absent
from benchmarks.accuracy.tables import Results
from lts.app.run.failures import exit_code_of
from lts.base import ConfigError, LtsError, MaskLabels, counted, shown
from lts.cohort import (
    LAYOUTS,
    Case,
    Cohort,
    Split,
    find_cases,
    read_split,
    split_by_patient,
    split_into_folds,
)

_PART = "own"
_DEFAULT_MINUTES = 60.0
_REGIONS = {"liver": LIVER, "tumor": LIVER_AND_TUMOR}
_RECIPES = {"liver": "liver_cpu", "tumor": "liver_closely"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line names."""
    asked = _parse(arguments)
    with exit_code_of("head_to_head"):
        return _head_to_head(asked)


def _head_to_head(asked: argparse.Namespace) -> int:
    folder = asked.folder.expanduser().resolve()
    root = asked.root.expanduser().resolve()
    cohort = find_cases(root, layout=asked.data, labels=_labels(asked.labels))
    splits = _splits(cohort, asked)
    skipped = absent_systems(asked)
    for line in skipped:
        print(f"skipped {line}", flush=True)
    unused = {name for split in splits for name in split.unused}
    cases = as_nifti([case for case in cohort.cases if case.id not in unused], folder / "cases")
    recipe = asked.recipe or _RECIPES[asked.region]
    folds = [
        fold_of(cases, split, part=_PART, number=number, recipe=recipe, regions=_REGIONS[asked.region])
        for number, split in enumerate(splits)
    ]
    systems = [system for system in asked.systems if not absent(system)]
    runs = {system: [_run(fold, system, asked) for fold in folds] for system in systems}
    wanted = [(runs[system][fold.number], fold) for fold in folds for system in systems]
    is_complete = run_missing(wanted, folder, at_once=asked.at_once)
    page = gather({_PART: runs}, read_records(folder), skipped)
    if page.parts:
        path = folder / "head-to-head.md"
        part = _part(cohort, folds, minutes=asked.minutes or _DEFAULT_MINUTES)
        write_page(
            path,
            page,
            parts={_PART: part},
            written_by="Written by `python -m benchmarks.head_to_head`.",
            more="All ran on CPU cores. The scores of each case are in `scores/`, the masks in `masks/`.",
        )
        _compare(page.parts[_PART], folds, folder)
        print(f"wrote {path}")
    return 0 if is_complete and systems else 1


def _labels(text: str | None) -> MaskLabels | None:
    """What `--labels` says.

    Raises:
        ConfigError: It is no such JSON, or names the same twice, nothing or the background.
    """
    if text is None:
        return None
    try:
        labels = MaskLabels(**{region: tuple(values) for region, values in json.loads(text).items()})
    except LtsError:
        raise
    except (ValueError, TypeError, AttributeError) as error:
        rule = 'must be JSON such as {"liver": [5], "tumor": [26]}'
        raise ConfigError(f"--labels: {rule}, got {shown(text)}") from error
    if labels.ignore:
        raise ConfigError(f"--labels: must ignore nothing, as not all systems can, got {shown(text)}")
    return labels


def _splits(cohort: Cohort, asked: argparse.Namespace) -> list[Split]:
    """One split, or as many as there are folds; cases to validate on are for training, as no system has any.

    Raises:
        CohortError: The file is wrong, or there are too few patients.
        ConfigError: A number is wrong, or the file leaves nothing to test on.
    """
    if asked.folds:
        return [
            split_into_folds(cohort.cases, folds=asked.folds, fold=fold, val_share=0, seed=asked.seed)
            for fold in range(asked.folds)
        ]
    if not asked.split:
        if asked.test_share == 0:
            raise ConfigError("--test-share: must leave a case to test on, got 0")
        return [split_by_patient(cohort.cases, val_share=0, test_share=asked.test_share, seed=asked.seed)]
    found = read_split(asked.split, cases=cohort.cases)
    if not found.test:
        raise ConfigError(f"--split: must have a case or more under test, got none in {asked.split}")
    return [Split(train=(*found.train, *found.val), test=found.test, unused=found.unused)]


def _part(cohort: Cohort, folds: Sequence[Fold], *, minutes: float) -> Part:
    trained = " and ".join(dict.fromkeys(counted(len(fold.train), "case") for fold in folds))
    tested = counted(sum(len(fold.test) for fold in folds), "case")
    return Part(
        name=_PART,
        label="Your cases",
        title=f"{tested} of {cohort.root.name} predicted",
        data=(),
        folds=lambda _made, _real: list(folds),
        minutes=minutes,
        recipe=folds[0].recipe,
        about=f"Each training had {trained}, and none of a patient whom it was tested on.",
    )


def _run(fold: Fold, system: str, asked: argparse.Namespace) -> Run:
    return Run(
        part=_PART,
        fold=fold.number,
        system=system,
        seed=asked.seed,
        minutes=asked.minutes or _DEFAULT_MINUTES,
        cores=asked.cores,
    )


def _compare(systems: Sequence[Results], folds: Sequence[Fold], folder: Path) -> None:
    """Score the masks of each system as one evaluation, and compare them if there are two or more."""
    tested = [case for fold in folds for case in fold.test]
    write_cases(folder / "tested.csv", tested)
    scored = []
    for one in systems:
        name = folder_name(one.system)
        masks = _gathered(one, folds, folder / "masks" / name, folder)
        scores = folder / "scores" / name
        shutil.rmtree(scores, ignore_errors=True)
        data = lts.CasesSettings(layout="pairs", root=str(folder / "tested.csv"), regions=one.regions)
        paths = lts.EvaluationPaths(output_dir=str(scores))
        lts.evaluate(lts.EvaluateSettings(predictions=str(masks), data=data, paths=paths))
        scored.append(str(scores))
    if len(scored) > 1:
        comparison = folder / "comparison"
        shutil.rmtree(comparison, ignore_errors=True)
        paths = lts.EvaluationPaths(output_dir=str(comparison))
        lts.evaluate(lts.EvaluateSettings(compare=tuple(scored), paths=paths))


def _gathered(results: Results, folds: Sequence[Fold], masks: Path, folder: Path) -> Path:
    """The masks of all folds in one folder."""
    shutil.rmtree(masks, ignore_errors=True)
    masks.mkdir(parents=True)
    for record in results.records:
        for case in _tested_in(record.run, folds):
            shutil.copyfile(
                masks_of(record.run, folder) / f"{case.id}.nii.gz", masks / f"{case.id}_mask.nii.gz"
            )
    return masks


def _tested_in(run: Run, folds: Sequence[Fold]) -> tuple[Case, ...]:
    return next(fold.test for fold in folds if fold.number == run.fold)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.head_to_head", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--data", choices=LAYOUTS, required=True, help="layout of the cases, see docs/data.md"
    )
    parser.add_argument("--root", type=Path, required=True, help="folder of the cases, or the file of pairs")
    parser.add_argument("--labels", help='where masks do not hold 1 and 2, as {"liver": [5], "tumor": [26]}')
    parser.add_argument(
        "--region", choices=list(_REGIONS), default="tumor", help="liver alone, or tumor: both; default tumor"
    )
    parser.add_argument("--recipe", help="experiment of lts; default liver_closely, of the liver liver_cpu")
    divided = parser.add_mutually_exclusive_group()
    divided.add_argument("--split", type=Path, help="JSON file with train, val and test, as of split.file")
    divided.add_argument("--folds", type=int, help="cross-validation by patient with so many folds")
    divided.add_argument("--test-share", type=float, default=0.2, help="of patients; default 0.2")
    parser.add_argument("--seed", type=int, default=0, help="of the split and of the trainings")
    add_options(parser, minutes=f"default {_DEFAULT_MINUTES:g}")
    parser.add_argument(
        "--folder",
        type=Path,
        default=ROOT / "data" / "head-to-head",
        help="of everything that is written; default data/head-to-head",
    )
    asked = parser.parse_args(arguments)
    check_options(parser, asked)
    return asked


if __name__ == "__main__":
    sys.exit(main())
