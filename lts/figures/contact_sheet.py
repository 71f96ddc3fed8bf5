"""Masks of many scans in one look: a slice of each."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lts.base import REGION_MIN_LABEL
from lts.figures.canvas import Rgb
from lts.figures.slices import SliceView, gray_range, overlay_sheet
from lts.scores import region_masks

_GAP_PX = 6


def most_telling_slice(labels: NDArray[np.uint8], regions: Sequence[str]) -> int:
    """The slice with most of the innermost region that a mask has, the middle one where it is empty."""
    for region in reversed(regions):
        pixels = np.count_nonzero(labels >= REGION_MIN_LABEL[region], axis=(1, 2))
        if pixels.any():
            return int(pixels.argmax())
    return len(labels) // 2


def mask_picture(
    image: NDArray[np.generic],
    labels: NDArray[np.uint8],
    *,
    regions: Sequence[str],
    spacing_mm: tuple[float, float],
    window_hu: tuple[float, float] | None,
    title: str,
) -> Rgb:
    """Draw the slice with most of the innermost region that a mask has, the middle one where it is empty.

    Args:
        image: `(Z, H, W)` of a scan.
        labels: `(Z, H, W)`, its mask.
        regions: Regions that the mask can have, the innermost last.
        spacing_mm: Pixel size along H and W.
        window_hu: Level and width of the gray window, None for percentiles of the slice.
        title: What is written above, before the number of the slice.

    Returns:
        `(height, width, 3)` uint8; patient's right is at the left.

    Example:
        >>> labels = np.zeros((3, 64, 64), np.uint8)
        >>> labels[1, 20:40, 20:40] = 1
        >>> settings = {"regions": ["liver"], "spacing_mm": (5.0, 5.0), "window_hu": (40, 400)}
        >>> mask_picture(np.zeros_like(labels), labels, title="a", **settings).shape
        (420, 360, 3)
    """
    z = most_telling_slice(labels, regions)
    view = SliceView(
        image=image[z],
        prediction=region_masks(labels[z], regions),
        spacing_mm=spacing_mm,
        title=f"{title}, slice {z + 1}/{len(labels)}",
    )
    level_hu, width_hu = window_hu or gray_range([view.image])
    return overlay_sheet([view], regions=regions, level_hu=level_hu, width_hu=width_hu)


def contact_sheet(pictures: Sequence[Rgb]) -> Rgb:
    """Lay pictures side by side, about as many in a row as there are rows.

    Args:
        pictures: At least one, `(height, width, 3)` uint8 of any sizes.

    Example:
        >>> contact_sheet([np.zeros((10, 20, 3), np.uint8)] * 3).shape
        (26, 46, 3)
    """
    columns = int(np.ceil(np.sqrt(len(pictures))))
    rows = -(-len(pictures) // columns)
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    sheet = np.zeros(
        (rows * (height + _GAP_PX) - _GAP_PX, columns * (width + _GAP_PX) - _GAP_PX, 3), np.uint8
    )
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        top, left = row * (height + _GAP_PX), column * (width + _GAP_PX)
        left += (width - picture.shape[1]) // 2
        sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return sheet
