"""Who gets in: decided before a byte of an upload is read, so that disk and memory stay bounded."""

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lts.service.refusals import RefusedError, shutting_down, too_large

_LINGER_S = 10.0
_LINGER_IDLE_S = 1.0


class Gate:
    """Counts the uploads in the house, from their first byte to the end of their job and their answer.

    Args:
        places: The most at a time.
        expected_s: Tells in how many seconds a place may be free.
    """

    def __init__(self, places: int, *, expected_s: Callable[[], float]) -> None:
        self._places, self._expected_s = places, expected_s
        self.taken = 0
        self.draining = False

    def enter(self) -> None:
        """Take a place.

        Raises:
            RefusedError: No place is free, or the service is shutting down.
        """
        if self.draining:
            raise shutting_down()
        if self.taken >= self._places:
            raise RefusedError(
                503,
                "the queue is full, try again later",
                retry_after_s=max(1, round(self._expected_s())),
            )
        self.taken += 1

    def leave(self) -> None:
        """Give a place back."""
        self.taken -= 1


class Admission:
    """ASGI middleware that holds uploads to the number of places and to their size.

    Args:
        app: What answers those that are let in, and all other requests.
        gate: Counts them.
        paths: Where uploads are posted.
        max_upload_mib: The largest body.
        log: Takes a line on each upload that is turned down here.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        gate: Gate,
        paths: frozenset[str],
        max_upload_mib: int,
        log: Callable[[str], None],
    ) -> None:
        self._app, self._gate, self._paths, self._log = app, gate, paths, log
        self._max_upload_mib = max_upload_mib

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive, send, max_upload_mib=self._max_upload_mib)
        try:
            body.check_announced()
            self._gate.enter()
        except RefusedError as refusal:
            self._log(f"an upload: refused, {refusal.status}: {refusal.detail}")
            await refusal.answer()(scope, body.receive, body.send)
            return
        try:
            await self._app(scope, body.receive, body.send)
        finally:
            self._gate.leave()


class _Body:
    """The body of an upload: counted as it comes, and read to nowhere where it was answered before its end.

    A connection that is closed while its client still sends is reset, and the client never sees the answer.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, max_upload_mib: int) -> None:
        self._receive, self._send, self._max_upload_mib = receive, send, max_upload_mib
        self._headers = Headers(scope=scope)
        self._read_bytes = 0
        self._ended = False

    def check_announced(self) -> None:
        """Hold the announced size to the limit.

        Raises:
            RefusedError: It is beyond it.
        """
        announced = self._headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._max_upload_mib * 2**20:
            raise too_large(self._max_upload_mib)

    async def receive(self) -> Message:
        """The next message.

        Raises:
            RefusedError: More has come than an upload may hold.
        """
        message = await self._receive()
        if message["type"] == "http.request":
            self._read_bytes += len(message.get("body", b""))
            self._ended = not message.get("more_body", False)
            if self._read_bytes > self._max_upload_mib * 2**20:
                raise too_large(self._max_upload_mib)
        else:
            self._ended = True
        return message

    async def send(self, message: Message) -> None:
        """Send a message of the answer."""
        if self._ended:
            await self._send(message)
        elif message["type"] == "http.response.start":
            headers = [*message.get("headers", []), (b"connection", b"close")]
            await self._send({**message, "headers": headers})
        elif message.get("more_body", False):
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
