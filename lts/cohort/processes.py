"""Cases worked on in several processes."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

from lts.base import usable_processors

MOST_WORKERS = 8
"""Each may hold a scan and its mask, for which a CT of 1000 slices takes 800 MB."""

Item = TypeVar("Item")
Result = TypeVar("Result")

Progress = Callable[[int, int], None]
"""Called with the cases done and all cases."""


def in_processes(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """What `work` makes of each item, as it is done, on as many processes as this one has processors."""
    items = list(items)
    workers = min(usable_processors(), len(items), MOST_WORKERS)
    if workers <= 1 or multiprocessing.current_process().daemon:
        yield from map(work, items)
        return
    # spawned: a fork of a process with threads, such as torch's, may hang
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)
