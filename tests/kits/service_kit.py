"""Scans whose truth is known, a service in a thread, and requests to it."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import nibabel as nib
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from lts.inference import Predictor
from lts.service import Limits, Server, Service, address_of, listen

SIDE, DEPTH = 32, 6
SPACING_MM = (1.5, 2.0, 4.0)
LIMITS: dict[str, Any] = {
    "queue_size": 2,
    "max_upload_mib": 4,
    "max_unpacked_mib": 4,
    "max_files": 20,
    "max_voxels": 200_000,
    "keep_results": 3,
    "keep_minutes": 10,
    "stalled_s": 10,
    "least_kib_s": 1,
    "headers_s": 10,
    "max_connections": 64,
    "drain_s": 10,
}


def make_hu(depth: int = DEPTH) -> tuple[np.ndarray, np.ndarray]:
    """HU and labels `(X, Y, Z)`, toward right, front and head: a liver with a tumor, right and front."""
    rng = np.random.default_rng(0)
    hu = np.full((SIDE, SIDE, depth), -1000, np.int16)
    labels = np.zeros_like(hu, np.uint8)
    hu[3:-3, 5:-2] = 50
    liver = (slice(15, 27), slice(14, 27), slice(1, depth - 1))
    hu[liver], labels[liver] = 110, 1
    tumor = (slice(18, 23), slice(18, 25), slice(depth - 3, depth - 1))
    hu[tumor], labels[tumor] = 10, 2
    return hu + rng.integers(-4, 5, hu.shape, np.int16), labels


def as_bytes(hu: np.ndarray) -> bytes:
    """A scan as the bytes of a .nii file."""
    return nib.Nifti1Image(hu, np.diag([*SPACING_MM, 1.0])).to_bytes()


def write_scan(path: Path, hu: np.ndarray) -> Path:
    image = nib.Nifti1Image(hu, np.diag([*SPACING_MM, 1.0]))
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


class HeldPredictor:
    """Stands still between two slabs until it is let go, as a slow model would: it asks whether to go on."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.regions, self.modality = predictor.regions, predictor.modality
        self.checkpoints, self.device = predictor.checkpoints, predictor.device
        self.precision = predictor.precision
        self.started, self.go = threading.Semaphore(0), threading.Event()
        self.begun = self.ended = 0

    def find_liver(self, scan: Any, *, check: Callable[[], None]) -> Any:
        return self._predictor.find_liver(scan, check=check)

    def mask(self, scan: Any, *, on_slab: Callable[[Any], None], located: Any) -> Any:
        def held(slab: Any) -> None:
            on_slab(slab)
            while not self.go.is_set():
                time.sleep(0.01)
                on_slab(slab)

        self.begun += 1
        self.started.release()
        try:
            return self._predictor.mask(scan, on_slab=held, located=located)
        finally:
            self.ended += 1

    def wait_until_started(self) -> None:
        assert self.started.acquire(timeout=60)


class KnownPredictor:
    """Answers with labels that are known."""

    modality, checkpoints, device, precision = "ct", (), "cpu", "float32"

    def __init__(self, labels_zhw: np.ndarray, *, regions: tuple[str, ...] = ("liver", "tumor")) -> None:
        self._labels, self.regions = labels_zhw, regions

    def find_liver(self, scan: Any, *, check: Callable[[], None]) -> Any:
        return ()

    def mask(self, scan: Any, *, on_slab: Callable[[Any], None], located: Any) -> Any:
        return self._labels


@dataclass(eq=False)
class Running:
    """A service that runs in a thread, what it logged, and the links of a result that its page shows.

    `exchange` is that with a PACS, where the options of one were given.
    """

    service: Service
    server: Server
    url: str
    lines: list[str] = field(default_factory=list)
    shown: dict[str, str] | None = None
    exchange: Any = None

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60)

    @property
    def root(self) -> Path:
        return self.service.folder.path

    def left_over(self) -> set[str]:
        """What lies in the private folder beside kept results."""
        return {path.name for path in self.root.iterdir() if not path.name.startswith("result-")}

    def kept(self) -> list[Path]:
        """The folders of kept results."""
        return list(self.root.glob("result-*"))

    def connect(self, start: bytes) -> socket.socket:
        """A bare connection that has sent some bytes."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection.sendall(start)
        return connection


def _exchange(service: Service, options: Any) -> Any:
    """The exchange with a PACS, None without options."""
    if options is None:
        return nullcontext()
    from lts.service.pacs.exchange import Exchange

    return Exchange(service, options)


@contextmanager
def run_service(predictor: Any, **changes: Any) -> Iterator[Running]:
    lines: list[str] = []
    allowed_hosts = changes.pop("allowed_hosts", [])
    root_path = changes.pop("root_path", "")
    keys = changes.pop("keys", ())
    host = changes.pop("host", "127.0.0.1")
    pacs = changes.pop("pacs", None)
    with listen(host, 0) as taken:
        url = address_of(taken).replace("0.0.0.0", "127.0.0.1")
        log = changes.pop("log", lines.append)
        with (
            Service([predictor], limits=Limits(**{**LIMITS, **changes}), log=log) as service,
            _exchange(service, pacs) as exchange,
        ):
            server = Server(
                service,
                taken,
                allowed_hosts=allowed_hosts,
                root_path=root_path,
                keys=keys,
                exchange=exchange,
            )
            thread = threading.Thread(target=server.run)
            thread.start()
            try:
                yield Running(service, server, url, lines, exchange=exchange)
            finally:
                server.stop()
                server.stop()
                thread.join(30)
                assert not thread.is_alive()
    assert not service.folder.path.exists()


def samples(text: str) -> dict[str, float]:
    """What `/metrics` tells, by name and labels, as Prometheus reads it."""
    return {
        sample.name + "".join(f",{key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.01)


def multipart(path: Path, *, name: str | None = None, url: str = "/scans", extra: str = "") -> bytes:
    """A whole upload as bytes."""
    content = path.read_bytes()
    head = (
        f'--edge\r\nContent-Disposition: form-data; name="scan"; filename="{name or path.name}"\r\n\r\n'
    ).encode()
    body = head + content + b"\r\n--edge--\r\n"
    lines = (
        f"POST {url} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=edge\r\n"
        f"Content-Length: {len(body)}\r\n{extra}\r\n"
    )
    return lines.encode() + body


def upload(client: httpx.Client, path: Path, to: str = "/scans", **options: Any) -> httpx.Response:
    name = options.pop("name", path.name)
    return client.post(to, files={"scan": (name, path.read_bytes())}, **options)


def read_answer(connection: socket.socket) -> tuple[int, str, dict[str, Any]]:
    """Status, head and JSON of the answer on a bare connection, as soon as it is whole."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(4096)
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length"))
    while len(body) < length:
        body += connection.recv(4096)
    return int(lines[0].split()[1]), head.decode().lower(), json.loads(body)
