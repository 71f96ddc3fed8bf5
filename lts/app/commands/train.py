"""One training run: from settings to checkpoints, curves and scores."""

import logging
import time
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from lts.app.commands.cases import open_cohort, split_cohort
from lts.app.commands.check import check_before_training, check_members, check_not_learned_from
from lts.app.commands.scoring import rules_of
from lts.app.commands.training.budget import fit_to_budget, with_plan_of
from lts.app.commands.training.data_fit import fit_to_data, with_fit_of
from lts.app.commands.training.locator import Locator, open_locator, trains_locator
from lts.app.commands.training.locator_training import train_locator
from lts.app.commands.training.loggers import open_loggers
from lts.app.commands.training.monitor import check_search, facts_of_choice, settle_monitor
from lts.app.commands.training.outcome import Training, conclude, training_of
from lts.app.commands.training.parts import (
    SUBSETS,
    fit,
    make_task_and_trainer,
    members_of,
    print_store,
    set_up_data,
)
from lts.app.commands.training.precision import with_precision_of
from lts.app.commands.training.rehearsal import rehearse, rehearse_network
from lts.app.commands.training.settled import settled
from lts.app.commands.training.warm_start import open_start
from lts.app.config.serialization import settings_to_dict
from lts.app.config.settings import LocatorSettings, TrainSettings
from lts.app.config.types import check_settings
from lts.app.config.yaml_files import write_settings
from lts.app.run.console import print_line
from lts.app.run.distributed import (
    end_with_first_process,
    is_first_process,
    other_processes,
    reported_by_first,
)
from lts.app.run.environment import follows
from lts.app.run.folder import check_folder_is_free, run_folder
from lts.app.run.invocation import FROM_PYTHON, Invocation
from lts.app.run.lock import locked_run_folder
from lts.app.run.provenance import RunRecord, StopMessage
from lts.app.run.recording import failure_recorded
from lts.app.run.records import CONFIG_FILE, read_run
from lts.app.run.resuming import (
    Resume,
    check_before_resuming,
    checkpoint_to_resume,
    clear_traces,
    plan_resume,
    resumes_in_place,
)
from lts.app.run.signals import StopSignals, stop_signals
from lts.base import DivergedError, write_json
from lts.cohort import Cohort, Split
from lts.data import SliceDataModule


def train(settings: TrainSettings, invocation: Invocation = FROM_PYTHON) -> Training:
    """Train a model, and score its best checkpoint on the test subset.

    With several training processes, each calls this; only the first writes, scores and prints.

    Args:
        settings: What is trained, on what, and where it is written.
        invocation: What the command line says beside them.

    Raises:
        LtsError: The input or a setting was wrong.
        Interrupted: The run was told to stop.
    """
    check_settings(settings)
    _silence_libraries()
    if not is_first_process():
        return _train_with_first(settled(settings, run_folder(settings.paths.output_dir)))
    stop = StopMessage()
    with (
        locked_run_folder(
            settings.paths.output_dir, is_named_by_time=invocation.folder_is_named_by_time
        ) as output_dir,
        stop_signals(stop) as signals,
        failure_recorded(signals, stop, command="train"),
    ):
        return _train_and_score(settled(settings, output_dir), invocation, signals, stop)


def _train_and_score(
    settings: TrainSettings, invocation: Invocation, signals: StopSignals, stop: StopMessage
) -> Training:
    output_dir, asked = Path(settings.paths.output_dir), settings
    rules = rules_of(
        settings.scoring, settings.data.regions, output_dir=output_dir, window_hu=settings.data.display_hu
    )
    resumed_from = checkpoint_to_resume(settings.ckpt, output_dir)
    start, locator = (None, None) if resumed_from else (open_start(settings), open_locator(settings))
    rehearse(settings, start)
    cohort = open_cohort(settings.data)
    split = split_cohort(cohort, settings.split)
    check_before_training(cohort, split)
    settings = with_precision_of(with_fit_of(settings, resumed_from), resumed_from)
    planned = with_plan_of(settings, resumed_from)
    resume = plan_resume(planned or settings, output_dir, split)
    if resume is None:
        stop.record = _begin(settings, invocation)
    elif not resumes_in_place(settings.ckpt):
        check_folder_is_free(output_dir, command="train")
    _print_cases(cohort, split, output_dir)
    fingerprint = None
    if resume is None:
        settings, fingerprint = _fit_to_data(settings, cohort, split, stop)
        planned = with_plan_of(settings, resumed_from)
    data = set_up_data(planned or settings, cohort, split, resumed_from=resumed_from)
    settings, data = (planned, data) if planned else _plan(settings, data, cohort, split, stop)
    members = members_of(data, cohort, split)
    check_members(members, cohort, split)
    for key, taken in (("init", start), ("locator.ckpt", locator)):
        if taken:
            check_not_learned_from(taken.cases, members, by=f"{key}: {taken.path}")
    settings, chosen_by = settle_monitor(settings, data)
    check_search(settings, direction=invocation.study_direction)
    if resume:
        check_before_resuming(resume, settings, members=members)
        stop.record = _go_on(settings, invocation, resume)  # until here no byte of the folder has changed
    assert stop.record
    _write_choices(settings, split, stop.record)
    print_store(settings, data)
    if not resume and trains_locator(settings):
        locator = _train_locator(asked, cohort, split, signals, stop.record)
        data = set_up_data(settings, cohort, split)  # anew, as if the locator had been there already
    _print_choices(settings, locator, chosen_by)
    task, trainer = make_task_and_trainer(
        settings,
        data,
        members=members,
        signals=signals,
        resume=resume,
        start=start,
        locator=locator,
        fingerprint=fingerprint,
    )
    with open_loggers(trainer, settings):
        began = time.perf_counter()
        with other_processes(trainer, output_dir):
            fit(trainer, task, data, resume)
        return conclude(
            settings,
            trainer,
            cohort,
            split,
            rules=rules,
            record=stop.record,
            fit_s=time.perf_counter() - began,
            steps_before=resume.steps if resume else 0,
        )


def _write_choices(settings: TrainSettings, split: Split, record: RunRecord) -> None:
    output_dir = Path(settings.paths.output_dir)
    record.add(**facts_of_choice(settings))
    write_settings(output_dir / CONFIG_FILE, settings_to_dict(settings))
    write_json(output_dir / "split.json", split.to_dict())


def _print_choices(settings: TrainSettings, locator: Locator | None, chosen_by: str) -> None:
    if settings.locator:
        print_line(_line_of_locator(settings.locator, locator))
    print_line(chosen_by)


def _fit_to_data(
    settings: TrainSettings, cohort: Cohort, split: Split, stop: StopMessage
) -> tuple[TrainSettings, Mapping[str, Any] | None]:
    """Choose what a run that begins leaves to its training cases; None where that is nothing."""
    fitted = fit_to_data(settings, cohort, split)
    if fitted is None:
        return settings, None
    fitted.print()
    assert stop.record
    stop.record.add(fingerprint=fitted.facts)
    if settings.data.image_size != fitted.settings.data.image_size:
        rehearse_network(fitted.settings)
    return fitted.settings, fitted.facts


def _plan(
    settings: TrainSettings, data: SliceDataModule, cohort: Cohort, split: Split, stop: StopMessage
) -> tuple[TrainSettings, SliceDataModule]:
    """Fit a run that begins to its budget; its data is set up anew, as if its settings had been given."""
    assert stop.record
    fitted = fit_to_budget(settings, data)
    print_line(fitted.line())
    stop.record.add(budget=fitted.facts)
    return fitted.settings, set_up_data(fitted.settings, cohort, split)


def _train_locator(
    asked: TrainSettings, cohort: Cohort, split: Split, signals: StopSignals, record: RunRecord
) -> Locator:
    """Train the locator by the settings that no budget has fitted yet to the other network."""
    locator, facts = train_locator(asked, cohort, split, signals=signals)
    record.add(locator=facts)
    return locator


def _line_of_locator(settings: LocatorSettings, locator: Locator | None) -> str:
    """What is printed of how the two networks of a run go together."""
    origin = f"that of {locator.path}" if locator else "that of the checkpoint"
    return (
        f"locator: the network sees the slices and the square that hold the liver and {settings.margin_mm:g} "
        f"mm around it; in training and validation by the reference, in prediction by {origin}"
    )


def _begin(settings: TrainSettings, invocation: Invocation) -> RunRecord:
    output_dir, again = Path(settings.paths.output_dir), resumes_in_place(settings.ckpt)
    record = RunRecord(output_dir, command="train", overrides=invocation.overrides, goes_on=again)
    if again:
        clear_traces(output_dir)
    return record


def _go_on(settings: TrainSettings, invocation: Invocation, resume: Resume) -> RunRecord:
    output_dir, again = Path(settings.paths.output_dir), resumes_in_place(settings.ckpt)
    before = read_run(output_dir) if again else {}
    record = RunRecord(output_dir, command="train", overrides=invocation.overrides, goes_on=again)
    record.add(**{name: before[name] for name in ("budget", "locator") if before.get(name)})
    if resume.fingerprint:
        record.add(fingerprint=dict(resume.fingerprint))
    if resume.history:
        record.add(changes=resume.history)
    print_line(resume.line())
    return record


def _train_with_first(settings: TrainSettings) -> Training:
    """Train as a process other than the first; writes nothing."""
    end_with_first_process()
    output_dir = Path(settings.paths.output_dir)
    cohort = open_cohort(settings.data)
    split = split_cohort(cohort, settings.split)
    with stop_signals(lambda: None) if not follows() else nullcontext() as signals:
        resumed_from = checkpoint_to_resume(settings.ckpt, output_dir)
        settings = with_precision_of(with_fit_of(settings, resumed_from), resumed_from)
        if resumed_from is None and (fitted := fit_to_data(settings, cohort, split)):
            settings = fitted.settings
        data = set_up_data(settings, cohort, split, resumed_from=resumed_from)
        settings, _ = settle_monitor(settings, data)
        resume = plan_resume(settings, output_dir, split)
        members = members_of(data, cohort, split)
        task, trainer = make_task_and_trainer(
            settings,
            data,
            members=members,
            signals=signals,
            resume=resume,
            start=None if resume else open_start(settings),
            locator=None if resume else open_locator(settings),
        )
        with reported_by_first(DivergedError):
            fit(trainer, task, data, resume)
    return training_of(settings, trainer)


def _print_cases(cohort: Cohort, split: Split, output_dir: Path) -> None:
    print_line(f"run {output_dir}: {_counts(cohort, split)}")
    for note in cohort.notes:
        print_line(f"{cohort.root}: {note}")


def _silence_libraries() -> None:
    """Keep the advice of libraries out of the output."""
    for library in ("pytorch_lightning", "lightning_fabric", "mlflow.store"):
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.getLogger("pytorch_lightning.loggers.mlflow").setLevel(logging.ERROR)  # of a first experiment
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # looks for CUDA on CPUs too
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
    warnings.filterwarnings("ignore", ".*treespec.*")
    # A run may go on without what it had beside it, as pruning.
    warnings.filterwarnings("ignore", ".*callbacks used to create the checkpoint need to be provided.*")
    # A resumed run logs again what it takes away with this.
    warnings.filterwarnings("ignore", ".*Experiment logs directory .* exists and is not empty.*")


def _counts(cohort: Cohort, split: Split) -> str:
    parts = ", ".join(f"{len(split.subset(name))} {name}" for name in SUBSETS)
    return f"{len(cohort.cases)} cases ({parts})"
