"""Whether a value of a config fits an annotation, and annotations in words.

Configs come from YAML and the command line, so their values are numbers, text, true, false, null, lists and
mappings. They are checked against the annotations of classes and functions.
"""

import math
import os
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from lts.app.config.component import Component

Place = Annotated[str | Path, "the path of a file or folder"]

_LONGEST_NAME, _LONGEST_PATH = 255, 4095
"""Bytes that file systems take."""
_SHOWN = 80


@dataclass(frozen=True)
class Placeholder:
    """Stands for an object that nested settings instantiate.

    Attributes:
        kind: Its class, None if a function makes it.
    """

    kind: type | None


def fits(value: Any, hint: Any) -> bool:
    """Whether a value of a config, or a `Placeholder`, fits an annotation.

    Numbers must be finite, whole numbers have 64 bits, and true and false are not numbers. Text has no NUL,
    and a path must be a valid file name. Annotations that this cannot check, such as type variables, always
    fit.
    """
    kind, args = _parts(hint)
    if kind in _UNIONS:
        return any(fits(value, each) for each in args)
    if isinstance(value, Placeholder) and isinstance(kind, type):
        return kind in (object, Any) or (value.kind is not None and issubclass(value.kind, kind))
    if kind in _JUDGES:
        return _JUDGES[kind](value, args)
    # Objects of any other class can only come from `_target_`.
    return not isinstance(kind, type)


def members(hint: Any) -> tuple[Any, ...]:
    """The members of a union; any other annotation itself."""
    return get_args(hint) if get_origin(hint) in _UNIONS else (hint,)


def _parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """The origin of an annotation and its arguments."""
    return (Place, ()) if hint == Place else (get_origin(hint) or hint, get_args(hint))


def words(hint: Any) -> str:
    """An annotation in words for a user: `a whole number or null`."""
    kind, args = _parts(hint)
    if kind in _UNIONS:
        parts = [words(each) for each in args if not (each is int and float in args)]
        # Null comes last; types that only a program can pass are left out.
        first = [each for each in dict.fromkeys(parts) if each not in ("null", _OBJECT)]
        return " or ".join([*first, *(["null"] if "null" in parts else [])]) or _OBJECT
    if kind is Literal:
        choices = [choice if isinstance(choice, str) else shown(choice) for choice in args]
        return " or ".join(choices) if len(choices) < 3 else f"one of {', '.join(choices)}"
    if kind is tuple and args and args[-1] is not Ellipsis:
        return f"a list of {len(args)} {_plural(args[0])}"
    if kind in _LISTS:
        return f"a list of {_plural(args[0])}" if args else "a list"
    return _WORDS.get(kind, "a section of settings" if is_dataclass(kind) else _OBJECT)


def shown(value: object) -> str:
    """A value in a message: short, and escaped if it is not plain text."""
    try:
        text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    except ValueError:  # a number of more digits than Python writes
        text = "a number of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _is_number(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _is_place(value: Any) -> bool:
    if not isinstance(value, str) or not value or "\0" in value:
        return False
    try:
        name = os.fsencode(value)
    except UnicodeError:
        return False
    return len(name) <= _LONGEST_PATH and all(len(part) <= _LONGEST_NAME for part in name.split(b"/"))


def _is_list(value: Any, args: tuple[Any, ...]) -> bool:
    return isinstance(value, list) and all(fits(item, args[0]) for item in value if args)


def _is_tuple(value: Any, args: tuple[Any, ...]) -> bool:
    if not args or args[-1] is Ellipsis:
        return _is_list(value, args)
    return isinstance(value, list) and len(value) == len(args) and all(map(fits, value, args))


def _is_mapping(value: Any, args: tuple[Any, ...]) -> bool:
    return isinstance(value, dict) and all(fits(item, args[1]) for item in value.values() if args)


def _plural(hint: Any) -> str:
    text = _PLURALS.get(hint) or words(hint)
    return "numbers" if float in members(hint) else _OBJECTS if text == _OBJECT else text


_UNIONS = (Union, types.UnionType)
_LISTS = (list, set, frozenset, Sequence, Iterable, Collection, tuple)
_JUDGES: dict[Any, Callable[[Any, tuple[Any, ...]], bool]] = {
    Any: lambda _value, _args: True,
    object: lambda _value, _args: True,
    Literal: lambda value, args: any(value == choice and type(value) is type(choice) for choice in args),
    bool: lambda value, _args: isinstance(value, bool),
    int: lambda value, _args: _is_whole(value),
    float: lambda value, _args: _is_number(value),
    str: lambda value, _args: isinstance(value, str) and "\0" not in value,
    Path: lambda value, _args: _is_place(value),
    Place: lambda value, _args: _is_place(value),
    type(None): lambda value, _args: value is None,
    dict: _is_mapping,
    Mapping: _is_mapping,
    Component: _is_mapping,
    **dict.fromkeys(_LISTS, _is_list),
    tuple: _is_tuple,
}
_OBJECT, _OBJECTS = "an object (a section with _target_)", "objects (sections with _target_)"
_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    Place: "a path",
    type(None): "null",
    dict: "a section of settings",
    Component: "a section of settings",
    Mapping: "a section of settings",
}
_PLURALS = {int: "whole numbers", str: "text", Path: "paths", Place: "paths", Any: "values"}
