"""Writes uploads to files piece by piece; their names are shown and never used as paths."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path

from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from lts.base import in_words
from lts.service.multipart import LONGEST_BOUNDARY, LeastRate, PartReader, read_parts
from lts.service.refusals import RefusedError
from lts.volume import MASK_SUFFIX, header_suffixes, scan_suffixes

DICOM_SUFFIX = ".dcm"
_ARCHIVE_SUFFIX = ".zip"

_LONGEST_NAME = 100
_MOST_PARTS = 16
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
    if len(boundary) > LONGEST_BOUNDARY:
        raise RefusedError(
            422, f"the boundary must have at most {LONGEST_BOUNDARY} characters, got {len(boundary)}"
        )
    form = _Form(folder, kind)
    malformed = RefusedError(422, "the upload is not well-formed multipart/form-data")
    try:
        await read_parts(request, form, boundary=boundary, least=least, malformed=malformed)
        return form.finish()
    finally:
        form.close()


class _Form(PartReader):
    """Writes the one file of a form, and ignores other fields."""

    def __init__(self, folder: Path, kind: UploadKind) -> None:
        super().__init__(header=b"content-disposition")
        self._folder, self._kind = folder, kind
        self._upload: Upload | None = None
        self._file: BufferedWriter | None = None
        self._writes = False
        self._n_parts = 0

    def finish(self) -> Upload:
        """The uploaded file.

        Raises:
            RefusedError: None came, or the body was cut short.
        """
        if self._upload is None:
            raise RefusedError(422, f"the upload has no file in its field {self._kind.field!r}")
        if not self.is_whole:
            raise RefusedError(422, f"{self._upload.name}: the upload was cut short")
        return self._upload

    def close(self) -> None:
        """Close the file; errors of the last bytes are ignored, as `write` reports those that matter."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def begin_part(self) -> None:
        self._n_parts += 1
        if self._n_parts > _MOST_PARTS:
            raise RefusedError(422, f"the upload must have at most {_MOST_PARTS} fields")

    def open_part(self, header: bytes) -> None:
        field, filename = _names_of(header)
        self._writes = field == self._kind.field
        if not self._writes:
            return
        if self._upload is not None:
            raise RefusedError(422, f"the upload must have one file in its field {field!r}, got several")
        if not filename:
            raise RefusedError(422, f"the field {field!r} must be a file with a name")
        self._upload = name_upload(filename, folder=self._folder, kind=self._kind)
        self._file = self._upload.path.open("xb")

    def write(self, data: bytes) -> None:
        if self._writes:
            assert self._file is not None
            self._file.write(data)

    def end_part(self) -> None:
        if self._writes:
            assert self._file is not None
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
