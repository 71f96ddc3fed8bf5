"""Errors of the user: one line each."""

from collections.abc import Iterator

from lts.base._text import one_line


class LtsError(Exception):
    """The user's input was wrong: one line that names the file or key, the rule and the value.

    Args:
        message: The line; made printable and of bounded length here.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(one_line(message))


class ConfigError(LtsError, ValueError):
    """A setting breaks its rule."""


class VolumeError(LtsError, ValueError):
    """A scan or mask cannot be read, or breaks a rule of geometry or labels.

    Args:
        message: One line.
        code: The kind of defect, for sorting; "" for others.
    """

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class CohortError(LtsError, ValueError):
    """A folder of cases, or a split of them, breaks a rule."""


class CheckpointError(LtsError, ValueError):
    """A checkpoint cannot be used."""


class DivergedError(LtsError, ArithmeticError):
    """A training reached NaN or infinite loss or weights; its settings need a change."""


class StorageError(LtsError, OSError):
    """A file cannot be written: the disk is full, or the folder is not writable."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is lacking: Python's own, or torch's, of a GPU or of the machine.

    Torch's are told by name and words, as importing it takes seconds.

    Example:
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError("memory"))
        (True, False)
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return "DefaultCPUAllocator: can't allocate memory" in str(error)


def causes_of(error: BaseException | None, *, in_passing: bool = True) -> Iterator[BaseException]:
    """An error and its causes, each once; causes may be circular.

    Args:
        error: The last one; None for none at all.
        in_passing: Whether implicit causes (`__context__`) count too.

    Yields:
        The last error first.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (error.__context__ if in_passing else None)
