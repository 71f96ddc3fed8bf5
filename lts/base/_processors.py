"""The number of processors that this process may use."""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

_CGROUP_OF_PROCESS, _CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_SLURM_SHARES = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
"""SLURM's processors of a task, or if not set, of the job on this machine."""


def usable_processors() -> int:
    """Processors that this process may use, at least 1.

    The minimum of its affinity, the CPU quota of its control group and parent groups (containers, systemd
    slices), and its share of a SLURM job, which not every cluster enforces. Fractions are rounded up.
    """
    return max(1, math.ceil(min([processors_of_affinity(), *_quotas(), *_slurm_share()])))


def processors_of_affinity() -> int:
    """Processors of the affinity of this process, whatever its quota."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _slurm_share() -> list[float]:
    if "SLURM_JOB_ID" not in os.environ:
        return []
    shares = [os.environ.get(name, "") for name in _SLURM_SHARES]
    return [float(share) for share in shares if re.fullmatch(r"[1-9]\d{0,5}", share)][:1]


def _quotas() -> Iterator[float]:
    """The quota of each control group that this process is in, in processors."""
    for line in _text(_CGROUP_OF_PROCESS).splitlines():
        number, _, controllers_and_path = line.partition(":")
        controllers, _, path = controllers_and_path.partition(":")
        if number == "0":
            groups = _with_parents(_CGROUPS, path)
            yield from (quota for group in groups if (quota := _quota_of(_text(group / "cpu.max").split())))
        elif "cpu" in controllers.split(","):  # version 1
            for folder in {_CGROUPS / controllers, _CGROUPS / "cpu"}:
                for group in _with_parents(folder, path):
                    pair = [_text(group / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
                    if quota := _quota_of(pair):
                        yield quota


def _with_parents(root: Path, path: str) -> list[Path]:
    """The folders of a control group and its parents; in a container they may be missing."""
    group = root / path.strip("/")
    return [group, *(parent for parent in group.parents if parent.is_relative_to(root))]


def _quota_of(pair: list[str]) -> float | None:
    """Quota divided by period; None without a limit."""
    if len(pair) != 2 or not all(re.fullmatch(r"[1-9]\d{0,17}", number) for number in pair):
        return None
    return int(pair[0]) / int(pair[1])


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
