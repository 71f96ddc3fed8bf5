"""Lesions of training slices, put into the healthy liver of another."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from lts.base import LIVER, TUMOR
from lts.data.lesions import Lesion
from lts.data.synthetic_tumors import (
    LEAST_DIAMETER_PIXELS,
    LEAST_LIVER_PIXELS,
    MOST_OF_DEPTH,
    Floats,
    blend,
    depth_in,
    draw_center,
    mean_value,
)

_SIZES = (0.8, 1.25)
"""Range of the factor on a lesion's size."""
_EDGE_PIXELS = (0.5, 1.2)
"""Range of the standard deviation of the blur of a lesion's edge, which is then one to three pixels wide."""
_MOST_OF_RADIUS = 0.4
"""Of the radius, that the blur may be: a small lesion would vanish."""
_NEAR = 0.9
"""Of the radius, how far from the edge of the liver the center lies of a lesion that was cut there."""


def copy_tumor(
    image: NDArray[np.int16],
    labels: NDArray[np.uint8],
    rng: np.random.Generator,
    *,
    lesions: Sequence[Lesion],
    pixel_mm: float,
    in_proportion: bool = False,
) -> tuple[NDArray[np.int16], NDArray[np.uint8]] | None:
    """Put one of several lesions into the liver of a slice and its neighbors.

    It is turned by any angle, mirrored at times, and has its size in mm, but for a factor of 0.8 to 1.25. A
    side that lay at the edge of the liver comes to lie at its edge. Its distance from the liver around it is
    that of its own scan. What is coarse under it is replaced, the noise of the slice goes through it, and its
    edge is softened.

    Args:
        image: `(N, H, W)` raw values of N neighboring slices, the middle one with `labels`.
        labels: `(H, W)`.
        rng: Source of all that is drawn.
        lesions: Those to choose from, each of N slices.
        pixel_mm: Side of a pixel of `image`.
        in_proportion: Whether its contrast grows with the value of the liver, as in MR, whose scale is
            arbitrary; else it is kept as a difference.

    Returns:
        Copies of image and labels with the lesion; None where there is no room for any.

    Example:
        >>> from lts.data import cut_lesions
        >>> image, labels = np.full((1, 64, 64), 100, np.int16), np.ones((64, 64), np.uint8)
        >>> other, marked = image - 30, labels.copy()
        >>> other[0, 30:40, 20:30], marked[30:40, 20:30] = 20, 2
        >>> lesions = cut_lesions(other, marked[None], pixel_mm=0.8)
        >>> image, labels = copy_tumor(image, labels, np.random.default_rng(0), lesions=lesions, pixel_mm=0.8)
        >>> int(image[0].min()), int(image[0].max())  # 20 is 50 below 70, and 50 below 100
        (50, 100)
    """
    healthy = labels == LIVER
    if np.count_nonzero(healthy) < LEAST_LIVER_PIXELS:
        return None
    factor = math.exp(rng.uniform(*np.log(_SIZES)))
    depth = depth_in(healthy)
    radii = np.array([lesion.radius_mm for lesion in lesions]) * factor / pixel_mm
    radii = np.maximum(radii, LEAST_DIAMETER_PIXELS / 2)
    fitting = np.flatnonzero(radii <= MOST_OF_DEPTH * float(depth.max()))
    if not len(fitting):
        return None
    chosen = int(rng.choice(fitting))
    lesion, radius = lesions[chosen], float(radii[chosen])
    assert len(lesion.inside) == len(image), (
        f"lesions must be of {len(image)} slices, got {len(lesion.inside)}"
    )
    near = np.where(depth <= max(_NEAR * radius, 0.6 * radius + 1), depth, 0) if lesion.open_side else depth
    center = draw_center(near, radius, rng)
    turn, mirrored = rng.uniform(-math.pi, math.pi), rng.random() < 0.5
    if lesion.open_side:
        turn = turn / 10 + _turn_outward(lesion.open_side, depth, center, mirrored=mirrored)
    blur = min(rng.uniform(*_EDGE_PIXELS), _MOST_OF_RADIUS * radius)
    scale = radius * lesion.pixel_mm / lesion.radius_mm
    onto, box = _onto(lesion, center, scale, turn=turn, mirrored=mirrored, shape=labels.shape)
    changed, marked = image.copy(), labels.copy()
    middle = len(image) // 2
    for number, (contrast, inside) in enumerate(zip(lesion.contrast, lesion.inside, strict=True)):
        if not inside.any():
            continue
        here = changed[number][box]
        share = cv2.GaussianBlur(_laid(inside.astype(np.float32), onto, scale, here.shape), (0, 0), blur)
        value = mean_value(here, healthy[box])
        ratio = value / lesion.liver_value if in_proportion and lesion.liver_value > 0 else 1.0
        tumor = value + np.float32(ratio) * _laid(
            contrast, onto, scale, here.shape, beyond=cv2.BORDER_REPLICATE
        )
        blend(here, share, tumor, liver=labels[box] > 0)
        if number == middle:
            marked[box][(share > 0.5) & healthy[box]] = TUMOR
    return changed, marked


def _turn_outward(
    open_side: tuple[float, float], depth: Floats, center: tuple[int, int], *, mirrored: bool
) -> float:
    """The angle that turns a side of a lesion to the nearest edge of the liver, from x to y."""
    (row, column), (last_row, last_column) = center, np.array(depth.shape) - 1
    down = depth[min(row + 2, last_row), column] - depth[max(row - 2, 0), column]
    right = depth[row, min(column + 2, last_column)] - depth[row, max(column - 2, 0)]
    side = math.atan2(open_side[0], -open_side[1] if mirrored else open_side[1])
    return math.atan2(-down, -right) - side


def _onto(
    lesion: Lesion,
    center: tuple[int, int],
    scale: float,
    *,
    turn: float,
    mirrored: bool,
    shape: tuple[int, ...],
) -> tuple[NDArray[np.float64], tuple[slice, slice]]:
    """The 2x3 matrix from pixels of a lesion to those of a box of the slice, x first, and the box."""
    height, width = lesion.inside.shape[1:]
    row, column = lesion.anchor
    reach = math.ceil(scale * math.hypot(max(row, height - row), max(column, width - column))) + 2
    rows, columns = (
        slice(max(at - reach, 0), min(at + reach + 1, n)) for at, n in zip(center, shape, strict=True)
    )
    along, across = scale * math.cos(turn), scale * math.sin(turn)
    matrix = np.array([[along, -across], [across, along]])
    if mirrored:
        matrix[:, 0] *= -1
    shift = np.array([center[1] - columns.start, center[0] - rows.start]) - matrix @ (column, row)
    return np.column_stack([matrix, shift]), (rows, columns)


def _laid(
    pixels: Floats,
    onto: NDArray[np.float64],
    scale: float,
    shape: tuple[int, ...],
    *,
    beyond: int = cv2.BORDER_CONSTANT,
) -> Floats:
    """Pixels of a lesion on those of a box; what shrinks is blurred before, so that none is skipped."""
    if scale < 1:
        pixels = cv2.GaussianBlur(pixels, (0, 0), 0.5 * math.sqrt(scale**-2 - 1))
    laid: Floats = cv2.warpAffine(pixels, onto, shape[::-1], flags=cv2.INTER_LINEAR, borderMode=beyond)
    return laid
