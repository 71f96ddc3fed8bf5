"""One training run: from config to checkpoints, curves and scores."""

import logging
import time
import warnings
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf, open_dict
from pytorch_lightning.callbacks import ModelCheckpoint

from lts.app.alone import alone_in_folder_of
from lts.app.building import SUBSETS, make_task_and_trainer, members_of, set_up_data, tell_of_store
from lts.app.cases import open_cohort, split_cohort
from lts.app.checking import check_before_training, check_members
from lts.app.command import CONFIG_FILE, follows
from lts.app.console import say
from lts.app.interruption import StopSignals, stop_signals
from lts.app.model import plain
from lts.app.provenance import RunRecord, StopLine, run_folder
from lts.app.pruning import pruned_at
from lts.app.ranks import follow_to_the_end, is_first_process, other_processes
from lts.app.recording import failure_noted
from lts.app.rehearsal import rehearse
from lts.app.resuming import clear_traces, goes_on, resume_from
from lts.app.scoring import ScoringSettings, score_model
from lts.app.writing import write_config, write_json
from lts.base import check_regions
from lts.cohort import Cohort, Split
from lts.inference import Predictor


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
    stop = StopLine()
    with (
        alone_in_folder_of(config) as output_dir,
        stop_signals(stop) as signals,
        failure_noted(signals, stop, command="train"),
    ):
        _settle(config, output_dir)
        return _train_and_score(config, output_dir, signals, stop)


def _train_and_score(config: DictConfig, output_dir: Path, signals: StopSignals, stop: StopLine) -> float:
    scoring = ScoringSettings(**plain(config.scoring))
    rules = scoring.rules(config.data.regions, output_dir=output_dir, window_hu=config.data.display_hu)
    rehearse(config)
    cohort = open_cohort(config.data)
    split = split_cohort(cohort, config.split)
    check_before_training(cohort, split)
    ckpt, steps_before = resume_from(config.ckpt, output_dir, max_epochs=config.trainer.max_epochs)
    record = stop.record = RunRecord(output_dir, command="train", goes_on=goes_on(config.ckpt))
    if goes_on(config.ckpt) and ckpt is None:
        clear_traces(output_dir)
    _write_down(config, output_dir, cohort, split)
    data = set_up_data(config, cohort, split)
    members = members_of(data, cohort, split)
    check_members(members, cohort, split)
    tell_of_store(config, data)
    task, trainer = make_task_and_trainer(config, data, members=members, signals=signals)
    began = time.perf_counter()
    with other_processes(trainer, output_dir):
        trainer.fit(task, datamodule=data, ckpt_path=ckpt, weights_only=True)
    fit_s = time.perf_counter() - began
    best, best_score = _best_of(trainer)
    finish = partial(
        record.finish,
        fit_s=round(fit_s, 2),
        train_slices_per_s=round(
            (trainer.global_step - steps_before) * config.data.batch_size * trainer.world_size / fit_s, 2
        ),
        precision=trainer.precision,
        monitor=best.monitor,
        mode=best.mode,
        best_score=best_score,
        parameters=sum(parameter.numel() for parameter in task.network.parameters()),
    )
    pruned_after_epoch = pruned_at(trainer)
    if pruned_after_epoch is not None:
        finish(state="pruned", pruned_after_epoch=pruned_after_epoch)
        say(f"pruned after epoch {pruned_after_epoch}: below the median of the sweep; no test scores")
    else:
        score_model(
            Predictor.from_checkpoint(best.best_model_path, device=str(trainer.strategy.root_device)),
            [cohort.case(case) for case in split.test],
            subset="test",
            output_dir=output_dir,
            rules=rules,
            settings=scoring,
            record=record,
        )
        finish()
    say(f"best {best.monitor} {best_score:.4f}; all files are in {output_dir}")
    return best_score


def _train_beside(config: DictConfig) -> float:
    """Train as one of the processes that are not the first; writes nothing."""
    follow_to_the_end()
    output_dir = run_folder(config)
    _settle(config, output_dir)
    cohort = open_cohort(config.data)
    split = split_cohort(cohort, config.split)
    with stop_signals(lambda: None) if not follows() else nullcontext() as signals:
        data = set_up_data(config, cohort, split)
        task, trainer = make_task_and_trainer(
            config, data, members=members_of(data, cohort, split), signals=signals
        )
        ckpt, _ = resume_from(config.ckpt, output_dir, max_epochs=config.trainer.max_epochs)
        trainer.fit(task, datamodule=data, ckpt_path=ckpt, weights_only=True)
    _, best_score = _best_of(trainer)
    return best_score


def _best_of(trainer: pl.Trainer) -> tuple[ModelCheckpoint, float]:
    best = trainer.checkpoint_callback
    assert isinstance(best, ModelCheckpoint)
    assert best.best_model_score is not None
    return best, float(best.best_model_score)


def _write_down(config: DictConfig, output_dir: Path, cohort: Cohort, split: Split) -> None:
    write_config(output_dir / CONFIG_FILE, config)
    write_json(output_dir / "split.json", split.to_dict())
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
    # A resumed run logs again what it takes away with this.
    warnings.filterwarnings("ignore", ".*Experiment logs directory .* exists and is not empty.*")


def _settle(config: DictConfig, output_dir: Path) -> None:
    """Fill in what depends on other settings, and make paths absolute for whoever reads the config later."""
    config.data.regions = list(check_regions(config.data.regions))
    with open_dict(config):
        config.paths.output_dir = str(output_dir)
        for section, key in (("data", "root"), ("paths", "store_dir")):
            config[section][key] = str(Path(config[section][key]).expanduser().resolve())
        if OmegaConf.is_missing(config.callbacks.best, "monitor"):
            config.callbacks.best.monitor = f"val/{config.data.regions[-1]}/dice_per_case"


def _counts(cohort: Cohort, split: Split) -> str:
    parts = ", ".join(f"{len(split.subset(name))} {name}" for name in SUBSETS)
    return f"{len(cohort.cases)} cases ({parts})"
