"""Load on a service that this script starts itself: answers, latency, and whether memory stays flat.

python benchmarks/serve_load.py CHECKPOINT SCAN [--clients 8] [--requests 200]

Clients ask again where the queue is full. Every request ends in an answer, or counts as lost.
"""

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]
MOST_REQUESTS = 10_000
MOST_MINUTES = 30
START_S = 120
WAIT_S = 0.05


@dataclass
class Load:
    """What is asked, and what came of it.

    Attributes:
        url: The service.
        scan: Sent with each request.
        left: Requests not yet begun.
        end: When to give up asking again, on the monotonic clock.
        statuses: Answers by status, those of a full queue included.
        latencies_s: Of those answered 200, from the first attempt on.
        lost: Requests that ended without an answer.
    """

    url: str
    scan: Path
    left: int
    end: float
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def work(self) -> None:
        """One client: asks until nothing is left."""
        content = self.scan.read_bytes()
        with httpx.Client(base_url=self.url, timeout=120) as client:
            while self._take():
                self._ask(client, content)

    def _take(self) -> bool:
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def _ask(self, client: httpx.Client, content: bytes) -> None:
        start = time.monotonic()
        while True:
            try:
                answer = client.post("/predict", files={"scan": (self.scan.name, content)})
            except httpx.HTTPError as error:
                with self.lock:
                    self.lost.append(type(error).__name__)
                return
            with self.lock:
                self.statuses[answer.status_code] += 1
                if answer.status_code == 200:
                    self.latencies_s.append(time.monotonic() - start)
            if answer.status_code != 503:
                return
            if time.monotonic() > self.end:
                with self.lock:
                    self.lost.append("out of time")
                return
            time.sleep(WAIT_S)


def resident_mib(pid: int) -> float:
    """Memory of a process that is in use."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def serving(checkpoint: Path, settings: list[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A service on a free port of loopback."""
    line = [sys.executable, str(ROOT / "serve.py"), f"ckpt={checkpoint}", "port=0", *settings]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            found = re.search(r"http://\S+?(?=;)", first)
            if found is None:
                raise SystemExit(f"the service did not start: {first}{process.stdout.read()}")
            reader = threading.Thread(target=process.stdout.read, daemon=True)
            reader.start()
            yield process, found[0]
            process.send_signal(signal.SIGTERM)
            print(f"exit code {process.wait(START_S)}")
            reader.join(START_S)
        finally:
            process.kill()


def main() -> None:
    """Run the load and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("scan", type=Path)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("settings", nargs="*", help="settings of serve.py, such as queue_size=4")
    given = parser.parse_intermixed_args()
    if not 0 < given.requests <= MOST_REQUESTS or not 0 < given.minutes <= MOST_MINUTES:
        raise SystemExit(f"at most {MOST_REQUESTS} requests and {MOST_MINUTES} minutes")
    with serving(given.checkpoint, given.settings) as (process, url):
        load = Load(url, given.scan, given.requests, end=time.monotonic() + 60 * given.minutes)
        print(f"{given.requests} requests by {given.clients} clients")
        print(f"resident at start: {resident_mib(process.pid):.0f} MiB")
        start = time.monotonic()
        clients = [threading.Thread(target=load.work) for _ in range(given.clients)]
        for client in clients:
            client.start()
        for mark in (50, given.requests // 2):
            while len(load.latencies_s) < mark and any(client.is_alive() for client in clients):
                time.sleep(WAIT_S)
            print(f"resident after {len(load.latencies_s)}: {resident_mib(process.pid):.0f} MiB")
        for client in clients:
            client.join()
        took_s = time.monotonic() - start
        print(f"resident after all: {resident_mib(process.pid):.0f} MiB")
    answered = ", ".join(f"{count} x {status}" for status, count in sorted(load.statuses.items()))
    print(f"answered: {answered}; lost: {len(load.lost)} {Counter(load.lost) or ''}")
    if load.latencies_s:
        ordered = sorted(load.latencies_s)
        p95 = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
        print(f"latency: median {statistics.median(ordered):.2f} s, 95 % within {p95:.2f} s")
        print(f"{len(ordered) / took_s:.2f} scans a second")
    sys.exit(1 if load.lost or len(load.latencies_s) != given.requests else 0)


if __name__ == "__main__":
    main()
