"""The square that slices are laid on, chosen by what the training cases show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lts.base import ConfigError
from lts.slices.fingerprint import CaseFingerprint
from lts.slices.plane import LARGEST_IMAGE, LARGEST_MM, SMALLEST_IMAGE, SMALLEST_MM, check_plane

_MULTIPLE = 32
"""Of the side of the square: networks halve it up to five times."""
_HELD_PERCENT = 95
"""Of the cases whose field of view a square holds: one very wide scan would cost all others pixels."""
_WIDER = 1.05
"""Pixels than the median spacing, at most, where that saves a step of the side."""
_DIGITS = 4
"""Of a size of pixels; rounded up, so that no field of view grows beyond the square by it."""
_PART = 1e-6
"""Of a pixel, that a quotient may be off."""


@dataclass(frozen=True)
class FittedSquare:
    """A square for slices.

    Attributes:
        image_size: Its side in pixels.
        pixel_mm: Side of its pixels; None where each slice is fitted to it.
        needed_mm: What it is to show: the field of view of 95 % of the cases, and the liver of every one; or,
            around the liver, every liver with its margins.
        median_spacing_mm: The median spacing of the cases.

    Example:
        >>> FittedSquare(image_size=512, pixel_mm=0.75, needed_mm=380.0, median_spacing_mm=0.75).side_mm
        384.0
    """

    image_size: int
    pixel_mm: float | None
    needed_mm: float
    median_spacing_mm: float

    @property
    def side_mm(self) -> float | None:
        """What it shows; None where that is each slice's field of view."""
        return None if self.pixel_mm is None else self.image_size * self.pixel_mm


def fit_square(
    cases: Sequence[CaseFingerprint],
    *,
    image_size: int | Literal["auto"] = "auto",
    pixel_mm: float | Literal["auto"] | None = "auto",
    margin_mm: float | None = None,
) -> FittedSquare:
    """Choose size and pixels of the square by the training cases, where they are `auto`.

    Pixels are as wide as the median spacing of the cases, or wider where `image_size` pixels would not show
    what is needed. The side is the smallest multiple of 32 pixels that shows it; if pixels are open too, they
    may be up to 5 % wider where this saves 32. With pixels that follow from each slice (None), the side is
    the median of what slices have.

    Args:
        cases: The training cases, at least one.
        image_size: Side of the square in pixels.
        pixel_mm: Side of its pixels; None fits each slice, or its part around the liver, to the square.
        margin_mm: What is shown beyond the liver on every side where that is all to be shown; None for whole
            slices.

    Raises:
        ConfigError: What is given, or what follows from the cases, is beyond the limits of `check_plane`.

    Example:
        >>> case = CaseFingerprint("a", None, None, (512, 512), (0.75, 0.75), None, None, [], {})
        >>> fit_square([case]).image_size, fit_square([case]).pixel_mm
        (512, 0.75)
        >>> fit_square([case], image_size=256).pixel_mm, fit_square([case], pixel_mm=2).image_size
        (1.5, 192)
    """
    assert cases
    check_plane(
        image_size=SMALLEST_IMAGE if image_size == "auto" else image_size,
        pixel_mm=None if pixel_mm == "auto" else pixel_mm,
    )
    median_mm = float(np.median([case.spacing_mm for case in cases]))
    views_mm = [_view_mm(case, margin_mm) for case in cases]
    if margin_mm is None:
        livers_mm = [2 * case.liver_reach_mm for case in cases if case.liver_reach_mm is not None]
        needed_mm = max(float(np.percentile(views_mm, _HELD_PERCENT, method="inverted_cdf")), *livers_mm, 0.0)
    else:
        needed_mm = max(views_mm)
    if image_size == "auto" and pixel_mm == "auto":
        image_size = min(_in_steps(needed_mm / (median_mm * _WIDER)), LARGEST_IMAGE)
    if pixel_mm == "auto":
        assert image_size != "auto"
        pixel_mm = _rounded_up(max(median_mm, needed_mm / image_size))
        if not SMALLEST_MM <= pixel_mm <= LARGEST_MM:
            raise ConfigError(
                f"pixel_mm: must be from {SMALLEST_MM} to {LARGEST_MM} mm, auto makes it {pixel_mm:g} for a "
                f"median spacing of {median_mm:g} mm and {needed_mm:g} mm to show"
            )
    if image_size == "auto":
        pixels = _median_pixels(cases, views_mm) if pixel_mm is None else needed_mm / pixel_mm
        image_size = _in_steps(pixels)
        if not SMALLEST_IMAGE <= image_size <= LARGEST_IMAGE:
            raise ConfigError(
                f"image_size: must be from {SMALLEST_IMAGE} to {LARGEST_IMAGE} pixels, auto makes it "
                f"{image_size} for {pixels:.0f} pixels "
                + ("of a slice" if pixel_mm is None else f"of {pixel_mm:g} mm that show {needed_mm:g} mm")
            )
    return FittedSquare(image_size, pixel_mm, needed_mm=needed_mm, median_spacing_mm=median_mm)


def _in_steps(pixels: float) -> int:
    return max(1, math.ceil(pixels / _MULTIPLE - _PART)) * _MULTIPLE


def _view_mm(case: CaseFingerprint, margin_mm: float | None) -> float:
    """The longer side of what is to be shown of a case; of one without liver, its field of view."""
    if margin_mm is None or case.liver_hw_mm is None:
        return case.field_of_view_mm
    return max(case.liver_hw_mm) + 2 * margin_mm


def _median_pixels(cases: Sequence[CaseFingerprint], views_mm: Sequence[float]) -> float:
    """Of what is shown of a case, in pixels of its own spacing."""
    return float(
        np.median([view_mm / case.spacing_mm for case, view_mm in zip(cases, views_mm, strict=True)])
    )


def _rounded_up(mm: float) -> float:
    decimals = _DIGITS - 1 - math.floor(math.log10(mm))
    steps_a_mm = 10.0**decimals
    return round(math.ceil(mm * steps_a_mm - _PART) / steps_a_mm, decimals)
