"""What tests of the page share: a scan opened in a browser, and what its canvas shows."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from service_kit import DEPTH, SIDE, SPACING_MM, Running, wait_until

WIDTH, HEIGHT = 1280, 800
PLANES = ("axial", "coronal", "sagittal")
EXTENTS = {
    "axial": (SPACING_MM[0], SPACING_MM[1], SIDE, SIDE),
    "coronal": (SPACING_MM[0], SPACING_MM[2], SIDE, DEPTH),
    "sagittal": (SPACING_MM[1], SPACING_MM[2], SIDE, DEPTH),
}
"""Of a column and a row in mm, and their numbers, in the scan of `make_hu`."""
YELLOW, ORANGE = (0xF0, 0xE4, 0x42), (0xFF, 0x6A, 0x13)


def text(browser: Any, selector: str) -> str:
    found: str = browser.find_element("css selector", selector).text
    return found


def state(browser: Any) -> str:
    found: str = browser.execute_script("return document.body.dataset.state")
    return found


def shown_slice(browser: Any, plane: str = "axial") -> int:
    """Index of the plane that is drawn, -1 before one is."""
    return int(
        browser.execute_script("return document.getElementById(arguments[0])?.dataset.slice ?? -1", plane)
    )


def shown_voxel(browser: Any) -> tuple[int, int, int]:
    """Where the drawn planes cross, `(z, row, column)`."""
    return tuple(shown_slice(browser, plane) for plane in PLANES)


def press(browser: Any, *keys: str) -> None:
    browser.switch_to.active_element.send_keys(*keys)


def open_scan(browser: Any, running: Running, path: Path) -> None:
    """Upload a scan by the page."""
    browser.get("about:blank")
    browser.get(running.url)
    browser.find_element("id", "file").send_keys(str(path))
    wait_until_shown(browser)


def open_result(browser: Any, url: str) -> None:
    """Open the page of a kept result."""
    browser.get("about:blank")
    browser.get(url)
    wait_until_shown(browser)


def wait_until_shown(browser: Any) -> None:
    wait_until(lambda: state(browser) == "viewer", 30)
    wait_until(lambda: min(shown_voxel(browser)) >= 0)


def pixels(browser: Any, plane: str = "axial") -> np.ndarray:
    """The canvas of a plane, `(height, width, 3)`."""
    url = browser.execute_script("return document.getElementById(arguments[0]).toDataURL('image/png')", plane)
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def on_canvas(shape: tuple[int, ...], plane: str = "axial") -> tuple[float, float, float, float]:
    """Left, top, and pixels per column and row of a plane in physical proportion in the middle."""
    height, width = shape[:2]
    columns_mm, rows_mm, n_columns, n_rows = EXTENTS[plane]
    per_mm = min(width / (n_columns * columns_mm), height / (n_rows * rows_mm))
    column, row = columns_mm * per_mm, rows_mm * per_mm
    return (width - n_columns * column) / 2, (height - n_rows * row) / 2, column, row


def point(browser: Any, plane: str, column: float, row: float) -> tuple[int, int]:
    """Where a point of a plane lies on the page while it is not zoomed; [0.5, 0.5] is the first pixel."""
    box = browser.execute_script(
        "const {x, y, width, height} = document.getElementById(arguments[0]).getBoundingClientRect();"
        "return [x, y, height, width]",
        plane,
    )
    left, top, per_column, per_row = on_canvas((box[2], box[3]), plane)
    return round(box[0] + left + column * per_column), round(box[1] + top + row * per_row)


def drag(browser: Any, *points: tuple[int, int], button: int = 0, kind: str = "mouse") -> None:
    """Press at the first of some points of the page, move over the others and let go."""
    from selenium.webdriver.common.actions.action_builder import ActionBuilder
    from selenium.webdriver.common.actions.pointer_input import PointerInput

    actions = ActionBuilder(browser, mouse=PointerInput(kind, kind), duration=20)
    pointer = actions.pointer_action
    pointer.move_to_location(*points[0]).pointer_down(button)
    for each in points[1:]:
        pointer.move_to_location(*each)
    pointer.pointer_up(button)
    actions.perform()


def scroll(
    browser: Any, plane: str, delta: int, *, at: tuple[float, float] = (0.5, 0.5), **keys: bool
) -> None:
    """Turn the wheel by so many pixels at a share of a plane's width and height, with keys held."""
    browser.execute_script(
        """
        const [plane, deltaY, [across, down], keys] = arguments;
        const canvas = document.getElementById(plane);
        const { x, y, width, height } = canvas.getBoundingClientRect();
        const [clientX, clientY] = [x + across * width, y + down * height];
        const event = { deltaY, clientX, clientY, bubbles: true, cancelable: true, ...keys };
        canvas.dispatchEvent(new WheelEvent("wheel", event));
        """,
        plane,
        delta,
        at,
        keys,
    )


def near(canvas: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return np.abs(canvas - color).max(axis=2) < 40
