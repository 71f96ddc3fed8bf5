"""One training run: from config to checkpoints, curves and scores."""

import logging
import time
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, open_dict
from pytorch_lightning.callbacks import ModelCheckpoint

from lts.app.commands.cases import open_cohort, split_cohort
from lts.app.commands.check import check_before_training, check_members
from lts.app.commands.scoring import ScoringSettings, score_model
from lts.app.commands.training.monitor import (
    check_search,
    facts_of_choice,
    finite_or_none,
    settle_monitor,
    standstill_of,
)
from lts.app.commands.training.parts import (
    SUBSETS,
    make_task_and_trainer,
    members_of,
    set_up_data,
    tell_of_store,
)
from lts.app.commands.training.rehearsal import rehearse
from lts.app.config.plain import plain
from lts.app.run.console import say
from lts.app.run.distributed import follow_to_the_end, is_first_process, left_to_first, other_processes
from lts.app.run.environment import follows
from lts.app.run.lock import alone_in_folder_of
from lts.app.run.provenance import RunRecord, StopLine, check_folder_is_free, run_folder
from lts.app.run.recording import failure_noted
from lts.app.run.records import CONFIG_FILE
from lts.app.run.resuming import Resume, check_before_going_on, clear_traces, goes_on, plan_resume
from lts.app.run.signals import StopSignals, stop_signals
from lts.app.run.writing import write_config, write_json
from lts.app.sweep.pruning import pruned_at
from lts.base import DivergedError, check_regions
from lts.cohort import Cohort, Split
from lts.data import SliceDataModule
from lts.inference import Predictor
from lts.task import SegmentationTask


def train(config: DictConfig) -> float | None:
    """Train a model, score its best checkpoint on the test subset, and return the best score that chose it.

    Where several processes train, each calls this; the first alone writes, scores and speaks.

    Raises:
        LtsError: The input or config was wrong.
        Interrupted: The run was told to stop.
    """
    _be_quiet()
    if not is_first_process():
        return _train_beside(config)
    stop = StopLine()
    with (
        alone_in_folder_of(config) as output_dir,
        stop_signals(stop) as signals,
        failure_noted(signals, stop, command="train"),
    ):
        _settle(config, output_dir)
        return _train_and_score(config, output_dir, signals, stop)


def _train_and_score(
    config: DictConfig, output_dir: Path, signals: StopSignals, stop: StopLine
) -> float | None:
    scoring = ScoringSettings(**plain(config.scoring))
    rules = scoring.rules(config.data.regions, output_dir=output_dir, window_hu=config.data.display_hu)
    rehearse(config)
    cohort = open_cohort(config.data)
    split = split_cohort(cohort, config.split)
    check_before_training(cohort, split)
    resume = plan_resume(config, output_dir, split)
    if resume is None:
        stop.record = _begin(config, output_dir)
    elif not goes_on(config.ckpt):
        check_folder_is_free(output_dir, command="train")
    _tell_of_cases(cohort, split, output_dir)
    data = set_up_data(config, cohort, split)
    members = members_of(data, cohort, split)
    check_members(members, cohort, split)
    chosen_by = settle_monitor(config, data)
    check_search(config, output_dir)
    if resume:
        check_before_going_on(resume, config, members=members)
        stop.record = _go_on(config, output_dir, resume)  # until here no byte of the folder has changed
    assert stop.record
    stop.record.add(**facts_of_choice(config))
    write_config(output_dir / CONFIG_FILE, config)
    write_json(output_dir / "split.json", split.to_dict())
    tell_of_store(config, data)
    say(chosen_by)
    task, trainer = make_task_and_trainer(config, data, members=members, signals=signals, resume=resume)
    began = time.perf_counter()
    with other_processes(trainer, output_dir):
        _fit(trainer, task, data, resume)
    fit_s = time.perf_counter() - began
    facts = _facts_of(config, task, trainer, fit_s=fit_s, steps_before=resume.steps if resume else 0)
    if told := standstill_of(trainer):
        say(told)
    if (epoch := pruned_at(trainer)) is not None:
        stop.record.finish(**facts, state="pruned", pruned_after_epoch=epoch)
        say(f"pruned after epoch {epoch}: below the median of the sweep; no test scores")
    elif not split.test:
        stop.record.finish(**facts)
        say("there is no test case, so there are no test scores")
    else:
        score_model(
            Predictor.from_checkpoint(
                _best_of(trainer).best_model_path,
                device=_device_of(trainer),
                trusted_modules=list(config.trusted_modules),
            ),
            [cohort.case(case) for case in split.test],
            subset="test",
            output_dir=output_dir,
            rules=rules,
            settings=scoring,
            record=stop.record,
        )
        stop.record.finish(**facts)
    score = _best_score(trainer)
    told = "" if score is None else f"best {_best_of(trainer).monitor} {score:.4f}; "
    say(f"{told}all files are in {output_dir}")
    return score


def _begin(config: DictConfig, output_dir: Path) -> RunRecord:
    record = RunRecord(output_dir, command="train", goes_on=goes_on(config.ckpt))
    if goes_on(config.ckpt):
        clear_traces(output_dir)
    return record


def _go_on(config: DictConfig, output_dir: Path, resume: Resume) -> RunRecord:
    record = RunRecord(output_dir, command="train", goes_on=goes_on(config.ckpt))
    if resume.history:
        record.add(changes=resume.history)
    say(resume.line())
    return record


def _fit(trainer: pl.Trainer, task: SegmentationTask, data: SliceDataModule, resume: Resume | None) -> None:
    trainer.fit(task, datamodule=data, ckpt_path=resume.path if resume else None, weights_only=True)


def _train_beside(config: DictConfig) -> float | None:
    """Train as one of the processes that are not the first; writes nothing."""
    follow_to_the_end()
    output_dir = run_folder(config)
    _settle(config, output_dir)
    cohort = open_cohort(config.data)
    split = split_cohort(cohort, config.split)
    with stop_signals(lambda: None) if not follows() else nullcontext() as signals:
        data = set_up_data(config, cohort, split)
        settle_monitor(config, data)
        resume = plan_resume(config, output_dir, split)
        members = members_of(data, cohort, split)
        task, trainer = make_task_and_trainer(config, data, members=members, signals=signals, resume=resume)
        with left_to_first(DivergedError):
            _fit(trainer, task, data, resume)
    return _best_score(trainer)


def _facts_of(
    config: DictConfig, task: SegmentationTask, trainer: pl.Trainer, *, fit_s: float, steps_before: int
) -> dict[str, Any]:
    """What the record says of a training at its end."""
    batches = (trainer.global_step - steps_before) * trainer.accumulate_grad_batches
    return {
        "fit_s": round(fit_s, 2),
        "train_slices_per_s": round(batches * config.data.batch_size * trainer.world_size / fit_s, 2),
        "precision": trainer.precision,
        "best_score": _best_score(trainer),
        "parameters": sum(parameter.numel() for parameter in task.network.parameters()),
    }


def _best_of(trainer: pl.Trainer) -> ModelCheckpoint:
    best = trainer.checkpoint_callback
    assert isinstance(best, ModelCheckpoint)
    return best


def _best_score(trainer: pl.Trainer) -> float | None:
    """The best value of what is monitored; None where nothing is, or it was never defined."""
    score = _best_of(trainer).best_model_score
    return None if score is None else finite_or_none(float(score))


def _device_of(trainer: pl.Trainer) -> str:
    return str(trainer.strategy.root_device)


def _tell_of_cases(cohort: Cohort, split: Split, output_dir: Path) -> None:
    say(f"run {output_dir}: {_counts(cohort, split)}")
    for note in cohort.notes:
        say(f"{cohort.root}: {note}")


def _be_quiet() -> None:
    """Keep the libraries' own advice out of the run's lines."""
    for library in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # looks for CUDA on CPUs too
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
    warnings.filterwarnings("ignore", ".*treespec.*")
    # A run may go on without what it had beside it, as pruning.
    warnings.filterwarnings("ignore", ".*callbacks used to create the checkpoint need to be provided.*")
    # A resumed run logs again what it takes away with this.
    warnings.filterwarnings("ignore", ".*Experiment logs directory .* exists and is not empty.*")


def _settle(config: DictConfig, output_dir: Path) -> None:
    """Fill in what depends on other settings, and make paths absolute for whoever reads the config later."""
    config.data.regions = list(check_regions(config.data.regions))
    with open_dict(config):
        config.paths.output_dir = str(output_dir)
        for section, key in (("data", "root"), ("paths", "store_dir")):
            config[section][key] = str(Path(config[section][key]).expanduser().resolve())


def _counts(cohort: Cohort, split: Split) -> str:
    parts = ", ".join(f"{len(split.subset(name))} {name}" for name in SUBSETS)
    return f"{len(cohort.cases)} cases ({parts})"
