"""Whether slices lie at even distances, as far as the digits of their positions tell."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lts.base import VolumeError
from lts.volume._dicom_slices import Slice
from lts.volume._geometry import FloatArray

GAP_TOLERANCE = 0.05
"""How far the gap between two slices may differ from the others, as a share."""

PLACE_TOLERANCE = 0.1
"""How far, in voxels, a slice may lie from where even spacing puts it, as the corners of a mask may."""

_ROUNDED_MM = (0.1, 0.01)
"""What positions are seen rounded to, the coarsest first."""

_ROUNDING_TOLERANCE = 0.125
"""How far rounding may move a slice, in gaps: a slice that is missing moves some by a quarter at least."""


def check_even(
    folder: Path, slices: Sequence[Slice], *, along: FloatArray, normal: FloatArray
) -> tuple[str, ...]:
    """Check that slices are evenly spaced.

    Positions that are written with few digits are not, and may still be those of even slices: that is so
    where all of them are what even ones would be rounded to.

    Args:
        folder: For the message.
        slices: In order.
        along: `(n,)` mm along the normal, growing.
        normal: `(3,)` of length 1.

    Returns:
        A note where even spacing had to be taken for granted.

    Raises:
        VolumeError: They are not.
    """
    try:
        _check_gaps(folder, slices, along=along)
    except VolumeError:
        step_mm = _rounded_to(slices, normal=normal)
        if not step_mm or not _evenly_rounded(along, step_mm=step_mm, normal=normal):
            raise
        gap_mm = (along[-1] - along[0]) / (len(along) - 1)
        return (
            f"Positions of slices are rounded to {step_mm:g} mm; even spacing of {gap_mm:.4g} mm was taken.",
        )
    return ()


def _check_gaps(folder: Path, slices: Sequence[Slice], *, along: FloatArray) -> None:
    gaps = np.diff(along)
    # the lower one of two medians: a missing slice only widens gaps
    expected = float(np.sort(gaps)[(len(gaps) - 1) // 2])
    worst = int(np.abs(gaps - expected).argmax())
    if abs(gaps[worst] - expected) > GAP_TOLERANCE * expected:
        n_missing = round(gaps[worst] / expected) - 1
        whole = abs(gaps[worst] - (n_missing + 1) * expected) <= GAP_TOLERANCE * expected
        guess = f", {n_missing} missing" if whole and n_missing > 0 else ""
        raise VolumeError(
            f"{folder}: slices must be evenly spaced, expected {expected:.4g} mm and found "
            f"{gaps[worst]:.4g} mm between {slices[worst].name} and {slices[worst + 1].name}{guess}"
        )
    even = np.linspace(along[0], along[-1], len(along))
    worst = int(np.abs(along - even).argmax())
    if abs(along[worst] - even[worst]) > PLACE_TOLERANCE * expected:
        raise VolumeError(
            f"{folder}: slices must be evenly spaced, expected {slices[worst].name} at {even[worst]:.4g} mm "
            f"along the normal and found it at {along[worst]:.4g} mm"
        )


def _rounded_to(slices: Sequence[Slice], *, normal: FloatArray) -> float:
    """The step in mm that positions along the normal are multiples of; 0 where they have more digits."""
    places = np.array([each.position_mm for each in slices])[:, np.abs(normal) > PLACE_TOLERANCE]
    return next(
        (step for step in _ROUNDED_MM if np.abs(places / step - np.rint(places / step)).max() < 1e-4), 0.0
    )


def _evenly_rounded(along: FloatArray, *, step_mm: float, normal: FloatArray) -> bool:
    """Whether even slices exist that are rounded to these places.

    There is a first place and a gap that leave each slice within the rounding where, for each pair of slices,
    the gap leaves their distance within twice of it.
    """
    rounding = step_mm / 2 * float(np.abs(normal).sum()) * (1 + 1e-6)
    smallest, largest = -math.inf, math.inf
    for lag in range(1, len(along)):
        distances = along[lag:] - along[:-lag]
        smallest = max(smallest, float(distances.max() - 2 * rounding) / lag)
        largest = min(largest, float(distances.min() + 2 * rounding) / lag)
    return smallest <= largest and rounding <= _ROUNDING_TOLERANCE * largest
