"""A cross-validation as one cohort: the models of its folds, and which model scores each case."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lts.app.commands.check import warn_of_duplicates
from lts.app.config.serialization import by_key
from lts.app.run.records import DONE, RUN_FILE, read_run
from lts.base import CheckpointError, CohortError, ConfigError, name_some
from lts.cohort import Case, Cohort
from lts.inference import Checkpoint, load_checkpoint
from lts.slices import content_hash

_MAY_DIFFER = (
    "split.fold",
    "ckpt",
    "data.num_workers",
    "scoring.workers",
    "paths.",
    "sweep.",
    # Chosen by each run: not every fold need validate on a case that holds the last region.
    "callbacks.best.mo",
    "callbacks.prune.mo",
)


@dataclass(frozen=True, eq=False)
class Fold:
    """The model of a fold.

    Attributes:
        number: From 0.
        checkpoint: The best of its run; `split["test"]` are the cases that it has not seen.
    """

    number: int
    checkpoint: Checkpoint


def load_folds(folder: Path, *, trusted_modules: Sequence[str] = ()) -> list[Fold]:
    """Open the best checkpoints of a sweep over folds, in the order of folds.

    Args:
        folder: Folder of the sweep, a run folder a fold.

    Raises:
        ConfigError: There are no runs, one is not finished or no fold, or a fold is missing or there twice.
        CheckpointError: A checkpoint cannot be used; settings differ; a model knew cases of its own fold, or
            the folds do not divide the same cases among them.
    """
    runs = sorted(folder.glob(f"*/{RUN_FILE}"))
    if not runs:
        raise ConfigError(f"folds: must be the folder of a sweep over split.fold, {folder} holds no runs")
    for run in runs:
        if (state := read_run(run.parent)["state"]) != DONE:
            raise ConfigError(f"folds: every fold must be done, {run.parent} is {state}")
    folds = [_open(run.parent, trusted_modules) for run in runs]
    for fold in folds[1:]:
        _check_same_settings(folds[0].checkpoint, fold.checkpoint)
    _check_numbers(folds, folder)
    for fold in folds:
        _check_unknown_to_model(fold.checkpoint)
    _check_division(folds)
    return sorted(folds, key=lambda fold: fold.number)


def choose_models(cohort: Cohort, folds: Sequence[Fold]) -> list[tuple[Case, Fold]]:
    """Each case with the fold that tests it, identified by content, in the order of the cohort.

    Raises:
        CohortError: A case of the folds is missing or has changed.
    """
    tested_by = {
        member["sha256"]: (fold, member["case"]) for fold in folds for member in fold.checkpoint.split["test"]
    }
    contents = [(case, content_hash(case.image)) for case in cohort.cases]
    chosen = [(case, tested_by[content][0]) for case, content in contents if content in tested_by]
    found = {content for _, content in contents}
    if lost := sorted(name for content, (_, name) in tested_by.items() if content not in found):
        raise CohortError(
            f"{cohort.root}: cases are missing or have changed since training: {name_some(lost)}"
        )
    warn_of_duplicates({case.id: content for case, content in contents if content in tested_by}, cohort.cases)
    return chosen


def _open(run: Path, trusted_modules: Sequence[str]) -> Fold:
    checkpoint = load_checkpoint(run / "checkpoints" / "best.ckpt", trusted_modules=trusted_modules)
    number = checkpoint.config["split"]["fold"]
    if number is None:
        raise ConfigError(f"folds: {run} is no fold, its split.fold is null")
    return Fold(number=int(number), checkpoint=checkpoint)


def _check_same_settings(first: Checkpoint, other: Checkpoint) -> None:
    """Refuse folds of other settings; what each chose by its own training cases may differ."""
    ours, theirs = (dict(_settings(checkpoint)) for checkpoint in (first, other))
    by_each = first.chosen.keys() & other.chosen.keys()
    for key in dict.fromkeys((*ours, *theirs)):
        if key not in by_each and ours.get(key) != theirs.get(key):
            values = f"{ours.get(key)!r} and {theirs.get(key)!r}"
            raise CheckpointError(
                f"folds: must differ in split.fold alone; {key} of {first.path} and {other.path} is {values}"
            )


def _settings(checkpoint: Checkpoint) -> Iterator[tuple[str, Any]]:
    """All settings but for those of the run itself, the run's folder written the same for all."""
    own = checkpoint.config["paths"]["output_dir"]
    for key, value in by_key(checkpoint.config).items():
        if not key.startswith(_MAY_DIFFER) or key == "split.folds":
            yield key, value.replace(own, "") if isinstance(value, str) else value


def _check_numbers(folds: Sequence[Fold], folder: Path) -> None:
    of_number: dict[int, Path] = {}
    for fold in folds:
        if fold.number in of_number:
            both = f"{of_number[fold.number]} and {fold.checkpoint.path}"
            raise ConfigError(f"folds: fold {fold.number} is there twice, {both}")
        of_number[fold.number] = fold.checkpoint.path
    asked = folds[0].checkpoint.config["split"]["folds"]
    if missing := [str(number) for number in range(asked) if number not in of_number]:
        raise ConfigError(f"folds: {folder} must hold all {asked} folds, missing: {', '.join(missing)}")


def _check_unknown_to_model(checkpoint: Checkpoint) -> None:
    """Refuse test cases or patients that were used for training or validation."""
    known = [member for name in ("train", "val") for member in checkpoint.split[name]]
    # Patients of a start may be of another data set, where the same number is somebody else.
    for what, members in (("sha256", [*known, *checkpoint.start_cases]), ("patient", known)):
        seen = {member[what] for member in members}
        if leaked := [member["case"] for member in checkpoint.split["test"] if member[what] in seen]:
            raise CheckpointError(f"folds: {checkpoint.path} knew cases that it tests: {name_some(leaked)}")


def _check_division(folds: Sequence[Fold]) -> None:
    """Check that each case is tested by exactly one fold."""
    tested: dict[str, Path] = {}
    for fold in folds:
        for member in fold.checkpoint.split["test"]:
            if other := tested.get(member["sha256"]):
                raise CheckpointError(
                    f"folds: {member['case']} is tested by both {other} and {fold.checkpoint.path}"
                )
            tested[member["sha256"]] = fold.checkpoint.path
    for fold in folds:
        split = fold.checkpoint.split
        own = {member["sha256"]: member["case"] for members in split.values() for member in members}
        if untested := sorted(case for content, case in own.items() if content not in tested):
            raise CheckpointError(f"folds: no fold tests {name_some(untested)} of {fold.checkpoint.path}")
        if strange := [str(path) for content, path in tested.items() if content not in own]:
            raise CheckpointError(
                f"folds: {strange[0]} tests cases that {fold.checkpoint.path} does not have"
            )
