"""A command computes with no more threads than its share of the machine."""

import multiprocessing
import os
import subprocess
import sys

import pytest

from lts.app.run import processors
from lts.base import WorkerPool


@pytest.mark.parametrize(
    ("share", "set_by_user", "expected"), [(2, None, "2"), (2, "7", "7"), (64, None, None), (64, "7", "7")]
)
def test_a_share_below_the_affinity_bounds_the_threads(
    monkeypatch: pytest.MonkeyPatch, share: int, set_by_user: str | None, expected: str | None
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if set_by_user:
        monkeypatch.setenv("OMP_NUM_THREADS", set_by_user)
    monkeypatch.setattr(processors, "usable_processors", lambda: share)
    monkeypatch.setattr(processors, "processors_of_affinity", lambda: 64)
    processors.limit_threads()
    assert os.environ.pop("OMP_NUM_THREADS", None) == expected


def test_torch_takes_the_share_of_a_slurm_job() -> None:
    told = "from lts.app.run.processors import limit_threads as use; use(); "
    told += "import torch; print(torch.get_num_threads())"
    variables = {**os.environ, "SLURM_JOB_ID": "1", "SLURM_CPUS_PER_TASK": "1"}
    variables.pop("OMP_NUM_THREADS", None)
    done = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, check=True, env=variables
    )
    assert done.stdout == "1\n"


def test_processes_of_a_job_start_within_a_worker_of_joblib() -> None:
    from multiprocessing import context

    from joblib.externals.loky import backend  # its ways to start processes are known once it is imported

    default = context._default_context  # type: ignore[attr-defined]
    before = default._actual_context
    try:
        default._actual_context = backend.get_context("loky")  # what joblib does in its workers
        assert context._default_context.get_start_method() == "loky"  # type: ignore[attr-defined]
        processors.reset_start_method()
        with WorkerPool(1) as pool:
            assert pool.submit(abs, -3).result() == 3
    finally:
        default._actual_context = before


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_way_to_start_processes_that_python_knows_stays(method: str) -> None:
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(method, force=True)
    try:
        processors.reset_start_method()
        assert multiprocessing.get_start_method() == method
    finally:
        multiprocessing.set_start_method(before, force=True)
