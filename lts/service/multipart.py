"""Multipart bodies, read piece by piece as they come."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser
from starlette.requests import ClientDisconnect, Request

from lts.service.refusals import RefusedError

# Its warnings are about bodies whose sender gets an answer anyway.
logging.getLogger("python_multipart").addHandler(logging.NullHandler())

LONGEST_BOUNDARY = 256
"""Characters. RFC 2046 allows 70, and Orthanc's have 73."""
_LONGEST_HEADERS = 2**14
_WRITE_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class LeastRate:
    """The lowest rate of an upload, per period of waiting for it.

    Attributes:
        n_bytes: The least, except at the end of the body.
        seconds: The period.
    """

    n_bytes: float
    seconds: float


class PartReader(ABC):
    """Takes the parts of a body from the parser of python-multipart, one after the other.

    Args:
        header: Which header of a part is kept, in lower case.

    Attributes:
        is_whole: Whether the end of the body has come.
    """

    def __init__(self, *, header: bytes) -> None:
        self.is_whole = False
        self._header = header
        self._name, self._value, self._kept = b"", b"", b""
        self._n_bytes = 0

    @abstractmethod
    def begin_part(self) -> None:
        """A part begins."""

    @abstractmethod
    def open_part(self, header: bytes) -> None:
        """The headers of the part have come; `header` is the one that is kept, b"" where there is none."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Some content of the part has come."""

    @abstractmethod
    def end_part(self) -> None:
        """The part ends."""

    def callbacks(self) -> Any:
        """The callbacks by the parser's names."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_name,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header,
            "on_headers_finished": lambda: self.open_part(self._kept),
            "on_part_data": lambda data, start, end: self.write(data[start:end]),
            "on_part_end": self.end_part,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._name, self._value, self._kept = b"", b"", b""
        self._n_bytes = 0
        self.begin_part()

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._value += data[start:end]

    def _count(self, n_bytes: int) -> None:
        self._n_bytes += n_bytes
        if self._n_bytes > _LONGEST_HEADERS:
            raise RefusedError(422, f"the headers of a part must have at most {_LONGEST_HEADERS} bytes")

    def _on_header(self) -> None:
        if self._name.lower() == self._header:
            self._kept = self._value
        self._name, self._value = b"", b""

    def _end(self) -> None:
        self.is_whole = True


async def read_parts(
    request: Request, reader: PartReader, *, boundary: bytes, least: LeastRate, malformed: RefusedError
) -> None:
    """Read a body piece by piece, each in a thread.

    Args:
        request: Its body has not been read.
        reader: Is given the parts.
        boundary: Between parts.
        least: The lowest rate.
        malformed: Is raised where the body is not well-formed.

    Raises:
        RefusedError: The body is not well-formed, came too slowly, or has a part with too long headers.
        ClientDisconnect: The sender hung up.
    """
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        await _feed(request, parser.write, least=least)
    except FormParserError as error:
        raise malformed from error


async def _feed(request: Request, write: Callable[[bytes], Any], *, least: LeastRate) -> None:
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
