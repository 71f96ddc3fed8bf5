"""Hostile clients of every kind beside good ones for a moment; `benchmarks/serve_load.py` takes minutes."""

import importlib.util
import os
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from service_kit import Running, run_service, upload, wait_until

SOURCE = Path(__file__).parents[2] / "benchmarks" / "hostile.py"


@pytest.fixture(scope="module")
def hostile() -> Any:
    spec = importlib.util.spec_from_file_location("hostile", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["hostile"] = module
    spec.loader.exec_module(module)
    return module


def n_files() -> int:
    return len(list(Path(f"/proc/{os.getpid()}/fd").iterdir()))


def masks_until(running: Running, scan: Path, ended: threading.Event) -> list[bytes]:
    """What a good client gets, who asks again where the queue is full."""
    masks = []
    with running.client as client:
        while not ended.is_set() or not masks:
            answer = upload(client, scan, "/predict")
            assert answer.status_code in (200, 503), answer.text
            if answer.status_code == 200:
                masks.append(answer.content)
            else:
                ended.wait(0.05)
    return masks


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted by /proc")
def test_hostile_clients_of_every_kind_take_nothing_from_good_ones(
    predictor: Any, scan_file: Path, hostile: Any
) -> None:
    random.seed(0)
    settings = {"stalled_s": 1, "least_kib_s": 2, "headers_s": 1, "queue_size": 3, "max_files": 100}
    settings["max_connections"] = 256  # two bursts at once must not take all of them
    with run_service(predictor, **settings) as running, ThreadPoolExecutor(10) as pool:
        with running.client as client:
            sound = upload(client, scan_file, "/predict").content
        wait_until(lambda: not running.server._connections.open)
        before = n_files()
        target, ended = hostile.Target(running.port, scan_file, longest_s=8), threading.Event()
        good = [pool.submit(masks_until, running, scan_file, ended) for _ in range(2)]
        try:
            statuses = list(pool.map(target.meet, hostile.KINDS * 2))
        finally:
            ended.set()
        for kind, status in zip(hostile.KINDS * 2, statuses, strict=True):
            assert hostile.is_fair(kind, status), (kind.__name__, status)
        masks = [mask for client in good for mask in client.result()]
        assert set(masks) == {sound}
        wait_until(lambda: running.service.gate.taken == 0 and running.left_over() == set())
        wait_until(lambda: not running.server._connections.open and n_files() <= before)
    assert not any("500" in line for line in running.lines)
