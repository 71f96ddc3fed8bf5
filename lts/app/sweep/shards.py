"""`-m shards=N` as a whole: jobs that Hydra's launcher runs, and at the end what came of them."""

import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from lts.app.config.composed import settings_of
from lts.app.config.settings import PredictSettings, StoreSettings
from lts.app.config.shard import check_shards
from lts.app.run.failures import INPUT_WAS_WRONG, Failure, exit_code_of, failure_of, print_error
from lts.app.run.processors import reset_start_method
from lts.app.run.signals import Interrupted, StopSignals
from lts.app.sweep.checks import swept_arguments, without_hydra
from lts.app.sweep.lifecycle import A_PROCESS_WAS_KILLED, jobs_end, run_this_code_in_jobs, signal_of
from lts.base import CohortError, ConfigError, read_json_object, write_json

_OUTCOME_FILE = "shard.json"
"""In the folder that Hydra makes for a job: what came of its shard."""
_GO_ON = "the same command goes on with what is left"
_NO_RESULT: Mapping[str, Any] = {
    "reason": f"ended without a result, as if killed; {_GO_ON}",
    "exit_code": INPUT_WAS_WRONG,
}
"""The outcome of a shard that has left none."""

Settings = PredictSettings | StoreSettings
Work = Callable[[Any], Sequence[str]]
"""Does the shard that settings name, and returns the names of its cases."""
Report = Callable[[Set[str]], None]
"""Prints what became of cases; CohortError where some failed."""
Conclude = Callable[[Any], Report]


@dataclass(frozen=True, kw_only=True)
class _Begun:
    """The shards that this process has launched.

    Attributes:
        settings: What they have in common.
        numbers: Which they are.
        folder: Hydra's folder of their jobs.
        signals: What tells them to stop.
    """

    settings: Settings
    numbers: tuple[int, ...]
    folder: Path
    signals: StopSignals


_begun: list[_Begun] = []
"""At most one. Here and not in the callback, which Hydra sends to the processes of jobs."""


class Shards(Callback):
    """Checks what is common to all shards before the first one."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check the settings, and listen to signals."""
        if not are_shards(config):
            return
        name = kwargs["config_name"]
        # Hydra makes a warning of any error in a callback, so it must not get one.
        with exit_code_of(name):
            settings: Settings = settings_of(name, without_hydra(config))
            check_shards(settings.shards)
            numbers = _numbers(config)
            check_shards(settings.shards, numbers)
            if "submitit" in config.hydra.launcher._target_:
                from lts.app.sweep.lost_jobs import count_lost_jobs_as_failed

                count_lost_jobs_as_failed(_note_lost)
            folder = Path(config.hydra.sweep.dir).resolve()
            for path in folder.glob(f"*/{_OUTCOME_FILE}"):
                path.unlink()
            signals = StopSignals()
            signals.take()
            _begun.append(_Begun(settings=settings, numbers=numbers, folder=folder, signals=signals))
        run_this_code_in_jobs()

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """End here, if the exception of a signal was lost."""
        for begun in _begun:
            begun.signals.check()


def are_shards(config: DictConfig) -> bool:
    """Whether a config is of a command with more than one shard."""
    return bool(config.get("shards", 1) != 1)


def run_shard(config: DictConfig, work: Work, *, name: str) -> None:
    """Do a shard as a job of Hydra; a failure is written down and ends no other job.

    Args:
        config: Of the job.
        work: Does it.
        name: Of the command.
    """
    reset_start_method()
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        asked = work(settings_of(name, config))
    except Exception as error:
        failure = failure_of(error, name)
        if failure.is_bug:
            traceback.print_exc()
        print_error(name, f"shard {config.shard}: {failure.reason}")
        _note(folder, config, reason=failure.reason, exit_code=failure.exit_code)
    else:
        _note(folder, config, asked=asked)


@contextmanager
def shards_end(name: str, conclude: Conclude) -> Iterator[None]:
    """Tell what came of the shards that were launched within, however they end.

    Args:
        name: Of the command.
        conclude: Merges what a killed shard has left, and returns a function that reports cases.

    Raises:
        Interrupted: They were told to stop.
        SystemExit: Some failed, or scans in them; with code 1 where one met a bug, else with 2.
    """
    with jobs_end(_begun, partial(_end, name=name, conclude=conclude)):
        yield


def _end(begun: _Begun, ended_by: BaseException | None, *, name: str, conclude: Conclude) -> None:
    report = conclude(begun.settings)
    if stopped := signal_of(begun.signals, ended_by):
        raise Interrupted(stopped, _GO_ON) from ended_by
    if ended_by and type(ended_by).__name__ != A_PROCESS_WAS_KILLED:
        raise ended_by
    outcomes = _outcomes(begun)
    problems = _problems(begun, outcomes)
    try:
        report({case for outcome in outcomes.values() for case in outcome.get("asked", ())})
    except CohortError as error:
        problems.insert(0, failure_of(error, name))
    if problems:
        print_error(name, "; ".join(one.reason for one in problems))
        sys.exit(min(one.exit_code for one in problems))


def _problems(begun: _Begun, outcomes: Mapping[int, Mapping[str, Any]]) -> list[Failure]:
    """What went wrong with whole shards, each reason once."""
    count, shards_of = begun.settings.shards, dict[tuple[str, int], list[int]]()
    for number in begun.numbers:
        outcome = outcomes.get(number, _NO_RESULT)
        if "reason" in outcome:
            shards_of.setdefault((outcome["reason"], outcome["exit_code"]), []).append(number)
    return [
        Failure(reason=f"{_told(numbers, count)} of {count}: {reason}", exit_code=code)
        for (reason, code), numbers in shards_of.items()
    ]


def _told(numbers: list[int], count: int) -> str:
    if len(numbers) == count:
        return f"all {count}"
    return f"shard{'s'[: len(numbers) != 1]} {', '.join(map(str, numbers))}"


def _outcomes(begun: _Begun) -> dict[int, dict[str, Any]]:
    """By the number of the shard."""
    found = (read_json_object(path) for path in begun.folder.glob(f"*/{_OUTCOME_FILE}"))
    return {outcome["shard"]: outcome for outcome in found}


def _note(folder: Path, config: DictConfig, **facts: Any) -> None:
    write_json(folder / _OUTCOME_FILE, {"shard": config.shard, **facts})


def _note_lost(config: DictConfig, reason: str) -> None:
    """Write down that a cluster lost a shard, unless its outcome is there."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    if not (folder / _OUTCOME_FILE).exists():
        _note(folder, config, reason=f"{reason}; {_GO_ON}", exit_code=INPUT_WAS_WRONG)


def _numbers(config: DictConfig) -> tuple[int, ...]:
    """The shards that are swept over.

    Raises:
        ConfigError: Another key is swept over too.
    """
    numbers: tuple[Any, ...] = ()
    for override in OverridesParser.create().parse_overrides(swept_arguments(config)):
        key = override.get_key_element()
        if key == "shard":
            swept = override.is_discrete_sweep()
            numbers = tuple(override.sweep_iterator()) if swept else (override.value(),)
        elif override.is_sweep_override():
            raise ConfigError(f"{key}: must have one value with shards={config.shards}, got several")
    return numbers
