"""What tests of the page share: a scan opened in a browser, and what its canvas shows."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from service_kit import SIDE, SPACING_MM, Running, wait_until

WIDTH, HEIGHT = 1280, 800
YELLOW, ORANGE = (0xF0, 0xE4, 0x42), (0xFF, 0x6A, 0x13)


def text(browser: Any, selector: str) -> str:
    found: str = browser.find_element("css selector", selector).text
    return found


def state(browser: Any) -> str:
    found: str = browser.execute_script("return document.body.dataset.state")
    return found


def shown_slice(browser: Any) -> int:
    return int(browser.execute_script("return document.getElementById('slice').dataset.slice ?? -1"))


def press(browser: Any, *keys: str) -> None:
    browser.switch_to.active_element.send_keys(*keys)


def open_scan(browser: Any, running: Running, path: Path) -> None:
    browser.get("about:blank")
    browser.get(running.url)
    browser.find_element("id", "file").send_keys(str(path))
    wait_until(lambda: state(browser) == "viewer", 30)
    wait_until(lambda: shown_slice(browser) >= 0)


def pixels(browser: Any) -> np.ndarray:
    """The canvas, `(height, width, 3)`."""
    url = browser.execute_script("return document.getElementById('slice').toDataURL('image/png')")
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def on_canvas(shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Left, top, and pixels per column and row of a slice in physical proportion in the middle."""
    height, width = shape[:2]
    per_mm = min(width / (SIDE * SPACING_MM[0]), height / (SIDE * SPACING_MM[1]))
    column, row = SPACING_MM[0] * per_mm, SPACING_MM[1] * per_mm
    return (width - SIDE * column) / 2, (height - SIDE * row) / 2, column, row


def near(canvas: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return np.abs(canvas - color).max(axis=2) < 40
