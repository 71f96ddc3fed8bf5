"""Temporary folders that are locked as long as their process lives."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def new_locked_folder(prefix: str) -> tuple[Path, int]:
    """Make a folder for this user alone in the system's temporary folder, and lock it.

    Args:
        prefix: How its name begins.

    Returns:
        The folder, and the descriptor whose end frees it. The lock ends with the process, so that
        `left_over_folders` finds what a killed one left; some file systems know no locks.

    Raises:
        OSError: It cannot be made.
    """
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix)).resolve()
        with suppress(BlockingIOError, FileNotFoundError):  # another process took it for left over
            descriptor, _ = _lock(path)
            if path.is_dir():
                return path, descriptor
            os.close(descriptor)


def left_over_folders(prefix: str) -> Iterator[Path]:
    """The folders of this user that killed processes left, each locked while it is looked at.

    Args:
        prefix: As of `new_locked_folder`.
    """
    for path in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with suppress(OSError):  # in use, another user's, gone by now, or no folder
            descriptor, locked = _lock(path)
            try:
                if locked and os.fstat(descriptor).st_uid == os.getuid():
                    yield path
            finally:
                os.close(descriptor)


def _lock(path: Path) -> tuple[int, bool]:
    """A descriptor of a folder, and whether the folder is locked by it: some file systems know no locks.

    Raises:
        BlockingIOError: Another process holds the lock.
        OSError: There is no such folder, or it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        return descriptor, False
    return descriptor, True
