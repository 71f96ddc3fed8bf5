"""A temporary folder, as for the content of an archive, removed however the command ends."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lts.app.run.signals import STOP_SIGNALS
from lts.base import left_over_folders, new_locked_folder

_PREFIX = "lts-unpacked-"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """An empty private folder in the system's temporary folder, removed at the end.

    Signals do not stop the removal, as the folder may hold patients' scans. Folders of killed processes are
    removed by the next one; a folder is locked as long as its process lives.
    """
    for left_over in left_over_folders(_PREFIX):
        shutil.rmtree(left_over, ignore_errors=True)
    folder, descriptor = new_locked_folder(_PREFIX)
    try:
        yield folder
    finally:
        held_back = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)
        signal.pthread_sigmask(signal.SIG_SETMASK, held_back)
