"""A queue of jobs with one thread per device, so that memory holds one scan per device."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

ModelT = TypeVar("ModelT")


class JobDroppedError(Exception):
    """The job was given up before its end."""


class Job:
    """Work for one of the models, with its progress.

    Attributes:
        future: Its result.
        started: Whether a thread has taken it.
        slices_done: Slices predicted.
        slices_total: Slices to predict, 0 while not known.
    """

    def __init__(self, work: Callable[[Any, "Job"], Any]) -> None:
        self.work = work
        self.future: Future[Any] = Future()
        self.started = False
        self.slices_done, self.slices_total = 0, 0
        self._dropped = threading.Event()

    def drop(self) -> None:
        """Drop it at its next check."""
        self._dropped.set()

    def check(self) -> None:
        """Continue, or raise if it was dropped.

        Raises:
            JobDroppedError: It was given up.
        """
        if self._dropped.is_set():
            raise JobDroppedError

    def on_slices(self, done: int, total: int) -> None:
        """Note the progress.

        Raises:
            JobDroppedError: It was given up.
        """
        self.slices_done, self.slices_total = done, total
        self.check()


class JobQueue(Generic[ModelT]):
    """A thread per model that runs jobs in order.

    The caller limits how many may wait: a place is taken before an upload is read.

    Args:
        models: The models, one per thread.
        name: Of the threads.
    """

    def __init__(self, models: Sequence[ModelT], *, name: str = "lts-model") -> None:
        self._waiting: deque[Job] = deque()
        self._running: set[Job] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._last_s = 0.0
        self._threads = [
            threading.Thread(target=self._serve, args=(model,), name=f"{name}-{number}", daemon=True)
            for number, model in enumerate(models)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def expected_s(self) -> float:
        """Expected seconds of the next job: those of the last."""
        return self._last_s

    @property
    def waiting(self) -> int:
        """Number of jobs that no thread has taken."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Number of jobs that a thread works on."""
        return len(self._running)

    def submit(self, work: Callable[[ModelT, Job], Any]) -> Job:
        """Queue some work.

        Args:
            work: Called with a model and its job in one of the threads; what it returns or raises is the
                outcome. It calls the job's `check` or `on_slices` often.
        """
        job = Job(work)
        with self._changed:
            assert not self._closed
            self._waiting.append(job)
            self._changed.notify()
        return job

    def ahead_of(self, job: Job) -> int:
        """Number of jobs before a waiting one; 0 for others."""
        with self._changed:
            return self._waiting.index(job) if job in self._waiting else 0

    def drop(self, job: Job) -> None:
        """Drop a job: at once if it waits, at its next check if it runs."""
        with self._changed:
            job.drop()
            waited = job in self._waiting
            if waited:
                self._waiting.remove(job)
        if waited:
            job.future.set_exception(JobDroppedError())

    def drop_all(self) -> None:
        """Drop all jobs."""
        with self._changed:
            jobs = [*self._waiting, *self._running]
        for job in jobs:
            self.drop(job)

    def close(self, *, timeout_s: float) -> None:
        """Drop all jobs and end the threads; a thread that hangs ends with the process."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.drop_all()
        for thread in self._threads:
            thread.join(timeout_s)

    def _serve(self, model: ModelT) -> None:
        while (job := self._take()) is not None:
            start = time.monotonic()
            try:
                job.check()
                result = job.work(model, job)
            except BaseException as error:  # whatever a job does, its thread lives on
                self._finished(job)
                job.future.set_exception(_as_exception(error))
            else:
                self._last_s = time.monotonic() - start
                self._finished(job)
                job.future.set_result(result)
                del result
            del job  # or the last scan would stay in memory until the next one comes

    def _take(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            job = self._waiting.popleft()
            self._running.add(job)
            job.started = True
            return job

    def _finished(self, job: Job) -> None:
        with self._changed:
            self._running.discard(job)


def _as_exception(error: BaseException) -> Exception:
    """An error that can be passed to a waiting request; others would end its event loop, or be lost."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    wrapped = RuntimeError(f"a job ended with {error!r}")
    wrapped.__cause__ = error
    return wrapped
