"""Zip archives, unpacked within limits, as their names and sizes are not trusted."""

import errno
import io
import shutil
import stat
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lts.base import CohortError, LtsError, shortened, shown, storage_error
from lts.cohort.files import is_hidden

DEEPEST = 20
"""Most nested folders in an archive: far below where walking or removing them would fail."""

_LONGEST_NAME = 1024
"""Characters of a name with its folders: paths may have 4096 bytes."""

_LISTED = 512
"""Most bytes of an archive's directory per file, names included."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE)
"""Errors of the disk, which no archive can cause."""

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Methods that zipfile inflates piece by piece; with bzip2 and LZMA, 64 KiB become gigabytes at once."""

_SHOWN = 60
"""Characters of a name that a message shows."""


@dataclass(frozen=True, kw_only=True)
class ArchiveLimits:
    """How much an archive may hold.

    Attributes:
        max_bytes: Of all files together, unpacked.
        max_files: Number of files.

    Example:
        >>> ArchiveLimits(max_files=10)
        ArchiveLimits(max_bytes=34359738368, max_files=10)
    """

    max_bytes: int = 32 * 2**30
    max_files: int = 100_000


USUAL_LIMITS = ArchiveLimits()


def unpack_zip(path: Path, folder: Path, *, limits: ArchiveLimits = USUAL_LIMITS) -> list[str]:
    """Unpack an archive, without hidden system files.

    Nothing is written outside of `folder` or beyond the limits, whatever the archive states.

    Args:
        path: The archive.
        folder: Where its files are written, with the folders of the archive.
        limits: How much it may hold.

    Returns:
        The names of the files that were left out.

    Raises:
        CohortError: It is damaged, encrypted, beyond the limits, or names a file outside of itself.
        StorageError: There is no room for its files.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, zipfile.ZipFile(f"{folder}/a.zip", "w") as archive:
        ...     archive.writestr("scan.nii", b"...")
        ...     archive.writestr(".DS_Store", b"")
        ...     archive.close()
        ...     unpack_zip(Path(folder, "a.zip"), Path(folder, "a")), Path(folder, "a/scan.nii").is_file()
        (['.DS_Store'], True)
    """
    hidden = []
    try:
        with _Bounded(path, limits) as file, zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if not member.filename.endswith("/")]
            _check_size(path, members, limits)
            targets = [_target(path, member) for member in members]
            n_folders = len({folder for target in targets for folder in target.parents[:-1]})
            if n_folders > (most := limits.max_files + DEEPEST):
                raise CohortError(f"{path}: must hold at most {most} folders, got {n_folders}")
            for member, target in zip(members, targets, strict=True):
                if any(is_hidden(Path(part)) for part in target.parts):
                    hidden.append(target.as_posix())
                else:
                    _unpack(archive, member, folder / target)
    except LtsError:
        raise
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise storage_error(folder, error) from error
        raise CohortError(f"{path}: cannot be unpacked: {error.strerror or error}") from error
    except Exception as error:  # zipfile may raise anything on a damaged archive
        raise CohortError(f"{path}: is no archive that can be unpacked: {error}") from error
    return hidden


class _Bounded(io.BufferedReader):
    """A file with a limit on each read, as zipfile reads its whole directory at once."""

    def __init__(self, path: Path, limits: ArchiveLimits) -> None:
        super().__init__(io.FileIO(path))
        self._path, self._limits = path, limits

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on.

        Raises:
            CohortError: It is too much at once.
        """
        if size is not None and size > 2**20 + _LISTED * self._limits.max_files:
            raise CohortError(
                f"{self._path}: must hold at most {self._limits.max_files} files, lists them in {size} bytes"
            )
        return super().read(size)


def _check_size(path: Path, members: Sequence[zipfile.ZipInfo], limits: ArchiveLimits) -> None:
    """Check the stated sizes; zipfile never reads more of a file than that."""
    if len(members) > limits.max_files:
        raise CohortError(f"{path}: must hold at most {limits.max_files} files, got {len(members)}")
    n_bytes = sum(member.file_size for member in members)
    if n_bytes > limits.max_bytes:
        raise CohortError(f"{path}: must unpack to at most {limits.max_bytes} bytes, got {n_bytes}")


def _target(path: Path, member: zipfile.ZipInfo) -> PurePosixPath:
    """The path of a file of the archive in the folder, never outside of it."""
    name = member.filename
    target = PurePosixPath(name.replace("\\", "/"))
    quoted = shown(shortened(name, most=_SHOWN))
    leads_out = target.is_absolute() or ".." in target.parts or ":" in name
    if leads_out or not target.parts or not name.isprintable():
        raise CohortError(f"{path}: must name files inside of itself, got {quoted}")
    if (depth := len(target.parts) - 1) > DEEPEST:
        raise CohortError(f"{path}: must nest at most {DEEPEST} folders, got {depth} in {quoted}")
    if len(name) > _LONGEST_NAME:
        raise CohortError(
            f"{path}: names must have at most {_LONGEST_NAME} characters, got {len(name)}: {quoted}"
        )
    if stat.S_ISLNK(member.external_attr >> 16):
        raise CohortError(f"{path}: must hold files alone, {quoted} is a link")
    if member.compress_type not in _METHODS:
        raise CohortError(
            f"{path}: must be packed by deflate or not at all, got method {member.compress_type} of {quoted}"
        )
    return target


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as packed, target.open("xb") as file:
        shutil.copyfileobj(packed, file)
