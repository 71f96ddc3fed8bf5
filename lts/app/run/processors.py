"""The number of threads, and how processes are started."""

import multiprocessing
import os

from lts.base import processors_of_affinity, usable_processors


def limit_threads() -> None:
    """Limit the threads of torch and linear algebra to this process's share of the machine.

    By default they use all processors of the affinity. Under a smaller quota of a container or SLURM, so many
    threads would wait for each other. OMP_NUM_THREADS takes precedence. Call it before importing torch;
    child processes inherit it.
    """
    share = usable_processors()
    if share < processors_of_affinity():
        os.environ.setdefault("OMP_NUM_THREADS", str(share))


def reset_start_method() -> None:
    """Reset the start method of processes that joblib sets in its workers.

    Processes started within a worker, such as those that make slices, inherit it and would fail, as it is
    unknown without joblib imported.
    """
    known = multiprocessing.get_all_start_methods()
    if multiprocessing.get_start_method(allow_none=True) not in (None, *known):
        multiprocessing.set_start_method(None, force=True)
