"""The parts of a training run, made from its settings: data, cases, network and trainer."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import LearningRateMonitor
from pytorch_lightning.loggers import Logger
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lts.app.commands.training.data_fit import load_fitted
from lts.app.commands.training.footprint import footprint_line
from lts.app.commands.training.locator import Locator, recipe_of
from lts.app.commands.training.loggers import flat_settings, make_loggers, tuned_settings
from lts.app.commands.training.network import build_network, describe_run
from lts.app.commands.training.trainer_factory import make_trainer
from lts.app.commands.training.warm_start import WarmStart, fit_to_network
from lts.app.config.instantiate import build_component, keys_in_errors
from lts.app.config.settings import TrainSettings
from lts.app.run.console import ShowProgress, print_line
from lts.app.run.distributed import StopOnSignal, is_first_process, precision_of
from lts.app.run.resuming import Resume
from lts.app.run.signals import StopSignals
from lts.base import counted
from lts.cohort import Case, Cohort, Split
from lts.data import Augmentation, SliceDataModule, Subset, check_loading
from lts.intensity import Intensity
from lts.slices import content_hash
from lts.task import (
    ApplyNewSettings,
    CompileNetwork,
    DescribeCheckpoint,
    EpochHistory,
    LogSummary,
    PrintEpochs,
    PrintTimeLeft,
    SeedEpochs,
    SegmentationTask,
    WatchLoss,
    WholeLogs,
)

SUBSETS: tuple[Subset, ...] = ("train", "val", "test")


def set_up_data(
    settings: TrainSettings, cohort: Cohort, split: Split, *, resumed_from: Path | None = None
) -> SliceDataModule:
    """Seed the process and bring the slices of a run into the store.

    Args:
        settings: Those of the run; what is fitted to the data is chosen.
        cohort: The cases.
        split: Their split.
        resumed_from: The checkpoint that it goes on from, if any; the intensity stays as it was fitted there.

    Raises:
        LtsError: A scan cannot be read, the slices do not fit on the disk, or there is no lesion to copy.
    """
    pl.seed_everything(settings.seed, workers=True, verbose=False)
    data = _data(settings, cohort, split, intensity_is_fitted=resumed_from is not None)
    if resumed_from:
        load_fitted(data.intensity, resumed_from)
    with keys_in_errors("augment", Augmentation):  # what could not be checked without the slices
        data.setup("fit")
    return data


def _data(
    settings: TrainSettings, cohort: Cohort, split: Split, *, intensity_is_fitted: bool
) -> SliceDataModule:
    data = settings.data
    return SliceDataModule(
        cases={name: [cohort.case(case) for case in split.subset(name)] for name in SUBSETS},
        recipe=recipe_of(settings),
        store_dir=Path(settings.paths.store_dir),
        intensity=build_component(settings.intensity, key="intensity", kind=Intensity),
        intensity_is_fitted=intensity_is_fitted,
        augment=build_component(settings.augment, key="augment", kind=Callable),  # type: ignore[arg-type]
        regions=data.regions,
        context=data.context,
        batch_size=data.batch_size,
        num_workers=data.num_workers,
        region_share=data.region_share,
        slices_per_epoch=data.slices_per_epoch,
        seed=settings.seed,
        progress=_ShowStore() if is_first_process() else lambda _done, _total: None,
    )


class _ShowStore(ShowProgress):
    """Shows how the slice store grows, or says that nothing was missing."""

    def __init__(self) -> None:
        super().__init__("slice store")
        self._begun = False

    def __call__(self, done: int, total: int) -> None:
        if self._begun or done < total:
            super().__call__(done, total)
        else:
            print_line(f"slice store: complete, {counted(total, 'case')}")
        self._begun = True


def members_of(data: SliceDataModule, cohort: Cohort, split: Split) -> dict[str, list[dict[str, str]]]:
    """The cases of each subset, with the hashes of their scans."""
    stored = {case.case: case.image.sha256 for case in (*data.stored("train"), *data.stored("val"))}

    def member(case: Case) -> dict[str, str]:
        sha256 = stored.get(case.id) or content_hash(case.image)
        return {"case": case.id, "patient": case.patient, "sha256": sha256}

    return {name: [member(cohort.case(case)) for case in split.subset(name)] for name in SUBSETS}


def print_store(settings: TrainSettings, data: SliceDataModule) -> None:
    """Print notes on the stored cases, and the disk space and memory of the run."""
    cases = [*data.stored("train"), *data.stored("val")]
    for stored in cases:
        for note in stored.notes:
            print_line(f"{stored.case}: {note}")
    print_line(
        footprint_line(
            cases,
            store_dir=Path(settings.paths.store_dir),
            batch_size=settings.data.batch_size,
            context=settings.data.context,
            num_workers=settings.data.num_workers,
        )
    )


def make_task_and_trainer(
    settings: TrainSettings,
    data: SliceDataModule,
    *,
    members: dict[str, list[dict[str, str]]],
    signals: StopSignals | None,
    resume: Resume | None = None,
    start: WarmStart | None = None,
    locator: Locator | None = None,
    fingerprint: Mapping[str, Any] | None = None,
) -> tuple[SegmentationTask, pl.Trainer]:
    """The network in its task, and the trainer with its callbacks.

    Args:
        settings: Those of the run.
        data: Set up.
        members: As `members_of`; they go into the checkpoints.
        signals: Stop signals of the run, None if another process handles them.
        resume: Where the run resumes, None for a new run.
        start: The weights that a new run begins with, None for random ones.
        locator: Finds the liver for a new run, None for a run on whole slices.
        fingerprint: What settings of a new run were fitted to; it goes into the checkpoints.
    """
    regions = list(settings.data.regions)
    network, spec = build_network(settings, in_channels=data.channels, out_channels=len(regions))
    if start:
        fit = fit_to_network(start, network, settings, in_channels=data.channels)
        network.load_state_dict({**network.state_dict(), **fit.weights})
        if is_first_process():
            for line in fit.lines(start.path):
                print_line(line)
    task = SegmentationTask(
        network=network,
        loss=build_component(settings.loss, key="loss", kind=nn.Module),
        optimizer=build_component(settings.optimizer, key="optimizer", kind=Optimizer, partial=True),
        scheduler=make_scheduler(settings),
        regions=regions,
        val_cases=len(members["val"]),
        encoder_lr_scale=settings.task.encoder_lr_scale,
    )
    describe = DescribeCheckpoint(
        description=describe_run(
            settings,
            network=spec,
            members=members,
            changes=resume.history if resume else [],
            start_cases=resume.start_cases if resume else _cases_of(start, locator, members),
            fingerprint=resume.fingerprint if resume else fingerprint or {},
            locator=resume.locator if resume else locator.description if locator else None,
        ),
        intensity=data.intensity,
    )
    own = _own_callbacks(settings, describe, signals=signals, resume=resume)
    loggers = make_loggers(settings)
    trainer = make_trainer(
        settings,
        callbacks=[*make_callbacks(settings, loggers).values(), *own],
        loggers=loggers,
        validates=bool(members["val"]),
    )
    return task, trainer


def _own_callbacks(
    settings: TrainSettings,
    describe: DescribeCheckpoint,
    *,
    signals: StopSignals | None,
    resume: Resume | None,
) -> list[pl.Callback]:
    """What every run has beside the callbacks of its settings."""
    monitor = settings.callbacks["best"].arguments["monitor"]
    history = EpochHistory(path=Path(settings.paths.output_dir) / "curves.png", monitor=monitor)
    own: list[pl.Callback] = [
        SeedEpochs(seed=settings.seed),
        WatchLoss(remedies=_remedies(settings), print_line=print_line),
        history,
        LogSummary(history, settings=flat_settings(settings), tuned=tuned_settings(settings)),
        describe,
        WholeLogs(),
        PrintTimeLeft(print_line),
        CompileNetwork(when=settings.compile, print_line=print_line),
        PrintEpochs(history, print_line=print_line),
    ]
    if signals:
        own.append(StopOnSignal(signals))
    if resume and resume.optimizer_changed:
        own.append(ApplyNewSettings(learning_rate_changed=resume.learning_rate_changed))
    return own


def _cases_of(
    start: WarmStart | None, locator: Locator | None, members: Mapping[str, Sequence[Mapping[str, str]]]
) -> list[Mapping[str, str]]:
    """Cases that a start was trained on, and those of a locator that the run itself is not trained on."""
    own = {member["sha256"] for member in members["train"]}
    others = [case for case in (locator.cases if locator else ()) if case["sha256"] not in own]
    return [*(start.cases if start else ()), *others]


def fit(trainer: pl.Trainer, task: SegmentationTask, data: SliceDataModule, resume: Resume | None) -> None:
    """Train, from the beginning or from where a run is resumed."""
    with keys_in_errors("data", check_loading):  # what could not be checked without the slices
        trainer.fit(task, datamodule=data, ckpt_path=resume.path if resume else None, weights_only=True)


def make_scheduler(settings: TrainSettings) -> Callable[[Optimizer], LRScheduler] | None:
    """A factory of the optimizer's scheduler, None for a constant rate."""
    if settings.scheduler is None:
        return None
    made: Callable[[Optimizer], LRScheduler] = build_component(
        settings.scheduler, key="scheduler", kind=LRScheduler, partial=True
    )
    return made


def make_callbacks(settings: TrainSettings, loggers: Sequence[Logger]) -> dict[str, pl.Callback]:
    """The callbacks of the settings, by name; without a logger the rate is not logged."""
    made = {
        name: build_component(each, key=f"callbacks.{name}", kind=pl.Callback)
        for name, each in settings.callbacks.items()
    }
    return {name: each for name, each in made.items() if loggers or not isinstance(each, LearningRateMonitor)}


def _remedies(settings: TrainSettings) -> str:
    """Advice against a diverging training, with its values."""
    trainer = settings.trainer.arguments
    clip, precision = trainer.get("gradient_clip_val"), precision_of(trainer)
    remedies = [f"a lower optimizer.lr than {settings.optimizer.arguments.get('lr')}"]
    remedies.append(
        f"a lower trainer.gradient_clip_val than {clip}" if clip else "trainer.gradient_clip_val=1"
    )
    if precision != "32-true":
        remedies.append("trainer.precision=32-true")
    return f"try {', '.join(remedies)}"
