"""One connection under watch, with an application whose answers the test holds in its hand."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from lts.service.connections import Connection, Connections, Timeouts, Watch

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
NONE = Timeouts(request_s=0, answer_bytes=0, answer_s=60)
"""With no request that is not yet answered."""

App = Callable[[Any, Any, Any], Awaitable[None]]


class Held:
    """An application that answers in two parts, the second when `go` is set."""

    def __init__(self) -> None:
        self.go, self.done = asyncio.Event(), asyncio.Event()
        self.first: bytes = b"first "

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.first:
            await self._begin(send)
        await self.go.wait()
        if not self.first:
            await self._begin(send)
        await send({"type": "http.response.body", "body": b"second"})
        self.done.set()

    async def _begin(self, send: Any) -> None:
        headers = [(b"content-length", str(len(self.first) + 6).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.first, "more_body": True})


@asynccontextmanager
async def connected(
    app: App, timeouts: Timeouts
) -> AsyncIterator[tuple[Connections, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client that has sent a request."""
    connections = Connections(most=2, timeouts=timeouts)
    # long enough that nothing but the watch closes a connection
    config = uvicorn.Config(app=Watch(app), lifespan="off", log_config=None, timeout_keep_alive=60)
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: connections.protocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), limit=2**16)
    writer.write(REQUEST)
    try:
        yield connections, reader, writer
    finally:
        connections.drop_all()
        writer.close()
        server.close()
        for task in state.tasks:
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)


async def the_one(connections: Connections) -> Connection:
    """The connection, once its request is in hand."""
    while not any(connection.in_hand for connection in connections.open):
        await asyncio.sleep(0.001)
    (connection,) = connections.open
    return connection


def in_time(work: Awaitable[None]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(work, 20)

    asyncio.run(bounded())


def test_a_client_is_asked_nothing_in_the_midst_of_its_answer() -> None:
    async def work() -> None:
        app = Held()
        async with connected(app, NONE) as (connections, reader, writer):
            connection = await the_one(connections)
            assert (await reader.readuntil(b"first ")).count(b"HTTP/1.1 ") == 1
            writer.write_eof()
            await connection.ended.wait()
            connections.check()
            connections.check()
            app.go.set()
            assert await reader.read() == b"second"

    in_time(work())


def test_patience_begins_with_the_end_of_an_answer_and_not_before() -> None:
    async def work() -> None:
        app = Held()
        app.first = b""
        async with connected(app, NONE) as (connections, reader, _):
            connection = await the_one(connections)
            connections.check()
            assert list(connections.open) == [connection]  # the service is slow, and not its client
            before = asyncio.get_running_loop().time()
            app.go.set()
            assert (await reader.readuntil(b"second")).startswith(b"HTTP/1.1 200 ")
            assert connection.idle_since >= before

    in_time(work())


def test_a_connection_whose_sender_has_ended_is_closed_with_its_last_answer() -> None:
    async def work() -> None:
        app = Held()
        async with connected(app, NONE) as (connections, reader, writer):
            connection = await the_one(connections)
            writer.write_eof()
            await connection.ended.wait()
            app.go.set()
            assert (await reader.read()).endswith(b"first second")  # and the end, without any check
            assert not connections.open

    in_time(work())


def test_a_silent_client_is_asked_by_the_system_whether_it_is_there() -> None:
    async def work() -> None:
        async with connected(Held(), NONE) as (connections, _, _):
            own = (await the_one(connections))._transport.get_extra_info("socket")
            assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 10

    in_time(work())


def test_an_answer_is_not_written_faster_than_it_is_taken() -> None:
    async def work() -> None:
        app = Held()
        app.first = bytes(2**26)  # more than a system keeps on the way
        async with connected(app, NONE) as (connections, reader, _):
            await the_one(connections)
            app.go.set()
            await asyncio.sleep(0.1)
            assert not app.done.is_set()
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert len(await reader.readexactly(2**26 + 6)) == 2**26 + 6
            await app.done.wait()

    in_time(work())
