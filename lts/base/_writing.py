"""Atomic writing of files."""

import csv
import errno
import fcntl
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from lts.base._errors import LtsError, StorageError

_UNFINISHED = ".lts-unfinished-"
"""Prefix of files that are being written."""

_NOT_FOR_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)
"""Errors of file systems that cannot sync folders."""


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file that gets its name once it is completely on the disk; until then the old file stays.

    It is written in the same folder under a unique hidden name, so that two writers of one file do not mix,
    and no suffix pattern matches it. A killed process leaves it behind; the next write into the folder
    removes it.

    Args:
        path: The file to write or replace, in a folder that exists.

    Yields:
        The file; its `name` is a path by which it can be read before it has its own.

    Raises:
        StorageError: It cannot be written; no partial file is left.
    """
    try:
        clear_left_over(path.parent)
        with _new_file_in(path.parent) as file:
            unfinished = Path(file.name)
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())  # the name must not reach the disk before the content
                unfinished.replace(path)
            finally:
                unfinished.unlink(missing_ok=True)
            sync_folder(path.parent)
    except OSError as error:
        if isinstance(error, LtsError):
            raise
        raise storage_error(path, error) from error


def write_json(path: Path, content: Mapping[str, Any], *, indent: int | None = 2) -> None:
    """Write an object as JSON.

    Args:
        path: The file, as in `written_whole`.
        content: Plain types; numbers must be finite.
        indent: Spaces before each level; None for all on one line.

    Raises:
        ValueError: A number is not finite.
        StorageError: It cannot be written; what was there stays.
    """
    write_utf8(path, json.dumps(content, indent=indent, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], *, columns: Sequence[str] | None = None) -> None:
    """Write rows with the same keys; `columns` names them in case there is no row.

    Raises:
        StorageError: It cannot be written; what was there stays.
    """
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, fieldnames=list(columns or rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_utf8(path, table.getvalue())


def write_utf8(path: Path, text: str) -> None:
    """Write text in UTF-8.

    Raises:
        StorageError: It cannot be written; what was there stays.
    """
    with written_whole(path) as file:
        # A file name that is not UTF-8 contains lone surrogates.
        file.write(text.encode("utf-8", "backslashreplace"))


def clear_left_over(folder: Path) -> None:
    """Remove what killed processes left of the files that they were writing with `written_whole`."""
    for path in folder.glob(f"{_UNFINISHED}*"):
        with suppress(OSError):  # held by a process that writes it, gone by now, or of another user
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Sync a folder, if its file system supports it.

    Raises:
        OSError: The disk fails.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder that may be written to but not listed
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOT_FOR_FOLDERS:
            raise
    finally:
        os.close(descriptor)


def _new_file_in(folder: Path) -> BinaryIO:
    """A new file that is locked while open, so that `clear_left_over` leaves it."""
    while True:
        file = (folder / f"{_UNFINISHED}{uuid4().hex}").open("xb")
        with suppress(OSError):  # without locks nothing is removed either
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # removed as left over before it was locked


def storage_error(path: Path, error: OSError) -> StorageError:
    """The error for a file that could not be written, with its `errno`."""
    wrapped = StorageError(f"{path}: cannot be written: {error.strerror or error}")
    wrapped.errno = error.errno
    return wrapped
