"""The slices of a training, made before it: by one process, or by several at once."""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from lts.app.commands.cases import open_cohort, split_cohort
from lts.app.commands.training.data_fit import fit_to_data, is_fitted_to_data
from lts.app.commands.training.locator import recipe_of, recipe_of_locator
from lts.app.commands.training.rehearsal import check_slices
from lts.app.commands.training.settled import settled
from lts.app.config.settings import StoreSettings, TrainSettings
from lts.app.config.shard import Shard, shard_of
from lts.app.config.types import check_settings
from lts.app.run.console import ShowProgress, print_line
from lts.app.run.folder import run_folder
from lts.app.run.signals import stop_signals
from lts.base import VolumeError, counted, name_some, usable_processors
from lts.cohort import Case, Cohort, Split
from lts.slices import Recipe, StoredCase, build_store, fingerprint_cases, missing_cases


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What is to be stored.

    Attributes:
        cases: Those of all shards.
        own: Those of this one.
        recipes: Of the training's own slices, then of its locator's.
        store_dir: Folder of all stores.
    """

    cases: Sequence[Case]
    own: Sequence[Case]
    recipes: Sequence[Recipe]
    store_dir: Path


def store(settings: StoreSettings) -> tuple[StoredCase, ...]:
    """Make the slices that a training of these settings reads: those of its training and validation cases.

    What is there already is kept. Any number of processes and trainings may do this at once.

    Args:
        settings: Those of the training, and which shard of its cases is to be stored.

    Returns:
        The stored cases of the training's own slices, or those of the shard.

    Raises:
        VolumeError: Files cannot be read; the good cases are stored all the same.
        LtsError: The input or a setting was wrong, or the disk is full.
        Interrupted: The command was told to stop.
    """
    plan, stored = _store(settings)
    left: dict[str, Case] = {}
    if settings.shard is not None:
        for recipe in plan.recipes:
            missing = missing_cases(plan.cases, recipe, store_dir=plan.store_dir)
            left.update({case.id: case for case in missing})
    if left:
        print_line(
            f"without slices yet: {name_some(list(left))}, {len(left)} of {len(plan.cases)} cases; when all "
            "shards have ended, the command without shards goes on with what is left"
        )
    else:
        for recipe in plan.recipes:
            folder = plan.store_dir / recipe.folder_name
            print_line(f"slice store: complete, {counted(len(plan.cases), 'case')} in {folder}")
    return stored


def store_shard(settings: StoreSettings) -> list[str]:
    """As `store`, without a word at its end.

    Returns:
        The names of the cases of the shard.
    """
    plan, _ = _store(settings)
    return [case.id for case in plan.own]


def conclude_shards(settings: StoreSettings) -> Callable[[Set[str]], None]:
    """What reports the cases of shards, given their names; they left nothing to be merged."""

    def report(stored: Set[str]) -> None:
        if stored:
            print_line(f"slice store: {counted(len(stored), 'case')} in {settings.paths.store_dir}")

    return report


def _store(settings: StoreSettings) -> tuple[_Plan, tuple[StoredCase, ...]]:
    check_settings(settings)
    shard = shard_of(settings) or Shard(number=0, count=1)
    title = "slice store" if shard.count == 1 else f"slice store, shard {shard}"
    with stop_signals(lambda: "the same command goes on with what is left"):
        training = settled(settings, run_folder(settings.paths.output_dir))
        check_slices(training)
        cohort = open_cohort(training.data)
        plan = _plan(training, cohort, split_cohort(cohort, training.split), shard)
        stored, failed = [], []
        for recipe in plan.recipes:
            try:
                stored.append(
                    build_store(
                        plan.own,
                        recipe,
                        store_dir=plan.store_dir,
                        workers=usable_processors(),
                        progress=ShowProgress(title),
                    )
                )
            except VolumeError as error:  # of the locator's slices the good cases are stored as well
                failed.append(error)
        if failed:
            raise failed[0]
    return plan, stored[0]


def _plan(settings: TrainSettings, cohort: Cohort, split: Split, shard: Shard) -> _Plan:
    """What is to be stored, once what is left to the data is chosen; each training case is measured once."""
    store_dir = Path(settings.paths.store_dir)
    if is_fitted_to_data(settings):
        fingerprint_cases(
            shard.in_turn([cohort.case(case) for case in split.train]),
            modality=settings.data.modality,
            store_dir=store_dir,
            progress=ShowProgress("measuring training cases"),
        )
    if fitted := fit_to_data(settings, cohort, split):
        settings = fitted.settings
        if shard.number == 0:
            for line in fitted.lines:
                print_line(line)
    cases = [cohort.case(case) for case in (*split.train, *split.val)]
    of_locator = recipe_of_locator(settings)
    return _Plan(
        cases=cases,
        own=shard.part_of(cases),
        recipes=[recipe_of(settings), *([of_locator] if of_locator else [])],
        store_dir=store_dir,
    )
