"""Load on a service that this script starts itself: answers, latency, and what is left of it afterwards.

python -m benchmarks.serve_load [CHECKPOINT SCAN] [--clients 16] [--hostile 8] [--minutes 3] [KEY=VALUE ...]

Good clients send scans, ask again where the queue is full, and hold each mask against that of a service at
rest; hostile ones do what `benchmarks/hostile.py` has. Exit code 0 says that every good request was answered
rightly, no hostile one unfairly, and that memory, open files, threads and the temporary folder went back to
where they were. Without arguments, a small model is trained first, and a phantom is the scan.
"""

import argparse
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks.hostile import KINDS, Target, is_fair
from benchmarks.residue import Residue, settled
from benchmarks.training_run import train_briefly

ROOT = Path(__file__).parents[1]
MOST_CLIENTS, MOST_MINUTES = 64, 30
START_S, ANSWER_S, SETTLE_S = 120, 180, 60
WAIT_S, WARM_S = 0.2, 10
GROWTH_MIB = 100
"""What memory may grow by, as blocks lie in it differently each time; a leak of each request is far more."""
THREADS = 16
"""Of the pool of the service, which grows to its bound."""
MODEL = ("data.image_size=64", "model.width=8")
SETTINGS = ("max_upload_mib=8", "max_unpacked_mib=64", "drain_s=20")


@dataclass
class Load:
    """What is asked, and what came of it.

    Attributes:
        url: The service.
        target: The same, for hostile clients.
        content: Of the scan.
        mask: What the service makes of it at rest.
        end: When no more is begun, on the monotonic clock.
        statuses: Answers to good clients by status, those of a full queue included.
        hostile: Answers to hostile ones, by kind and status.
        latencies_s: Of good requests, from the first attempt on.
        quick_s: Latencies of `/health`, which nothing may delay.
        wrong: What should not have been.
    """

    url: str
    target: Target
    content: bytes
    mask: bytes = b""
    end: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    hostile: Counter[tuple[str, int]] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    quick_s: list[float] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)

    def run(self, *, good: int, hostile: int, seconds: float) -> None:
        """Have clients work for so long, and wait for their last answers."""
        self.end = time.monotonic() + seconds
        works = [self.ask] * good + [self.disturb] * hostile + [self.look] * bool(hostile)
        clients = [threading.Thread(target=self._until_end, args=(work,)) for work in works]
        for client in clients:
            client.start()
        for client in clients:
            client.join()

    def _until_end(self, work: Callable[[httpx.Client], None]) -> None:
        with httpx.Client(base_url=self.url, timeout=ANSWER_S) as client:
            while time.monotonic() < self.end:
                try:
                    work(client)
                except Exception as error:  # a client must not end the others
                    self.wrong[f"{work.__name__}: {type(error).__name__}: {error}"] += 1

    def ask(self, client: httpx.Client) -> None:
        """A good request, again and again until it is answered."""
        start = time.monotonic()
        to = random.choice(("/predict", "/scans"))
        while True:
            answer = client.post(to, files={"scan": (self.target.scan.name, self.content)})
            self.statuses[answer.status_code] += 1
            if answer.status_code != 503 or time.monotonic() > start + ANSWER_S:
                break
            time.sleep(WAIT_S)
        if not answer.is_success:
            self.wrong[f"a good request got {answer.status_code}: {answer.text}"] += 1
            return
        mask = answer.content if to == "/predict" else self._fetch(client, answer.json()["links"])
        if mask != (self.mask or mask):
            self.wrong["another mask"] += 1
        self.latencies_s.append(time.monotonic() - start)

    def _fetch(self, client: httpx.Client, links: dict[str, str]) -> bytes:
        mask = client.get(links["mask"]).raise_for_status().content
        client.get(links["slices"].replace("{z}", "0")).raise_for_status()
        client.delete(links["self"]).raise_for_status()
        return mask

    def look(self, client: httpx.Client) -> None:
        """What a monitor asks."""
        start = time.monotonic()
        client.get("/health").raise_for_status()
        self.quick_s.append(time.monotonic() - start)
        client.get("/ready").raise_for_status()
        time.sleep(WAIT_S)

    def disturb(self, _: httpx.Client) -> None:
        """A hostile request."""
        kind = random.choice(KINDS)
        status = self.target.meet(kind)
        self.hostile[kind.__name__, status] += 1
        if not is_fair(kind, status):
            self.wrong[f"{kind.__name__} got {status}"] += 1


@contextmanager
def serving(
    checkpoint: Path, folder: Path, settings: list[str]
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A service on a free port of loopback, with its temporary files in a folder; its words go beside it."""
    line = [sys.executable, str(ROOT / "serve.py"), f"ckpt={checkpoint}", "port=0", *SETTINGS, *settings]
    log_path = folder.with_suffix(".log")
    environment = {**os.environ, "TMPDIR": str(folder)}
    with (
        log_path.open("w") as log,
        subprocess.Popen(
            line, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, text=True, env=environment
        ) as process,
    ):
        try:
            end = time.monotonic() + START_S
            while (found := re.search(r"http://\S+?(?=;)", log_path.read_text())) is None:
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"the service did not start: {log_path.read_text()}")
                time.sleep(WAIT_S)
            yield process, found[0]
            process.send_signal(signal.SIGTERM)
            print(f"exit code {process.wait(START_S)}; {log_path.read_text().count('Traceback')} tracebacks")
        finally:
            process.kill()


def main() -> None:
    """Run the load and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "files", nargs="*", help="CHECKPOINT SCAN, and settings of serve.py such as queue_size=4"
    )
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--hostile", type=int, default=0, help="how many of them are so")
    parser.add_argument("--minutes", type=float, default=3)
    given = parser.parse_intermixed_args()
    if not 0 <= given.hostile < given.clients <= MOST_CLIENTS or not 0 < given.minutes <= MOST_MINUTES:
        raise SystemExit(f"at most {MOST_CLIENTS} clients, one of them good, and {MOST_MINUTES} minutes")
    files = [Path(name).resolve() for name in given.files if "=" not in name]
    settings = [name for name in given.files if "=" in name]
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint, scan = files or _made(Path(scratch))
        folder = Path(scratch) / "temporary"
        folder.mkdir()
        with serving(checkpoint, folder, settings) as (process, url):
            target = Target(int(url.rpartition(":")[2]), scan)
            sound = _put_load(Load(url, target, scan.read_bytes()), process.pid, folder, given)
        left = [path.name for path in folder.glob("lts-*")]  # torch leaves an empty folder of its own
        print(f"left in the temporary folder after its end: {left or 'nothing'}")
    sys.exit(0 if sound and not left and process.returncode == 0 else 1)


def _made(scratch: Path) -> tuple[Path, Path]:
    checkpoint = train_briefly(scratch, *MODEL)
    return checkpoint, next((scratch / "phantoms").rglob("volume-*.nii.gz"))


def _put_load(load: Load, pid: int, folder: Path, given: argparse.Namespace) -> bool:
    """Load a service; tells whether all was well."""
    with httpx.Client(base_url=load.url, timeout=ANSWER_S) as client:
        load.mask = client.post("/predict", files={"scan": (load.target.scan.name, load.content)}).content
    good = given.clients - given.hostile
    load.run(good=given.clients, hostile=0, seconds=WARM_S)  # threads and memory pools are there from now on
    load.statuses.clear()
    load.latencies_s.clear()
    time.sleep(1)
    before = Residue.of(pid, folder)
    print(f"{good} good and {given.hostile} hostile clients for {given.minutes:g} minutes")
    print(f"before: {before}", flush=True)
    start = time.monotonic()
    load.run(good=good, hostile=given.hostile, seconds=60 * given.minutes)
    took_s = time.monotonic() - start
    bounds = {"growth_mib": GROWTH_MIB, "threads": THREADS}
    after = settled(pid, folder, before=before, seconds=SETTLE_S, **bounds)
    print(f"after:  {after}")
    _print(load, took_s)
    return not load.wrong and bool(load.latencies_s) and not after.exceeds(before, **bounds)


def _print(load: Load, took_s: float) -> None:
    print("good requests:", ", ".join(f"{n} x {status}" for status, n in sorted(load.statuses.items())))
    for what, latencies_s in (("a scan", load.latencies_s), ("/health", load.quick_s)):
        if latencies_s:
            ordered = sorted(latencies_s)
            p95 = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
            middle = statistics.median(ordered)
            times = f"median {middle:.2f} s, 95 % within {p95:.2f} s, all within {ordered[-1]:.2f} s"
            print(f"{what}: {times}, {len(ordered) / took_s:.2f} a second")
    for (kind, status), n in sorted(load.hostile.items()):
        print(f"  {kind}: {n} x {status or 'closed'}")
    print(f"wrong: {dict(load.wrong) or 'nothing'}")


if __name__ == "__main__":
    main()
