"""Who is the first of several processes, and what becomes of the others; without a training."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning_fabric.plugins.environments import LightningEnvironment, SLURMEnvironment
from lightning_fabric.utilities.rank_zero import rank_zero_only
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher

from lts.app.run.distributed import (
    StopOnSignal,
    check_devices,
    end_with_first_process,
    is_first_process,
    other_processes,
    precision_of,
)
from lts.app.run.environment import RUN_FOLDER_VARIABLE
from lts.base import ConfigError


def trainer_with(processes: list[Any]) -> Any:
    """A trainer that started processes."""
    launcher = object.__new__(_SubprocessScriptLauncher)
    launcher.procs = processes
    return SimpleNamespace(strategy=SimpleNamespace(launcher=launcher))


@pytest.fixture
def asleep() -> Iterator[Callable[[float], subprocess.Popen[bytes]]]:
    """`asleep(0.1)` is a process that ends after so many seconds."""
    started = []

    def sleep(seconds: float) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["sleep", str(seconds)]))
        return started[-1]

    yield sleep
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("rank", "started_by_lts", "is_first"), [(0, False, True), (1, False, False), (0, True, False)]
)
def test_the_first_process_has_rank_0_and_was_not_started_by_another(
    monkeypatch: pytest.MonkeyPatch, rank: int, started_by_lts: bool, is_first: bool
) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", rank)
    monkeypatch.delenv(RUN_FOLDER_VARIABLE, raising=False)
    if started_by_lts:
        monkeypatch.setenv(RUN_FOLDER_VARIABLE, "runs/a")
    assert is_first_process() is is_first


@pytest.mark.parametrize(
    ("accelerator", "has_gpu", "synchronized", "is_refused"),
    [
        ("cpu", True, True, True),
        ("auto", False, True, True),
        ("auto", True, True, False),
        ("cpu", False, False, False),
    ],
)
def test_synchronized_norms_need_a_gpu_that_is_used(
    monkeypatch: pytest.MonkeyPatch, accelerator: str, has_gpu: bool, synchronized: bool, is_refused: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    trainer = {"accelerator": accelerator, "sync_batchnorm": synchronized}
    if not is_refused:
        check_devices(trainer)
        return
    with pytest.raises(ConfigError, match="trainer.sync_batchnorm: must be false on CPUs, got true"):
        check_devices(trainer)


@pytest.mark.parametrize(
    ("accelerator", "has_gpu", "in_bf16", "asked", "precision"),
    [
        ("auto", True, ["gpu"], "auto", "bf16-mixed"),
        ("gpu", True, ["gpu"], "auto", "bf16-mixed"),
        ("auto", True, ["avx512_bf16"], "auto", "32-true"),
        ("auto", False, ["gpu"], "auto", "32-true"),
        ("auto", False, ["avx512_bf16"], "auto", "bf16-mixed"),
        ("cpu", True, ["gpu"], "auto", "32-true"),
        ("cpu", True, ["amx_bf16"], "auto", "bf16-mixed"),
        ("mps", False, ["avx512_bf16"], "auto", "32-true"),
        ("auto", True, ["gpu"], "32-true", "32-true"),
        ("cpu", False, ["avx512_bf16"], "32-true", "32-true"),
        ("cpu", False, [], "bf16-mixed", "bf16-mixed"),
        ("cpu", False, [], 32, "32"),
    ],
)
def test_precision_is_what_is_asked_for_or_what_the_device_computes_in(
    monkeypatch: pytest.MonkeyPatch,
    accelerator: str,
    has_gpu: bool,
    in_bf16: list[str],
    asked: str | int,
    precision: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: "gpu" in in_bf16)
    cpu = {"avx512_f": True, "avx512_bf16": "avx512_bf16" in in_bf16, "amx_bf16": "amx_bf16" in in_bf16}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: cpu)
    assert precision_of({"accelerator": accelerator, "precision": asked}) == precision


def test_other_processes_know_the_run_folder_and_leave_nothing_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CHANGED", "before")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv(RUN_FOLDER_VARIABLE, raising=False)
    with other_processes(trainer_with([]), tmp_path):
        assert os.environ[RUN_FOLDER_VARIABLE] == str(tmp_path)
        os.environ |= {"CHANGED": "within", "WORLD_SIZE": "2"}
    assert os.environ["CHANGED"] == "before"
    assert not {"WORLD_SIZE", RUN_FOLDER_VARIABLE} & set(os.environ)


def test_after_a_training_the_others_are_waited_for(asleep, tmp_path: Path) -> None:
    other = asleep(0.2)
    with other_processes(trainer_with([other]), tmp_path):
        pass
    assert other.returncode == 0


def test_where_a_training_fails_the_others_are_killed(asleep, tmp_path: Path) -> None:
    other = asleep(60)
    with pytest.raises(RuntimeError, match="failed"), other_processes(trainer_with([other]), tmp_path):
        raise RuntimeError("failed")
    assert other.returncode == -signal.SIGKILL


def test_nobody_watches_the_others_when_they_are_ended(tmp_path: Path) -> None:
    watched: list[int] = []
    trainer = trainer_with(
        [SimpleNamespace(wait=lambda: watched.append(len(trainer.strategy.launcher.procs)))]
    )
    with other_processes(trainer, tmp_path):
        pass
    assert watched == [0]


def test_the_processes_are_no_group_any_more(tmp_path: Path) -> None:
    trainer = SimpleNamespace(strategy=SimpleNamespace(launcher=None))  # torchrun started them
    with other_processes(trainer, tmp_path):
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1
        )
    assert not torch.distributed.is_initialized()


class Signals:
    """Notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def take(self) -> None:
        self.asked.append("take")

    def check(self) -> None:
        self.asked.append("check")

    def requeue_on(self, signum: int) -> None:
        self.asked.append(f"requeue on {signal.Signals(signum).name}")


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        (SLURMEnvironment(auto_requeue=True), ["requeue on SIGUSR1"]),
        (SLURMEnvironment(auto_requeue=False), []),
        (LightningEnvironment(), []),
        (None, []),
    ],
)
def test_slurm_alone_is_asked_to_put_a_job_back(environment: object, asked: list[str]) -> None:
    signals: Any = Signals()
    trainer: Any = SimpleNamespace(strategy=SimpleNamespace(cluster_environment=environment))
    StopOnSignal(signals).setup(trainer, None, "fit")
    assert signals.asked == asked


def test_signals_are_taken_back_as_training_begins_and_asked_for_after_each_batch() -> None:
    signals: Any = Signals()
    obey, nobody = StopOnSignal(signals), SimpleNamespace()
    obey.on_train_start(nobody, nobody)
    assert signals.asked == ["take"]
    obey.on_train_batch_end(nobody, nobody, None, None, 0)
    assert signals.asked == ["take", "check"]
    obey.on_validation_batch_end(nobody, nobody, None, None, 0)
    assert signals.asked == ["take", "check", "check"]


@pytest.fixture
def watcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """The threads that would have been started; signals are put back."""
    threads: list[dict[str, Any]] = []

    def start_later(**settings: Any) -> SimpleNamespace:
        return SimpleNamespace(start=lambda: threads.append(settings))

    monkeypatch.setattr(threading, "Thread", start_later)
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    yield threads
    for signum, handler in before.items():
        signal.signal(signum, handler)


def test_who_follows_ends_with_the_first_process_and_not_by_signals(
    monkeypatch: pytest.MonkeyPatch, watcher: list[dict[str, Any]]
) -> None:
    monkeypatch.setenv(RUN_FOLDER_VARIABLE, "runs/a")
    parents, slept, ended = [7, 7, 7, 1], [], []
    monkeypatch.setattr(os, "getppid", lambda: parents.pop(0))
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(os, "_exit", ended.append)
    end_with_first_process()
    assert signal.getsignal(signal.SIGINT) == signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    (thread,) = watcher
    assert thread["daemon"]
    thread["target"]()
    assert (slept, ended) == ([1, 1], [1])


def test_who_does_not_follow_hears_signals(
    monkeypatch: pytest.MonkeyPatch, watcher: list[dict[str, Any]]
) -> None:
    monkeypatch.delenv(RUN_FOLDER_VARIABLE, raising=False)
    before = signal.getsignal(signal.SIGTERM)
    end_with_first_process()
    assert signal.getsignal(signal.SIGTERM) == before
    assert not watcher
