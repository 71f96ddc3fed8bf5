"""Writes uploads to files piece by piece; their names are shown and never used as paths."""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from time import monotonic
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from lts.base import in_words
from lts.service.refusals import RefusedError
from lts.volume import MASK_SUFFIX, header_suffixes, scan_suffixes

DICOM_SUFFIX = ".dcm"
_ARCHIVE_SUFFIX = ".zip"

# Its warnings are about bodies whose sender gets an answer anyway.
logging.getLogger("python_multipart").addHandler(logging.NullHandler())

_WRITE_BYTES = 2**20
_LONGEST_NAME = 100
_MOST_PARTS = 16
_LONGEST_BOUNDARY = 256  # RFC 2046 allows 70
_LONGEST_PART_HEAD = 2**14
_NOT_IN_NAMES = re.compile(r"[^\w.+-]+")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


@dataclass(frozen=True, kw_only=True)
class UploadKind:
    """What may be uploaded.

    Attributes:
        field: The field of a form that holds the file; also the name of the file until it has its own.
        more: Suffixes of other files that are taken, and what these hold.

    Example:
        >>> MASK.in_words
        '.nii, .nii.gz, .nrrd or .mha file, or a .dcm of a DICOM SEG'
        >>> SCAN.in_words
        '.nii, .nii.gz, .nrrd or .mha file, or a .zip of one scan, such as a DICOM series'
    """

    field: str
    more: Mapping[str, str]

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffixes of accepted files: volumes that are one file, and others."""
        return (*_single_suffixes(), *self.more)

    @property
    def in_words(self) -> str:
        """What an upload may be, the same wherever it is told."""
        others = "".join(f", or a {suffix} of {what}" for suffix, what in self.more.items())
        return f"{in_words(_single_suffixes())} file{others}"

    @property
    def way_of_headers(self) -> str:
        """What to do with a header whose voxels lie in a second file, as an upload is one."""
        if _ARCHIVE_SUFFIX in self.more:
            return f"send it and the file of its voxels in one {_ARCHIVE_SUFFIX}"
        return f"save it as one file, such as {MASK_SUFFIX}"


SCAN = UploadKind(field="scan", more={_ARCHIVE_SUFFIX: "one scan, such as a DICOM series"})
MASK = UploadKind(field="mask", more={DICOM_SUFFIX: "a DICOM SEG"})


@dataclass(frozen=True)
class Upload:
    """An uploaded file.

    Attributes:
        path: Its path.
        name: The sender's name for it, on one line, to be shown.
        case: Its name made safe for a file name.
    """

    path: Path
    name: str
    case: str


@dataclass(frozen=True, kw_only=True)
class LeastRate:
    """The lowest rate of an upload, per period of waiting for it.

    Attributes:
        n_bytes: The least, except at the end of the body.
        seconds: The period.
    """

    n_bytes: float
    seconds: float


async def receive_upload(
    request: Request, folder: Path, *, least: LeastRate, kind: UploadKind = SCAN
) -> Upload:
    """Write the file in a multipart body into a folder.

    Args:
        request: Its body has not been read.
        folder: Where the file is written, under our own name.
        least: The lowest rate.
        kind: What the file may be, and in which field it is.

    Raises:
        RefusedError: The body is not multipart, is cut short, too slow, or not one file of a known kind.
        ClientDisconnect: The sender hung up.
    """
    content, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if content != b"multipart/form-data" or not boundary:
        raise RefusedError(
            422, f"the body must be multipart/form-data with a file in its field {kind.field!r}"
        )
    if len(boundary) > _LONGEST_BOUNDARY:
        raise RefusedError(
            422, f"the boundary must have at most {_LONGEST_BOUNDARY} characters, got {len(boundary)}"
        )
    parts = _Parts(folder, kind)
    try:
        try:
            parser = MultipartParser(boundary, parts.callbacks())
            await feed(request, parser.write, least=least)
        except FormParserError as error:
            raise RefusedError(422, "the upload is not well-formed multipart/form-data") from error
        return parts.finish()
    finally:
        parts.close()


async def feed(request: Request, write: Callable[[bytes], Any], *, least: LeastRate) -> None:
    """Hand on a body piece by piece, each in a thread.

    Args:
        request: Its body has not been read.
        write: Takes the pieces.
        least: The lowest rate.

    Raises:
        RefusedError: The body came too slowly.
        ClientDisconnect: The sender hung up.
    """
    pieces, size, more = [], 0, True
    came, left_s = 0, least.seconds  # in this stretch
    while more:
        start = monotonic()
        try:
            async with asyncio.timeout(left_s):
                message = await request.receive()
        except TimeoutError as error:
            rate = f"{least.n_bytes / 1024:.3g} KiB in {least.seconds:g} s"
            raise RefusedError(408, f"the upload came too slowly: less than {rate}") from error
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        came += len(pieces[-1])
        left_s -= monotonic() - start  # our own writing is not the sender's time
        if came >= least.n_bytes:
            came, left_s = 0, least.seconds
        more = message.get("more_body", False)
        if size >= _WRITE_BYTES or not more:
            await asyncio.to_thread(write, b"".join(pieces))
            pieces, size = [], 0


class _Parts:
    """Callbacks of the parser; writes the one file and ignores other fields."""

    def __init__(self, folder: Path, kind: UploadKind) -> None:
        self._folder, self._kind = folder, kind
        self._upload: Upload | None = None
        self._file: BufferedWriter | None = None
        self._writes = False
        self._n_parts = 0
        self._ended = False
        self._field, self._value = b"", b""
        self._disposition = b""
        self._head_bytes = 0

    def callbacks(self) -> Any:
        """The callbacks by the parser's names."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_field,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header,
            "on_headers_finished": self._open,
            "on_part_data": self._write,
            "on_end": self._end,
        }

    def finish(self) -> Upload:
        """The uploaded file.

        Raises:
            RefusedError: None came, or the body was cut short.
        """
        if self._upload is None:
            raise RefusedError(422, f"the upload has no file in its field {self._kind.field!r}")
        if not self._ended:
            raise RefusedError(422, f"{self._upload.name}: the upload was cut short")
        return self._upload

    def close(self) -> None:
        """Close the file; errors of the last bytes are ignored, as `write` reports those that matter."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def _begin(self) -> None:
        self._n_parts += 1
        if self._n_parts > _MOST_PARTS:
            raise RefusedError(422, f"the upload must have at most {_MOST_PARTS} fields")
        self._field, self._value, self._disposition = b"", b"", b""
        self._head_bytes = 0

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._count_head(end - start)
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._count_head(end - start)
        self._value += data[start:end]

    def _count_head(self, n_bytes: int) -> None:
        self._head_bytes += n_bytes
        if self._head_bytes > _LONGEST_PART_HEAD:
            raise RefusedError(422, f"the headers of a field must have at most {_LONGEST_PART_HEAD} bytes")

    def _on_header(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field, self._value = b"", b""

    def _open(self) -> None:
        field, filename = _names_of(self._disposition)
        self._writes = field == self._kind.field
        if not self._writes:
            return
        if self._upload is not None:
            raise RefusedError(422, f"the upload must have one file in its field {field!r}, got several")
        if not filename:
            raise RefusedError(422, f"the field {field!r} must be a file with a name")
        self._upload = name_upload(filename, folder=self._folder, kind=self._kind)
        self._file = self._upload.path.open("xb")

    def _write(self, data: bytes, start: int, end: int) -> None:
        if self._writes:
            assert self._file is not None
            self._file.write(data[start:end])

    def _end(self) -> None:
        self._ended = True
        if self._file is not None:
            self._file.close()


def _single_suffixes() -> list[str]:
    """Without headers whose voxels lie in a second file, as an upload is one."""
    return [suffix for suffix in scan_suffixes() if suffix not in header_suffixes()]


def name_upload(filename: str, *, folder: Path, kind: UploadKind = SCAN) -> Upload:
    """Choose the path of an upload, and make its sender's name harmless.

    Raises:
        RefusedError: The name does not end as those of the kind do.
    """
    name = _UNPRINTABLE.sub(" ", re.split(r"[/\\]", filename)[-1])[-_LONGEST_NAME:].strip()
    fitting = [suffix for suffix in kind.suffixes if name.lower().endswith(suffix)]
    if name.lower().endswith(header_suffixes()):
        raise RefusedError(422, f"{name}: is a header alone; {kind.way_of_headers}")
    if not fitting:
        raise RefusedError(422, f"{name or 'the file'}: must be a {kind.in_words}")
    suffix = max(fitting, key=len)
    case = _NOT_IN_NAMES.sub("_", name[: -len(suffix)]).strip("._-") or kind.field
    return Upload(path=folder / f"{kind.field}{suffix}", name=name, case=case)


def _names_of(disposition: bytes) -> tuple[str, str]:
    """Names of field and file in a Content-Disposition, as browsers and curl write them: in UTF-8."""
    _, options = parse_options_header(disposition)
    field, filename = (options.get(name, b"").decode("utf-8", "replace") for name in (b"name", b"filename"))
    return field, filename
