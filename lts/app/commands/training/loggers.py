"""The loggers of a run: made from its settings, opened, and closed with it."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from lts.app.config.instantiate import as_config_error, build_component, check_arguments_of
from lts.app.config.serialization import by_key, settings_to_dict
from lts.app.config.settings import TrainSettings
from lts.app.run.console import print_line
from lts.app.run.records import LOGGERS_FILE
from lts.base import CheckpointError, ConfigError, read_csv_rows, read_json_object, write_json
from lts.evaluation import PRINTED


@dataclass(frozen=True, kw_only=True)
class _Service:
    """A service that keeps runs under ids of its own.

    Attributes:
        packages: What the logger imports.
        extra: What installs them.
        run_id: Argument of the logger that makes it go on with a run.
        run_name: Argument for the name of a run.
        begins_early: Whether a logger writes or connects as soon as it is made.
        environment: Keeps the package from reporting its own use and errors, and from printing.
    """

    packages: tuple[str, ...]
    extra: str
    run_id: str
    run_name: str
    begins_early: bool
    environment: Mapping[str, str]


_SERVICES = {
    "pytorch_lightning.loggers.WandbLogger": _Service(
        packages=("wandb",),
        extra="wandb",
        run_id="id",
        run_name="name",
        begins_early=False,
        environment={"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"},
    ),
    "pytorch_lightning.loggers.MLFlowLogger": _Service(
        packages=("mlflow", "sqlalchemy", "alembic"),
        extra="mlflow",
        run_id="run_id",
        run_name="run_name",
        begins_early=True,
        environment={"MLFLOW_DISABLE_TELEMETRY": "true"},
    ),
}
"""By the class of their logger."""

_TUNED = (
    *("augment.", "intensity.", "loss.", "model.", "optimizer.", "scheduler.", "task."),
    *("data.batch_size", "data.context", "data.image_size", "data.pixel_mm", "data.region"),
    *("data.slices_per_epoch", "seed", "split.fold", "trainer.max_epochs", "trainer.precision"),
    *("trainer.gradient_clip_val", "callbacks.freeze_encoder.", "callbacks.weight_averaging."),
)
"""Beginnings of the keys that a person tunes."""


def make_loggers(settings: TrainSettings, *, for_rehearsal: bool = False) -> list[Logger]:
    """The loggers of a run, none or several; those of a resumed run go on with what it has logged.

    Args:
        settings: Those of the run.
        for_rehearsal: Whether to leave out loggers that write or connect as they are made, once checked.

    Raises:
        ConfigError: A setting breaks its rule, or a package is missing.
    """
    folder = Path(settings.paths.output_dir)
    begun = _runs_begun(folder)
    loggers: list[Logger] = []
    for name, each in (settings.logger or {}).items():
        key = f"logger.{name}"
        given: dict[str, Any] = {}
        if service := _SERVICES.get(each.target):
            if missing := [package for package in service.packages if find_spec(package) is None]:
                raise ConfigError(f'{key}: needs {", ".join(missing)}: pip install ".[{service.extra}]"')
            for variable, value in service.environment.items():
                os.environ.setdefault(variable, value)
            # The folder of a job, or of a locator, says little by itself.
            given = {service.run_name: each.arguments.get(service.run_name) or "/".join(folder.parts[-2:])}
            if name in begun:
                given[service.run_id] = begun[name]
            if each.arguments.get("offline"):
                given["mode"] = "offline"  # W&B's own word, which counts whatever the environment says
            if service.begins_early and for_rehearsal:
                check_arguments_of(key, each.to_dict(), given=given)
                continue
        loggers.append(build_component(each, key=key, kind=Logger, **given))
        if isinstance(loggers[-1], TensorBoardLogger):
            with as_config_error(key):
                import_module("torch.utils.tensorboard")  # by itself it would be when the training begins
    return loggers


@contextmanager
def open_loggers(trainer: pl.Trainer, settings: TrainSettings) -> Iterator[None]:
    """Context in which the loggers of a trainer are open; a service ends its run with it.

    The ids of these runs are written down for a training that is resumed. The next training of this process,
    as of a sweep, gets runs of its own.

    Args:
        trainer: With the loggers of the settings.
        settings: Those of the run.

    Raises:
        ConfigError: A service refuses the run, or cannot be reached.
    """
    runs: dict[str, str] = {}
    exit_code = 1
    try:
        for name, logger in zip(settings.logger or {}, trainer.loggers, strict=True):
            if isinstance(logger, WandbLogger | MLFlowLogger):
                with as_config_error(f"logger.{name}"):
                    runs[name] = _begin(logger)
        if runs:
            folder = Path(settings.paths.output_dir)
            write_json(folder / LOGGERS_FILE, {**_runs_begun(folder), **runs})
        yield
        exit_code = 0
    finally:
        for name, logger in zip(settings.logger or {}, trainer.loggers, strict=True):
            if exit_code and name in runs:
                logger.finalize("failed")
            if isinstance(logger, WandbLogger) and name in runs:
                _end(logger, exit_code)


def _begin(logger: WandbLogger | MLFlowLogger) -> str:
    """Begin or go on with the run of a service; its id."""
    if isinstance(logger, WandbLogger):
        import_module("wandb").setup()  # reads from the environment that it is to be silent
    experiment = logger.experiment
    if isinstance(logger, MLFlowLogger):
        experiment.update_run(logger.run_id, status="RUNNING")  # one that goes on had ended before
    return str(logger.version)


def _end(logger: WandbLogger, exit_code: int) -> None:
    """End the run of W&B, which the next logger of this process would go on with."""
    run = logger.experiment
    folder = Path(run.dir).parent
    run.finish(exit_code=exit_code)
    if run.offline:
        print_line(f"W&B: `wandb sync {folder}` sends this run")


def _runs_begun(folder: Path) -> dict[str, Any]:
    """Ids of the runs that a resumed training goes on with, by the name of the logger."""
    path = folder / LOGGERS_FILE
    return read_json_object(path, error=CheckpointError) if path.is_file() else {}


def log_test_scores(trainer: pl.Trainer, metrics: Mapping[str, Any], *, cases_file: Path) -> None:
    """Log the printed scores of the test cases, as `test/<region>/<score>`; an undefined one is left out.

    TensorBoard also gets a histogram of the Dice of the cases, `test/<region>/dice`.

    Args:
        trainer: With open loggers.
        metrics: What `metrics.json` holds.
        cases_file: The scores of each case.
    """
    rows = [row for _, row in read_csv_rows(cases_file, columns=("region", "dice"))]
    scores = {
        f"test/{region}/{name}": found[name]
        for region, found in metrics["regions"].items()
        for name in PRINTED
        if found[name] is not None
    }
    for logger in trainer.loggers:
        logger.log_metrics(scores, trainer.global_step - 1)
        if isinstance(logger, TensorBoardLogger):
            for region in metrics["regions"]:
                dice = [float(row["dice"]) for row in rows if row["region"] == region and row["dice"]]
                logger.experiment.add_histogram(
                    f"test/{region}/dice", np.array(dice), trainer.global_step - 1
                )
        logger.save()


def flat_settings(settings: TrainSettings) -> dict[str, Any]:
    """All settings by their keys, as on a command line: `optimizer.lr`."""
    return by_key(settings_to_dict(settings))


def tuned_settings(settings: TrainSettings) -> dict[str, Any]:
    """The settings that a person tunes, by their keys; of classes the bare name, `optimizer` for `Adam`."""
    return {
        key.removesuffix("._target_"): value.rpartition(".")[2] if key.endswith("._target_") else value
        for key, value in flat_settings(settings).items()
        if key.startswith(_TUNED) and not key.endswith("._partial_")
    }
