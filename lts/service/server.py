"""The process: a socket, signals, and an orderly end."""

import asyncio
import contextlib
import logging
import re
import resource
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Collection, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from lts.base import ConfigError
from lts.service.app import make_app
from lts.service.connections import Connections, Timeouts
from lts.service.guard import is_loopback
from lts.service.service import Service

if TYPE_CHECKING:
    from lts.service.pacs.exchange import Exchange

_LOG = logging.getLogger(__name__)
_BACKLOG = 128
_KEEP_ALIVE_S = 15
_LAST_ANSWERS_S = 5
_LONGEST_SWEEP_S = 30.0
_LONGEST_WATCH_S = 0.5
_THREADS = 16
_TICK_S = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def listen(host: str, port: int) -> socket.socket:
    """Listen on a port before anything heavy is done; 0 for any free port.

    Raises:
        ConfigError: The host is not one of this machine's, or the port is in use or not allowed.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"port: must be 0 to 65535, got {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:  # a name is also turned into one of DNS
        raise ConfigError(f"host: must be a name or address of this machine, got {host!r}") from error
    taken = socket.socket(family, kind, protocol)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
        taken.listen(_BACKLOG)
    except OSError as error:
        taken.close()
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"host, port: cannot listen on {host} port {port}: {reason}") from error
    return taken


def check_root_path(root_path: str) -> None:
    """Check where a proxy is said to serve the service.

    Raises:
        ConfigError: It is neither empty nor a path.
    """
    if not re.fullmatch(r"(/[\w.~-]+)*", root_path, re.ASCII) or ".." in root_path:
        raise ConfigError(f"root_path: must be a path such as /lts, or empty, got {root_path!r}")


def address_of(taken: socket.socket) -> str:
    """The URL of a listening socket for a browser on this machine."""
    host, port = taken.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server:
    """Serves until it is stopped.

    Stopped once, by SIGTERM, SIGINT or `stop`, it refuses new scans, answers accepted ones within `drain_s`,
    and ends. Stopped twice, it drops them.

    Args:
        service: The service; the caller ends it.
        taken: The listening socket.
        allowed_hosts: Further host names that are accepted.
        root_path: As `make_app` takes it.
        keys: As `make_app` takes them.
        exchange: With a PACS, None for none; the caller ends it.

    Raises:
        ConfigError: `root_path` is no path.
    """

    def __init__(
        self,
        service: Service,
        taken: socket.socket,
        *,
        allowed_hosts: Collection[str],
        root_path: str = "",
        keys: Collection[str] = (),
        exchange: "Exchange | None" = None,
    ) -> None:
        check_root_path(root_path)
        self._service, self._socket, self._exchange = service, taken, exchange
        app = make_app(
            service,
            loopback_only=is_loopback(taken.getsockname()[0]),
            allowed_hosts=allowed_hosts,
            root_path=root_path,
            keys=keys,
            intake=None if exchange is None else exchange.intake,
        )
        limits = service.limits
        self._connections = Connections(
            most=min(limits.max_connections, _open_files() // 2),
            timeouts=Timeouts(
                request_s=limits.headers_s, answer_bytes=limits.least_bytes, answer_s=limits.stalled_s
            ),
        )
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            http=cast(Any, self._connections.protocol),
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_LAST_ANSWERS_S,
        )
        self._uvicorn = _Uvicorn(config)
        self._n_stops = 0

    def run(self, *, greeting: Sequence[str] = ()) -> None:
        """Serve; returns once all scans are answered or dropped.

        Args:
            greeting: Lines logged once signals are handled.
        """
        asyncio.run(self._run(greeting))

    def stop(self) -> None:
        """Stop it, from any thread or signal handler."""
        self._n_stops += 1
        self._service.gate.draining = True

    async def _run(self, greeting: Sequence[str]) -> None:
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            for number in _SIGNALS:
                loop.add_signal_handler(number, self.stop)
        for line in greeting:
            self._service.log(line)
        # Checking uploads takes long; enough threads are left for other reads and writes.
        asyncio.get_running_loop().set_default_executor(
            ThreadPoolExecutor(self._service.gate.places + _THREADS)
        )
        limits = self._service.limits
        sweep_s = min(_LONGEST_SWEEP_S, 60 * limits.keep_minutes / 4)
        watch_s = min(_LONGEST_WATCH_S, limits.headers_s / 4, limits.stalled_s / 4)
        helpers = [
            asyncio.create_task(self._end()),
            asyncio.create_task(_forever(self._tidy, every_s=sweep_s)),
            asyncio.create_task(_forever(self._watch, every_s=watch_s)),
        ]
        exchange = self._exchange
        if exchange is not None:
            helpers.append(asyncio.create_task(_forever(exchange.step, every_s=exchange.poll_s)))
        try:
            await self._uvicorn.serve(sockets=[self._socket])
        finally:
            for helper in helpers:
                helper.cancel()
            if exchange is not None:
                await exchange.close()
            self._connections.drop_all()

    async def _end(self) -> None:
        """Wait for a stop, then for accepted scans."""
        while not self._n_stops:
            await asyncio.sleep(_TICK_S)
        gate, limit_s = self._service.gate, self._service.limits.drain_s
        self._service.log(f"stopping: {gate.taken} scans in hand, at most {limit_s:g} s")
        exchange = self._exchange
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                if exchange is not None:
                    await exchange.stop()
                while (gate.taken or (exchange is not None and exchange.in_hand)) and self._n_stops == 1:
                    await asyncio.sleep(_TICK_S)
        self._service.drop_jobs()
        self._uvicorn.should_exit = True

    async def _tidy(self) -> None:
        await asyncio.to_thread(self._service.tidy)

    async def _watch(self) -> None:
        self._connections.check()


async def _forever(work: Callable[[], Awaitable[None]], *, every_s: float) -> None:
    """Repeat something; a failure is logged, and it is tried again the next time."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await work()
        except Exception:
            _LOG.exception("the service failed on its own work")


def _open_files() -> int:
    """Limit of open files of this process, which connections and uploads need."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if allowed == resource.RLIM_INFINITY else allowed


class _Uvicorn(uvicorn.Server):
    """Leaves signals to us, as Uvicorn ends by the signal and not with code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
