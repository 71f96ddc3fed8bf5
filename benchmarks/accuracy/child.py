"""The process of one run: `python -m benchmarks.accuracy.child JOB ANSWER`, both JSON files."""

import os
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.accuracy.job import Job
from lts.base import LtsError, write_json


def main(job_file: Path, answer_file: Path) -> None:
    """Run the system of a job on its number of processors."""
    job = Job.load(job_file)
    if hasattr(os, "sched_setaffinity"):  # Linux
        # Before torch counts processors; child processes inherit it.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-job.cores :])
    from benchmarks.accuracy.systems import run

    write_json(answer_file, asdict(run(job)))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except LtsError as error:
        sys.exit(str(error))
