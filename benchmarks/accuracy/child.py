"""The process of one run: `python -m benchmarks.accuracy.child JOB ANSWER`, both JSON files."""

import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from benchmarks.accuracy.job import Job
from lts.base import LtsError, write_json


def main(job_file: Path, answer_file: Path) -> None:
    """Run the system of a job on its number of processors."""
    job = Job.load(job_file)
    if hasattr(os, "sched_setaffinity"):  # Linux
        # Before torch counts processors; child processes inherit it.
        os.sched_setaffinity(0, processors(os.sched_getaffinity(0), cores=job.cores, lane=job.lane))
    from benchmarks.accuracy.systems import run

    write_json(answer_file, asdict(run(job)))


def processors(usable: Iterable[int], *, cores: int, lane: int) -> list[int]:
    """The processors of a lane, from the last one down; the system's own work tends to be on the first.

    Args:
        usable: Numbers of the processors that this process may use, at least `cores * (lane + 1)`.
        cores: Processors of each lane.
        lane: Number of the lane, from 0.
    """
    last_first = sorted(usable, reverse=True)
    return last_first[cores * lane : cores * (lane + 1)]


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except LtsError as error:
        sys.exit(str(error))
