"""Text that comes from outside, made fit for a line of a terminal, a log or a file."""

import unicodedata

MOST_OF_A_MESSAGE = 1500
"""Characters of one line that a user is told."""

MOST_OF_A_WORD = 300
"""Characters without a space in it, such as a path."""

MOST_OF_A_VALUE = 200
"""Characters of a value that breaks a rule."""


def printable(text: object) -> str:
    r"""`text` on one line that changes nothing but what it prints.

    Line ends, escape sequences of terminals, marks that turn the direction of writing and halves of
    surrogate pairs stand as Python writes them in a string: `\n`, `\x1b`, `\u202e`, `\udc80`. Spaces of all
    widths stay.
    """
    told = str(text)
    if told.isprintable():
        return told
    return "".join(sign if _is_printed(sign) else repr(sign)[1:-1] for sign in told)


def _is_printed(sign: str) -> bool:
    # Python counts all spaces but one among what is not printed.
    return sign.isprintable() or unicodedata.category(sign) == "Zs"


def shortened(text: str, *, most: int) -> str:
    """`text` with its middle left out where it is longer than `most` characters: both ends tell most."""
    if len(text) <= most:
        return text
    kept = max(2, most - len(_gap(len(text))))
    return f"{text[: kept - kept // 2]}{_gap(len(text) - kept)}{text[len(text) - kept // 2 :]}"


def _gap(left_out: int) -> str:
    return f"[... {left_out} characters ...]"


def shown(value: object) -> str:
    """A value in a message: as Python writes it, printable and of bounded length."""
    return shortened(printable(repr(value)), most=MOST_OF_A_VALUE)


def one_line(message: object) -> str:
    """A message as it is told: printable, no word and not the whole of it longer than a reader can use.

    Telling it again, within another message too, changes no more of it.
    """
    words = printable(message).split(" ")
    told = " ".join(shortened(word, most=MOST_OF_A_WORD) for word in words)
    return shortened(told, most=MOST_OF_A_MESSAGE)
