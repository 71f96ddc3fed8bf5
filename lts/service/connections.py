"""Closes connections of clients that send no request, or read no answer, for long.

A protocol around Uvicorn's own sees bytes come and go, and a middleware in front of the application sees
requests begin and end. Only public interfaces are used.
"""

import asyncio
import select
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_STATE = "lts.connection"
_READ_BYTES = 2**14
"""Bytes per read. A body in chunks of one byte takes long to parse; others get their turn in between."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_ASK_EVERY_S = 10
_LINGER_S = 1.0
_HUNG_UP = select.POLLHUP | select.POLLERR


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Time limits for clients.

    Attributes:
        request_s: For a whole request head, from the start of a connection or the end of the last answer.
        answer_bytes: So much of an answer must be read
        answer_s: in so many seconds.
    """

    request_s: float
    answer_bytes: float
    answer_s: float


class Connections:
    """All that are open.

    Args:
        most: Maximum number; beyond, the one that has been longest without a request is closed.
        timeouts: Time limits for clients.

    Attributes:
        open: In the order of their coming.
        turned_away: Those beyond the maximum that are reading why.
    """

    def __init__(self, *, most: int, timeouts: Timeouts) -> None:
        self.most, self.timeouts = most, timeouts
        self.open: dict[Connection, None] = {}
        self.turned_away: dict[Connection, None] = {}

    def protocol(self, **arguments: Any) -> "Connection":
        """Protocol factory for a new connection, with the arguments of Uvicorn's protocol class."""
        return Connection(self, arguments)

    def check(self) -> None:
        """Close those beyond their time limits; to be called often."""
        for connection in [*self.open, *self.turned_away]:
            connection.check()

    def drop_all(self) -> None:
        """Close all now."""
        for connection in [*self.open, *self.turned_away]:
            connection.drop()

    def make_room(self) -> bool:
        """Close a connection without a request if there are too many; returns whether there is room."""
        if len(self.open) < self.most:
            return True
        idle = [one for one in self.open if not one.in_hand and not one.has_unread()]
        if idle:
            min(idle, key=lambda connection: connection.idle_since).drop()
        return bool(idle)


class Connection(asyncio.BufferedProtocol):
    """One connection.

    Args:
        connections: All.
        arguments: For the protocol that speaks HTTP.

    Attributes:
        in_hand: Number of unanswered requests.
        idle_since: Since when it has none, on the clock of the event loop.
        ended: Set once the client sends no more.
    """

    def __init__(self, connections: Connections, arguments: dict[str, Any]) -> None:
        self._all = connections
        state = {**arguments.pop("app_state", {}), _STATE: self}
        self._http = H11Protocol(**arguments, app_state=state)
        self._buffer = bytearray(_READ_BYTES)
        self._loop = asyncio.get_running_loop()
        self.in_hand = 0
        self.idle_since = self._loop.time()
        self.ended = asyncio.Event()
        self._came = self._answered = False
        self._may_ask = self._was_unread = False
        self._written = self._taken = 0
        self._taken_at = self.idle_since

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection, or turn it away."""
        self._transport = cast(asyncio.Transport, transport)
        if not self._all.make_room():
            self._turn_away()
            return
        self._all.open[self] = None
        _keep_asking(self._transport.get_extra_info("socket"))
        self._http.connection_made(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        if self._is_turned_away:
            self._all.turned_away.pop(self)
            return
        self._all.open.pop(self, None)
        self._http.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002
        """Where the next bytes go."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on what came."""
        if self._is_turned_away:
            return
        self._came = True
        self._http.data_received(bytes(memoryview(self._buffer)[:nbytes]))

    def eof_received(self) -> bool:
        """The client closed its sending side: its requests are still answered."""
        self.ended.set()
        return self.in_hand > 0

    def pause_writing(self) -> None:
        """Hand it on."""
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """Hand it on."""
        self._http.resume_writing()

    def began(self, http_version: str) -> None:
        """A request has come."""
        self.in_hand += 1
        self._may_ask = http_version != "1.0"  # which knows no answer before the answer

    def writes(self, n_bytes: int) -> None:
        """Some of an answer is about to be written."""
        self._answered, self._may_ask = True, False
        self._written += n_bytes

    def answered(self) -> None:
        """A request has its answer."""
        self.in_hand -= 1
        self._was_unread = False
        self.idle_since = self._loop.time()
        # A request that came behind this one has been begun by then.
        self._loop.call_soon(self._close_if_ended)

    def drop(self) -> None:
        """Close it now, even if data is pending."""
        self._all.open.pop(self, None)
        self._transport.abort()

    def has_unread(self) -> bool:
        """Whether bytes have come that the event loop has not handed on yet."""
        return not self._transport.is_closing() and bool(self._poll(select.POLLIN) & select.POLLIN)

    def check(self) -> None:
        """Close it if its client is beyond a time limit, or gone."""
        now = self._loop.time()
        if self._is_turned_away:
            if now - self.idle_since > _LINGER_S:
                self.drop()
        elif self._is_stuck(now):
            self.drop()
        elif not self.in_hand and now - self.idle_since > self._all.timeouts.request_s:
            if self.has_unread() and not self._was_unread:
                self._was_unread = True  # a request may have come while the event loop was late
                return
            if self._came and not self._answered and not self._transport.is_closing():
                self._transport.write(_plain(408, "Request Timeout", "no whole request came in time"))
            self._transport.close()
        elif self.in_hand and self.ended.is_set():
            self._look_for_client()

    def _is_stuck(self, now: float) -> bool:
        """Whether the client has read too little of the answer for too long."""
        waiting = self._transport.get_write_buffer_size()
        taken = self._written - waiting
        timeouts = self._all.timeouts
        if not waiting or taken - self._taken >= timeouts.answer_bytes:
            self._taken, self._taken_at = taken, now
        return now - self._taken_at > timeouts.answer_s

    def _look_for_client(self) -> None:
        """Probe whether a half-closed client is still there.

        A message that every client accepts makes the system of a client that is gone reset the connection.
        """
        if self._may_ask:
            self._may_ask = False
            self._transport.write(_CONTINUE)
            return
        if self._poll(0) & _HUNG_UP:
            self.drop()

    def _turn_away(self) -> None:
        """Answer without a request. What still comes is thrown away: closing now would reset the answer."""
        self._transport.write(_plain(503, "Service Unavailable", "too many connections, try again later"))
        if len(self._all.turned_away) < self._all.most:
            self._transport.write_eof()
        else:
            self._transport.close()
        self._all.turned_away[self] = None

    @property
    def _is_turned_away(self) -> bool:
        return self in self._all.turned_away

    def _poll(self, events: int) -> int:
        """What the system says of its socket."""
        own: socket.socket = self._transport.get_extra_info("socket")
        poll = select.poll()
        poll.register(own.fileno(), events)
        return sum(event for _, event in poll.poll(0))

    def _close_if_ended(self) -> None:
        if self.ended.is_set() and not self.in_hand:
            self._transport.close()


class Watch:
    """ASGI middleware that reports requests to their connection, and its end to the requests.

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        connection: Connection | None = scope.get("state", {}).pop(_STATE, None)
        if connection is None:
            await self._app(scope, receive, send)
            return

        async def send_counted(message: Message) -> None:
            connection.writes(len(message.get("body", b"")))
            await send(message)

        connection.began(scope["http_version"])
        try:
            await self._app(scope, _until_end(receive, connection.ended), send_counted)
        finally:
            connection.answered()


def _until_end(receive: Receive, ended: asyncio.Event) -> Receive:
    """Receive as before, but an incomplete body of a closed connection counts as a disconnect."""
    whole = False

    async def receive_until_end() -> Message:
        nonlocal whole
        message = await (receive() if whole else _unless_ended(receive, ended))
        whole = whole or not message.get("more_body", False)
        return message

    return receive_until_end


async def _unless_ended(receive: Callable[[], Awaitable[Message]], ended: asyncio.Event) -> Message:
    coming = asyncio.ensure_future(receive())
    end = asyncio.ensure_future(ended.wait())
    try:
        await asyncio.wait({coming, end}, return_when=asyncio.FIRST_COMPLETED)
        if not coming.done():
            await asyncio.sleep(0)  # all that came before the end is there by now
        return coming.result() if coming.done() else {"type": "http.disconnect"}
    finally:
        coming.cancel()
        end.cancel()


def _keep_asking(own: socket.socket) -> None:
    """Enable TCP keepalive, so that clients that are gone are noticed."""
    own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
        if hasattr(socket, name):
            own.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), _ASK_EVERY_S)


def _plain(status: int, phrase: str, detail: str) -> bytes:
    """An answer before there is a request."""
    body = f'{{"detail":"{detail}"}}'
    head = f"HTTP/1.1 {status} {phrase}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n{body}".encode()
