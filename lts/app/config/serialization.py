"""Settings to plain types, as in YAML and checkpoints, and back."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_type_hints

from lts.app.config.component import OPEN, Component
from lts.app.config.values import members

S = TypeVar("S")


def settings_to_dict(settings: Any) -> Any:
    """Settings as numbers, text, lists and dicts."""
    if isinstance(settings, Component):
        return settings.to_dict()
    if is_dataclass(settings):
        return {field.name: settings_to_dict(getattr(settings, field.name)) for field in fields(settings)}
    if isinstance(settings, Mapping):
        return {name: settings_to_dict(value) for name, value in settings.items()}
    if isinstance(settings, list | tuple):
        return [settings_to_dict(value) for value in settings]
    return str(settings) if isinstance(settings, Path) else settings


def settings_from_dict(kind: type[S], values: Mapping[str, Any]) -> S:
    """The settings from plain types; missing and open settings take their defaults.

    Args:
        kind: A class of settings.
        values: As from `settings_to_dict`; unknown keys are ignored.

    Raises:
        TypeError: A setting without default is left out.
    """
    hints: dict[str, Any] = hints_of(kind)  # type: ignore[arg-type]
    given = {name: values[name] for name in hints if values.get(name, OPEN) != OPEN}
    return kind(**{name: _typed(value, hints[name]) for name, value in given.items()})


def by_key(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Plain settings by their keys, as on a command line: `optimizer.lr`. An empty section is a value.

    Example:
        >>> by_key({"seed": 0, "optimizer": {"lr": 0.001}, "callbacks": {}})
        {'seed': 0, 'optimizer.lr': 0.001, 'callbacks': {}}
    """
    found: dict[str, Any] = {}
    for name, value in section.items():
        if isinstance(value, Mapping) and value:
            found |= by_key(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


@cache
def hints_of(section: Any) -> dict[str, Any]:
    """The annotations of a class of settings, by name."""
    return get_type_hints(section, include_extras=True)


def with_output_dir(settings: S, folder: Path) -> S:
    """The settings with another `paths.output_dir`, and all paths in it adapted."""
    before: str = str(settings.paths.output_dir)  # type: ignore[attr-defined]

    def moved(item: Any, key: str = "") -> Any:
        if isinstance(item, Mapping):
            return {name: moved(value, name) for name, value in item.items()}
        if isinstance(item, list):
            return [moved(value, key) for value in item]
        # A folder called csv has the name of a logger: a bare word is the folder only if its key says so.
        is_within = isinstance(item, str) and (
            item.startswith(f"{before}/") or (item == before and key.endswith(("dir", "dirpath", "folder")))
        )
        return f"{folder}{item[len(before) :]}" if is_within else item

    return settings_from_dict(type(settings), moved(settings_to_dict(settings)))


def with_values(settings: S, **sections: Mapping[str, Any]) -> S:
    """The settings with other values in some sections: `with_values(settings, split={"fold": 1})`."""
    changed: Any = {name: replace(getattr(settings, name), **values) for name, values in sections.items()}
    return replace(settings, **changed)  # type: ignore[type-var]


def _typed(value: Any, hint: Any) -> Any:
    kinds = members(hint)
    if isinstance(value, Mapping):
        if Component in kinds:
            return Component.from_dict(value) if value else None
        if section := next((each for each in kinds if is_dataclass(each)), None):
            is_left_out = not value and NoneType in kinds  # the choice `none` of a group
            return None if is_left_out else settings_from_dict(section, value)  # type: ignore[arg-type]
        if Mapping[str, Component] in kinds:
            return {name: Component.from_dict(part) for name, part in value.items()}
    return tuple(_typed(item, Any) for item in value) if isinstance(value, list) else value
