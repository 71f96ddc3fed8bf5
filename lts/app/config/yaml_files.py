"""Files of settings that somebody edits: one that is no YAML is told by its name, line and column."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra._internal.config_repository import ConfigRepository
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from lts.base import ConfigError, written_whole


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a file, as plain types.

    Raises:
        ConfigError: It cannot be read, is no YAML or holds no settings.
    """
    with _told_of(path):
        settings: Any = OmegaConf.to_container(OmegaConf.load(path))
    if not isinstance(settings, dict):
        raise ConfigError(f"{path}: must hold settings by name, got a list")
    return settings


def write_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Write settings, given as plain types.

    Raises:
        StorageError: They cannot be written; what was there stays.
    """
    text = OmegaConf.to_yaml(OmegaConf.create(dict(settings)))
    with written_whole(path) as file:
        # A file name that is not UTF-8 reaches here as lone surrogates.
        file.write(text.encode("utf-8", "backslashreplace"))


def name_spoilt_files() -> None:
    """Have Hydra say which file of its search path cannot be read, and where, which it does not by itself."""
    load = ConfigRepository.load_config
    if getattr(load, "names_files", False):
        return

    def load_or_tell(repository: ConfigRepository, config_path: str) -> Any:
        source = repository._find_object_source(config_path=config_path, object_type=ObjectType.CONFIG)
        with _told_of(f"{source.path}/{config_path.removesuffix('.yaml')}.yaml" if source else config_path):
            return load(repository, config_path)

    load_or_tell.names_files = True  # type: ignore[attr-defined]
    ConfigRepository.load_config = load_or_tell  # type: ignore[method-assign, assignment]


@contextmanager
def _told_of(path: Path | str) -> Iterator[None]:
    try:
        yield
    except (OmegaConfBaseException, HydraException):
        raise
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: must be YAML in UTF-8: {_problem(error)}") from error


def _problem(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MarkedYAMLError) and error.problem and error.problem_mark:
        mark = error.problem_mark
        return f"{error.problem} in line {mark.line + 1}, column {mark.column + 1}"
    return " ".join(str(error).split())
