"""Settings as YAML files; syntax errors name file, line and column."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from lts.base import ConfigError, write_utf8


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Quotes text that Hydra would read as a number, such as `1e-3` without a point."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"), list("-+0123456789")
)


def write_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Write settings, given as plain types.

    Raises:
        StorageError: They cannot be written; what was there stays.
    """
    text = yaml.dump(dict(settings), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    write_utf8(path, text)


@contextmanager
def naming_file(path: Path | str, *, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Context in which errors name the file.

    Args:
        path: The file.
        but: Errors that are not changed.

    Raises:
        ConfigError: It cannot be read, or is no YAML.
    """
    try:
        yield
    except but:
        raise
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: must be YAML in UTF-8: {_problem(error)}") from error


def _problem(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
        mark = error.problem_mark
        return f"{error.problem} in line {mark.line + 1}, column {mark.column + 1}"
    return " ".join(str(error).split())
