"""How many threads the process computes with, and how it starts others."""

import multiprocessing
import os

from lts.base import processors_of_affinity, usable_processors


def limit_threads() -> None:
    """Keep torch and the libraries of linear algebra to this process's share of the machine.

    They count the processors of its affinity. Where a quota of a container or of SLURM gives less, that many
    threads would wait for each other. Who sets OMP_NUM_THREADS has decided. To be called before torch is
    imported; processes that are started later take it over.
    """
    share = usable_processors()
    if share < processors_of_affinity():
        os.environ.setdefault("OMP_NUM_THREADS", str(share))


def reset_start_method() -> None:
    """Undo the way to start processes that joblib sets in its workers.

    It is handed on to each process that is started within a worker, as those that make slices, and ends it:
    an interpreter that has not imported joblib does not know it.
    """
    known = multiprocessing.get_all_start_methods()
    if multiprocessing.get_start_method(allow_none=True) not in (None, *known):
        multiprocessing.set_start_method(None, force=True)
