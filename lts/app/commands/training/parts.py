"""The parts of a training run, made of its config: data, who is in it, network and trainer."""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import LearningRateMonitor
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lts.app.commands.training.network import build_network, describe_run
from lts.app.commands.training.plan import plan_line
from lts.app.commands.training.trainer_factory import make_trainer
from lts.app.config.making import make, told_as
from lts.app.run.console import ShowProgress, say
from lts.app.run.distributed import ObeySignals, is_first_process, precision_of
from lts.app.run.resuming import Resume
from lts.app.run.signals import StopSignals
from lts.cohort import Case, Cohort, Split
from lts.data import SliceDataModule, Subset
from lts.intensity import Intensity
from lts.slices import Recipe, content_hash
from lts.task import (
    CompileNetwork,
    DescribeCheckpoint,
    EpochHistory,
    SeedEpochs,
    SegmentationTask,
    TakeNewSettings,
    TellEpochs,
    TellTimeLeft,
    WatchLoss,
    WholeLogs,
)

SUBSETS: tuple[Subset, ...] = ("train", "val", "test")


def set_up_data(config: DictConfig, cohort: Cohort, split: Split) -> SliceDataModule:
    """Seed the process and bring the slices of a run into the store.

    Raises:
        LtsError: A scan cannot be read, or the slices do not fit on the disk.
    """
    pl.seed_everything(config.seed, workers=True, verbose=False)
    data = _data(config, cohort, split)
    data.setup("fit")
    return data


def _data(config: DictConfig, cohort: Cohort, split: Split) -> SliceDataModule:
    data = config.data
    return SliceDataModule(
        cases={name: [cohort.case(case) for case in split.subset(name)] for name in SUBSETS},
        recipe=Recipe(image_size=data.image_size, pixel_mm=data.pixel_mm, modality=data.modality),
        store_dir=Path(config.paths.store_dir),
        intensity=make(config.intensity, key="intensity", kind=Intensity),
        augment=make(config.augment, key="augment", kind=Callable),  # type: ignore[arg-type]
        regions=data.regions,
        context=data.context,
        batch_size=data.batch_size,
        num_workers=data.num_workers,
        region_share=data.region_share,
        slices_per_epoch=data.slices_per_epoch,
        seed=config.seed,
        progress=ShowProgress("slice store") if is_first_process() else lambda _done, _total: None,
    )


def members_of(data: SliceDataModule, cohort: Cohort, split: Split) -> dict[str, list[dict[str, str]]]:
    """Per subset its cases, told by the content of their scans."""
    stored = {case.case: case.image.sha256 for case in (*data.stored("train"), *data.stored("val"))}

    def member(case: Case) -> dict[str, str]:
        sha256 = stored.get(case.id) or content_hash(case.image)
        return {"case": case.id, "patient": case.patient, "sha256": sha256}

    return {name: [member(cohort.case(case)) for case in split.subset(name)] for name in SUBSETS}


def tell_of_store(config: DictConfig, data: SliceDataModule) -> None:
    """Say what is notable of the stored cases, and what the run will take of disk and memory."""
    cases = [*data.stored("train"), *data.stored("val")]
    for stored in cases:
        for note in stored.notes:
            say(f"{stored.case}: {note}")
    say(
        plan_line(
            cases,
            store_dir=Path(config.paths.store_dir),
            batch_size=config.data.batch_size,
            context=config.data.context,
            num_workers=config.data.num_workers,
        )
    )


def make_task_and_trainer(
    config: DictConfig,
    data: SliceDataModule,
    *,
    members: dict[str, list[dict[str, str]]],
    signals: StopSignals | None,
    resume: Resume | None = None,
) -> tuple[SegmentationTask, pl.Trainer]:
    """The network in its task, and the trainer with all that watches it.

    Args:
        config: The config of the run.
        data: Set up.
        members: As `members_of`; they go into the checkpoints.
        signals: What tells the run to stop, None where another process is told.
        resume: From where the run goes on, None where it begins.
    """
    regions, best = list(config.data.regions), config.callbacks.best
    network, spec = build_network(config, in_channels=data.channels, out_channels=len(regions))
    task = SegmentationTask(
        network=network,
        loss=make(config.loss, key="loss", kind=nn.Module),
        optimizer=make(config.optimizer, key="optimizer", kind=Optimizer, partial=True),
        scheduler=make_scheduler(config),
        regions=regions,
        val_cases=len(members["val"]),
        encoder_lr_scale=config.task.encoder_lr_scale,
    )
    history = EpochHistory(path=Path(config.paths.output_dir) / "curves.png", monitor=best.monitor)
    describe = DescribeCheckpoint(
        description=describe_run(
            config, network=spec, members=members, changes=resume.history if resume else []
        ),
        intensity=data.intensity,
    )
    compile_network = CompileNetwork(when=config.compile, tell=say)
    tell_epochs = TellEpochs(history, tell=say)
    watch_loss = WatchLoss(remedies=_remedies(config), tell=say)
    own = [
        SeedEpochs(seed=config.seed),
        watch_loss,
        history,
        describe,
        WholeLogs(),
        TellTimeLeft(say),
        compile_network,
        tell_epochs,
    ]
    if signals:
        own.append(ObeySignals(signals))
    if resume and resume.learns_otherwise:
        own.append(TakeNewSettings(rate_is_new=resume.rate_is_new))
    loggers = make_loggers(config)
    trainer = make_trainer(
        config,
        callbacks=[*make_callbacks(config, loggers).values(), *own],
        loggers=loggers,
        validates=bool(members["val"]),
    )
    return task, trainer


def make_scheduler(config: DictConfig) -> Callable[[Optimizer], LRScheduler] | None:
    """What makes the scheduler of an optimizer, None for a constant rate."""
    if not config.scheduler:
        return None
    made: Callable[[Optimizer], LRScheduler] = make(
        config.scheduler, key="scheduler", kind=LRScheduler, partial=True
    )
    return made


def make_loggers(config: DictConfig) -> list[Logger]:
    """What notes the scores of a run, none or several."""
    loggers = []
    for name, each in (config.get("logger") or {}).items():
        loggers.append(make(each, key=f"logger.{name}", kind=Logger))
        if isinstance(loggers[-1], TensorBoardLogger):
            with told_as(f"logger.{name}"):
                import_module("torch.utils.tensorboard")  # by itself it would be when the training begins
    return loggers


def make_callbacks(config: DictConfig, loggers: Sequence[Logger]) -> dict[str, pl.Callback]:
    """What the config has watch the training, by name; without a logger no rate is logged."""
    made = {
        name: make(each, key=f"callbacks.{name}", kind=pl.Callback) for name, each in config.callbacks.items()
    }
    return {name: each for name, each in made.items() if loggers or not isinstance(each, LearningRateMonitor)}


def _remedies(config: DictConfig) -> str:
    """What may help against a training that diverges, with its values."""
    clip, precision = config.trainer.get("gradient_clip_val"), precision_of(config.trainer)
    told = [f"a lower optimizer.lr than {config.optimizer.get('lr')}"]
    told.append(f"a lower trainer.gradient_clip_val than {clip}" if clip else "trainer.gradient_clip_val=1")
    if precision != "32-true":
        told.append("trainer.precision=32-true")
    return f"try {', '.join(told)}"
