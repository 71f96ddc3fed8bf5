"""How many threads the process computes with."""

import os

from lts.base import processors_of_affinity, usable_processors


def use_the_share_of_processors() -> None:
    """Keep torch and the libraries of linear algebra to this process's share of the machine.

    They count the processors of its affinity. Where a quota of a container or of SLURM gives less, that many
    threads would wait for each other. Who sets OMP_NUM_THREADS has decided. To be called before torch is
    imported; processes that are started later take it over.
    """
    share = usable_processors()
    if share < processors_of_affinity():
        os.environ.setdefault("OMP_NUM_THREADS", str(share))
