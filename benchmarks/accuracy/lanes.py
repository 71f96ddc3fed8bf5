"""Several runs at once, each on processors of its own."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue

from benchmarks.accuracy.parts import Fold
from benchmarks.accuracy.records import Record, Run
from benchmarks.accuracy.running import RunError, measure
from lts.base import LtsError


def measured(
    runs: Sequence[tuple[Run, Fold]], folder: Path, *, at_once: int
) -> Iterator[tuple[Run, Record | Exception]]:
    """Measure each run; yield it as it ends, with its result or with why there is none.

    Args:
        runs: The runs with their cases.
        folder: Folder of the benchmark.
        at_once: Number of runs that share the machine.
    """
    free: SimpleQueue[int] = SimpleQueue()
    for lane in range(at_once):
        free.put(lane)

    def one(run: Run, fold: Fold) -> Record:
        lane = free.get()
        try:
            print(f"{run} ...\n", end="", flush=True)  # one write, so that lines of two threads stay whole
            return measure(run, fold, folder, at_once=at_once, lane=lane)
        finally:
            free.put(lane)

    with ThreadPoolExecutor(at_once) as pool:
        started = {pool.submit(one, run, fold): run for run, fold in runs}
        try:
            for done in as_completed(started):
                yield started[done], _outcome(done)
        finally:
            pool.shutdown(cancel_futures=True)


def _outcome(done: Future[Record]) -> Record | Exception:
    try:
        return done.result()
    except (RunError, LtsError) as error:
        return error
