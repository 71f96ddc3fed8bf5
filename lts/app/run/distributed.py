"""Several processes that train one model: which of them this is, and how the first ends the others.

Lightning's launcher starts the same command line again, which would repeat a whole sweep, or use another
folder named by the time. So the first process puts its run folder into the environment, and the others read
the settings of the job from there.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.utilities.rank_zero import rank_zero_only

from lts.app.config.values import shown
from lts.app.run.environment import RUN_FOLDER_VARIABLE, follows
from lts.app.run.lightning_internals import take_processes
from lts.app.run.signals import STOP_SIGNALS, StopSignals
from lts.base import ConfigError, usable_processors
from lts.networks.precision import computes_bf16

_PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "32", "bf16", "16")
"""Precisions in which the network takes float32 channels, as the intensity makes them."""
_OF_GPUS = {"16", "16-mixed"}
"""Precisions that Lightning replaces by others on CPUs."""
_MOST_ON_ANY_MACHINE = 8
"""Processes that training may have on a CPU of fewer cores, as tests do."""


def is_first_process() -> bool:
    """Whether this process is the one that writes, scores and prints."""
    rank: int = rank_zero_only.rank  # type: ignore[attr-defined]  # set on the function, by the environment
    return not follows() and rank == 0


def check_devices(trainer: Mapping[str, Any]) -> None:
    """Check the devices in the settings of `trainer` before anything is written.

    Raises:
        ConfigError: A device does not exist, or a setting needs a GPU.
    """
    accelerator = _accelerator(trainer)
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if (accelerator in there and not there[accelerator]) or (
        accelerator == "gpu" and not any(there.values())
    ):
        raise ConfigError(
            f"trainer.accelerator: {accelerator} is not on this machine; trainer=cpu trains on its processors"
        )
    if trainer.get("sync_batchnorm") and not _has_gpu(trainer):
        raise ConfigError(
            "trainer.sync_batchnorm: must be false on CPUs, got true; model.norm=group needs no such"
        )
    most, devices = max(usable_processors(), _MOST_ON_ANY_MACHINE), trainer.get("devices")
    if not _has_gpu(trainer) and isinstance(devices, int) and devices > most:
        raise ConfigError(f"trainer.devices: must be at most {most} on these CPUs, got {devices}")


def precision_of(trainer: Mapping[str, Any]) -> str:
    """The precision of training; `auto` is bf16-mixed where the processor computes in it, and else float32.

    Raises:
        ConfigError: There is no such precision, or CPUs cannot train in it.
    """
    asked = trainer.get("precision", "auto")
    if asked != "auto":
        if isinstance(asked, float) or str(asked) not in _PRECISIONS:
            raise ConfigError(
                f"trainer.precision: must be one of auto, {', '.join(_PRECISIONS)}, got {shown(asked)}"
            )
        if str(asked) in _OF_GPUS and not _has_gpu(trainer):
            raise ConfigError(f"trainer.precision: {asked} needs a GPU; use auto, bf16-mixed or 32-true")
        return str(asked)
    if _has_gpu(trainer):
        in_bf16 = computes_bf16(torch.device("cuda"))
    else:
        in_bf16 = _accelerator(trainer) in ("auto", "cpu") and computes_bf16(torch.device("cpu"))
    return "bf16-mixed" if in_bf16 else "32-true"


def _has_gpu(trainer: Mapping[str, Any]) -> bool:
    return _accelerator(trainer) != "cpu" and torch.cuda.is_available()


def _accelerator(trainer: Mapping[str, Any]) -> str:
    return str(trainer.get("accelerator", "auto")).lower()


@contextmanager
def other_processes(trainer: pl.Trainer, run_folder: Path) -> Iterator[None]:
    """Context of `trainer.fit`: the processes that it starts join this run, and are ended with it.

    The distributed state of this process is removed, so that the next job of a sweep can start its own
    processes.

    Args:
        trainer: Of this process, the first one.
        run_folder: Where the settings of the run are.
    """
    before = dict(os.environ)
    os.environ[RUN_FOLDER_VARIABLE] = str(run_folder)
    done = False
    try:
        yield
        done = True
    finally:
        _end_others(trainer, done=done)
        os.environ.clear()
        os.environ.update(before)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


class StopOnSignal(pl.Callback):
    """Ends a training when the process gets a stop signal.

    Lightning handles SIGTERM itself when a training begins, and communicates with the other processes from
    within the handler, where they may be waiting for something else. On SIGUSR1 it would write a checkpoint
    from there, in the middle of an epoch. So both handlers are replaced.

    Args:
        signals: Those of this process.
    """

    def __init__(self, signals: StopSignals) -> None:
        self._signals = signals

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Requeue the job on the signal of its SLURM time limit."""
        environment = getattr(trainer.strategy, "cluster_environment", None)
        if isinstance(environment, SLURMEnvironment) and environment.auto_requeue:
            assert environment.requeue_signal is not None
            self._signals.requeue_on(environment.requeue_signal)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Install our handlers again."""
        self._signals.take()

    def on_train_batch_end(self, *_: Any) -> None:
        """Raise here if the signal's own exception was lost."""
        self._signals.check()

    def on_validation_batch_end(self, *_: Any) -> None:
        """As after a batch of training."""
        self._signals.check()


def _end_others(trainer: pl.Trainer, *, done: bool) -> None:
    for process in take_processes(trainer):
        if not done:
            process.kill()  # they hold nothing that is not in this process too
        process.wait()


@contextmanager
def reported_by_first(*errors: type[Exception]) -> Iterator[None]:
    """Let the first process report errors that all processes raise at once; it then ends this one.

    Processes started by torchrun end by themselves.
    """
    try:
        yield
    except errors:
        while follows():
            time.sleep(1)  # the end of the first ends this one too
        raise


def end_with_first_process() -> None:
    """Ignore stop signals, as the first process ends this one; exit if the first is gone."""
    if not follows():
        return
    for signum in STOP_SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
    first = os.getppid()

    def watch() -> None:
        while os.getppid() == first:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="watch-first-process").start()
