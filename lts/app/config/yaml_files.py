"""Files of settings that somebody edits: one that is no YAML is told by its name, line and column."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra._internal.config_repository import ConfigRepository
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from lts.base import ConfigError


def load_settings(path: Path) -> DictConfig:
    """The settings in a file.

    Raises:
        ConfigError: It cannot be read, is no YAML or holds no settings.
    """
    with _told_of(path):
        settings = OmegaConf.load(path)
    if not isinstance(settings, DictConfig):
        raise ConfigError(f"{path}: must hold settings by name, got a list")
    return settings


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
