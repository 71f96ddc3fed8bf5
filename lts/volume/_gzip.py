"""Files that may be gzipped, in and out."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import BinaryIO

from isal import igzip, isal_zlib

from lts.base import VolumeError, written_whole

MAX_INFLATION = 1032
"""Deflate cannot make more of a byte than this."""

USUAL_INFLATION = 4
"""What is made of a byte of a scan, most often; masks have more made of them."""
MAX_EXCESS = 1 << 20
"""Bytes that may follow the voxels, as padding does."""
LEVEL = 2
"""Of ISA-L's 0 to 3, at which lts compresses."""


@contextmanager
def inflated(path: Path) -> Iterator[BufferedIOBase]:
    """The bytes of a file, inflated where its first two say gzip; what goes wrong is a VolumeError."""
    try:
        if not path.is_file():
            raise VolumeError(f"{path}: no such file", code="unreadable")
        with path.open("rb") as raw:
            is_gzipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if is_gzipped:
                with igzip.IGzipFile(fileobj=raw) as stream:
                    yield stream
            else:
                yield raw
    except EOFError as error:
        raise VolumeError(f"{path}: truncated: the gzip stream has no end", code="truncated") from error
    except (igzip.BadGzipFile, isal_zlib.error) as error:
        raise VolumeError(f"{path}: bad gzip data: {error}", code="unreadable") from error
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read: {error.strerror or error}", code="unreadable") from error


def is_inflated(stream: BufferedIOBase) -> bool:
    """Whether the bytes of a stream come from a gzipped file."""
    return isinstance(stream, igzip.IGzipFile)


@contextmanager
def packed(path: Path) -> Iterator[BinaryIO]:
    """As `written_whole`, gzipped where the name says so.

    Raises:
        StorageError: The file cannot be written; what was there stays.
    """
    with written_whole(path) as raw:
        if path.suffix.lower() == ".gz":
            with gzipped(raw) as stream:
                yield stream
        else:
            yield raw


def gzipped(raw: BinaryIO) -> BinaryIO:
    """A gzip stream into a file. It has no name and no time: the same mask gives the same bytes."""
    stream: BinaryIO = igzip.IGzipFile("", "wb", compresslevel=LEVEL, fileobj=raw, mtime=0)
    return stream
