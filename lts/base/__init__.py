"""What every floor shares: labels, regions, axes, errors, and how a file is written whole or not at all."""

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal
from uuid import uuid4

from lts.base._processors import processors_of_affinity as processors_of_affinity
from lts.base._processors import usable_processors as usable_processors

BACKGROUND, LIVER, TUMOR = 0, 1, 2
LABELS = (BACKGROUND, LIVER, TUMOR)

REGION_MIN_LABEL = {"liver": LIVER, "tumor": TUMOR}
"""A region is every voxel whose label is at least this: the liver holds its tumors."""

Modality = Literal["ct", "mr"]
"""What made a scan: CT in Hounsfield units, or MR on its own scale."""

AIR_HU = -1024
"""The lowest Hounsfield value kept; padding outside the field of view is lifted to it."""

HU_BINS = 4096
"""Voxels are counted at AIR_HU, AIR_HU + 1, ...; what lies beyond the last of these bins counts in it."""

MASK_THRESHOLD = 0.5
"""A voxel belongs to a region where its probability exceeds this."""

DESCRIPTION_KEY = "lts"
"""Where a checkpoint keeps what it says of itself."""

CANONICAL_AXES = ("S", "P", "L")
"""Where the axes (Z, H, W) of a volume in memory point: to the head, to the back, to the patient's left."""


_UNFINISHED = ".lts-unfinished-"
"""How the names of files begin that are being written."""

_NOT_FOR_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)
"""What file systems answer that sync no folder."""


class LtsError(Exception):
    """The user's input was wrong: one line that names the file or key, the rule and the value."""


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


class StorageError(LtsError, OSError):
    """A file cannot be written: the disk is full, or the folder may not be written to."""


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file that gets its name when all of it is on the disk; until then what was there stays.

    It is written beside its place under a hidden name of its own, so that two who write one file at once do
    not mix, and nobody who goes by the ending of files takes it for one. A process that is killed leaves it
    behind; whoever next writes a file into the folder takes it away.

    Args:
        path: The file to write or replace, in a folder that exists.

    Yields:
        The file; its `name` is a path by which it can be read before it has its own.

    Raises:
        StorageError: It cannot be written; nothing is left of it.
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
    """Have the names of a folder on the disk, where its file system can be asked for it.

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
    """A new file that is locked as long as it is open, by which `clear_left_over` knows that it is in use."""
    while True:
        file = (folder / f"{_UNFINISHED}{uuid4().hex}").open("xb")
        with suppress(OSError):  # without locks nothing is cleared away either
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # taken for left over before it was locked


def storage_error(path: Path, error: OSError) -> StorageError:
    """The one line that says which file could not be written, and why; `errno` stays."""
    told = StorageError(f"{path}: cannot be written: {error.strerror or error}")
    told.errno = error.errno
    return told


def check_regions(regions: Sequence[str]) -> tuple[str, ...]:
    """Return `regions` as a tuple in channel order.

    Raises:
        ConfigError: No region, an unknown one, or one named twice.
    """
    known = tuple(REGION_MIN_LABEL)
    if not regions or len(set(regions)) != len(regions) or not set(regions) <= set(known):
        raise ConfigError(
            f"data.regions: must name one or more of {list(known)}, each once, got {list(regions)}"
        )
    return tuple(region for region in known if region in regions)


def region_min_labels(regions: Iterable[str]) -> list[int]:
    """The smallest label of each region, in the order given."""
    return [REGION_MIN_LABEL[region] for region in regions]
