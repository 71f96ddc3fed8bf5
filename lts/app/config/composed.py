"""From a composed config, or a written one, to settings."""

from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf, open_dict
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from lts.app.config.serialization import settings_from_dict
from lts.app.config.settings import SETTINGS, TrainSettings
from lts.app.config.types import check_section
from lts.app.config.yaml_files import naming_file
from lts.base import ConfigError


def settings_of(name: str, config: DictConfig) -> Any:
    """The settings of a command, of the class in `SETTINGS`.

    Imports nothing heavy and writes nothing; the config stays as it is.

    Args:
        name: Of the command.
        config: Its config.

    Raises:
        ConfigError: A setting is missing, unknown, of another type, or refers to one that does not exist.
    """
    kind = SETTINGS[name]
    trains = issubclass(kind, TrainSettings)
    # Before references are resolved, so that errors name the wrong setting and not those that refer to it.
    check_section("", OmegaConf.to_container(config), kind, optional=not trains)
    values = _resolved(config, name)
    check_section("", values, kind, optional=not trains)
    return settings_from_dict(kind, values)


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a file, as plain types, read as Hydra reads YAML.

    Raises:
        ConfigError: It cannot be read, is no YAML or holds no settings.
    """
    with naming_file(path):
        settings: Any = OmegaConf.to_container(OmegaConf.load(path))
    if not isinstance(settings, dict):
        raise ConfigError(f"{path}: must hold settings by name, got a list")
    return settings


def _resolved(config: DictConfig, name: str) -> Any:
    """The settings with references resolved; references to open settings stay open."""
    settings = config.copy()
    while True:
        try:
            return OmegaConf.to_container(settings, resolve=True)
        except InterpolationToMissingValueError as error:
            with open_dict(settings):
                OmegaConf.update(settings, str(error.full_key), MISSING)
        except OmegaConfBaseException as error:
            reason = str(error).partition("\n")[0].replace("raised while resolving interpolation: ", "")
            raise ConfigError(f"{error.full_key or name}: cannot be worked out: {reason}") from error
