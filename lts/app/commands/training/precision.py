"""The precision of a run, chosen once."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lts.app.config.settings import TrainSettings
from lts.app.run.distributed import precision_of
from lts.app.run.resume_settings import settings_expected
from lts.base import DESCRIPTION_KEY, ConfigError
from lts.inference import read_checkpoint


def with_precision_of(settings: TrainSettings, path: Path | None) -> TrainSettings:
    """The settings with a precision in place of `auto`.

    It is that of the run that they go on with, so that this ends as it began on another machine too, or of a
    new run what this machine computes in.

    Args:
        settings: Those of the run.
        path: The checkpoint that it goes on from, if any.

    Raises:
        ConfigError: There is no such precision, or this machine cannot train in it.
        CheckpointError: The checkpoint cannot be read, or lacks its settings.
    """
    asked = settings.trainer.arguments
    precision = precision_of(asked)
    if path is not None and asked.get("precision", "auto") == "auto":
        precision = _precision_in(path, asked) or precision
    return replace(settings, trainer=settings.trainer.with_arguments(precision=precision))


def _precision_in(path: Path, trainer: Mapping[str, Any]) -> str | None:
    """The precision of a checkpoint's run; None where this machine cannot train in it."""
    described = read_checkpoint(path)[DESCRIPTION_KEY]
    with settings_expected(path):
        saved = described["config"]["trainer"].get("precision", "auto")
    try:
        return precision_of({**trainer, "precision": saved})
    except ConfigError:
        return None
