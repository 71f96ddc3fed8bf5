"""How smoothly the page of the service scrolls: pictures a second that it draws of a scan of many slices.

python -m benchmarks.page_scrolling [--slices 1000] [--side 512] [--frames 600]

A service of its own shows a scan with a known mask to a headless Chromium without a GPU, on the same machine.
At each frame of the browser the wheel is turned by a notch over one of the planes, which asks for the next
picture; counted is how many of them are drawn. Told are also the seconds until a scan is answered, and until
its page shows all planes, and what memory and disk take. Needs Linux, Chromium and its driver.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from typing import Any

import numpy as np

from benchmarks.machine import machine_facts
from benchmarks.measuring import peak_mib, reset_peak
from lts.volume import write_volume

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "kits"))

GOAL_A_SECOND = 30
WIDTH, HEIGHT = 1280, 800
SPACING_MM = (0.75, 0.75, 1.0)
PLANES = ("axial", "coronal", "sagittal")
MIB = 2**20
SCROLL = """
const [plane, frames, done] = arguments;
const canvas = document.getElementById(plane);
const { x, y, width, height } = canvas.getBoundingClientRect();
const at = { clientX: x + width / 2, clientY: y + height / 2, bubbles: true, cancelable: true };
const seen = [];
const frame = (now) => {
  seen.push([now, Number(canvas.dataset.slice)]);
  if (seen.length > frames) {
    done(seen);
    return;
  }
  canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: -120, ...at }));
  requestAnimationFrame(frame); // after the page has drawn
};
requestAnimationFrame(frame);
"""


def main() -> int:
    """Measure what the command line asks for, and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page_scrolling", description=__doc__)
    parser.add_argument("--slices", type=int, default=1000)
    parser.add_argument("--side", type=int, default=512, help="pixels of a slice")
    parser.add_argument("--frames", type=int, default=600, help="of the browser for each plane, at most")
    asked = parser.parse_args()
    for name, fact in machine_facts().items():
        print(f"{name}: {fact}")
    print(f"load: {os.getloadavg()[0]:.2f} processes of other work")
    with tempfile.TemporaryDirectory(prefix="lts-bench-") as folder:
        found = _measure(Path(folder), asked)
    print(f"{asked.side} x {asked.side} x {asked.slices} voxels, the page {WIDTH} x {HEIGHT} pixels")
    for line in found.lines():
        print(line)
    return 0


@dataclass
class Found:
    """What was measured.

    Attributes:
        answer_s: From the upload to its answer.
        kept_mib: What the files of the result take.
        shown_s: From the call of the page until all planes are drawn, each time.
        seen: By plane the milliseconds of each frame, and the picture that was drawn in it.
        page_mib: By plane the memory of the page, after scrolling.
        service_mib: By plane what the service took at most while the page scrolled, beyond what it had.
    """

    answer_s: float
    kept_mib: float
    shown_s: list[float] = field(default_factory=list)
    seen: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    page_mib: dict[str, float] = field(default_factory=dict)
    service_mib: dict[str, float] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """A line for each thing."""
        shown = ", ".join(f"{seconds:.2f}" for seconds in self.shown_s)
        yield f"answered after {self.answer_s:.1f} s; files {self.kept_mib:.0f} MiB"
        yield f"all planes drawn {shown} s after the page was called"
        for plane, seen in self.seen.items():
            page, service = self.page_mib[plane], self.service_mib[plane]
            yield f"{plane}: {_told(seen)}; page {page:.0f} MiB, service {service:.0f} MiB more than at rest"


def _measure(folder: Path, asked: argparse.Namespace) -> Found:
    from browser_kit import open_browser, resize
    from page_kit import open_result, press
    from selenium.webdriver.common.keys import Keys
    from service_kit import KnownPredictor, run_service, upload

    shape = (asked.slices, asked.side, asked.side)
    labels = _write_scan(folder / "scan.nii", shape)
    limits = {"max_upload_mib": 4096, "max_voxels": 10**9, "stalled_s": 600}
    with (
        run_service(KnownPredictor(labels), **limits) as running,
        open_browser(folder / "profile") as browser,
    ):
        resize(browser, WIDTH, HEIGHT)
        browser.set_script_timeout(600)
        with running.client as client:
            began = time.perf_counter()
            told = upload(client, folder / "scan.nii", timeout=600).json()
            answer_s = time.perf_counter() - began
        files = [path.stat().st_size for kept in running.kept() for path in kept.iterdir()]
        found = Found(answer_s, sum(files) / MIB)
        for plane, count in zip(PLANES, shape, strict=True):
            began = time.perf_counter()
            open_result(browser, f"{running.url}{told['links']['page']}")
            found.shown_s.append(time.perf_counter() - began)
            browser.find_element("id", plane).click()
            press(browser, Keys.HOME)
            time.sleep(2)  # what lies around is here
            reset_peak()
            at_rest_mib = peak_mib()
            # Up to the last picture: beyond it none would be drawn.
            frames = min(asked.frames, count - 1)
            found.seen[plane] = browser.execute_async_script(SCROLL, plane, frames)
            found.service_mib[plane] = peak_mib() - at_rest_mib
            found.page_mib[plane] = _page_mib(browser.service.process.pid)
    return found


def _page_mib(driver_pid: int) -> float:
    """Memory of the largest page below a process, what it shares with others by its share."""
    folders = [Path(f"/proc/{pid}") for pid in _below(driver_pid)]
    pages = [one for one in folders if b"--type=renderer" in (one / "cmdline").read_bytes()]
    lines = [line for one in pages for line in (one / "smaps_rollup").read_text().splitlines()]
    return max(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))


def _below(pid: int) -> Iterator[int]:
    """The children of a process, and theirs."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            yield from (child, *_below(child))


def _write_scan(path: Path, shape: tuple[int, int, int]) -> Any:
    """A scan of noisy tissue; returns labels `(Z, H, W)` of a liver with a tumor, as outlines take time."""
    rng = np.random.default_rng(0)
    tissue = (50 + rng.normal(0, 20, shape[1:])).astype(np.int16)
    hu, labels = np.empty(shape, np.int16), np.zeros(shape, np.uint8)
    depths, y, x = (np.linspace(-1, 1, n) for n in shape)
    in_plane = (y[:, None] + 0.2) ** 2 + (x + 0.3) ** 2
    for index, z in enumerate(depths):
        labels[index][in_plane + z**2 < 0.4] = 1
        labels[index][in_plane + z**2 < 0.02] = 2
        hu[index] = np.roll(tissue, 7 * index, axis=1) + 60 * (labels[index] == 1)
    write_volume(path, hu[:, ::-1, ::-1].transpose(2, 1, 0), affine=np.diag([*SPACING_MM, 1.0]))
    return labels


def _told(seen: list[tuple[float, int]]) -> str:
    seconds = (seen[-1][0] - seen[0][0]) / 1000
    drawn = sum(before != after for (_, before), (_, after) in pairwise(seen))
    asked = len(seen) - 1
    gaps_ms = [after - before for (before, _), (after, _) in pairwise(seen)]
    slow_ms = quantiles(gaps_ms, n=20)[-1]
    verdict = "met" if drawn / seconds >= GOAL_A_SECOND else "missed"
    rate = f"{drawn / seconds:.0f} pictures a second ({drawn} of {asked} asked for, in {seconds:.1f} s)"
    return f"{rate}; 19 of 20 frames within {slow_ms:.0f} ms; goal {GOAL_A_SECOND} a second: {verdict}"


if __name__ == "__main__":
    sys.exit(main())
