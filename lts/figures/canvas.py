"""A figure without pyplot's global state, and its way into a file."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread, imsave
from matplotlib.text import Text
from numpy.typing import NDArray

from lts.base import written_whole

Rgb = NDArray[np.uint8]

_DPI = 100
_ROUNDING_PX = 1e-6
_JPEG_QUALITY = 85


def new_figure(width_px: int, height_px: int, *, color: str) -> Figure:
    """A figure of this size with an Agg canvas; one point of a font is 1.4 pixels."""
    # Some versions cut off what rounding leaves of a pixel: 4.02 inches at 100 dots would be 401.
    size = (width_px + _ROUNDING_PX) / _DPI, (height_px + _ROUNDING_PX) / _DPI
    figure = Figure(figsize=size, dpi=_DPI, facecolor=color)
    FigureCanvasAgg(figure)
    return figure


def render(figure: Figure) -> Rgb:
    """The drawn figure, `(height, width, 3)` uint8."""
    canvas: Any = figure.canvas
    with _any_alphabet():
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def fit_text(text: Text, width_px: float) -> None:
    """Shorten `text` with an ellipsis until it is no wider than `width_px`."""
    whole = text.get_text()
    kept = len(whole)
    with _any_alphabet():
        while kept > 1 and text.get_window_extent().width > width_px:
            kept = min(kept - 1, int(kept * width_px / text.get_window_extent().width) + 1)
            text.set_text(whole[:kept].rstrip() + "\N{HORIZONTAL ELLIPSIS}")


@contextmanager
def _any_alphabet() -> Iterator[None]:
    """Within, matplotlib draws a box for a sign that its font lacks, and says nothing of it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from font")
        yield


def to_jpeg(rgb: Rgb) -> bytes:
    """A picture as a JPEG file, about a fifth of its PNG where it shows a scan.

    Args:
        rgb: `(height, width, 3)` uint8.

    Raises:
        ValueError: `rgb` is not such an array.

    Example:
        >>> to_jpeg(np.full((8, 8, 3), 128, np.uint8))[:3]
        b'\\xff\\xd8\\xff'
    """
    _check("a JPEG", rgb)
    file = io.BytesIO()
    imsave(file, rgb, format="jpg", pil_kwargs={"quality": _JPEG_QUALITY})
    return file.getvalue()


def save_png(path: Path, rgb: Rgb) -> None:
    """Write a picture; a reader of `path` finds the old file or the whole new one.

    Args:
        path: The file to write or replace; its folder is made if it is not there.
        rgb: `(height, width, 3)` uint8.

    Raises:
        ValueError: `rgb` is not such an array.
        StorageError: It cannot be written.

    Example:
        >>> save_png(Path("gray.png"), np.full((8, 8, 3), 128, np.uint8))
        >>> Path("gray.png").read_bytes()[1:4]
        b'PNG'
    """
    _check(path, rgb)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file:
        imsave(file, rgb, format="png")


def read_png(path: Path) -> Rgb:
    """A picture that `save_png` wrote, `(height, width, 3)` uint8."""
    return (imread(path)[..., :3] * 255).round().astype(np.uint8)


def save_jpeg(path: Path, rgb: Rgb) -> None:
    """Write a picture as a JPEG file, as `save_png` does.

    Raises:
        ValueError: `rgb` is not `(height, width, 3)` uint8.
        StorageError: It cannot be written.
    """
    content = to_jpeg(rgb)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file:
        file.write(content)


def _check(name: object, rgb: Rgb) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"{name}: a picture must be (height, width, 3) uint8, got {rgb.shape} {rgb.dtype}")
