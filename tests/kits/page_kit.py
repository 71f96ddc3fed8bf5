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
Extents = dict[str, tuple[float, float, int, int]]
EXTENTS: Extents = {
    "axial": (SPACING_MM[0], SPACING_MM[1], SIDE, SIDE),
    "coronal": (SPACING_MM[0], SPACING_MM[2], SIDE, DEPTH),
    "sagittal": (SPACING_MM[1], SPACING_MM[2], SIDE, DEPTH),
}
"""Of a column and a row in mm, and their numbers, in the scan of `make_hu`."""
YELLOW, ORANGE = (0xF0, 0xE4, 0x42), (0xFF, 0x6A, 0x13)
BLUE, GREEN, PINK = (0x56, 0xB4, 0xE9), (0x00, 0xC8, 0x96), (0xE0, 0x7B, 0xC0)
"""Of liver and tumor in a second mask, and of what differs."""


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


def with_slices(browser: Any, script: str, *arguments: Any) -> Any:
    """What a script returns that has `slices`, by which the page reads planes, and `given`, the arguments."""
    return browser.execute_async_script(
        f"""
        const [given, done] = arguments;
        const use = async (slices) => {{ {script} }};
        const module = typeof modules === "undefined" ? import("/page/slices.js") : modules["slices.js"];
        Promise.resolve(module).then(({{ Slices }}) => {{
          const {{ look }} = Slices.prototype;
          Slices.prototype.look = function (places) {{
            Slices.prototype.look = look;
            this.look(places);
            use(this).then(done);
          }};
          const turned = new WheelEvent("wheel", {{ deltaY: -120, cancelable: true }});
          document.getElementById("axial").dispatchEvent(turned);
        }});
        """,
        arguments,
    )


def volumes(browser: Any, plane: str) -> dict[str, np.ndarray]:
    """Values and labels `(Z, H, W)`, put together from all planes of a kind that the page can read."""
    *sides, images = with_slices(
        browser,
        """
        const plane = [...slices.loaded.keys()].find(({ name }) => name === given[0]);
        const images = [];
        for (let index = 0; index < plane.count; index += 1) {
          images.push(await slices.source.read(plane, index, slices.stopper.signal));
        }
        const all = (kind) => images[0][kind] && images.map((image) => Array.from(image[kind]));
        const found = Object.fromEntries(["values", "labels", "second"].map((kind) => [kind, all(kind)]));
        return [plane.nRows, plane.nColumns, found];
        """,
        plane,
    )
    axis = PLANES.index(plane)
    stacked = {kind: np.reshape(numbers, (-1, *sides)) for kind, numbers in images.items() if numbers}
    # Of coronal and sagittal planes the head is above.
    return {kind: np.moveaxis(one if axis == 0 else one[:, ::-1], 0, axis) for kind, one in stacked.items()}


def pixels(browser: Any, plane: str = "axial") -> np.ndarray:
    """The canvas of a plane, `(height, width, 3)`."""
    url = browser.execute_script("return document.getElementById(arguments[0]).toDataURL('image/png')", plane)
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def on_canvas(
    shape: tuple[int, ...], plane: str = "axial", *, extents: Extents = EXTENTS
) -> tuple[float, float, float, float]:
    """Left, top, and pixels per column and row of a plane in physical proportion in the middle."""
    height, width = shape[:2]
    columns_mm, rows_mm, n_columns, n_rows = extents[plane]
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


def low_contrasts(browser: Any) -> list[tuple[str, float]]:
    """Texts that stand out from their ground by less than 7:1; there must be many texts at all."""
    found = browser.execute_script(
        """
        const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
        const ground = (element) => {
          const color = numbers(getComputedStyle(element).backgroundColor);
          return color.length === 4 && color[3] === 0 ? ground(element.parentElement) : color;
        };
        return [...document.querySelectorAll("body *")]
          .filter((one) => one.checkVisibility() && one.offsetWidth > 1)
          .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
          .map((one) => [one.textContent.trim(), numbers(getComputedStyle(one).color), ground(one)]);
        """
    )
    assert len(found) > 40
    contrasts = [(what, _contrast(ink, paper)) for what, ink, paper in found]
    return [(what, contrast) for what, contrast in contrasts if contrast < 7]


def _contrast(ink: list[float], paper: list[float]) -> float:
    """As WCAG defines it."""

    def luminance(color: list[float]) -> float:
        shares = [channel / 255 for channel in color[:3]]
        linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([luminance(ink), luminance(paper)])
    return (high + 0.05) / (low + 0.05)


def nameless(browser: Any) -> list[str]:
    """What can be used or read on the page and has no name."""
    found: list[str] = browser.execute_script(
        """
        const all = "button, input, canvas:not([aria-hidden]), a, section, summary";
        const named = ({ ariaLabel, textContent, labels }) =>
          ariaLabel || textContent.trim() || labels?.[0]?.textContent.trim();
        return [...document.querySelectorAll(all)]
          .filter((one) => one.checkVisibility() && !named(one))
          .map((one) => one.outerHTML);
        """
    )
    return found


def drop(browser: Any, path: Path, onto: str) -> None:
    """Drop a file onto an element."""
    browser.execute_script(
        """
        const [content, name, onto] = arguments;
        const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], name));
        const at = {dataTransfer: data, bubbles: true, cancelable: true};
        document.getElementById(onto).dispatchEvent(new DragEvent("drop", at));
        """,
        base64.b64encode(path.read_bytes()).decode(),
        path.name,
        onto,
    )
