"""Tumors painted into the healthy liver of a training slice."""

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from lts.base import LIVER, TUMOR

Floats = NDArray[np.float32]

LEAST_LIVER_PIXELS = 50
LEAST_DIAMETER_PIXELS = 2.5
MOST_OF_DEPTH = 1.2
"""Of the distance from the edge of healthy liver at its deepest, what the radius of a tumor may be."""
_INT16 = np.iinfo(np.int16)
_HARMONICS = 4
_ROUGHNESS = 0.12
"""Of the radius, that the outline's first harmonic may add; higher ones less."""
_TEXTURE = 0.15
"""Of the contrast, standard deviation of the unevenness inside."""
_DETAIL_PIXELS = 1.5
"""What is finer than this stays as scanned, so that a tumor has the scan's own noise."""


def paint_tumor(
    image: NDArray[np.int16],
    labels: NDArray[np.uint8],
    rng: np.random.Generator,
    *,
    size: tuple[float, float],
    contrast_hu: tuple[float, float],
    bright_share: float,
) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Paint one tumor into the liver of a slice and its neighbors.

    It is even, rimmed or has a dark core; its outline is rough, its edge a pixel or more wide, and the scan's
    noise goes through it. A slice with next to no healthy liver stays as it is.

    Args:
        image: `(N, H, W)` HU of N neighboring slices, the middle one with `labels`.
        labels: `(H, W)`.
        rng: Source of all that is drawn.
        size: Range of its diameter, as a share of that of the disk with the area of the slice's liver.
        contrast_hu: Range of its distance from the liver around it.
        bright_share: Probability that it is brighter than the liver; else it is darker.

    Returns:
        Image and labels, copies where they differ.

    Example:
        >>> image, labels = np.full((1, 64, 64), 100, np.int16), np.ones((64, 64), np.uint8)
        >>> settings = {"size": (0.3, 0.3), "contrast_hu": (40, 40), "bright_share": 0.0}
        >>> image, labels = paint_tumor(image, labels, np.random.default_rng(0), **settings)
        >>> bool(image[0][labels == 2].mean() < 80), bool((image[0][labels == 1] > 70).all())
        (True, True)
    """
    healthy = labels == LIVER
    n_liver = np.count_nonzero(healthy)
    if n_liver < LEAST_LIVER_PIXELS:
        return image, labels
    radius = math.sqrt(n_liver / math.pi) * math.exp(rng.uniform(*np.log(size)))
    radius = max(radius, LEAST_DIAMETER_PIXELS / 2)
    depth = depth_in(healthy)
    radius = min(radius, MOST_OF_DEPTH * float(depth.max()))
    center = draw_center(depth, radius, rng)
    contrast = rng.uniform(*contrast_hu) * (1 if rng.random() < bright_share else -1)
    outline = _Outline.draw(rng)
    edge_pixels = float(rng.uniform(1.0, 2.5))
    profile = _draw_profile(rng, contrast)
    texture_seed = int(rng.integers(2**32))
    painted, marked = image.copy(), labels.copy()
    middle = len(image) // 2
    for number, slice_radius in enumerate(_radii(radius, len(image), rng)):
        if slice_radius <= 0:
            continue
        scaled, box = outline.lay(center, slice_radius, shape=labels.shape)
        share: Floats = np.clip(0.5 - (scaled - 1) * np.float32(slice_radius / edge_pixels), 0, 1)
        texture = _texture(np.random.default_rng(texture_seed), scaled.shape)
        change: Floats = np.float32(contrast) * (profile(scaled) + np.float32(_TEXTURE) * texture)
        here = painted[number][box]
        blend(here, share, mean_value(here, healthy[box]) + change, liver=labels[box] > 0)
        if number == middle:
            marked[box][(share > 0.5) & healthy[box]] = TUMOR
    return painted, marked


class _Outline:
    """A rough ellipse: its radius by direction, in units of its mean radius."""

    def __init__(self, stretch: float, turn: float, waves: Floats, phases: Floats) -> None:
        self._stretch, self._turn, self._waves, self._phases = stretch, turn, waves, phases

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "_Outline":
        orders = np.arange(2, 2 + _HARMONICS)
        return cls(
            stretch=float(np.exp(rng.uniform(-0.25, 0.25))),
            turn=float(rng.uniform(0, math.pi)),
            waves=(_ROUGHNESS * rng.uniform(-1, 1, _HARMONICS) * 2 / orders).astype(np.float32),
            phases=rng.uniform(0, 2 * math.pi, _HARMONICS).astype(np.float32),
        )

    def lay(
        self, center: tuple[int, int], radius: float, *, shape: tuple[int, ...]
    ) -> tuple[Floats, tuple[slice, slice]]:
        """Distance from the center over the distance of the outline, and the box that it covers."""
        reach = math.ceil(2 * radius) + 3
        rows, columns = (
            slice(max(at - reach, 0), min(at + reach + 1, n)) for at, n in zip(center, shape, strict=True)
        )
        y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - center[0]
        x = np.arange(columns.start, columns.stop, dtype=np.float32)[None] - center[1]
        along = math.cos(self._turn) * x + math.sin(self._turn) * y
        across = math.cos(self._turn) * y - math.sin(self._turn) * x
        distance = np.hypot(along / self._stretch, across * self._stretch)
        angle = np.arctan2(across, along)
        outline = np.ones_like(angle)
        for order, (wave, phase) in enumerate(zip(self._waves, self._phases, strict=True), start=2):
            outline += wave * np.cos(order * angle + phase)
        return (distance / (radius * outline)).astype(np.float32), (rows, columns)


def depth_in(healthy: NDArray[np.bool_]) -> Floats:
    """`(H, W)` distance of healthy liver from its edge, in pixels; 0 outside."""
    depth: Floats = cv2.distanceTransform(np.pad(healthy, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    return depth


def draw_center(depth: Floats, radius: float, rng: np.random.Generator) -> tuple[int, int]:
    """A center in the liver, at its edge at times, that leaves room for a radius of up to `MOST_OF_DEPTH`."""
    room = np.flatnonzero(depth >= 0.6 * radius)
    row, column = np.unravel_index(int(rng.choice(room)), depth.shape)
    return int(row), int(column)


def _radii(radius: float, n_slices: int, rng: np.random.Generator) -> list[float]:
    """The radius in each slice of a ball that has `radius` in the middle one."""
    cut_at, step = rng.uniform(-0.7, 0.7), rng.uniform(1, 4)
    whole = radius / math.sqrt(1 - cut_at**2)
    heights = [cut_at * whole + (number - n_slices // 2) * step for number in range(n_slices)]
    return [math.sqrt(max(0.0, whole**2 - height**2)) for height in heights]


def _draw_profile(rng: np.random.Generator, contrast: float) -> Callable[[Floats], Floats]:
    """Contrast from the center (0) to the outline (1), as a multiple of the drawn one."""
    variant = rng.random()
    if contrast < 0 and variant < 0.15:
        inside, outside, edge = 1.3, -0.3, 0.85  # an enhancing rim
    elif contrast < 0 and variant < 0.4:
        inside, outside, edge = 1.5, 0.8, 0.6  # a dark core
    else:
        inside = outside = edge = 1.0

    def profile(scaled: Floats) -> Floats:
        blend: Floats = np.clip((scaled - edge) / 0.15 + 0.5, 0, 1)
        contrasts: Floats = inside + (outside - inside) * blend
        return contrasts

    return profile


def _texture(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Smooth unevenness of mean 0 and standard deviation about 1, some pixels in grain."""
    coarse = rng.standard_normal((shape[0] // 4 + 2, shape[1] // 4 + 2), dtype=np.float32)
    smooth: Floats = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return smooth


def mean_value(values: NDArray[np.int16], healthy: NDArray[np.bool_]) -> float:
    """Mean of healthy liver."""
    return float(values[healthy].astype(np.float32).mean())


def coarse_part(values: Floats, inside: NDArray[np.bool_]) -> Floats:
    """What is left of `(H, W)` values without detail and noise; those outside have no part in it."""
    weights = inside.astype(np.float32)
    # A mean over liver alone: at its edge, fat would be taken for a dark place of the liver.
    weight = cv2.GaussianBlur(weights, (0, 0), _DETAIL_PIXELS)
    coarse: Floats = cv2.GaussianBlur(values * weights, (0, 0), _DETAIL_PIXELS) / np.maximum(weight, 1e-3)
    return coarse


def blend(values: NDArray[np.int16], share: Floats, tumor: Floats, *, liver: NDArray[np.bool_]) -> None:
    """Replace what is coarse under a tumor by the tumor, in place, as far as its share goes; noise stays."""
    under = values.astype(np.float32)
    blended = under + share * liver.astype(np.float32) * (tumor - coarse_part(under, liver))
    values[:] = np.clip(np.rint(blended), _INT16.min, _INT16.max).astype(np.int16)
