"""A sweep as a whole: settings checked before anything is made, and a leaderboard however it ends."""

import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, OmegaConf

from lts.app.command import SWEEP_BEGAN_VARIABLE, exit_code_of
from lts.app.interruption import STOP_SIGNALS, Interrupted, StopSignals
from lts.app.leaderboard import FINISHED, read_runs, write_leaderboard
from lts.base import ConfigError, LtsError

_LOCK_FILE = ".sweep.lock"
_PLACE_OF_CASES = {"data.root", "data.layout"}
_OPTUNA_FOUND_NOTHING = ("No trials are completed yet", "Record does not exist")
"""How an error begins with which Optuna's sweeper ends where every job failed."""
_A_PROCESS_WAS_KILLED = "TerminatedWorkerError"
"""An error of joblib; known by its name, as joblib need not be installed."""


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
        """Check the settings, take the folder, and go on with an earlier study there."""
        if "sweep" not in config:
            return
        config_name = kwargs["config_name"]
        # Hydra makes a warning of any error in a callback, so it must not get one.
        with exit_code_of(config_name):
            arguments = _arguments(config)
            check_data(check_settings(config, arguments, config_name=config_name))
            begin_sweep(Path(config.hydra.sweep.dir).resolve())
            if "submitit" in config.hydra.launcher._target_:
                from lts.app.lost_jobs import count_lost_jobs_as_failed

                count_lost_jobs_as_failed(config_name)
            if "optuna" in config.hydra.sweeper._target_:
                from lts.app.study import go_on_with_study

                go_on_with_study(config, arguments)
        # The processes of jobs, here or on other nodes, must run the code that runs here.
        code = str(Path(__file__).parents[2])
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (code, os.environ.get("PYTHONPATH"))))
        # joblib renews a process that has grown, which is no trouble.
        warnings.filterwarnings("ignore", ".*A worker stopped while some jobs.*")

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """End here, if the exception of a signal was lost."""
        for begun in _begun:
            begun.signals.check()


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
    failed = [run for run in read_runs(folder) if run["state"] == "failed"]
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
    handlers = {signum: signal.getsignal(signum) for signum in STOP_SIGNALS}
    hook = sys.unraisablehook
    ended_by: BaseException | None = None
    try:
        yield
    except BaseException as error:
        ended_by = error
    if not _begun:
        if ended_by:
            raise ended_by
        return
    begun = _begun.pop()
    for signum in STOP_SIGNALS:
        signal.signal(signum, signal.SIG_IGN)  # what has been found is still written
    try:
        _end(begun, ended_by, name=name)
    finally:
        begun.lock.release()
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
        sys.unraisablehook = hook


def _end(begun: _Begun, ended_by: BaseException | None, *, name: str) -> None:
    from lts.app.console import say

    runs = write_leaderboard(begun.folder)
    way_on = f"by the same command with hydra.sweep.dir={begun.folder}"
    if stopped := _signal_of(begun, ended_by):
        raise Interrupted(stopped, f"go on {way_on}") from ended_by
    if any(run["state"] not in FINISHED for run in runs):
        say(f"what is not done goes on {way_on}")
    failed = [run for run in runs if run["state"] == "failed" and run not in begun.failed_before]
    if type(ended_by).__name__ == _A_PROCESS_WAS_KILLED:
        raise LtsError("a process of joblib was killed, as for want of memory, and all jobs that ran with it")
    found_nothing = isinstance(ended_by, ValueError) and str(ended_by).startswith(_OPTUNA_FOUND_NOTHING)
    if ended_by and not (failed and (found_nothing or isinstance(ended_by, SystemExit))):
        raise ended_by
    if failed:
        print(f"{name}: {_told_of_failures(failed, n_jobs=len(runs))}", file=sys.stderr)
        sys.exit(min(run["exit_code"] for run in failed))


def _signal_of(begun: _Begun, ended_by: BaseException | None) -> int | None:
    """The signal that ended the sweep, here or in a job; what then failed on the way is no failure."""
    if isinstance(ended_by, Interrupted):
        return ended_by.signum
    if isinstance(ended_by, KeyboardInterrupt):
        return signal.SIGINT
    return begun.signals.received if ended_by else None


def _told_of_failures(failed: list[dict[str, Any]], *, n_jobs: int) -> str:
    """Each reason once, with the jobs that failed for it."""
    jobs: dict[str, list[str]] = {}
    for run in failed:
        jobs.setdefault(run["reason"], []).append(run["job"])
    if len(jobs) == 1 and len(failed) == n_jobs > 1:
        return f"all {n_jobs} jobs failed: {failed[0]['reason']}"
    return "jobs that failed: " + "; ".join(f"{', '.join(names)} ({why})" for why, names in jobs.items())


def check_settings(config: DictConfig, arguments: list[str], *, config_name: str) -> list[DictConfig]:
    """Compose jobs so that a misspelt key or choice is found before anything is made.

    Each choice of a group is tried once, as are the places of cases; of other keys the first value: its
    spelling decides, not its value.

    Returns:
        What was composed.

    Raises:
        HydraException: A key or choice does not exist.
    """
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    loader = hydra.config_loader
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(arguments)
    values = {override.get_key_element(): _values(override) for override in parsed}
    groups = {
        override.get_key_element() for override in parsed if loader.get_group_options(override.key_or_group)
    }
    each = (groups | _PLACE_OF_CASES) & values.keys()
    tried = [{key: choices[0] for key, choices in values.items()}]
    tried += [{**tried[0], key: choice} for key in each for choice in values[key][1:]]
    return [
        hydra.compose_config(
            config_name=config_name,
            overrides=[*config.hydra.overrides.hydra, *(f"{key}={value}" for key, value in job.items())],
            run_mode=RunMode.RUN,
            with_log_configuration=False,
            from_shell=False,
        )
        for job in tried
    ]


def check_data(jobs: list[DictConfig]) -> None:
    """Look for the cases if all jobs look for them in one place, so that a wrong `data.root` is told once.

    Args:
        jobs: What `check_settings` composed.

    Raises:
        LtsError: There are none.
    """
    places = {_place_of_cases(job) for job in jobs}
    if len(places) == 1 and (place := places.pop()):
        from lts.cohort import find_cases

        root, layout = place
        find_cases(Path(root).expanduser().resolve(), layout=layout)


def _place_of_cases(job: DictConfig) -> tuple[str, str] | None:
    """Root and layout of a job's cases; None where they are made, open, or follow from other settings."""
    data: Any = OmegaConf.to_container(job.data, resolve=False)
    root, layout = str(data["root"]), str(data["layout"])
    if data["phantom"] or not data["root"] or MISSING in (root, layout) or "${" in root:
        return None
    return root, layout


def _arguments(config: DictConfig) -> list[str]:
    """What is swept over and set, in the order in which the later wins."""
    params = config.hydra.sweeper.get("params") or {}
    return [*(f"{key}={value}" for key, value in params.items()), *config.hydra.overrides.task]


def _values(override: Override) -> list[str]:
    """The values that an override goes through; of an interval its start."""
    if not override.is_sweep_override():
        return [override.get_value_element_as_str()]
    if override.is_discrete_sweep():
        return list(override.sweep_string_iterator())
    value = override.value()
    assert isinstance(value, IntervalSweep)
    return [str(value.start)]
