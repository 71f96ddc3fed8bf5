"""Where results come from: versions, commit, time and memory of a run, in `run.json`."""

import importlib.metadata
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from lts import __version__
from lts.app.run.folder import check_folder_is_free, make_folder
from lts.app.run.records import DONE, FAILED, INTERRUPTED, RUN_FILE, RUNNING
from lts.base import StorageError, write_json

_DISTRIBUTIONS = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "torchmetrics",
    "hydra-core",
    "nibabel",
    "numpy",
    "scipy",
    "albumentations",
)


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that affect results."""
    found = {name: importlib.metadata.version(name) for name in _DISTRIBUTIONS}
    return {"python": platform.python_version(), "lts": __version__, **found}


class RunRecord:
    """The record of a run; on disk from the start, so that a dead run can be recognized.

    Args:
        folder: The run's folder; made here.
        command: Name of the command.
        overrides: The arguments of its command line.
        goes_on: Whether this run resumes the one that the folder may hold.

    Raises:
        ConfigError: The folder holds another run, which would be overwritten.
    """

    def __init__(
        self, folder: Path, *, command: str, overrides: Sequence[str], goes_on: bool = False
    ) -> None:
        self._path = folder / RUN_FILE
        if not goes_on:
            check_folder_is_free(folder, command=command)
        make_folder(folder, key="paths.output_dir")
        self._started = time.perf_counter()
        self._facts: dict[str, Any] = {
            "command": command,
            "overrides": list(overrides),
            "state": RUNNING,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": library_versions(),
            "git_commit": git_commit(),
            "machine": platform.machine(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        }
        write_json(self._path, self._facts)

    def add(self, **facts: Any) -> None:
        """Add facts before the end."""
        self._facts |= facts
        write_json(self._path, self._facts)

    def interrupt(self) -> str:
        """Record that the run was stopped; returns how to resume it.

        If the disk is full, the state stays "running", as of a killed run.
        """
        with suppress(StorageError):
            self.add(state=INTERRUPTED)
        if self._facts["command"] != "train":
            return "the same command begins anew, in another folder where paths.output_dir is named"
        return f"go on by the same command with paths.output_dir={self._path.parent} ckpt=last"

    def fail(self, reason: str, *, exit_code: int) -> None:
        """Record why the run failed; if the disk is full, the state stays "running"."""
        ended = datetime.now(UTC).isoformat()
        with suppress(StorageError):
            self.add(state=FAILED, reason=reason, exit_code=exit_code, ended=ended)

    def origins(self) -> dict[str, Any]:
        """Provenance for a report: all facts except the state of the run."""
        return {name: fact for name, fact in self._facts.items() if name != "state"}

    def finish(self, **facts: Any) -> None:
        """Add facts and finish the record."""
        self._facts |= {
            "state": DONE,
            "duration_s": round(time.perf_counter() - self._started, 2),
            "peak_memory_mib": _peak_resident_mib(resource.RUSAGE_SELF),
            "peak_memory_of_a_worker_mib": _peak_resident_mib(resource.RUSAGE_CHILDREN),
            **facts,
        }
        if torch.cuda.is_available():
            self._facts["peak_gpu_memory_mib"] = torch.cuda.max_memory_allocated() // 2**20
        write_json(self._path, self._facts)


class StopMessage:
    """The message of a stopped run; without a record there is nothing to resume."""

    def __init__(self) -> None:
        self.record: RunRecord | None = None

    def __call__(self) -> str:
        """Record the stop, and return how to resume."""
        return self.record.interrupt() if self.record else "nothing was begun"


def _peak_resident_mib(who: int) -> int:
    peak = resource.getrusage(who).ru_maxrss
    return peak // (2**20 if sys.platform == "darwin" else 2**10)


def git_commit(code: Path = Path(__file__)) -> str | None:
    """The commit of the code, with `+changes` where files differ from it; None outside a checkout.

    Code that is installed into the environment of another project may lie in the checkout of that one.

    Args:
        code: One of its files.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=code.parent, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", code.name)
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
