"""Zip archives, unpacked within bounds: an archive is somebody else's word about names and sizes."""

import shutil
import stat
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lts.base import CohortError
from lts.cohort.files import is_hidden

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What zipfile inflates piece by piece: of bzip2 and LZMA, 64 KiB become gigabytes at once."""


@dataclass(frozen=True, kw_only=True)
class ArchiveLimits:
    """How much an archive may hold.

    Attributes:
        max_bytes: Of all files together, unpacked.
        max_files: Number of files.
    """

    max_bytes: int
    max_files: int


def unpack_zip(path: Path, folder: Path, *, limits: ArchiveLimits) -> list[str]:
    """Unpack an archive; files of the system's own are left out.

    Nothing is written outside of `folder`, and never more than the limits say, whatever the archive states.

    Args:
        path: The archive.
        folder: Where its files come to lie, in folders of their own as in the archive.
        limits: How much it may hold.

    Returns:
        The names of the files that were left out.

    Raises:
        CohortError: It is damaged, encrypted, larger than the limits, or names a file outside of itself.
    """
    hidden = []
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.filename.endswith("/")]
            _check_size(path, members, limits)
            for member in members:
                target = _target(path, member)
                if any(is_hidden(Path(part)) for part in target.parts):
                    hidden.append(target.as_posix())
                else:
                    _unpack(archive, member, folder / target)
    except CohortError:
        raise
    except OSError as error:
        raise CohortError(f"{path}: cannot be unpacked: {error.strerror or error}") from error
    except Exception as error:  # what zipfile raises on a damaged archive has no bounds
        raise CohortError(f"{path}: is no archive that can be unpacked: {error}") from error
    return hidden


def _check_size(path: Path, members: Sequence[zipfile.ZipInfo], limits: ArchiveLimits) -> None:
    """Believe the sizes that are stated: zipfile never reads more of a file than that."""
    if len(members) > limits.max_files:
        raise CohortError(f"{path}: must hold at most {limits.max_files} files, got {len(members)}")
    n_bytes = sum(member.file_size for member in members)
    if n_bytes > limits.max_bytes:
        raise CohortError(f"{path}: must unpack to at most {limits.max_bytes} bytes, got {n_bytes}")


def _target(path: Path, member: zipfile.ZipInfo) -> PurePosixPath:
    """Where a file of the archive belongs, relative to the folder; never outside of it."""
    name = member.filename
    target = PurePosixPath(name.replace("\\", "/"))
    leads_out = target.is_absolute() or ".." in target.parts or ":" in name
    if leads_out or not target.parts or not name.isprintable():
        raise CohortError(f"{path}: must name files inside of itself, got {name!r}")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise CohortError(f"{path}: must hold files alone, {name!r} is a link")
    if member.compress_type not in _METHODS:
        raise CohortError(
            f"{path}: must be packed by deflate or not at all, got method {member.compress_type} of {name!r}"
        )
    return target


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as packed, target.open("xb") as file:
        shutil.copyfileobj(packed, file)
