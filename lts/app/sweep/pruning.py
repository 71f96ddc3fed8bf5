"""Ends hopeless jobs of a sweep early: a median rule over what its jobs have written of their epochs."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from lts.app.run.records import FAILED, JOB_FILE, PROGRESS_FILE, read_progress, read_run
from lts.app.sweep.leaderboard import kind_of_score
from lts.base import ConfigError, write_json
from lts.task import scores_of_epoch


def is_hopeless(
    best: float | None, others: Sequence[float], *, highest_is_best: bool, min_siblings: int
) -> bool:
    """Whether the best score of a job so far is worse than the median of the others' at the same epoch.

    Args:
        best: Its best score, None where it never had a finite one.
        others: The best scores of the other jobs up to that epoch.
        highest_is_best: Whether the best is the highest.
        min_siblings: Others that there must be for any verdict, >= 1.
    """
    if len(others) < min_siblings:
        return False
    if best is None:
        return True
    return best < median(others) if highest_is_best else best > median(others)


def best_by_epoch(scores: Sequence[float], *, highest_is_best: bool) -> list[float | None]:
    """After each epoch the best score so far; None before the first that is finite."""
    found: list[float | None] = []
    best: float | None = None
    pick = max if highest_is_best else min
    for score in scores:
        if math.isfinite(score):
            best = score if best is None else pick(best, score)
        found.append(best)
    return found


def sibling_scores(folder: Path, *, epoch: int, monitor: str, mode: str) -> list[float]:
    """The best scores, up to an epoch, of the other jobs of a sweep that came so far and did not fail.

    Of a loss, only those of jobs with the same loss.

    Args:
        folder: Of the job that asks, not counted.
        epoch: Counted from 1.
        monitor: Name of the score; jobs that follow another one are left out.
        mode: `max` or `min`.
    """
    found = []
    kind = kind_of_score({**read_run(folder), "monitor": monitor})
    for file in sorted(folder.parent.glob(f"*/{PROGRESS_FILE}")):
        progress = read_progress(file)
        best: list[float | None] = progress["best_by_epoch"]
        if file.parent == folder or (progress["monitor"], progress["mode"]) != (monitor, mode):
            continue
        record = read_run(file.parent)
        if len(best) < epoch or record.get("state") == FAILED:
            continue
        if kind_of_score({**record, "monitor": monitor}) != kind:
            continue
        if (score := best[epoch - 1]) is not None:
            found.append(score)
    return found


def pruned_at(trainer: Trainer) -> int | None:
    """The epoch after which a training was ended as hopeless, None where it was not."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    found = (each.pruned_after_epoch for each in callbacks if isinstance(each, PruneHopeless))
    return next(found, None)


class PruneHopeless(Callback):
    """Writes the best score after each epoch into `progress.json`, and ends the job when it is hopeless.

    What it decides follows from the scores of this job and its siblings alone.

    Args:
        folder: Of this job.
        monitor: The score that picks the best checkpoint.
        mode: `max` or `min`.
        warmup_epochs: Epochs after which no job is ended yet.
        min_siblings: Jobs that must have come as far for any to be ended.

    Raises:
        ConfigError: A number is outside its range, or there is no sweep.
    """

    def __init__(
        self, *, folder: str, monitor: str | None, mode: str, warmup_epochs: int = 5, min_siblings: int = 4
    ) -> None:
        if monitor is None:
            raise ConfigError(
                "pruning: compares jobs by callbacks.best.monitor, which must be a score, got null"
            )
        for name, value, least in (("warmup_epochs", warmup_epochs, 0), ("min_siblings", min_siblings, 1)):
            if value < least:
                raise ConfigError(f"callbacks.prune.{name}: must be {least} or more, got {value}")
        self._folder, self._monitor, self._mode = Path(folder), monitor, mode
        self._warmup_epochs, self._min_siblings = warmup_epochs, min_siblings
        self._scores: list[float] = []
        self.pruned_after_epoch: int | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Refuse to prune a run that has no siblings."""
        if not (self._folder / JOB_FILE).is_file():
            raise ConfigError("pruning: compares the jobs of a sweep, start one with -m")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Note the score, and decide; validation has run by now."""
        # An epoch that was not validated is no better and no worse than those before.
        self._scores.append(scores_of_epoch(trainer).get(self._monitor, math.nan))
        epoch = len(self._scores)
        # Siblings go on meanwhile, so that one process must decide for all.
        hopeless = trainer.strategy.broadcast(trainer.is_global_zero and self._decide(epoch))
        if hopeless and epoch != trainer.max_epochs:
            self.pruned_after_epoch = epoch
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """The scores so far, for a run that is resumed."""
        return {"scores": self._scores}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the epochs of an earlier run."""
        self._scores = state_dict["scores"]

    def _decide(self, epoch: int) -> bool:
        highest_is_best = self._mode == "max"
        best = best_by_epoch(self._scores, highest_is_best=highest_is_best)
        progress = {"monitor": self._monitor, "mode": self._mode, "best_by_epoch": best}
        write_json(self._folder / PROGRESS_FILE, progress)
        if epoch <= self._warmup_epochs:
            return False
        others = sibling_scores(self._folder, epoch=epoch, monitor=self._monitor, mode=self._mode)
        return is_hopeless(best[-1], others, highest_is_best=highest_is_best, min_siblings=self._min_siblings)
