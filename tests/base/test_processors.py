"""How many processors a process takes for its own: affinity, quotas, and the share of a SLURM job."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lts.base import _processors, processors_of_affinity, usable_processors

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine of 64 processors without control groups and SLURM; returns where control groups are put."""
    monkeypatch.setattr(_processors, "processors_of_affinity", lambda: 64)
    monkeypatch.setattr(_processors, "_CGROUP_OF_PROCESS", tmp_path / "cgroup")
    monkeypatch.setattr(_processors, "_CGROUPS", tmp_path / "fs")
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    return tmp_path


def put(machine: Path, *, of_process: str, files: dict[str, str]) -> None:
    (machine / "cgroup").write_text(of_process)
    for name, content in files.items():
        path = machine / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def test_without_limits_the_affinity_counts() -> None:
    assert usable_processors() == 64


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_the_affinity_is_that_of_the_process() -> None:
    told = "import os, lts.base; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    told += "print(lts.base.processors_of_affinity(), lts.base.usable_processors())"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout == "1 1\n"


@pytest.mark.parametrize(
    ("of_process", "files", "expected"),
    [
        pytest.param("0::/\n", {"cpu.max": "400000 100000\n"}, 4, id="a container"),
        pytest.param(
            "0::/docker/1\n", {"cpu.max": "400000 100000\n"}, 4, id="a container that sees its path"
        ),
        pytest.param(
            "0::/user.slice/user-7.slice/session-1.scope\n",
            {
                "user.slice/user-7.slice/cpu.max": "300000 100000\n",
                "user.slice/user-7.slice/session-1.scope/cpu.max": "max 100000\n",
            },
            3,
            id="the slice of a user",
        ),
        pytest.param(
            "0::/outer/inner\n",
            {"outer/cpu.max": "200000 100000\n", "outer/inner/cpu.max": "800000 100000\n"},
            2,
            id="the narrower of two",
        ),
        pytest.param("0::/\n", {"cpu.max": "150000 100000\n"}, 2, id="one and a half"),
        pytest.param("0::/\n", {"cpu.max": "20000 100000\n"}, 1, id="a fifth of one"),
        pytest.param("0::/\n", {"cpu.max": "max 100000\n"}, 64, id="no limit"),
        pytest.param("0::/\n", {"cpu.max": "9900000 100000\n"}, 64, id="a quota above the affinity"),
        pytest.param("0::/\n", {"cpu.max": "soon\n"}, 64, id="a file that says something else"),
        pytest.param(
            "3:cpuset:/\n2:cpu,cpuacct:/job/5\n",
            {
                "cpu,cpuacct/job/5/cpu.cfs_quota_us": "600000\n",
                "cpu,cpuacct/job/5/cpu.cfs_period_us": "200000\n",
            },
            3,
            id="version 1",
        ),
        pytest.param(
            "2:cpu,cpuacct:/docker/5\n",
            {"cpu/cpu.cfs_quota_us": "500000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            5,
            id="version 1 in a container, under the short name",
        ),
        pytest.param(
            "1:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            64,
            id="version 1 without a limit",
        ),
    ],
)
def test_a_quota_counts(machine: Path, of_process: str, files: dict[str, str], expected: int) -> None:
    put(machine, of_process=of_process, files=files)
    assert usable_processors() == expected


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SLURM_JOB_ID": "1", "SLURM_CPUS_PER_TASK": "4", "SLURM_CPUS_ON_NODE": "16"}, 4),
        ({"SLURM_JOB_ID": "1", "SLURM_CPUS_ON_NODE": "16"}, 16),
        ({"SLURM_JOB_ID": "1", "SLURM_CPUS_ON_NODE": "128"}, 64),
        ({"SLURM_JOB_ID": "1", "SLURM_CPUS_ON_NODE": "many"}, 64),
        ({"SLURM_CPUS_PER_TASK": "4"}, 64),  # left over in an environment that is no job
    ],
)
def test_the_share_of_a_slurm_job_counts(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: int
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert usable_processors() == expected


def test_nobody_else_counts_processors() -> None:
    sources = [*ROOT.glob("*.py"), *(ROOT / "lts").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    counting = re.compile(r"cpu_count|sched_getaffinity")
    found = {path.relative_to(ROOT).as_posix() for path in sources if counting.search(path.read_text())}
    # These count none: they keep a run to some of those that there are.
    kept = {"benchmarks/accuracy/child.py", "benchmarks/growth.py"}
    assert found == {"lts/base/_processors.py", *kept}
    assert processors_of_affinity() >= 1
