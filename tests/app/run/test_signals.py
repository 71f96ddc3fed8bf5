"""Signals end a run as `Interrupted`, once, in its own process alone."""

import logging
import multiprocessing.synchronize
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

import pytest

from lts.app.run import signals as interruption
from lts.app.run.signals import Interrupted, StopSignals, handlers_restored, stop_signals


@pytest.fixture(autouse=True)
def handlers_are_put_back() -> Iterator[None]:
    signums = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGALRM, signal.SIGCHLD)
    before = {signum: signal.getsignal(signum) for signum in signums}
    hook = sys.unraisablehook
    yield
    changed = [signum for signum in signums[:4] if signal.getsignal(signum) != before[signum]]
    for signum, handler in before.items():
        signal.signal(signum, handler)
    sys.unraisablehook = hook
    assert not changed


@pytest.fixture
def requeued(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What SLURM was told."""
    told: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda line, **_: told.append(line))
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_PROCID", "0")
    return told


def reach_time_limit(signals: StopSignals) -> None:
    signals.requeue_on(signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR1)


def fail_after(signals: StopSignals) -> None:
    signals.received = signal.SIGTERM
    raise RuntimeError("a worker is gone")


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_what_runs_and_tells_how_to_go_on(signum: int, code: int) -> None:
    told = []
    with pytest.raises(Interrupted) as stopped, stop_signals(lambda: told.append(1) or "go on so") as signals:
        os.kill(os.getpid(), signum)
    assert (stopped.value.exit_code, str(stopped.value)) == (code, "interrupted; go on so")
    assert signals.received == signum
    assert told == [1]


def test_who_has_nothing_to_say_says_nothing() -> None:
    with pytest.raises(Interrupted) as stopped, stop_signals(lambda: None):
        os.kill(os.getpid(), signal.SIGTERM)
    assert (stopped.value.advice, str(stopped.value)) == (None, "interrupted")


def test_a_stop_comes_whole_from_another_process() -> None:
    stopped = pickle.loads(pickle.dumps(Interrupted(signal.SIGINT, "go on so")))
    assert (stopped.exit_code, stopped.advice, str(stopped)) == (130, "go on so", "interrupted; go on so")


def lose(error: BaseException) -> None:
    class Loses:
        def __del__(self) -> None:
            raise error

    Loses()


def test_of_what_a_destructor_loses_a_stop_alone_is_not_told(capfd: pytest.CaptureFixture[str]) -> None:
    hook = sys.unraisablehook
    with stop_signals(lambda: ""):
        lose(Interrupted(signal.SIGTERM))
        assert capfd.readouterr().err == ""
        lose(RuntimeError("a loss"))
        assert "RuntimeError: a loss" in capfd.readouterr().err
    assert sys.unraisablehook is hook


def test_what_fails_after_a_signal_is_the_stop_and_without_one_a_failure() -> None:
    with pytest.raises(Interrupted), stop_signals(lambda: "") as signals:
        fail_after(signals)
    with pytest.raises(RuntimeError, match="a worker is gone"), stop_signals(lambda: ""):
        raise RuntimeError("a worker is gone")


def test_a_second_signal_while_the_first_is_told_changes_nothing() -> None:
    def tell() -> str:
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            os.kill(os.getpid(), signum)
        return "told to the end"

    with pytest.raises(Interrupted, match="told to the end"), stop_signals(tell):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_stop_whose_exception_was_lost_is_raised_by_the_next_check() -> None:
    signals = StopSignals()
    signals.check()
    signals.received = signal.SIGTERM
    with pytest.raises(Interrupted) as stopped, timer_of_a_minute():
        signals.check()
    assert stopped.value.exit_code == 143


@contextmanager
def timer_of_a_minute() -> Iterator[None]:
    """Hold that a timer that runs is stopped within."""
    signal.setitimer(signal.ITIMER_REAL, 60)
    try:
        yield
    finally:
        assert signal.setitimer(signal.ITIMER_REAL, 0) == (0, 0)


def test_what_waits_for_a_lock_to_be_taken_ends_with_the_run() -> None:
    with timer_of_a_minute(), handlers_restored():
        pass


def test_a_stop_waits_while_the_run_goes_on_taking_locks_but_not_where_it_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(signal, "setitimer", lambda _, seconds: waits.append(seconds))
    signals = StopSignals()
    signals.received = signal.SIGTERM

    def come_at(place: int) -> None:
        code = SimpleNamespace(co_filename=threading.__file__)
        signals._raise_between_locks(signal.SIGALRM, SimpleNamespace(f_lasti=place, f_code=code, f_back=None))

    for place in range(100):
        come_at(place)
    assert waits == [0.01] * 100
    for _ in range(20):
        come_at(100)
    assert waits == [0.01] * 120
    with pytest.raises(Interrupted):
        come_at(100)
    assert waits[120:] == [0]
    come_at(100)  # another stop is given as long as the first
    assert waits[121:] == [0.01]


@pytest.mark.parametrize("module", [threading, queue, logging, multiprocessing.synchronize])
def test_a_stop_waits_wherever_python_code_takes_locks(module: ModuleType) -> None:
    names = {"inside": sys._getframe}
    exec(compile("frame = inside()", str(module.__file__), "exec"), names)
    assert interruption._takes_a_lock(names["frame"])


def test_workers_that_a_stop_ends_too_say_nothing_while_it_is_told() -> None:
    def print_error(*_: object) -> None:
        raise RuntimeError("a worker is gone")

    def tell() -> str:
        os.kill(os.getpid(), signal.SIGCHLD)
        return "told to the end"

    signal.signal(signal.SIGCHLD, print_error)
    with pytest.raises(Interrupted, match="told to the end"), stop_signals(tell):
        os.kill(os.getpid(), signal.SIGTERM)


class LockThatIsTakenAsAStopComes:
    """As a lock of `threading`, whose taking and whose noting are two steps of Python code."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.release, self.__exit__ = self.lock.release, self.lock.__exit__

    def acquire(self) -> bool:
        return self.lock.acquire()

    def __enter__(self) -> bool:
        self.lock.acquire()
        os.kill(os.getpid(), signal.SIGTERM)
        return True


def take_and_go_on(lock: LockThatIsTakenAsAStopComes) -> None:
    condition = threading.Condition(lock)  # type: ignore[arg-type]
    with condition:
        pass
    time.sleep(20)


def test_a_stop_leaves_no_lock_taken_for_ever() -> None:
    lock = LockThatIsTakenAsAStopComes()
    with pytest.raises(Interrupted), stop_signals(lambda: ""):
        take_and_go_on(lock)
    assert lock.lock.acquire(blocking=False)


def test_a_stop_that_waits_for_a_lock_to_be_taken_is_not_lost_at_the_end() -> None:
    condition = threading.Condition(LockThatIsTakenAsAStopComes())  # type: ignore[arg-type]
    with pytest.raises(Interrupted), stop_signals(lambda: ""), condition:
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_run_that_waits_for_a_lock_is_stopped_there() -> None:
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
    waited: list[bool] = []
    with pytest.raises(Interrupted), stop_signals(lambda: ""):
        waited.append(threading.Event().wait(20))
    assert waited == []


def test_the_time_limit_puts_the_job_back_and_ends_the_run(requeued: list[list[str]]) -> None:
    with pytest.raises(Interrupted) as stopped, stop_signals(lambda: "") as signals:
        reach_time_limit(signals)
    assert stopped.value.signum == signal.SIGUSR1
    assert requeued == [["scontrol", "requeue", "7"]]


def test_a_job_of_an_array_is_put_back_by_its_number_in_it(
    requeued: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "5")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    with pytest.raises(Interrupted), stop_signals(lambda: "") as signals:
        reach_time_limit(signals)
    assert requeued == [["scontrol", "requeue", "5_3"]]


def test_the_first_process_alone_puts_the_job_back(
    requeued: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_PROCID", "1")
    with pytest.raises(Interrupted), stop_signals(lambda: "") as signals:
        reach_time_limit(signals)
    assert requeued == []


def test_a_run_that_is_being_stopped_is_not_put_back(requeued: list[list[str]]) -> None:
    signals = StopSignals()
    signals.received = signal.SIGTERM
    signals._requeue(signal.SIGUSR1, None)
    assert requeued == []


def test_a_fork_hears_neither_a_stop_nor_a_time_limit(requeued: list[list[str]]) -> None:
    signals = StopSignals()
    signals._process = os.getpid() + 1
    signals._stop(signal.SIGTERM, None)
    signals._requeue(signal.SIGUSR1, None)
    assert signals.received is None
    assert requeued == []


def test_a_stop_is_no_exception_that_others_would_catch() -> None:
    assert not issubclass(Interrupted, Exception)
    assert set(interruption.STOP_SIGNALS) == {signal.SIGINT, signal.SIGTERM}
