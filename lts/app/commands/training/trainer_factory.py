"""The trainer, made from the settings of `trainer`, and which of Lightning's settings a run can use."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.loggers import Logger
from pytorch_lightning.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler

from lts.app.config.component import Component
from lts.app.config.instantiate import as_config_error, build_component, check_arguments_of
from lts.app.config.settings import TrainSettings
from lts.app.config.values import shown
from lts.app.run.distributed import check_devices, precision_of
from lts.app.run.lightning_internals import copies_this_process
from lts.base import ConfigError
from lts.task import WholeCheckpointIO

_SET_ELSEWHERE = {
    "logger": "logger=CHOICE",
    "callbacks": "callbacks",
    "default_root_dir": "paths.output_dir",
}
_WHOLE_EPOCHS = "checkpoints and scores are of whole epochs; data.slices_per_epoch makes epochs shorter"
_WHOLE_CASES = "scores are of whole cases; split.limit takes fewer of them"
_BEST = "a run ends with the scores of its best checkpoint"
_TRY = f"{_BEST}, which this does not write; debug=batch is a quick try"
_FIXED: dict[str, tuple[Any, str]] = {
    "fast_dev_run": (False, _TRY),
    "barebones": (False, _TRY),
    "enable_checkpointing": (True, _BEST),
    "overfit_batches": (0.0, "validation is of its own cases; debug=overfit learns one scan by heart"),
    "limit_val_batches": (1.0, _WHOLE_CASES),
    "limit_test_batches": (1.0, _WHOLE_CASES),
    "limit_predict_batches": (1.0, "a training predicts nothing"),
    "max_steps": (-1, f"{_WHOLE_EPOCHS}, trainer.max_epochs counts them"),
    "min_steps": (None, f"{_WHOLE_EPOCHS}, trainer.min_epochs counts them"),
    "val_check_interval": (1.0, _WHOLE_EPOCHS),
    "use_distributed_sampler": (False, "the sampler divides slices among processes itself"),
    "model_registry": (None, "checkpoints stay in the folder of their run"),
}
"""Settings with a fixed value in a run, and why; None is the same as a value that is not None."""

_LEAST = {
    "max_epochs": 1,
    "min_epochs": 0,
    "num_nodes": 1,
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "gradient_clip_val": 0,
    "log_every_n_steps": 1,
    "num_sanity_val_steps": -1,
    "reload_dataloaders_every_n_epochs": 0,
}
_PROFILERS: dict[str, type[Profiler]] = {
    "simple": SimpleProfiler,
    "advanced": AdvancedProfiler,
    "pytorch": PyTorchProfiler,
}


def make_trainer(
    settings: TrainSettings,
    *,
    callbacks: Sequence[pl.Callback],
    loggers: Sequence[Logger],
    validates: bool = True,
) -> pl.Trainer:
    """The trainer of a run, which writes into its folder.

    Args:
        settings: Those of the run.
        callbacks: The callbacks.
        loggers: The loggers.
        validates: Whether there are cases to validate on; Lightning warns of a loader without slices.

    Raises:
        ConfigError: A setting of `trainer` breaks its rule, or cannot be had on this machine.
    """
    asked, output_dir = settings.trainer.to_dict(), Path(settings.paths.output_dir)
    check_trainer(asked)
    check_devices(asked)
    check_arguments_of("trainer", asked, given={"precision"})
    given: dict[str, Any] = {"precision": precision_of(asked)}
    if not validates:
        given["limit_val_batches"] = 0
    plugins = asked.get("plugins")
    if isinstance(plugins, list | None):
        made = [_made(plugin, place) for place, plugin in enumerate(plugins or ())]
        given["plugins"] = [*made, WholeCheckpointIO()]
    if asked.get("max_time") is not None:
        # Lightning's own would end in the middle of an epoch.
        with as_config_error("trainer.max_time"):
            callbacks = [*callbacks, Timer(asked["max_time"], interval="epoch")]
        given["max_time"] = None
    if isinstance(name := asked.get("profiler"), str):
        if name not in _PROFILERS:
            raise ConfigError(f"trainer.profiler: must be one of {', '.join(_PROFILERS)}, got {shown(name)}")
        given["profiler"] = _PROFILERS[name](dirpath=output_dir, filename="profile")
    if "enable_progress_bar" not in asked:
        given["enable_progress_bar"] = sys.stderr.isatty()
    trainer: pl.Trainer = build_component(
        settings.trainer,
        key="trainer",
        kind=pl.Trainer,
        callbacks=list(callbacks),
        logger=list(loggers),
        default_root_dir=str(output_dir),
        **given,
    )
    if copies_this_process(trainer):
        raise ConfigError(
            f"trainer.strategy: must start processes anew, as ddp does, got {shown(asked['strategy'])}"
        )
    return trainer


def check_trainer(settings: Mapping[str, Any]) -> None:
    """Check the settings of `trainer` by themselves.

    Raises:
        ConfigError: One breaks its rule, has no effect, or is not to be had.
    """
    for name, instead in _SET_ELSEWHERE.items():
        if name in settings:
            raise ConfigError(f"trainer.{name}: is set by {instead}, got {shown(settings[name])}")
    for name, (value, why) in _FIXED.items():
        if name in settings and not _is(settings[name], value):
            raise ConfigError(f"trainer.{name}: must be {shown(value)}, got {shown(settings[name])}: {why}")
    for name, least in _LEAST.items():
        value = settings.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and not value >= least:
            raise ConfigError(f"trainer.{name}: must be at least {least}, got {shown(value)}")
    _check_epochs(settings)
    batches = settings.get("limit_train_batches")
    if isinstance(batches, int | float) and not (0 < batches <= 1 or (type(batches) is int and batches > 0)):
        raise ConfigError(
            "trainer.limit_train_batches: must be a whole number of batches or a share of them in (0, 1], "
            f"got {shown(batches)}"
        )


def _check_epochs(settings: Mapping[str, Any]) -> None:
    epochs, every = settings.get("max_epochs"), settings.get("check_val_every_n_epoch", 1)
    if not isinstance(epochs, int) or isinstance(epochs, bool):
        raise ConfigError(f"trainer.max_epochs: must be a whole number, got {shown(epochs)}")
    if every is None or (isinstance(every, int) and every > epochs):
        raise ConfigError(
            f"trainer.check_val_every_n_epoch: must be from 1 to the {epochs} epochs of trainer.max_epochs, "
            f"got {shown(every)}: {_BEST}"
        )


def _is(value: Any, expected: Any) -> bool:
    """Whether two settings are the same; 1 is one batch, 1.0 all of them, and 0 is none either way."""
    if value is None or not value:
        return value is None or not expected
    return value == expected and type(value) is type(expected)


def _made(plugin: Any, place: int) -> Any:
    if not isinstance(plugin, dict):
        return plugin
    return build_component(Component.from_dict(plugin), key=f"trainer.plugins.{place}", kind=object)
