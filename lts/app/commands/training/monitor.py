"""The score that chooses best.ckpt: one that can tell models apart on the validation cases."""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lts.app.config.component import OPEN, Component
from lts.app.config.settings import TrainSettings
from lts.app.sweep.leaderboard import kind_of_score, read_runs
from lts.base import ConfigError
from lts.data import SliceDataModule
from lts.task import EpochHistory, mode_of, needs_region, score_names, standstill

_KEY = "callbacks.best.monitor"


def settle_monitor(settings: TrainSettings, data: SliceDataModule) -> tuple[TrainSettings, str]:
    """Fill in `callbacks.best.monitor` and `mode` where they are open, and check them where they are set.

    An open monitor becomes the mean Dice of the last region over the validation cases that hold it; the
    validation loss if none does; and None without validation cases, so that the last epoch is kept. Other
    callbacks with an open monitor follow the same score.

    Args:
        settings: Those of the run.
        data: Set up.

    Returns:
        The settings with the choice, and a line that says what was chosen and why.

    Raises:
        ConfigError: The score that was set is not logged, not defined for these cases, or has another mode.
    """
    monitor, region = monitor_of(settings), settings.data.regions[-1]
    n_val, n_holders = len(data.stored("val")), data.holders("val", region)
    if monitor != OPEN:
        why = "as was set"
    elif not n_val:
        monitor, why = None, "there is no validation case"
    elif not n_holders:
        monitor, why = "val/loss", f"no validation case holds {region}"
    else:
        monitor = f"val/{region}/dice_where_present"
        why = f"{n_holders} of {n_val} validation cases hold {region}"
    mode = mode_of(str(monitor)) if monitor else "min"
    asked = settings.callbacks["best"].arguments.get("mode", OPEN)
    settled = follow(settings, monitor=monitor, mode=mode)
    _check_callbacks(settled, data)
    if monitor is None:
        follows = "; the plateau scheduler follows train/loss" if not n_val and _is_plateau(settled) else ""
        return settled, f"best.ckpt is that of the last epoch: {why}{follows}"
    if asked != OPEN:
        _check_mode("callbacks.best.mode", asked, monitor)
    highest = "highest" if mode == "max" else "lowest"
    return settled, f"best.ckpt is chosen by the {highest} {monitor}: {why}"


def monitor_of(settings: TrainSettings) -> str | None:
    """The score that chooses best.ckpt, None for the last epoch; `OPEN` if it depends on the cases."""
    monitor: str | None = settings.callbacks["best"].arguments.get("monitor", OPEN)
    return monitor


def follow(settings: TrainSettings, *, monitor: str | None, mode: str) -> TrainSettings:
    """The settings with this score and mode in `best` and in callbacks that leave them open."""

    def filled(name: str, callback: Component) -> Component:
        given = callback.arguments
        chosen = {"monitor": monitor, "mode": mode}
        if name == "best":
            return callback.with_arguments(**chosen)
        return callback.with_arguments(**{key: chosen[key] for key in chosen if given.get(key) == OPEN})

    callbacks = {name: filled(name, callback) for name, callback in settings.callbacks.items()}
    return replace(settings, callbacks=callbacks)


def check_search(settings: TrainSettings, *, direction: str | None) -> None:
    """Check that a study has a score that can compare its jobs.

    Args:
        settings: Those of the run, whose folder is beside those of the other jobs.
        direction: Which end of the scale the study looks for, None where there is no study.

    Raises:
        ConfigError: There is none, or it is a loss that is another one in another job.
    """
    if direction is None:
        return
    monitor = monitor_of(settings)
    if monitor is None:
        raise ConfigError(
            f"hydra.sweeper: a study must have a score to compare jobs by, got {_KEY} null; "
            "set split.val_share above 0"
        )
    kind = kind_of_score(facts_of_choice(settings))
    runs = read_runs(Path(settings.paths.output_dir).parent)
    others = (run for run in runs if run.get("monitor") == monitor)
    if other := next((run for run in others if kind_of_score(run) != kind), None):
        raise ConfigError(
            f"{_KEY}: must be a score that compares losses, got {monitor} of another loss than that of job "
            f"{other['job']}; fix the loss of the study"
        )


def facts_of_choice(settings: TrainSettings) -> dict[str, Any]:
    """How the best checkpoint is chosen, for the record of a run."""
    monitor = monitor_of(settings)
    mode = settings.callbacks["best"].arguments["mode"] if monitor else None
    return {"monitor": monitor, "mode": mode, "loss": settings.loss.to_dict()}


def standstill_of(trainer: pl.Trainer) -> str | None:
    """A line that says that the monitored score never changed; None if it did."""
    histories = [each for each in trainer.callbacks if isinstance(each, EpochHistory)]  # type: ignore[attr-defined]
    (history,) = histories
    return standstill(history.epochs, history.monitor)


def finite_or_none(score: float) -> float | None:
    """A score as JSON can hold it; None where it was never defined."""
    return score if math.isfinite(score) else None


def check_monitors(callbacks: Mapping[str, pl.Callback], regions: Sequence[str]) -> None:
    """Check that callbacks monitor a score of each epoch, with the right mode.

    Args:
        callbacks: By their names in the config.
        regions: Of the run.

    Raises:
        ConfigError: A monitor is no score, or a mode is not that of its score.
    """
    for name, callback in callbacks.items():
        if (monitor := getattr(callback, "monitor", None)) is None:
            continue
        _check_name(f"callbacks.{name}.monitor", monitor, regions)
        _check_mode(f"callbacks.{name}.mode", getattr(callback, "mode", None), monitor)


def _check_callbacks(settings: TrainSettings, data: SliceDataModule) -> None:
    for name, callback in settings.callbacks.items():
        if (monitor := callback.arguments.get("monitor")) is not None:
            _check_name(f"callbacks.{name}.monitor", monitor, settings.data.regions)
            _check_available(f"callbacks.{name}.monitor", monitor, data)


def _check_name(key: str, monitor: object, regions: Sequence[str]) -> None:
    names = score_names(tuple(regions))
    if monitor not in names:
        close = difflib.get_close_matches(str(monitor), names, n=1) or [f"one of {', '.join(names)}"]
        raise ConfigError(f"{key}: must be a score of each epoch, got {monitor!r}; did you mean {close[0]}?")


def _check_mode(key: str, mode: object, monitor: str) -> None:
    if mode is not None and mode != (right := mode_of(monitor)):
        raise ConfigError(f"{key}: must be {right} for {monitor}, got {mode}")


def _check_available(key: str, monitor: str, data: SliceDataModule) -> None:
    if monitor.startswith("val/") and not data.stored("val"):
        raise ConfigError(
            f"{key}: must be no score of validation where there is no validation case, got {monitor}"
        )
    region = needs_region(monitor)
    if region and not data.holders("val", region):
        raise ConfigError(f"{key}: must be val/loss where no validation case holds {region}, got {monitor}")


def _is_plateau(settings: TrainSettings) -> bool:
    return settings.scheduler is not None and settings.scheduler.target.endswith(".ReduceLROnPlateau")
