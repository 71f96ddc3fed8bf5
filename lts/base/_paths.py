"""What a path leads to, asked so that a name which no file can have is an answer and no error."""

import os
from pathlib import Path

# Path.exists and its kin raise where a name is too long.


def path_exists(path: Path) -> bool:
    """Whether there is such a file or folder."""
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: Path) -> bool:
    """Whether there is such a file."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """Whether there is such a folder."""
    return os.path.isdir(path)  # noqa: PTH112
