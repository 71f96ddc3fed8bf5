"""Admission of uploads before a byte is read, so that disk and memory stay bounded."""

import asyncio
import re
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lts.service.refusals import RefusedError, shutting_down, too_large

_LINGER_S = 10.0
_LINGER_IDLE_S = 1.0
_FIRST_S = 5.0
"""Seconds that every sender has before others may take its place."""


class Guest(Protocol):
    """What takes a place: the body of an upload, or a series that a PACS has sent.

    Attributes:
        waited_s: Seconds spent waiting for its sender.
    """

    @property
    def waited_s(self) -> float:
        """As the class says."""

    def is_slower(self, least_rate: float) -> bool:
        """Whether it is incomplete and slower than so many bytes a second."""

    def give_up(self) -> None:
        """Stop waiting for it."""


class Gate:
    """Limits the uploads in progress, from their first byte to the end of their job and answer.

    If no place is free, a sender that has been slower than `least_rate` so far gives way.

    Args:
        places: The most at a time.
        least_rate: In bytes a second.
        expected_s: Returns the expected seconds until a place is free.

    Attributes:
        places: As given.
        draining: Whether no more places are given.
    """

    def __init__(self, places: int, *, least_rate: float, expected_s: Callable[[], float]) -> None:
        self.places, self._least_rate, self._expected_s = places, least_rate, expected_s
        self._inside: set[Guest] = set()
        self.draining = False

    @property
    def taken(self) -> int:
        """Number of taken places."""
        return len(self._inside)

    def enter(self, guest: Guest, *, was_taken: bool = False) -> None:
        """Take a place.

        Args:
            guest: Who takes it.
            was_taken: Whether its sender was told that it is taken; a service that shuts down answers it.

        Raises:
            RefusedError: No place is free, or the service is shutting down.
        """
        if self.draining and not was_taken:
            raise shutting_down()
        if len(self._inside) >= self.places:
            slow = [one for one in self._inside if one.is_slower(self._least_rate)]
            if not slow:
                raise RefusedError(
                    503,
                    "the queue is full, try again later",
                    retry_after_s=max(1, round(self._expected_s())),
                )
            slowest = max(slow, key=lambda one: one.waited_s)
            slowest.give_up()
            self.leave(slowest)
        self._inside.add(guest)

    def leave(self, guest: Guest) -> None:
        """Give a place back, once."""
        self._inside.discard(guest)


class Admission:
    """ASGI middleware that limits the number and size of uploads.

    Args:
        app: The application for admitted uploads and all other requests.
        gate: Admits them.
        paths: What the addresses of uploads match.
        max_upload_mib: The largest body.
        on_refusal: Called with the refusal of each upload that is refused here.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        gate: Gate,
        paths: re.Pattern[str],
        max_upload_mib: int,
        on_refusal: Callable[[RefusedError], None],
    ) -> None:
        self._app, self._gate, self._paths, self._on_refusal = app, gate, paths, on_refusal
        self._max_upload_mib = max_upload_mib

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] != "POST" or not self._paths.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        body = Body(scope, receive, send, max_upload_mib=self._max_upload_mib, on_answer=self._gate.leave)
        try:
            body.check_announced()
            self._gate.enter(body)
        except RefusedError as refusal:
            self._on_refusal(refusal)
            await refusal.answer()(scope, body.receive, body.send)
            return
        try:
            await self._app(scope, body.receive, body.send)
        finally:
            self._gate.leave(body)


class Body:
    """The body of an upload: counted as it comes, and drained if it was answered before its end.

    Closing a connection while its client still sends resets it, and the client would not see the answer.

    Args:
        scope: Of the request, as are the next two.
        receive: Receives the body.
        send: Sends the answer.
        max_upload_mib: The largest body.
        on_answer: Called with the body when the answer is complete.

    Attributes:
        waited_s: Seconds spent waiting for its sender.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        max_upload_mib: int,
        on_answer: Callable[["Body"], None],
    ) -> None:
        self._receive, self._send, self._max_upload_mib = receive, send, max_upload_mib
        self._on_answer = on_answer
        self._headers = Headers(scope=scope)
        self._read_bytes = 0
        self._ended = self._given_up = False
        self._waited_s = 0.0
        self._coming: tuple[asyncio.Future[Message], float] | None = None

    @property
    def waited_s(self) -> float:
        """As the class says."""
        return self._waited_s + (monotonic() - self._coming[1] if self._coming else 0.0)

    def is_slower(self, least_rate: float) -> bool:
        """Whether it is incomplete and slower than so many bytes a second."""
        return not self._ended and self.waited_s > _FIRST_S and self._read_bytes < least_rate * self.waited_s

    def give_up(self) -> None:
        """Stop waiting for it."""
        self._given_up = True
        if self._coming:
            self._coming[0].cancel()

    def check_announced(self) -> None:
        """Check the announced size.

        Raises:
            RefusedError: It is beyond the limit.
        """
        announced = self._headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._max_upload_mib * 2**20:
            raise too_large(self._max_upload_mib)

    async def receive(self) -> Message:
        """The next message.

        Raises:
            RefusedError: The body is too large, or it was given up.
        """
        message = await (self._receive() if self._ended else self._next())
        if message["type"] == "http.request":
            self._read_bytes += len(message.get("body", b""))
            self._ended = not message.get("more_body", False)
            if self._read_bytes > self._max_upload_mib * 2**20:
                raise too_large(self._max_upload_mib)
        else:
            self._ended = True
        return message

    async def _next(self) -> Message:
        coming, start = asyncio.ensure_future(self._receive()), monotonic()
        self._coming = (coming, start)
        try:
            if not self._given_up:
                return await coming
        except asyncio.CancelledError:
            if not self._given_up:
                raise
        finally:
            coming.cancel()
            self._coming = None
            self._waited_s += monotonic() - start
        raise RefusedError(408, "the upload came too slowly, and others waited")

    async def send(self, message: Message) -> None:
        """Send a message of the answer."""
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if last:
            self._on_answer(self)
        if self._ended:
            await self._send(message)
        elif message["type"] == "http.response.start":
            headers = [*message.get("headers", []), (b"connection", b"close")]
            await self._send({**message, "headers": headers})
        elif not last:
            await self._send(message)
        else:
            # The client has its whole answer now; the end of it would close the connection.
            await self._send({**message, "more_body": True})
            await self._linger()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _linger(self) -> None:
        if self._read_bytes == 0 and self._headers.get("expect", "").lower() == "100-continue":
            return  # it waits for a word before it sends, and has got one
        try:
            async with asyncio.timeout(_LINGER_S):
                more = True
                while more:
                    async with asyncio.timeout(_LINGER_IDLE_S):
                        more = (await self._receive()).get("more_body", False)
        except TimeoutError:
            pass
