"""Checks settings against the types of their classes, wherever they come from."""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

from lts.app.config.closest import closest
from lts.app.config.component import OPEN, Component
from lts.app.config.groups import choices_of
from lts.app.config.serialization import hints_of, settings_to_dict
from lts.app.config.settings import CasesSettings
from lts.app.config.values import Place, fits, members, shown, words
from lts.base import ConfigError

S = TypeVar("S")

_MAY_BE_MISSING = {
    *("intensity", "augment"),
    *(f"data.{name}" for name in hints_of(CasesSettings) if name not in ("layout", "root", "phantom")),
}
"""Keys that only some choices of groups have, in commands that do not train."""


def check_settings(settings: S) -> S:
    """Check settings from Python like those of a command line.

    Raises:
        ConfigError: A setting is of another type than its annotation says.
    """
    check_section("", settings_to_dict(settings), type(settings), optional=True)
    return settings


def check_section(prefix: str, given: Any, section: type, *, optional: bool, in_part: bool = False) -> None:
    """Check a section of settings, given as plain types.

    Args:
        prefix: Of its keys, "" or one that ends with a dot.
        given: Its keys and values; one that refers to another setting is not looked at.
        section: The class of settings that they are to make.
        optional: Whether keys that only training asks for may be missing.
        in_part: Whether all keys that have a default may be missing.

    Raises:
        ConfigError: A key is missing, unknown, or of another type.
    """
    hints = hints_of(section)
    for key in given:
        if key not in hints:
            meant = closest(f"{prefix}{key}", [f"{prefix}{name}" for name in hints])
            raise ConfigError(f"{prefix}{key}: is no setting{f'. Did you mean {meant}?' if meant else ''}")
    for name, hint in hints.items():
        value, key = given.get(name, OPEN), f"{prefix}{name}"
        if value != OPEN:
            _check_value(key, value, hint, optional=optional)
        elif not ((in_part and name in _defaults_of(section)) or (optional and key in _MAY_BE_MISSING)):
            raise ConfigError(f"{key}: must be given{_choices(key)}")


def _defaults_of(section: Any) -> set[str]:
    """Names of the settings of a class that have a default."""
    return {one.name for one in fields(section) if (one.default, one.default_factory) != (MISSING, MISSING)}


def _check_value(key: str, value: Any, hint: Any, *, optional: bool) -> None:
    if isinstance(value, str) and "${" in value:
        return
    kinds = members(hint)
    section = next((each for each in kinds if is_dataclass(each) and each is not Component), None)
    if section and isinstance(value, dict) and (value or not fits(None, hint)):
        assert isinstance(section, type)
        # Of a section that may be null only some keys may be written: data.labels={liver: [5]}
        check_section(f"{key}.", value, section, optional=optional, in_part=fits(None, hint))
    elif isinstance(value, dict) and Mapping[str, Component] in kinds:
        for name, part in value.items():
            _check_value(f"{key}.{name}", part, Component, optional=optional)
    elif hint is not object and not (section and value == {}):  # the choice `none` of a group is an empty one
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
    """The choices of a group, for messages about its key."""
    found = choices_of(key) if "." not in key else []
    return f"; {key}=CHOICE takes one of {', '.join(found)}" if found else ""
