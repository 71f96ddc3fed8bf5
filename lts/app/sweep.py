"""A sweep as a whole: settings checked before anything is made, and a leaderboard however it ends."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from lts.app.command import exit_code_of
from lts.app.leaderboard import FINISHED, read_runs, write_leaderboard
from lts.base import ConfigError

_LOCK_FILE = ".sweep.lock"
_OPTUNA_FOUND_NOTHING = ("No trials are completed yet", "Record does not exist")
"""How an error begins with which Optuna's sweeper ends where every job failed."""


@dataclass(frozen=True, kw_only=True)
class _Begun:
    """A sweep of this process; `failed_before` has the records of jobs that had failed when it began."""

    folder: Path
    lock: FileLock
    failed_before: list[dict[str, Any]]


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
            check_settings(config, arguments, config_name=config_name)
            _begun.append(_begin(Path(config.hydra.sweep.dir).resolve()))
            if "optuna" in config.hydra.sweeper._target_:
                from lts.app.study import go_on_with_study

                go_on_with_study(config, arguments)
        # The processes of jobs, here or on other nodes, must run the code that runs here.
        code = str(Path(__file__).parents[2])
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (code, os.environ.get("PYTHONPATH"))))
        # joblib renews a process that has grown, which is no trouble.
        warnings.filterwarnings("ignore", ".*A worker stopped while some jobs.*")


@contextmanager
def sweep_ends(name: str) -> Iterator[None]:
    """Write the leaderboard of the sweep that began within, however it ends, and name its failed jobs.

    Args:
        name: Of the command.

    Raises:
        SystemExit: Jobs failed; with code 1 where one met a bug, else with 2.
    """
    failed: list[dict[str, Any]] = []
    found_nothing: ValueError | None = None
    try:
        yield
    except ValueError as error:
        if not _begun or not str(error).startswith(_OPTUNA_FOUND_NOTHING):
            raise
        found_nothing = error
    finally:
        for begun in _begun:
            failed = _end(begun)
        _begun.clear()
    if failed:
        told = "; ".join(f"{run['job']} ({run['reason']})" for run in failed)
        print(f"{name}: jobs that failed: {told}", file=sys.stderr)
        sys.exit(min(run["exit_code"] for run in failed))
    if found_nothing:
        raise found_nothing


def _end(begun: _Begun) -> list[dict[str, Any]]:
    """Write the leaderboard; returns the jobs that failed this time."""
    from lts.app.console import say

    runs = write_leaderboard(begun.folder)
    if any(run["state"] not in FINISHED for run in runs):
        say(f"what is not done goes on by the same command with hydra.sweep.dir={begun.folder}")
    begun.lock.release()
    return [run for run in runs if run["state"] == "failed" and run not in begun.failed_before]


def check_settings(config: DictConfig, arguments: list[str], *, config_name: str) -> None:
    """Compose jobs so that a misspelt key or choice is found before anything is made.

    Each choice of a group is tried once, of other keys the first value: its spelling decides, not its value.

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
    tried = [{key: choices[0] for key, choices in values.items()}]
    tried += [{**tried[0], key: choice} for key in groups & values.keys() for choice in values[key][1:]]
    for job in tried:
        hydra.compose_config(
            config_name=config_name,
            overrides=[*config.hydra.overrides.hydra, *(f"{key}={value}" for key, value in job.items())],
            run_mode=RunMode.RUN,
            with_log_configuration=False,
            from_shell=False,
        )


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


def _begin(folder: Path) -> _Begun:
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
    return _Begun(folder=folder, lock=lock, failed_before=failed)
