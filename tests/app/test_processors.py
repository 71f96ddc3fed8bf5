"""A command computes with no more threads than its share of the machine."""

import os
import subprocess
import sys

import pytest

from lts.app import processors


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
    processors.use_the_share_of_processors()
    assert os.environ.pop("OMP_NUM_THREADS", None) == expected


def test_torch_takes_the_share_of_a_slurm_job() -> None:
    told = "from lts.app.processors import use_the_share_of_processors as use; use(); "
    told += "import torch; print(torch.get_num_threads())"
    variables = {**os.environ, "SLURM_JOB_ID": "1", "SLURM_CPUS_PER_TASK": "1"}
    variables.pop("OMP_NUM_THREADS", None)
    done = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, check=True, env=variables
    )
    assert done.stdout == "1\n"
