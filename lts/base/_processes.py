"""Pools of worker processes."""

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
from typing import Any, ParamSpec, Self, TypeVar

from lts.base._errors import LtsError
from lts.base._processors import usable_processors

MOST_WORKERS = 8
"""Each may hold a scan and its mask: 800 MB for a CT of 1000 slices."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Given = ParamSpec("Given")

Progress = Callable[[int, int], None]
"""Called with the number done, and the total."""


class WorkerPool:
    """Worker processes that end silently with this one.

    They are new interpreters, as forks of a process with threads, such as torch's, may hang. Ctrl-C reaches
    all processes of a terminal; workers ignore it from their start, imports included, and only this process
    handles it. At the end, running work is awaited and queued work is dropped; a stop ends the processes at
    once.

    Args:
        workers: How many, >= 1.
        start: Called in each before it works.
        wait: Whether running work is awaited even at a stop.

    Raises:
        LtsError: At the end: a worker was killed, for example for lack of memory.
    """

    def __init__(
        self, workers: int, *, start: Callable[[], object] | None = None, wait: bool = False
    ) -> None:
        self._context, self._wait = _Context(), wait
        self._pool = ProcessPoolExecutor(workers, mp_context=self._context, initializer=start)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if not self._wait and isinstance(error, BaseException) and not isinstance(error, Exception):
            for process in self._context.started:
                process.terminate()
        self._pool.shutdown(cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise LtsError("a process that worked on cases was killed, as for want of memory") from error

    def submit(
        self, work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs
    ) -> Future[Result]:
        """Submit work to the next free worker."""
        # Processes that are started meanwhile inherit the blocked signal.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            with _script_left_out(work):
                return self._pool.submit(work, *args, **kwargs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _script_left_out(work: Callable[..., object]) -> Iterator[None]:
    """Context in which new processes do not import the main script, unless `work` is defined in it.

    A script that trains without a check of `__name__` would train again in each process.
    """
    script = sys.modules["__main__"]
    if getattr(work, "__module__", None) != "__main__":
        sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


class _Context(SpawnContext):
    """Keeps the processes that it started."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[SpawnProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override] # noqa: N802
        process = SpawnProcess(*args, **kwargs)
        self.started.append(process)
        return process


def in_processes(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Results of `work` for each item as they complete, on as many processes as there are processors."""
    items = list(items)
    workers = min(usable_processors(), len(items), MOST_WORKERS)
    if workers <= 1 or multiprocessing.current_process().daemon:
        yield from map(work, items)
        return
    with WorkerPool(workers) as pool:
        for future in as_completed([pool.submit(work, item) for item in items]):
            yield future.result()
