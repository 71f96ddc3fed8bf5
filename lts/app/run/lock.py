"""Locks of run folders: one process at a time."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from lts.app.run.folder import make_folder, run_folder
from lts.app.run.records import LOCK_FILE
from lts.base import ConfigError


class FolderInUseError(ConfigError):
    """Another process holds the lock of a folder."""


@contextmanager
def locked_run_folder(output_dir: str | Path, *, is_named_by_time: bool = False) -> Iterator[Path]:
    """Lock the folder of a run, `paths.output_dir` made absolute.

    If folders are named by the time, two runs that begin in the same second would share one: the second gets
    a free name with a number. A folder that the user named is never changed.

    Args:
        output_dir: The folder.
        is_named_by_time: Whether its name is the time.

    Raises:
        ConfigError: As `locked_folder`.
    """
    folder = run_folder(output_dir)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    if is_named_by_time:
        folder = _make_anew(folder)
        made = [folder, *(path for path in made if path in folder.parents)]
    with locked_folder(folder, made=made):
        yield folder


@contextmanager
def locked_folder(
    folder: Path,
    *,
    key: str = "paths.output_dir",
    made: Sequence[Path] = (),
    before_waiting: Callable[[], None] | None = None,
    patience_s: float = 0,
) -> Iterator[None]:
    """Lock a folder; the process that holds the lock may lock it again.

    The lock is the operating system's, so a killed process leaves none. The folder is made, and removed again
    if nothing was written into it.

    Args:
        folder: Of a run, of a job of a sweep, or of masks.
        key: The setting that names it.
        made: Folders that were made for this, innermost first; removed like this one.
        before_waiting: Called before waiting for another process's lock; None to refuse instead.
        patience_s: How long to wait for it before that.

    Raises:
        FolderInUseError: Another process holds the lock.
        ConfigError: The folder cannot be written to or locked.
    """
    made = made or [path for path in (folder, *folder.parents) if not path.exists()]
    make_folder(folder, key=key)
    lock = FileLock(folder / LOCK_FILE, is_singleton=True)
    try:
        _acquire(lock, folder, key, before_waiting, patience_s)
        try:
            yield
        finally:
            if lock.lock_counter == 1:
                # While it is held: who opened the file before finds it without a name and opens it anew.
                (folder / LOCK_FILE).unlink(missing_ok=True)
            lock.release()
    finally:
        for path in made:
            with suppress(OSError):  # it holds something
                path.rmdir()


def is_locked(folder: Path) -> bool:
    """Whether a process, this one included, has locked a folder."""
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    lock.release()
    return False


def _make_anew(folder: Path) -> Path:
    make_folder(folder.parent, key="paths.output_dir")
    for number in itertools.count(1):
        wished = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            wished.mkdir(parents=True)  # another run may have taken an empty parent away
        except FileExistsError:
            continue
        return wished
    raise AssertionError


def _acquire(
    lock: FileLock, folder: Path, key: str, before_waiting: Callable[[], None] | None, patience_s: float
) -> None:
    try:
        try:
            lock.acquire(timeout=patience_s)
        except Timeout as busy:
            if before_waiting is None:
                raise FolderInUseError(
                    f"{key}: {folder} must be of one run at a time, and one is using it; "
                    "wait for its end, or choose another folder"
                ) from busy
            before_waiting()
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{key}: {folder} must be on a file system that has locks: {reason}") from error
