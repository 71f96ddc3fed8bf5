"""How smoothly the page of the service scrolls: pictures a second that it draws of a scan of many slices.

python -m benchmarks.page_scrolling [--slices 1000] [--side 512] [--frames 600]

A service of its own shows a scan with a known mask to a headless Chromium without a GPU, on the same machine.
At each frame of the browser the wheel is turned by a notch over one of the planes, which asks for the next
picture; counted is how many of them are drawn. Needs Chromium and its driver.
"""

import argparse
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from typing import Any

import numpy as np

from benchmarks.machine import machine_facts
from lts.volume import write_volume

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "kits"))

GOAL_A_SECOND = 30
WIDTH, HEIGHT = 1280, 800
SPACING_MM = (0.75, 0.75, 1.0)
PLANES = ("axial", "coronal", "sagittal")
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
    parser.add_argument("--frames", type=int, default=600, help="of the browser, for each plane")
    asked = parser.parse_args()
    for name, fact in machine_facts().items():
        print(f"{name}: {fact}")
    with tempfile.TemporaryDirectory(prefix="lts-bench-") as folder:
        found = _measure(Path(folder), asked)
    print(f"{asked.side} x {asked.side} x {asked.slices} voxels, the page {WIDTH} x {HEIGHT} pixels")
    for plane, seen in found.items():
        print(f"{plane}: {_told(seen)}")
    return 0


def _measure(folder: Path, asked: argparse.Namespace) -> dict[str, list[tuple[float, int]]]:
    """By plane the milliseconds of each frame, and the picture that was drawn in it."""
    from browser_kit import open_browser, resize
    from page_kit import open_result, press
    from selenium.webdriver.common.keys import Keys
    from service_kit import KnownPredictor, run_service, upload

    shape = (asked.slices, asked.side, asked.side)
    labels = _write_scan(folder / "scan.nii", shape)
    limits = {"max_upload_mib": 4096, "max_voxels": 10**9, "stalled_s": 600}
    found = {}
    with (
        run_service(KnownPredictor(labels), **limits) as running,
        open_browser(folder / "profile") as browser,
    ):
        resize(browser, WIDTH, HEIGHT)
        browser.set_script_timeout(600)
        with running.client as client:
            told = upload(client, folder / "scan.nii", timeout=600).json()
        for plane in PLANES:
            open_result(browser, f"{running.url}{told['links']['page']}")
            browser.find_element("id", plane).click()
            press(browser, Keys.HOME)
            time.sleep(2)  # what lies around is here
            found[plane] = browser.execute_async_script(SCROLL, plane, asked.frames)
    return found


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
