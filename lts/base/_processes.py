"""Work that is shared among processes."""

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
"""Each may hold a scan and its mask, for which a CT of 1000 slices takes 800 MB."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Given = ParamSpec("Given")

Progress = Callable[[int, int], None]
"""Called with how many are done, and how many there are."""


class WorkerPool:
    """Processes that work for this one, and end with it in silence.

    They are fresh interpreters: a fork of a process with threads, such as torch's, may hang. Ctrl-C reaches
    all processes of a terminal; workers are deaf to it from their first moment, imports included, and this
    process alone says what becomes of it. At the end, work in hand is waited for, and what waits is
    dropped; a stop ends the processes at once.

    Args:
        workers: How many, >= 1.
        start: Called in each before it works.
        wait: Whether work in hand is waited for even at a stop.

    Raises:
        LtsError: On the way out: a worker was killed, as the system does where memory ends.
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
        """Have some work done, now or when a worker is free."""
        # What is held back here, the processes that are started meanwhile never hear of.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            with _script_left_out(work):
                return self._pool.submit(work, *args, **kwargs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _script_left_out(work: Callable[..., object]) -> Iterator[None]:
    """Within, processes that are started do not run the script of this one again, unless `work` is of it.

    A user's script that trains, and does not look at `__name__`, would train again in each of them.
    """
    script = sys.modules["__main__"]
    if getattr(work, "__module__", None) != "__main__":
        sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


class _Context(SpawnContext):
    """Knows the processes that it started."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[SpawnProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override] # noqa: N802
        process = SpawnProcess(*args, **kwargs)
        self.started.append(process)
        return process


def in_processes(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """What `work` makes of each item, as it is done, on as many processes as this one has processors."""
    items = list(items)
    workers = min(usable_processors(), len(items), MOST_WORKERS)
    if workers <= 1 or multiprocessing.current_process().daemon:
        yield from map(work, items)
        return
    with WorkerPool(workers) as pool:
        for future in as_completed([pool.submit(work, item) for item in items]):
            yield future.result()
