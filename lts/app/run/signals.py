"""Stop signals of a run."""

import logging
import multiprocessing.synchronize
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_HANDLED = (*STOP_SIGNALS, signal.SIGUSR1, signal.SIGALRM)
_SHELL_ADDS = 128
"""A shell reports a process that ended by signal N as 128 + N."""
_LOCKING = {str(module.__file__) for module in (threading, queue, logging, multiprocessing.synchronize)}
"""Modules whose Python code acquires locks: an exception between acquiring one and recording it would
leave it locked, and the run would hang at its end."""
_MOMENT_S, _MOMENTS = 0.01, 20
"""Time between tries, and the tries at one place after which the run is taken to be waiting there."""


class Interrupted(BaseException):
    """The run was stopped; not an Exception, so that nothing handles it as a failure.

    Args:
        signum: The signal.
        advice: How to resume; None if another process prints it.
    """

    def __init__(self, signum: int, advice: str | None = "") -> None:
        super().__init__(signum, advice)  # used to unpickle it from another process
        self.signum, self.advice = signum, advice
        self.exit_code = _SHELL_ADDS + signum

    def __str__(self) -> str:
        """The message."""
        return f"interrupted; {self.advice}" if self.advice else "interrupted"


class StopSignals:
    """Turns stop signals into `Interrupted`, in this process only.

    Attributes:
        received: The signal that came, None before.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._process = os.getpid()
        self._place: object = None
        self._moments = 0

    def take(self) -> None:
        """Install the handlers in place of earlier ones."""
        for signum in STOP_SIGNALS:
            signal.signal(signum, self._stop)
        signal.signal(signal.SIGALRM, self._raise_between_locks)
        sys.unraisablehook = _report_unless_stop

    def requeue_on(self, signum: int) -> None:
        """Have a signal requeue this SLURM job and then stop the run."""
        signal.signal(signum, self._requeue)

    def check(self) -> None:
        """Raise `Interrupted` if a signal came and its exception was lost, for example in a destructor."""
        if self.received is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._place = None
            raise Interrupted(self.received)

    def raise_if_due(self) -> None:
        """Raise `Interrupted` if a signal came and is waiting until a lock is acquired."""
        seconds, _ = signal.getitimer(signal.ITIMER_REAL)
        if seconds:
            self.check()

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() == self._process:  # loader workers are forks of it, and end with it
            self.received = signum
            # Who stops a group of processes, as torchrun does, ends the loader workers too, and torch would
            # raise an error for each from its handler, wherever this process is by then.
            signal.signal(signal.SIGCHLD, _do_nothing)
            self._raise_between_locks(signum, frame)

    def _raise_between_locks(self, _signum: int, frame: FrameType | None) -> None:
        place = frame, frame and frame.f_lasti
        self._moments = self._moments + 1 if place == self._place else 0
        self._place = place
        if self._moments < _MOMENTS and _takes_a_lock(frame):
            signal.setitimer(signal.ITIMER_REAL, _MOMENT_S)
        else:
            self.check()

    def _requeue(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() == self._process and self.received is None:
            if os.environ.get("SLURM_PROCID") == "0":
                subprocess.run(["scontrol", "requeue", _slurm_job()], check=False)
            self._stop(signum, frame)


@contextmanager
def handlers_restored() -> Iterator[None]:
    """Context that restores the signal handlers and the unraisable hook at its end."""
    before = {signum: signal.getsignal(signum) for signum in _HANDLED}
    hook = sys.unraisablehook
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for signum, handler in before.items():
            signal.signal(signum, handler)
        sys.unraisablehook = hook


def ignore_signals() -> None:
    """Ignore signals from now on, so that a stop can be reported."""
    for signum in _HANDLED:
        signal.signal(signum, signal.SIG_IGN)


@contextmanager
def stop_signals(on_stop: Callable[[], str | None]) -> Iterator[StopSignals]:
    """Context in which SIGINT and SIGTERM raise `Interrupted`.

    Args:
        on_stop: Called once when the run stops; returns the message for the user, None for nothing.
    """
    signals = StopSignals()
    with handlers_restored():
        signals.take()
        try:
            yield signals
            signals.raise_if_due()
        except BaseException as error:
            # What fails while a run is being stopped, as a worker that is gone, is no failure of its own.
            if signals.received is None:
                raise
            ignore_signals()
            raise Interrupted(signals.received, on_stop()) from error


def _takes_a_lock(frame: FrameType | None) -> bool:
    while frame and frame.f_code.co_filename not in _LOCKING:
        frame = frame.f_back
    return frame is not None


def _do_nothing(_signum: int, _frame: FrameType | None) -> None:
    """A handler that does nothing; without one, Python would report a pending signal."""


def _report_unless_stop(lost: "sys.UnraisableHookArgs") -> None:
    """Print exceptions in destructors as Python does, except those that only stop the run."""
    if not isinstance(lost.exc_value, Interrupted):
        sys.__unraisablehook__(lost)


def _slurm_job() -> str:
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]
