"""From a composed config, or settings made in Python, to settings that are known to be of the right types."""

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, TypeVar

from omegaconf import MISSING, DictConfig, OmegaConf, open_dict
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from lts.app.config.arguments import CONF
from lts.app.config.component import Component
from lts.app.config.plain import from_plain, hints_of, to_plain
from lts.app.config.settings import SETTINGS, CasesSettings
from lts.app.config.suggestions import closest
from lts.app.config.values import Place, fits, members, shown, words
from lts.base import ConfigError

S = TypeVar("S")

_MAY_BE_MISSING = {"intensity", "augment", *hints_of(CasesSettings)} - {"layout", "root", "phantom"}
"""Keys that some choices of groups bring and others do not, where a command does not train."""


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
    # As they stand first: what a wrong setting spoils of others would be told in place of it.
    _check_section("", OmegaConf.to_container(config), kind, optional=name != "train")
    values = _resolved(config, name)
    _check_section("", values, kind, optional=name != "train")
    return from_plain(kind, values)


def check_settings(settings: S) -> S:
    """Check settings that were made in Python as those of a command line are.

    Raises:
        ConfigError: A setting is of another type than its annotation says.
    """
    _check_section("", to_plain(settings), type(settings), optional=True)
    return settings


def _resolved(config: DictConfig, name: str) -> Any:
    """The settings with what they refer to; what refers to an open setting is open too."""
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


def _check_section(prefix: str, given: Any, section: type, *, optional: bool) -> None:
    hints = hints_of(section)
    for key in given:
        if key not in hints:
            meant = closest(f"{prefix}{key}", [f"{prefix}{name}" for name in hints])
            raise ConfigError(f"{prefix}{key}: is no setting{f'. Did you mean {meant}?' if meant else ''}")
    for name, hint in hints.items():
        value, key = given.get(name, MISSING), f"{prefix}{name}"
        if value != MISSING:
            _check_value(key, value, hint, optional=optional)
        elif not (optional and name in _MAY_BE_MISSING):
            raise ConfigError(f"{key}: must be given{_choices(key)}")


def _check_value(key: str, value: Any, hint: Any, *, optional: bool) -> None:
    if isinstance(value, str) and "${" in value:
        return
    kinds = members(hint)
    section = next((each for each in kinds if is_dataclass(each) and each is not Component), None)
    if section and isinstance(value, dict):
        assert isinstance(section, type)
        _check_section(f"{key}.", value, section, optional=optional)
    elif isinstance(value, dict) and Mapping[str, Component] in kinds:
        for name, part in value.items():
            _check_value(f"{key}.{name}", part, Component, optional=optional)
    elif hint is not object:
        _check_kind(key, value, hint)


def _check_kind(key: str, value: Any, hint: Any) -> None:
    if not fits(value, hint):
        raise ConfigError(f"{key}: must be {words(hint)}, got {shown(value)}{_advice(key, value, hint)}")
    if Component not in members(hint) or value is None:
        return
    # The choice `none` of a group is an empty one.
    if value and not isinstance(value.get("_target_"), str):
        raise ConfigError(f"{key}._target_: must name a class, got {shown(value.get('_target_'))}")
    if not value and not fits(None, hint):
        raise ConfigError(f"{key}._target_: must be given{_choices(key)}")


def _advice(key: str, value: Any, hint: Any) -> str:
    if isinstance(value, str) and Place in members(hint):
        return "; names are of 1 to 255 bytes without NUL"
    if isinstance(value, int | float) and any(kind in (Place, str) for kind in members(hint)):
        return f"""; in quotes it is text: {key}="'{shown(value)}'\""""
    return _choices(key)


def _choices(key: str) -> str:
    """What a group of the config offers, to be told beside its key."""
    found = sorted(path.stem for path in (CONF / key).glob("*.yaml")) if "." not in key else []
    return f"; {key}=CHOICE takes one of {', '.join(found)}" if found else ""
