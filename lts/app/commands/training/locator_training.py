"""The training of a run's locator, in a folder of its own within that of the run."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from lts.app.commands.training.budget import fit_to_budget, with_plan_of
from lts.app.commands.training.locator import (
    Locator,
    keys_of_locator,
    read_locator,
    training_of_locator,
)
from lts.app.commands.training.loggers import open_loggers
from lts.app.commands.training.monitor import settle_monitor
from lts.app.commands.training.parts import fit, make_task_and_trainer, members_of, set_up_data
from lts.app.commands.training.precision import with_precision_of
from lts.app.config.settings import TrainSettings
from lts.app.run.console import print_line
from lts.app.run.distributed import other_processes
from lts.app.run.resume_settings import check_cases, check_fixed_settings, settings_changed
from lts.app.run.resuming import (
    check_before_resuming,
    check_epochs_left,
    checkpoint_to_resume,
    clear_traces,
    plan_resume,
    resumes_in_place,
)
from lts.app.run.signals import StopSignals
from lts.base import DESCRIPTION_KEY, ConfigError
from lts.cohort import Cohort, Split
from lts.inference import read_checkpoint


def train_locator(
    settings: TrainSettings, cohort: Cohort, split: Split, *, signals: StopSignals
) -> tuple[Locator, dict[str, Any]]:
    """Train the locator of a run on the run's own split; go on with it where the run is started again.

    A finished one is only read.

    Args:
        settings: Those of the run.
        cohort: The cases.
        split: Their split.
        signals: Stop signals of the run.

    Returns:
        The locator, and what `run.json` says of it.

    Raises:
        LtsError: A setting breaks its rule, or differs from those that it was begun with.
    """
    own = training_of_locator(settings)
    folder = Path(own.paths.output_dir)
    with keys_of_locator():
        resumed_from = checkpoint_to_resume("auto", folder) if resumes_in_place(settings.ckpt) else None
        own = with_precision_of(replace(own, ckpt="auto" if resumed_from else None), resumed_from)
        planned = with_plan_of(own, resumed_from)
        if resumed_from and planned and _is_finished(planned, resumed_from, split):
            print_line(f"locator: is trained already, in {folder}")
            facts = {}
        else:
            facts = _train(own, planned, cohort, split, signals=signals)
    locator = read_locator(folder / "checkpoints" / "best.ckpt")
    return locator, {"checkpoint": str(locator.path), **facts}


def _is_finished(settings: TrainSettings, path: Path, split: Split) -> bool:
    """Whether all epochs are done; settings and cases must be those of the checkpoint even then."""
    saved = read_checkpoint(path)
    epochs = check_epochs_left(saved, path, max_epochs=settings.max_epochs, ckpt=settings.ckpt)
    if epochs < settings.max_epochs:
        return False
    described = saved[DESCRIPTION_KEY]
    changes = settings_changed(described["config"], settings)
    check_fixed_settings(changes, path, same_folder=True)
    ids = {part: [member["case"] for member in members] for part, members in described["split"].items()}
    check_cases(changes, path, saved=ids, asked={part: split.subset(part) for part in ids})
    return True


def _train(
    own: TrainSettings,
    planned: TrainSettings | None,
    cohort: Cohort,
    split: Split,
    *,
    signals: StopSignals,
) -> dict[str, Any]:
    settings, folder = planned or own, Path(own.paths.output_dir)
    resume = plan_resume(settings, folder, split)
    if resume is None:
        clear_traces(folder)
    size = settings.data.image_size
    print_line(f"locator: learns the liver on whole slices of {size} x {size} pixels first, in {folder}")
    data = set_up_data(settings, cohort, split, resumed_from=resume.path if resume else None)
    if not data.holders("train", "liver"):
        raise ConfigError("needs training cases with a liver, none has one")
    if planned is None:
        fitted = fit_to_budget(own, data)
        print_line(f"locator: {fitted.line()}")
        settings, data = fitted.settings, set_up_data(fitted.settings, cohort, split)
    members = members_of(data, cohort, split)
    settings, chosen_by = settle_monitor(settings, data)
    if resume:
        check_before_resuming(resume, settings, members=members)
        print_line(f"locator: {resume.line()}")
    print_line(f"locator: {chosen_by}")
    task, trainer = make_task_and_trainer(settings, data, members=members, signals=signals, resume=resume)
    began = time.perf_counter()
    # Of other processes there are none, but a strategy may leave its state.
    with open_loggers(trainer, settings), other_processes(trainer, folder):
        fit(trainer, task, data, resume)
    return {
        "fit_s": round(time.perf_counter() - began, 2),
        "max_epochs": settings.max_epochs,
        "slices_per_epoch": settings.data.slices_per_epoch,
    }
