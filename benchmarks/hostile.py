"""Clients of a service as one would rather not have them. Nothing here is large, and each ends by itself."""

import gzip
import io
import random
import socket
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

BURST = 40
CLOSED = 0
"""In place of a status, where a connection was closed without an answer."""

_HEAD = "HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@dataclass(frozen=True)
class Target:
    """What they are hostile to.

    Attributes:
        port: On loopback.
        scan: A sound one.
        longest_s: How long any of them goes on: more than the service waits for anybody.
    """

    port: int
    scan: Path
    longest_s: float = 45.0

    def meet(self, kind: Callable[["Target"], int]) -> int:
        """Let a kind of client do what it does; the status of its answer."""
        try:
            return kind(self)
        except ConnectionError:  # it was answered, and its connection closed, while it still sent
            return CLOSED

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        """A bare connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=self.longest_s) as opened:
            yield opened

    def upload(self, content: bytes | None = None, name: str = "", *, to: str = "/predict") -> bytes:
        """A whole upload, of the sound scan unless told otherwise."""
        name, content = name or self.scan.name, self.scan.read_bytes() if content is None else content
        part = f'--edge\r\nContent-Disposition: form-data; name="scan"; filename="{name}"\r\n\r\n'
        body = part.encode() + content + b"\r\n--edge--\r\n"
        return self.post(to, len(body)) + body

    def post(self, to: str, length: int, *, kind: str = "multipart/form-data; boundary=edge") -> bytes:
        """The head of a request."""
        return f"POST {to} {_HEAD}Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n".encode()

    def ask(self, request: bytes) -> int:
        """Send a request, and give the status of its answer."""
        with self.connection() as opened:
            with suppress(OSError):  # it was answered before all was sent
                opened.sendall(request)
            return status_of(opened)


def status_of(opened: socket.socket) -> int:
    """The status of the next answer, `CLOSED` where there is none."""
    received = b""
    try:
        while b"\r\n\r\n" not in received:
            if not (got := opened.recv(4096)):
                return CLOSED
            received += got
    except OSError:
        return CLOSED
    status = int(received.split()[1])
    return status if status != 100 else status_of(opened)


def reset(opened: socket.socket) -> None:
    """Close a connection as a client does that dies: what is on its way is lost."""
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    opened.close()


def _drip(target: Target, opened: socket.socket, content: bytes, *, every_s: float) -> int:
    end = time.monotonic() + target.longest_s
    for byte in content:
        opened.settimeout(every_s)
        try:
            opened.sendall(bytes([byte]))
            if opened.recv(1, socket.MSG_PEEK) == b"":
                return CLOSED
        except TimeoutError:
            if time.monotonic() > end:
                raise AssertionError("the service waits for ever") from None
            continue
        except OSError:
            return CLOSED
        break
    opened.settimeout(target.longest_s)
    return status_of(opened)


def slow_sender(target: Target) -> int:
    """A byte now and then, forever."""
    with target.connection() as opened:
        whole = target.upload()
        opened.sendall(whole[:400])
        return _drip(target, opened, whole[400:], every_s=random.choice((0.2, 1, 5)))


def half_a_head(target: Target) -> int:
    """A request that never gets to its point."""
    with target.connection() as opened:
        opened.sendall(b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nX-")
        return _drip(target, opened, b"y" * 10_000, every_s=2) if random.random() < 0.5 else status_of(opened)


def sends_nothing(target: Target) -> int:
    """A connection and no more."""
    with target.connection() as opened:
        return status_of(opened)


def hangs_up_while_it_sends(target: Target) -> int:
    """Goes in the middle of its upload."""
    whole = target.upload(to=random.choice(("/predict", "/scans")))
    with target.connection() as opened:
        opened.sendall(whole[: random.randrange(1, len(whole))])
        if random.random() < 0.5:
            reset(opened)
    return CLOSED


def hangs_up_while_it_waits(target: Target) -> int:
    """Goes before its answer is made."""
    with target.connection() as opened:
        opened.sendall(target.upload(to=random.choice(("/predict", "/scans"))))
        time.sleep(random.random())
        if random.random() < 0.5:
            reset(opened)
    return CLOSED


def hangs_up_in_its_answer(target: Target) -> int:
    """Goes when the first bytes of its answer come."""
    with target.connection() as opened:
        opened.sendall(target.upload())
        opened.recv(10)
        reset(opened)
    return CLOSED


def takes_no_answer(target: Target) -> int:
    """Asks for much and reads nothing."""
    with target.connection() as opened:
        opened.settimeout(5)
        with suppress(OSError):
            opened.sendall(f"GET /openapi.json {_HEAD}\r\n".encode() * 2000)
        time.sleep(random.uniform(0, target.longest_s / 2))
        reset(opened)
    return CLOSED


def sends_no_more(target: Target) -> int:
    """Closes its half of the connection, with the whole upload sent or with half of it."""
    whole = target.upload()
    with target.connection() as opened:
        opened.sendall(whole[: random.choice((len(whole), len(whole) // 2))])
        opened.shutdown(socket.SHUT_WR)
        return status_of(opened)


def wrong_kind(target: Target) -> int:
    """A body that is no form, or a form that is none."""
    kind = random.choice(
        (
            "application/json",
            "text/plain",
            "multipart/form-data",
            f"multipart/form-data; boundary={'e' * 3000}",
        )
    )
    return target.ask(target.post("/predict", 5, kind=kind) + b"hello")


def wrong_file(target: Target) -> int:
    """What is no scan, under the name of one."""
    sound = target.scan.read_bytes()
    content = random.choice(
        (
            b"",
            b"not a scan",
            sound[: len(sound) // 2],
            sound[:-8] + bytes(8),
            gzip.compress(b"text"),
            bytes(500),
        )
    )
    return target.ask(target.upload(content, random.choice(("a.nii", "a.nii.gz", "a.zip"))))


def wrong_zip(target: Target) -> int:
    """Archives that nest, that list too much, or that lead outside."""
    names = random.choice(
        (
            ["d/" * depth + "a.nii" for depth in range(200, 2001, 200)],
            [f"{number}.nii" for number in range(25_000)],
            ["../a.nii"],
            ["/a.nii"],
            ["a.nii", "a.nii/b.nii"],
            ["n" * 5000 + ".nii"],
        )
    )
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return target.ask(target.upload(content.getvalue(), "a.zip"))


def too_much(target: Target) -> int:
    """Announces more than is allowed, in plain words or by not saying how much."""
    if random.random() < 0.5:
        return target.ask(target.post("/predict", 2**40))
    head = target.post("/predict", 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    return target.ask(head + (b"10000\r\n" + bytes(2**16) + b"\r\n") * 200)


def tiny_chunks(target: Target) -> int:
    """A body in chunks of a byte."""
    head = target.post("/predict", 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    return target.ask(head + b"1\r\nx\r\n" * 20_000 + b"0\r\nX-Trailer: y\r\n\r\n")


def odd_names(target: Target) -> int:
    """Names that are long, empty, or lead elsewhere."""
    name = random.choice(
        ("n" * 5000 + ".nii", "../../etc/passwd", "<script>.nii.exe", "a\x07.txt", "\u202e.zip")
    )
    return target.ask(target.upload(b"", name))


def odd_fields(target: Target) -> int:
    """Forms with the scan twice, without it, or with endless headers."""
    scan = b'--edge\r\nContent-Disposition: form-data; name="scan"; filename="a.nii"\r\n\r\nx\r\n'
    other = b'--edge\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n'
    body = random.choice((scan * 2, other * 20, other, b"--edge\r\nX: " + b"y" * 100_000, b"--edge"))
    body += b"--edge--\r\n"
    return target.ask(target.post("/predict", len(body)) + body)


def other_hosts(target: Target) -> int:
    """A page of elsewhere."""
    whole = target.upload()
    if random.random() < 0.5:
        return target.ask(whole.replace(b"Host: 127.0.0.1", b"Host: elsewhere.example", 1))
    return target.ask(whole.replace(b"\r\n", b"\r\nOrigin: http://elsewhere.example\r\n", 1))


def no_http(target: Target) -> int:
    """Bytes that are no request, or too long for one."""
    return target.ask(
        random.choice(
            (
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
                f"GET /{'a' * 40_000} {_HEAD}\r\n".encode(),
                f"GET / {_HEAD}X: {'y' * 60_000}\r\n\r\n".encode(),
                f"GET / {_HEAD}".encode() + b"X: y\r\n" * 12_000 + b"\r\n",
                f"POST /predict {_HEAD}Content-Length: -5\r\n\r\n".encode(),
                b"GET / HTTP/1.1\r\n\r\n",
            )
        )
    )


def odd_requests(target: Target) -> int:
    """Methods and addresses that there are none of."""
    method, path = random.choice(
        (
            ("BREW", "/scans"),
            ("DELETE", "/scans/none"),
            ("GET", "/scans/none/slices/" + "9" * 500),
            ("OPTIONS", "*"),
            ("GET", "/page/../../etc/passwd"),
            ("GET", "/scans/%00"),
        )
    )
    return target.ask(f"{method} {path} {_HEAD}\r\n".encode())


def many_at_once(target: Target) -> int:
    """More uploads begun at once than there are places, and none ended."""
    opened: list[socket.socket] = []
    try:
        for _ in range(BURST):
            opened.append(socket.create_connection(("127.0.0.1", target.port), timeout=target.longest_s))
            opened[-1].sendall(target.upload()[:500])
    except OSError:
        pass
    time.sleep(1)
    for one in opened:
        one.close()
    return CLOSED


KINDS: tuple[Callable[[Target], int], ...] = (
    *(slow_sender, half_a_head, sends_nothing, takes_no_answer, sends_no_more, many_at_once),
    *(hangs_up_while_it_sends, hangs_up_while_it_waits, hangs_up_in_its_answer),
    *(wrong_kind, wrong_file, wrong_zip, too_much, tiny_chunks, odd_names, odd_fields),
    *(other_hosts, no_http, odd_requests),
)

ANSWERED = frozenset({CLOSED, 400, 403, 404, 405, 408, 413, 422, 503})
"""What they may get. A half-closed connection that has sent all may get 200."""


def is_fair(kind: Callable[[Target], int], status: int) -> bool:
    """Whether a kind was answered as it deserves."""
    return status in ANSWERED or (kind is sends_no_more and status == 200)
