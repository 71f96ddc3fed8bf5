"""Voxels as numbers of two bytes, and gray windows to see them in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lts.base import LIVER

_INT16 = np.iinfo(np.int16)
_SOFT_TISSUE = {"name": "Soft tissue", "level": 40.0, "width": 400.0}
_ANY_LIVER = {"name": "Liver", "level": 90.0, "width": 220.0}
"""Without a contrast medium a liver lies at 50 to 60 HU, with one at up to 150, rarely more."""
_LIVER_WIDTHS_HU, _LIVER_SPREAD = (150.0, 300.0), 1.5
"""Bounds of the width of a window fitted to a liver, as a mask may hold more than liver; its width as a
multiple of the range of the liver's values."""
_MR_WINDOWS = (("1 to 99 %", (1, 99)), ("10 to 95 %", (10, 95)))
_SAMPLED = 2**20


@dataclass(frozen=True)
class ValueScale:
    """How stored numbers become values: `slope * number + intercept`.

    >>> scale = ValueScale.of(np.array([0.0, 1.0]))
    >>> scale.stored(np.array([0.0, 1.0])).tolist()
    [-32768, 32767]

    Attributes:
        slope: Of a step of the stored numbers.
        intercept: The value of the number 0.
    """

    slope: float = 1.0
    intercept: float = 0.0

    @classmethod
    def of(cls, voxels: NDArray[Any]) -> Self:
        """The scale that loses least of some voxels; nothing of int16."""
        if voxels.dtype == np.int16:
            return cls()
        low, high = float(voxels.min()), float(voxels.max())
        slope = (high - low) / (_INT16.max - _INT16.min) or 1.0
        return cls(slope, low - slope * _INT16.min)

    def stored(self, voxels: NDArray[Any]) -> NDArray[np.int16]:
        """The numbers of some voxels, little endian."""
        if voxels.dtype == np.int16:
            return voxels.astype("<i2", copy=False)
        numbers = np.rint((voxels.astype(np.float64) - self.intercept) / self.slope)
        return numbers.clip(_INT16.min, _INT16.max).astype("<i2")


def gray_windows(
    voxels: NDArray[Any], labels: NDArray[np.uint8], *, modality: str
) -> list[Mapping[str, Any]]:
    """Gray windows of a scan, the first of which a page opens with: `name`, `level` and `width` of each.

    >>> hu = np.array([[[100, 110, 120, -1000]]], np.int16)
    >>> gray_windows(hu, np.array([[[1, 1, 1, 0]]], np.uint8), modality="ct")[0]["level"]
    110.0

    Args:
        voxels: `(Z, H, W)`, of a CT in HU.
        labels: `(Z, H, W)` uint8; a CT's first window is fitted to its liver.
        modality: What made the scan, `ct` or `mr`.
    """
    if modality == "ct":
        return [_liver_window(voxels[labels == LIVER]), _SOFT_TISSUE]
    sample = _sampled(voxels.reshape(-1))
    windows: list[Mapping[str, Any]] = []
    for name, percents in _MR_WINDOWS:
        low, high = (float(value) for value in np.percentile(sample, percents))
        windows.append({"name": name, "level": (low + high) / 2, "width": high - low or 1.0})
    return windows


def _liver_window(hu: NDArray[Any]) -> Mapping[str, Any]:
    """The liver of this scan in mid-gray, its darkest and brightest hundredth well within the window."""
    if not hu.size:
        return _ANY_LIVER
    low, level, high = np.percentile(_sampled(hu), (1, 50, 99))
    width = np.clip(_LIVER_SPREAD * (high - low), *_LIVER_WIDTHS_HU)
    return {"name": "Liver", "level": float(round(level)), "width": float(round(width))}


def _sampled(values: NDArray[Any]) -> NDArray[np.float64]:
    return values[:: max(1, values.size // _SAMPLED)].astype(np.float64)
