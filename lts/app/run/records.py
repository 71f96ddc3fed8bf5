"""Reads the records in run folders, which may be damaged."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lts.base import ConfigError, read_json_object, shown

RUN_FILE = "run.json"
CONFIG_FILE = "config.yaml"
LOCK_FILE = ".lock"
"""In the folder of each run; locked while it runs."""
JOB_FILE = "job.json"
"""In the folder of each job of a sweep: its settings, which identify it."""
LOGGERS_FILE = "loggers.json"
"""In the folder of a training: the ids of its runs at W&B and MLflow, for when it is resumed."""
METRICS_FILE = "metrics.json"
PROGRESS_FILE = "progress.json"
"""In the folder of a job that may be pruned: its best score after each epoch."""

RUNNING, DONE, PRUNED, FAILED, INTERRUPTED = "running", "done", "pruned", "failed", "interrupted"
DAMAGED, KILLED = "damaged", "killed"
"""States that no record says: of one that cannot be read, and of a run that ended without a word."""
FINISHED = (DONE, PRUNED)
"""States of a run that is not started again."""

_Rule = tuple[str, Callable[[Any], bool]]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_score(value: object) -> bool:
    return value is None or _is_number(value)


_TEXT: _Rule = ("a text", lambda value: isinstance(value, str))
_TEXTS: _Rule = (
    "a list of texts",
    lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
)
_SCORE: _Rule = ("a number or null", _is_score)
_SCORES: _Rule = (
    "a list of numbers or null",
    lambda value: isinstance(value, list) and all(map(_is_score, value)),
)
_STATES = (RUNNING, DONE, PRUNED, FAILED, INTERRUPTED)
_STATE: _Rule = (f"one of {', '.join(_STATES)}", lambda value: value in _STATES)
_TABLE: _Rule = (
    "an object of objects",
    lambda value: isinstance(value, dict) and all(isinstance(item, dict) for item in value.values()),
)

_OF_A_RUN: dict[str, _Rule] = {
    "overrides": _TEXTS,
    **dict.fromkeys(("command", "reason", "ended", "monitor", "mode"), _TEXT),
    **dict.fromkeys(("best_score", "duration_s"), _SCORE),
    "exit_code": ("1 or 2", lambda value: value in (1, 2)),
}
"""What is read of finished runs."""


def read_run(folder: Path) -> dict[str, Any]:
    """The record of the run in a folder; empty where there is none.

    Raises:
        ConfigError: It is damaged.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        return {}
    facts = _read(path, {"state": _STATE})
    _check(path, facts, {key: rule for key, rule in _OF_A_RUN.items() if facts.get(key) is not None})
    return facts


def read_job(path: Path) -> dict[str, Any]:
    """What identifies a job of a sweep: the hash of its `settings`, and its `overrides`.

    Raises:
        ConfigError: It is damaged.
    """
    return _read(path, {"settings": _TEXT, "overrides": _TEXTS})


def read_progress(path: Path) -> dict[str, Any]:
    """The progress of a job: `monitor`, `mode` and `best_by_epoch`.

    Raises:
        ConfigError: It is damaged.
    """
    return _read(path, {"monitor": _TEXT, "mode": _TEXT, "best_by_epoch": _SCORES})


def read_scores(path: Path) -> dict[str, dict[str, Any]]:
    """The scores of an evaluation by region; empty where it left none.

    Raises:
        ConfigError: They are damaged.
    """
    if not path.is_file():
        return {}
    scores: dict[str, dict[str, Any]] = _read(path, {"regions": _TABLE})["regions"]
    for region, found in scores.items():
        for name in ("dice_per_case", "dice_global"):
            _check(path, {f"{region}.{name}": found.get(name)}, {f"{region}.{name}": _SCORE})
    return scores


def _read(path: Path, rules: Mapping[str, _Rule]) -> dict[str, Any]:
    content = read_json_object(path, error=ConfigError)
    _check(path, content, rules)
    return content


def _check(path: Path, content: Mapping[str, Any], rules: Mapping[str, _Rule]) -> None:
    for key, (rule, holds) in rules.items():
        if key not in content:
            raise ConfigError(f"{path}: is damaged: must have {key!r}, has {shown(list(content))}")
        if not holds(content[key]):
            raise ConfigError(f"{path}: is damaged: {key!r} must be {rule}, got {shown(content[key])}")
