"""A sweep as a whole: its folder taken, signals heard, and a leaderboard written however it ends."""

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from lts.app.config.arguments import check_arguments
from lts.app.config.composed import settings_of
from lts.app.run.environment import SWEEP_BEGAN_VARIABLE
from lts.app.run.failures import INPUT_WAS_WRONG, exit_code_of, print_error
from lts.app.run.records import DAMAGED, FAILED, FINISHED
from lts.app.run.signals import Interrupted, StopSignals, handlers_restored, ignore_signals
from lts.app.sweep.checks import check_data, check_folder_left_out, compose_jobs, swept_arguments
from lts.app.sweep.leaderboard import read_runs, write_leaderboard
from lts.app.sweep.study import SWEEPER, prepare_study
from lts.app.sweep.study_settings import StudyEndedError
from lts.base import ConfigError, LtsError

_LOCK_FILE = ".sweep.lock"
A_PROCESS_WAS_KILLED = "TerminatedWorkerError"
"""An error of joblib; known by its name, as joblib need not be installed."""


B = TypeVar("B")


@dataclass(frozen=True, kw_only=True)
class _Begun:
    """A sweep of this process.

    Attributes:
        folder: Where it is.
        lock: Of the folder.
        failed_before: Records of the jobs that had failed when it began.
        signals: What tells it to stop.
    """

    folder: Path
    lock: FileLock
    failed_before: list[dict[str, Any]]
    signals: StopSignals


_begun: list[_Begun] = []
"""At most one. Here and not in the callback, which Hydra sends to the processes of jobs."""


class Sweep(Callback):
    """Prepares a sweep of a command that makes runs."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check the settings, and take the folder."""
        if "sweep" not in config or "shards" in config:
            return
        config_name = kwargs["config_name"]
        # Hydra makes a warning of any error in a callback, so it must not get one.
        with exit_code_of(config_name):
            arguments = swept_arguments(config)
            check_arguments(arguments)
            check_folder_left_out(arguments)
            jobs = compose_jobs(config, arguments, config_name=config_name)
            for job in jobs:
                settings_of(config_name, job)
            check_data(jobs)
            if config.hydra.sweeper._target_ == SWEEPER:
                prepare_study(config.hydra.sweeper, arguments)
            begin_sweep(Path(config.hydra.sweep.dir).resolve())
            if "submitit" in config.hydra.launcher._target_:
                from lts.app.sweep.jobs import note_lost_job
                from lts.app.sweep.lost_jobs import count_lost_jobs_as_failed

                count_lost_jobs_as_failed(partial(note_lost_job, name=config_name))
        run_this_code_in_jobs()

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """End here, if the exception of a signal was lost."""
        for begun in _begun:
            begun.signals.check()


def run_this_code_in_jobs() -> None:
    """Have the processes of jobs, here or on other nodes, run the code that runs here."""
    code = str(Path(__file__).parents[3])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (code, os.environ.get("PYTHONPATH"))))
    # joblib renews a process that has grown, which is no trouble.
    warnings.filterwarnings("ignore", ".*A worker stopped while some jobs.*")


def begin_sweep(folder: Path) -> None:
    """Take the folder of a sweep, and have signals end it as `sweep_ends` says.

    Raises:
        ConfigError: Another sweep has the folder, or it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK_FILE)
        lock.acquire(blocking=False)
    except Timeout as error:
        raise ConfigError(f"hydra.sweep.dir: {folder} is in use by a sweep that is running") from error
    except OSError as error:
        raise ConfigError(
            f"hydra.sweep.dir: {folder} cannot be written to: {error.strerror or error}"
        ) from error
    failed = [run for run in read_runs(folder) if run["state"] == FAILED]
    os.environ[SWEEP_BEGAN_VARIABLE] = datetime.now(UTC).isoformat()
    signals = StopSignals()
    signals.take()
    _begun.append(_Begun(folder=folder, lock=lock, failed_before=failed, signals=signals))


@contextmanager
def sweep_ends(name: str) -> Iterator[None]:
    """Write the leaderboard of the sweep that began within, however it ends, and name its failed jobs.

    Args:
        name: Of the command.

    Raises:
        Interrupted: The sweep was told to stop.
        SystemExit: Jobs failed; with code 1 where one met a bug, else with 2.
    """
    with jobs_end(_begun, partial(_end, name=name)):
        yield


@contextmanager
def jobs_end(begun: list[B], end: Callable[[B, BaseException | None], None]) -> Iterator[None]:
    """Conclude what began within, however it ends; without anything begun, an error within goes on.

    Args:
        begun: At most one thing, once it has begun; taken out.
        end: Called with it, and with the error that ended it. Signals are ignored then, so that what has been
            found is still written.
    """
    with handlers_restored():
        ended_by: BaseException | None = None
        try:
            yield
        except BaseException as error:
            ended_by = error
        if begun:
            ignore_signals()
            end(begun.pop(), ended_by)
        elif ended_by:
            raise ended_by


def _end(begun: _Begun, ended_by: BaseException | None, *, name: str) -> None:
    try:
        _conclude(begun, ended_by, name=name)
    finally:
        begun.lock.release()


def _conclude(begun: _Begun, ended_by: BaseException | None, *, name: str) -> None:
    from lts.app.run.console import print_line

    runs = write_leaderboard(begun.folder)
    way_on = f"by the same command with hydra.sweep.dir={begun.folder}"
    if stopped := signal_of(begun.signals, ended_by):
        raise Interrupted(stopped, f"go on {way_on}") from ended_by
    if any(run["state"] not in FINISHED for run in runs):
        print_line(f"what is not done goes on {way_on}")
    failed = [run for run in runs if run["state"] in (FAILED, DAMAGED) and run not in begun.failed_before]
    if type(ended_by).__name__ == A_PROCESS_WAS_KILLED:
        raise LtsError(
            "a process of joblib was killed, as for want of memory, and all jobs that ran with it; "
            "hydra.launcher.n_jobs must be fewer where memory is short"
        )
    if ended_by and not (failed and isinstance(ended_by, SystemExit | StudyEndedError)):
        raise ended_by
    if isinstance(ended_by, StudyEndedError):
        print_line(f"{ended_by}")
    if failed:
        print_error(name, _failures_line(failed, n_jobs=len(runs)))
        sys.exit(min(run.get("exit_code") or INPUT_WAS_WRONG for run in failed))


def signal_of(signals: StopSignals, ended_by: BaseException | None) -> int | None:
    """The signal that came, here or in a job; what then failed on the way is no failure."""
    if isinstance(ended_by, Interrupted):
        return ended_by.signum
    if isinstance(ended_by, KeyboardInterrupt):
        return signal.SIGINT
    return signals.received


def _failures_line(failed: list[dict[str, Any]], *, n_jobs: int) -> str:
    """Each reason once, with the jobs that failed for it."""
    jobs: dict[str, list[str]] = {}
    for run in failed:
        jobs.setdefault(run.get("reason") or "no reason is told", []).append(run["job"])
    if len(jobs) == 1 and len(failed) == n_jobs > 1:
        return f"all {n_jobs} jobs failed: {next(iter(jobs))}"
    return "jobs that failed: " + "; ".join(f"{', '.join(names)} ({why})" for why, names in jobs.items())
