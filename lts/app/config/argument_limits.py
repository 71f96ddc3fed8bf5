"""Limits of a command line, checked before it is parsed."""

import re
from collections.abc import Iterable

from lts.base import ConfigError, shown

_MOST_CHARACTERS = 20_000  # a list of hundreds of files; Hydra takes seconds to parse it
_MOST_DIGITS = 300  # more do not fit a float, and of thousands Python makes no number
_DEEPEST = 50  # what goes much deeper ends in a recursion error


def check_argument_limits(arguments: Iterable[str]) -> None:
    """Check that each argument can be parsed.

    Raises:
        ConfigError: One is too long, has too many digits in a row, or is nested too deeply.
    """
    for argument in arguments:
        key = argument.partition("=")[0]
        if len(argument) > _MOST_CHARACTERS:
            raise ConfigError(
                f"{shown(key)}: must be at most {_MOST_CHARACTERS} characters, got {len(argument)}"
            )
        if digits := re.search(rf"\d{{{_MOST_DIGITS + 1},}}", argument):
            raise ConfigError(
                f"{key}: a number must have at most {_MOST_DIGITS} digits, got {len(digits[0])}"
            )
        if (depth := _depth(argument)) > _DEEPEST:
            raise ConfigError(f"{key}: must be nested at most {_DEEPEST} deep, got {depth}")


def _depth(argument: str) -> int:
    """Nesting depth of brackets, quoted ones included."""
    deepest = level = 0
    for sign in argument:
        level += (sign in "[{(") - (sign in ")}]")
        deepest = max(deepest, level)
    return deepest
