"""The private folder of a service, which holds uploads and results until they are removed."""

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from lts.base import StorageError, left_over_folders, new_locked_folder

_PREFIX = "lts-service-"
_PROBE_BYTES = 2**16


class PrivateFolder:
    """A folder for its owner alone, with subfolders that are in use until they are removed.

    Everything in it that is not in use is removed, again and again until that succeeds. The folder is locked
    as long as its process lives, so that a later service removes what a killed one left, and cleaners of
    temporary files leave it. If it vanishes nevertheless, it is made again.

    Args:
        log: Called with one line at a time.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, *, log: Callable[[str], None]) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._in_use: set[Path] = set()
        self._warned: set[Path] = set()
        self._path, self._descriptor = new_locked_folder(_PREFIX)
        _remove_left_over(log)

    @property
    def path(self) -> Path:
        """Where it is now."""
        return self._path

    def new(self, prefix: str) -> Path:
        """Make a subfolder, which is in use from now on.

        Raises:
            OSError: It cannot be made.
        """
        with self._lock:
            try:
                made = Path(tempfile.mkdtemp(prefix=prefix, dir=self._path))
            except FileNotFoundError:
                self._make_again()
                made = Path(tempfile.mkdtemp(prefix=prefix, dir=self._path))
            self._in_use.add(made)
            return made

    def remove(self, folder: Path) -> None:
        """Remove a folder made by `new`, now or at one of the next sweeps."""
        try:
            self._remove(folder)
        finally:
            with self._lock:
                self._in_use.discard(folder)

    def sweep(self) -> None:
        """Remove whatever is not in use, and touch the folder for cleaners of old files."""
        with suppress(OSError):
            os.utime(self._path)
        try:
            found = list(self._path.iterdir())
        except FileNotFoundError:
            return  # made again with the next upload
        except OSError as error:
            self._warn_once(self._path, error)
            return
        for path in found:
            with self._lock:
                in_use = path in self._in_use
            if not in_use:
                self._remove(path)

    def check(self) -> None:
        """Check that a file can be written in it.

        Raises:
            OSError: It cannot.
        """
        folder = self.new("probe-")
        try:
            (folder / "probe").write_bytes(bytes(_PROBE_BYTES))
        finally:
            self.remove(folder)

    def close(self) -> None:
        """Remove all of it.

        Raises:
            StorageError: Something in it cannot be removed.
        """
        with self._lock:
            self._in_use.clear()
        try:
            remove_tree(self._path)
        except OSError as error:
            message = f"{self._path}: cannot be removed, and may hold scans: {error.strerror or error}"
            raise StorageError(message) from error
        finally:
            os.close(self._descriptor)

    def _make_again(self) -> None:
        path, descriptor = new_locked_folder(_PREFIX)
        os.close(self._descriptor)
        self._log(f"{self._path}: has vanished, with what was kept in it; {path} is in its place")
        self._path, self._descriptor = path, descriptor

    def _remove(self, folder: Path) -> None:
        try:
            remove_tree(folder)
        except OSError as error:
            self._warn_once(folder, error)

    def _warn_once(self, folder: Path, error: OSError) -> None:
        """Log a failed removal once, as it is tried again and again."""
        if folder not in self._warned:
            self._warned.add(folder)
            self._log(f"{folder}: cannot be removed yet: {error.strerror or error}")


def remove_tree(folder: Path) -> None:
    """Remove a folder and all in it, however deep; a missing folder counts as removed.

    Subfolders are moved up into it one by one, so neither recursion nor path length limits the depth. A file
    that cannot be removed is emptied. Errors do not stop the removal of the rest.

    Raises:
        OSError: Something could not be removed; the first error.
    """
    errors: list[OSError] = []
    folders = [folder]
    for here in folders:  # grows on the way
        for path, is_folder in _entries(here, errors):
            with _noted(errors):
                if is_folder:
                    path.chmod(0o700)
                    folders.append(path.rename(folder / f".{uuid4().hex}"))
                else:
                    _remove_file(path)
    for here in reversed(folders):
        with _noted(errors):
            here.rmdir()
    if errors:
        raise errors[0]


def _entries(folder: Path, errors: list[OSError]) -> list[tuple[Path, bool]]:
    """Paths in a folder, and whether they are folders."""
    found: list[tuple[Path, bool]] = []
    with _noted(errors), os.scandir(folder) as entries:
        found += ((Path(entry.path), entry.is_dir(follow_symlinks=False)) for entry in entries)
    return found


def _remove_file(path: Path) -> None:
    try:
        path.unlink()
    except FileNotFoundError:
        raise
    except OSError:
        with suppress(OSError):
            os.truncate(path, 0)
        raise


@contextmanager
def _noted(errors: list[OSError]) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        pass  # gone already
    except OSError as error:
        errors.append(error)


def _remove_left_over(log: Callable[[str], None]) -> None:
    """Remove the folders of services that were killed."""
    for path in left_over_folders(_PREFIX):
        with suppress(OSError):  # the next service tries again
            remove_tree(path)
            log(f"{path}: left by a service that was killed, removed")
