"""One training run: from config to checkpoints, curves and scores."""

import logging
import sys
import time
import warnings
from contextlib import nullcontext
from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf, open_dict
from pytorch_lightning.callbacks import ModelCheckpoint

from lts.app.cases import open_cohort, split_cohort
from lts.app.checking import check_before_training, check_members
from lts.app.command import CONFIG_FILE, follows
from lts.app.console import ShowProgress, say
from lts.app.interruption import StopSignals, stop_signals
from lts.app.model import build_network, describe_run, make, plain
from lts.app.plan import plan_line
from lts.app.provenance import RunRecord, run_folder, write_json
from lts.app.pruning import pruned_at
from lts.app.ranks import ObeySignals, check_devices, follow_to_the_end, is_first_process, other_processes
from lts.app.resuming import check_epochs_left, checkpoint_to_go_on_from, clear_traces, goes_on
from lts.app.scoring import ScoringSettings, score_model
from lts.base import check_regions
from lts.cohort import Case, Cohort, Split
from lts.data import SliceDataModule, Subset
from lts.inference import Predictor, read_checkpoint
from lts.slices import Recipe, content_hash
from lts.task import (
    DescribeCheckpoint,
    EpochHistory,
    SegmentationTask,
    TellTimeLeft,
    WholeCheckpointIO,
    WholeLogs,
)

SUBSETS: tuple[Subset, ...] = ("train", "val", "test")


def train(config: DictConfig) -> float:
    """Train a model, score its best checkpoint on the test subset, and return the best validation score.

    Where several processes train, each calls this; the first alone writes, scores and speaks.

    Raises:
        LtsError: The input or config was wrong.
        Interrupted: The run was told to stop.
    """
    _be_quiet()
    if not is_first_process():
        return _train_beside(config)
    stop = _StopLine()
    with stop_signals(stop) as signals:
        return _train_and_score(config, signals, stop)


def _train_and_score(config: DictConfig, signals: StopSignals, stop: "_StopLine") -> float:
    scoring = ScoringSettings(**plain(config.scoring))
    check_devices(config.trainer)
    output_dir = _settle(config)
    rules = scoring.rules(config.data.regions, output_dir=output_dir, window_hu=config.data.display_hu)
    cohort = open_cohort(config.data)
    split = split_cohort(cohort, config.split)
    check_before_training(cohort, split)
    ckpt, steps_before = _resume_from(config, output_dir)
    record = stop.record = RunRecord(output_dir, command="train", goes_on=goes_on(config.ckpt))
    if goes_on(config.ckpt) and ckpt is None:
        clear_traces(output_dir)
    OmegaConf.save(config, output_dir / CONFIG_FILE, resolve=True)
    write_json(output_dir / "split.json", split.to_dict())
    say(f"run {output_dir}: {_counts(cohort, split)}")
    for note in cohort.notes:
        say(f"{cohort.root}: {note}")

    data = _set_up(config, cohort, split)
    for stored in (*data.stored("train"), *data.stored("val")):
        for note in stored.notes:
            say(f"{stored.case}: {note}")
    members = _members(data, cohort, split)
    check_members(members, cohort, split)
    say(_plan(config, data))
    task, trainer = _task_and_trainer(config, data, members=members, signals=signals)
    began = time.perf_counter()
    with other_processes(trainer, output_dir):
        trainer.fit(task, datamodule=data, ckpt_path=ckpt, weights_only=True)
    fit_s = time.perf_counter() - began
    best = trainer.checkpoint_callback
    assert isinstance(best, ModelCheckpoint)
    assert best.best_model_score is not None
    pruned_after_epoch = pruned_at(trainer)
    if pruned_after_epoch is None:
        predictor = Predictor.from_checkpoint(best.best_model_path, device=str(trainer.strategy.root_device))
        score_model(
            predictor,
            [cohort.case(case) for case in split.test],
            subset="test",
            output_dir=output_dir,
            rules=rules,
            settings=scoring,
            record=record,
        )
    best_score = float(best.best_model_score)
    steps = trainer.global_step - steps_before
    record.finish(
        fit_s=round(fit_s, 2),
        train_slices_per_s=round(steps * config.data.batch_size * trainer.world_size / fit_s, 2),
        monitor=best.monitor,
        mode=best.mode,
        best_score=best_score,
        parameters=sum(parameter.numel() for parameter in task.network.parameters()),
        **(
            {}
            if pruned_after_epoch is None
            else {"state": "pruned", "pruned_after_epoch": pruned_after_epoch}
        ),
    )
    if pruned_after_epoch is not None:
        say(f"pruned after epoch {pruned_after_epoch}: below the median of the sweep; no test scores")
    say(f"best {best.monitor} {best_score:.4f}; all files are in {output_dir}")
    return best_score


def _train_beside(config: DictConfig) -> float:
    """Train as one of the processes that are not the first; writes nothing."""
    follow_to_the_end()
    output_dir = _settle(config)
    cohort = open_cohort(config.data)
    split = split_cohort(cohort, config.split)
    with stop_signals(lambda: "") if not follows() else nullcontext() as signals:
        data = _set_up(config, cohort, split)
        task, trainer = _task_and_trainer(
            config, data, members=_members(data, cohort, split), signals=signals
        )
        ckpt, _ = _resume_from(config, output_dir)
        trainer.fit(task, datamodule=data, ckpt_path=ckpt, weights_only=True)
    return float(trainer.callback_metrics[config.callbacks.best.monitor])


def _plan(config: DictConfig, data: SliceDataModule) -> str:
    return plan_line(
        [*data.stored("train"), *data.stored("val")],
        store_dir=Path(config.paths.store_dir),
        batch_size=config.data.batch_size,
        context=config.data.context,
        num_workers=config.data.num_workers,
    )


def _set_up(config: DictConfig, cohort: Cohort, split: Split) -> SliceDataModule:
    pl.seed_everything(config.seed, workers=True, verbose=False)
    data = _data(config, cohort, split)
    data.setup("fit")
    return data


def _be_quiet() -> None:
    """Keep the libraries' own advice out of the run's lines."""
    for library in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
    warnings.filterwarnings("ignore", ".*treespec.*")
    # A resumed run logs again what it takes away with this.
    warnings.filterwarnings("ignore", ".*Experiment logs directory .* exists and is not empty.*")


def _settle(config: DictConfig) -> Path:
    """Fill in what depends on other settings, and make paths absolute for whoever reads the config later."""
    config.data.regions = list(check_regions(config.data.regions))
    with open_dict(config):
        config.paths.output_dir = str(run_folder(config))
        for section, key in (("data", "root"), ("paths", "store_dir")):
            config[section][key] = str(Path(config[section][key]).expanduser().resolve())
        if OmegaConf.is_missing(config.callbacks.best, "monitor"):
            config.callbacks.best.monitor = f"val/{config.data.regions[-1]}/dice_per_case"
    return Path(config.paths.output_dir)


def _counts(cohort: Cohort, split: Split) -> str:
    parts = ", ".join(f"{len(split.subset(name))} {name}" for name in SUBSETS)
    return f"{len(cohort.cases)} cases ({parts})"


def _data(config: DictConfig, cohort: Cohort, split: Split) -> SliceDataModule:
    data = config.data
    return SliceDataModule(
        cases={name: [cohort.case(case) for case in split.subset(name)] for name in SUBSETS},
        recipe=Recipe(image_size=data.image_size, pixel_mm=data.pixel_mm, modality=data.modality),
        store_dir=Path(config.paths.store_dir),
        intensity=make(config.intensity),
        augment=make(config.augment),
        regions=data.regions,
        context=data.context,
        batch_size=data.batch_size,
        num_workers=data.num_workers,
        region_share=data.region_share,
        slices_per_epoch=data.slices_per_epoch,
        seed=config.seed,
        progress=ShowProgress("slice store") if is_first_process() else _say_nothing,
    )


def _say_nothing(_done: int, _total: int) -> None:
    """The first process tells of the store."""


def _members(data: SliceDataModule, cohort: Cohort, split: Split) -> dict[str, list[dict[str, str]]]:
    """Per subset its cases, told by the content of their scans."""
    stored = {case.case: case.image.sha256 for case in (*data.stored("train"), *data.stored("val"))}

    def member(case: Case) -> dict[str, str]:
        sha256 = stored.get(case.id) or content_hash(case.image)
        return {"case": case.id, "patient": case.patient, "sha256": sha256}

    return {name: [member(cohort.case(case)) for case in split.subset(name)] for name in SUBSETS}


def _task_and_trainer(
    config: DictConfig,
    data: SliceDataModule,
    *,
    members: dict[str, list[dict[str, str]]],
    signals: StopSignals | None,
) -> tuple[SegmentationTask, pl.Trainer]:
    regions, best = list(config.data.regions), config.callbacks.best
    network, spec = build_network(config, in_channels=data.channels, out_channels=len(regions))
    task = SegmentationTask(
        network=network,
        loss=make(config.loss),
        optimizer=make(config.optimizer),
        scheduler=make(config.scheduler) if config.scheduler else None,
        regions=regions,
        val_cases=len(members["val"]),
        encoder_lr_scale=config.task.encoder_lr_scale,
    )
    history = EpochHistory(
        path=Path(config.paths.output_dir) / "curves.png",
        monitor=best.monitor,
        highest_is_best=best.mode == "max",
    )
    describe = DescribeCheckpoint(
        description=describe_run(config, network=spec, members=members), intensity=data.intensity
    )
    own = [history, describe, WholeLogs(), TellTimeLeft(say), *([ObeySignals(signals)] if signals else [])]
    trainer: pl.Trainer = make(
        config.trainer,
        callbacks=[*(make(callback) for callback in config.callbacks.values()), *own],
        plugins=[*make(config.trainer.plugins), WholeCheckpointIO()],
        logger=make(config.logger),
        default_root_dir=config.paths.output_dir,
        enable_progress_bar=sys.stderr.isatty(),
    )
    return task, trainer


def _resume_from(config: DictConfig, output_dir: Path) -> tuple[Path | None, int]:
    """The checkpoint to go on from and the steps it has behind it; None and 0 for a run that begins."""
    path = checkpoint_to_go_on_from(config.ckpt, output_dir)
    if path is None:
        return None, 0
    saved = read_checkpoint(path)
    check_epochs_left(saved, path, max_epochs=config.trainer.max_epochs, ckpt=config.ckpt)
    return path, int(saved["global_step"])


class _StopLine:
    """What a run says that was told to stop; before it has a record there is nothing to go on with."""

    def __init__(self) -> None:
        self.record: RunRecord | None = None

    def __call__(self) -> str:
        return self.record.interrupt() if self.record else "nothing was begun"
