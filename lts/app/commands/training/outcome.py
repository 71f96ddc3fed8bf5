"""What comes of a training: its record, and the scores of its best checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint

from lts.app.commands.results import CASES_FILE
from lts.app.commands.scoring import Scoring, score_model
from lts.app.commands.training.loggers import log_test_scores
from lts.app.commands.training.monitor import finite_or_none, standstill_of
from lts.app.config.settings import TrainSettings
from lts.app.run.console import print_line
from lts.app.run.provenance import RunRecord
from lts.app.run.records import PRUNED
from lts.app.sweep.pruning import pruned_at
from lts.cohort import Cohort, Split
from lts.evaluation import ScoringRules
from lts.inference import Predictor
from lts.task import SegmentationTask, StopEarly


@dataclass(frozen=True, kw_only=True)
class Training:
    """The result of a training.

    Attributes:
        output_dir: The folder of the run.
        best_checkpoint: The file of its best epoch.
        score: The best value of the monitored score, None without one or if it was never defined.
        metrics: What `metrics.json` holds, None where no case was tested.
    """

    output_dir: Path
    best_checkpoint: Path
    score: float | None
    metrics: Mapping[str, Any] | None


def training_of(
    settings: TrainSettings, trainer: pl.Trainer, metrics: Mapping[str, Any] | None = None
) -> Training:
    """The result of a trainer that has ended."""
    return Training(
        output_dir=Path(settings.paths.output_dir),
        best_checkpoint=Path(_best_of(trainer).best_model_path),
        score=_best_score(trainer),
        metrics=metrics,
    )


def conclude(
    settings: TrainSettings,
    trainer: pl.Trainer,
    cohort: Cohort,
    split: Split,
    *,
    rules: ScoringRules,
    record: RunRecord,
    fit_s: float,
    steps_before: int,
) -> Training:
    """Score the best checkpoint on the test cases, close the record, and say where all of it is.

    Args:
        settings: Those of the run.
        trainer: That has ended.
        cohort: The cases.
        split: Their split.
        rules: How masks are scored.
        record: Of the run.
        fit_s: Seconds that the training took.
        steps_before: Steps that were done before the run was resumed.
    """
    facts = _facts_of(settings, trainer, fit_s=fit_s, steps_before=steps_before)
    if standstill := standstill_of(trainer):
        print_line(standstill)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, StopEarly) and (ended := callback.line()):
            facts["stopped_after_epoch"] = trainer.current_epoch
            print_line(f"stopped after epoch {trainer.current_epoch}: {ended}")
    metrics = None
    if (epoch := pruned_at(trainer)) is not None:
        facts |= {"state": PRUNED, "pruned_after_epoch": epoch}
        print_line(f"pruned after epoch {epoch}: below the median of the sweep; no test scores")
    elif not split.test:
        print_line("there is no test case, so there are no test scores")
    else:
        predictor = Predictor.from_checkpoint(
            _best_of(trainer).best_model_path,
            device=str(trainer.strategy.root_device),
            trusted_modules=settings.trusted_modules,
        )
        facts["test_precision"] = predictor.precision
        folder = Path(settings.paths.output_dir)
        scoring = Scoring(rules=rules, settings=settings.scoring, output_dir=folder, record=record)
        cases = [cohort.case(case) for case in split.test]
        metrics = score_model(predictor, cases, scoring, subset="test")
        log_test_scores(trainer, metrics, cases_file=folder / CASES_FILE)
    record.finish(**facts)
    training = training_of(settings, trainer, metrics)
    best = "" if training.score is None else f"best {_best_of(trainer).monitor} {training.score:.4f}; "
    print_line(f"{best}all files are in {training.output_dir}")
    return training


def _facts_of(
    settings: TrainSettings, trainer: pl.Trainer, *, fit_s: float, steps_before: int
) -> dict[str, Any]:
    """The facts of a finished training for its record."""
    batches = (trainer.global_step - steps_before) * trainer.accumulate_grad_batches
    task = trainer.lightning_module
    assert isinstance(task, SegmentationTask)
    return {
        "fit_s": round(fit_s, 2),
        "train_slices_per_s": round(batches * settings.data.batch_size * trainer.world_size / fit_s, 2),
        "precision": trainer.precision,
        "best_score": _best_score(trainer),
        "parameters": sum(parameter.numel() for parameter in task.network.parameters()),
    }


def _best_of(trainer: pl.Trainer) -> ModelCheckpoint:
    best = trainer.checkpoint_callback
    assert isinstance(best, ModelCheckpoint)
    return best


def _best_score(trainer: pl.Trainer) -> float | None:
    """The best value of the monitored score; None without one, or if it was never defined."""
    score = _best_of(trainer).best_model_score
    return None if score is None else finite_or_none(float(score))
