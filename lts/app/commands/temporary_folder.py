"""A temporary folder, as for the content of an archive, removed however the command ends."""

import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lts.app.run.signals import STOP_SIGNALS

_PREFIX = "lts-unpacked-"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """An empty private folder in the system's temporary folder, removed at the end.

    Signals do not stop the removal, as the folder may hold patients' scans. Folders of killed processes are
    removed by the next one; a folder is locked as long as its process lives.
    """
    _clear_left_over()
    folder, descriptor = _new_folder()
    try:
        yield folder
    finally:
        held_back = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)
        signal.pthread_sigmask(signal.SIG_SETMASK, held_back)


def _new_folder() -> tuple[Path, int]:
    """A new folder, and the descriptor by which this process has locked it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # without locks nothing is removed either
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)  # taken for left over before it was locked


def _clear_left_over() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # in use, gone by now, or of another user
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
