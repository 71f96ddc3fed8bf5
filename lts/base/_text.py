"""Makes text from outside safe for one line of a terminal, log or file."""

import re
import unicodedata
from collections.abc import Iterable

MOST_OF_A_MESSAGE = 1500
"""Most characters of a message."""

MOST_OF_A_WORD = 300
"""Most characters without a space, such as of a path."""

MOST_OF_A_VALUE = 200
"""Most characters of a value that breaks a rule."""

MOST_NAMED = 10
"""How many names one problem lists before it counts the rest."""

_MOST_OF_A_NAME = 250

_MOST_OF_A_SHORT_NAME = 60


def printable(text: object) -> str:
    r"""`text` on one line without side effects on a terminal.

    Line ends, escape sequences, marks of writing direction and lone surrogates are escaped as in a Python
    string: `\n`, `\x1b`, `\u202e`, `\udc80`. Spaces of all widths stay.
    """
    raw = str(text)
    if raw.isprintable():
        return raw
    return "".join(sign if _is_printed(sign) else repr(sign)[1:-1] for sign in raw)


def _is_printed(sign: str) -> bool:
    # Python counts all spaces but one among what is not printed.
    return sign.isprintable() or unicodedata.category(sign) == "Zs"


def shortened(text: str, *, most: int) -> str:
    """`text` without its middle if it is longer than `most` characters, as both ends are most informative."""
    if len(text) <= most:
        return text
    kept = max(2, most - len(_gap(len(text))))
    return f"{text[: kept - kept // 2]}{_gap(len(text) - kept)}{text[len(text) - kept // 2 :]}"


def _gap(left_out: int) -> str:
    return f"[... {left_out} characters ...]"


def shown(value: object) -> str:
    """A value in a message: its repr, printable and of bounded length."""
    return shortened(printable(repr(value)), most=MOST_OF_A_VALUE)


def one_line(message: object) -> str:
    """A message made printable, with bounded length of each word and of the whole; idempotent."""
    words = printable(message).split(" ")
    line = " ".join(shortened(word, most=MOST_OF_A_WORD) for word in words)
    return shortened(line, most=MOST_OF_A_MESSAGE)


def short_name(name: str) -> str:
    """A name from a file, on one line and not too long."""
    return shortened(printable(name), most=_MOST_OF_A_SHORT_NAME)


def counted(number: int, one: str, many: str = "") -> str:
    """A number of things; `many` is the plural, by default `one` with an s.

    Example:
        >>> counted(1, "case"), counted(2, "case"), counted(3, "series", "series")
        ('1 case', '2 cases', '3 series')
    """
    return f"{number} {one}" if number == 1 else f"{number} {many or one + 's'}"


def listed(items: Iterable[str], *, most: int, separator: str = ", ") -> str:
    """The first items in the order given, and how many more there are.

    Example:
        >>> listed(["a", "b", "c"], most=2), listed(["a", "b", "c"], most=2, separator="; ")
        ('a, b and 1 more', 'a; b; and 1 more')
    """
    items = list(items)
    if len(items) <= most:
        return separator.join(items)
    gap = " " if separator == ", " else separator
    return f"{separator.join(items[:most])}{gap}and {len(items) - most} more"


def in_words(items: Iterable[str]) -> str:
    """Items joined by commas and "or".

    Example:
        >>> in_words(["NIfTI"]), in_words(["NIfTI", "DICOM", "a zip"])
        ('NIfTI', 'NIfTI, DICOM or a zip')
    """
    *others, final = items
    return f"{', '.join(others)} or {final}" if others else final


def name_some(names: Iterable[str], *, most: int = MOST_NAMED) -> str:
    """The first names in natural order, shortened, and how many more there are.

    Example:
        >>> name_some(["case-10", "case-9"])
        'case-9, case-10'
    """
    in_order = sorted(names, key=natural_key)
    return listed((shortened(name, most=_MOST_OF_A_NAME) for name in in_order), most=most)


def natural_key(text: str) -> tuple[list[str | tuple[int, str]], str]:
    """Sort key that puts `case-2` before `case-10`; equal only for equal texts.

    Example:
        >>> sorted(["case-10", "case-2"], key=natural_key)
        ['case-2', 'case-10']
    """
    # re.split with a group alternates text and digits, so two keys never compare a text with a number.
    parts = re.split(r"(\d+)", text)
    return [_size_of(part) if index % 2 else part for index, part in enumerate(parts)], text


def _size_of(digits: str) -> tuple[int, str]:
    """Sort key of digits of any length; int() refuses more than 4300."""
    significant = digits.lstrip("0")
    return len(significant), significant
