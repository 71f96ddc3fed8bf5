"""Errors of the user: one line each."""

from collections.abc import Iterator

from lts.base._text import one_line


class LtsError(Exception):
    """The user's input was wrong: one line that names the file or key, the rule and the value.

    Args:
        message: The line. Whatever file or name it tells of, it is printable and of bounded length here.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(one_line(message))


class ConfigError(LtsError, ValueError):
    """A setting breaks its rule."""


class VolumeError(LtsError, ValueError):
    """A scan or mask cannot be read, or breaks a rule of geometry or labels.

    Args:
        message: One line.
        code: What kind of defect it is, for who sorts defects; "" for those that nobody tells apart.
    """

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class CohortError(LtsError, ValueError):
    """A folder of cases, or a split of them, breaks a rule."""


class CheckpointError(LtsError, ValueError):
    """A checkpoint cannot be used."""


class DivergedError(LtsError, ArithmeticError):
    """A training came to a loss or weights that are no numbers; its settings are to be changed."""


class StorageError(LtsError, OSError):
    """A file cannot be written: the disk is full, or the folder may not be written to."""


def causes_of(error: BaseException | None, *, in_passing: bool = True) -> Iterator[BaseException]:
    """An error and what led to it, each once.

    A cause that is raised anew out of an error that it caused leads to itself.

    Args:
        error: The last one; None for none at all.
        in_passing: Whether an error counts that was being handled when the next was raised, although that was
            not raised from it.

    Yields:
        The last error first.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (error.__context__ if in_passing else None)
