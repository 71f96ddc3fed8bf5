"""Errors of the user: one line each."""

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
