"""The box of voxels that holds a liver, and how it lies in its scan."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lts.base import ConfigError
from lts.components import bounding_box

LARGEST_MARGIN_MM = 500.0
_SIDES = (("feet", "head"), ("front", "back"), ("right", "left"))
"""Of a scan, at the first and the last index of each axis."""
_ROUNDING = 1e-6
"""Of a voxel: what a quotient of millimeters may be off a whole number."""


@dataclass(frozen=True)
class Box:
    """Whole voxels of a scan along each axis: the first, and the one after the last.

    Attributes:
        slices: From the feet up.
        rows: From the front.
        columns: From the patient's right.

    Example:
        >>> box = Box(slices=(2, 5), rows=(0, 10), columns=(4, 24))
        >>> box.size_mm((5.0, 0.8, 0.8))
        (15.0, 8.0, 16.0)
        >>> box.touches((40, 64, 64))
        ('front',)
    """

    slices: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]

    @classmethod
    def around(cls, mask: NDArray[np.bool_]) -> Self | None:
        """The smallest box that holds a `(Z, H, W)` bool mask, None for an empty one."""
        found = bounding_box(mask)
        if found is None:
            return None
        slices, rows, columns = ((side.start, side.stop) for side in found)
        return cls(slices=slices, rows=rows, columns=columns)

    def size_mm(self, spacing_mm: tuple[float, float, float]) -> tuple[float, float, float]:
        """Its edges along `(Z, H, W)`."""
        z, y, x = (
            (stop - start) * step
            for (start, stop), step in zip((self.slices, self.rows, self.columns), spacing_mm, strict=True)
        )
        return z, y, x

    def touches(self, shape: tuple[int, ...]) -> tuple[str, ...]:
        """The sides of a scan of `(Z, H, W)` voxels that it reaches: there the liver may be cut."""
        reached = []
        for (start, stop), length, (low, high) in zip(
            (self.slices, self.rows, self.columns), shape, _SIDES, strict=True
        ):
            reached += [low] if start == 0 else []
            reached += [high] if stop == length else []
        return tuple(reached)

    def slices_with_margin(self, *, depth: int, slice_mm: float, margin_mm: float) -> tuple[int, int]:
        """Its slices and as many beyond as reach over the margin, within a scan of `depth` slices."""
        beyond = math.ceil(margin_mm / slice_mm - _ROUNDING)
        start, stop = self.slices
        return max(0, start - beyond), min(depth, stop + beyond)


def check_margin(margin_mm: float) -> None:
    """Check the margin that is left around a liver.

    Raises:
        ConfigError: It is outside 0 to 500 mm.

    Example:
        >>> check_margin(-5)
        Traceback (most recent call last):
        lts.base._errors.ConfigError: margin_mm: must be from 0 to 500 mm, got -5
    """
    if not 0 <= margin_mm <= LARGEST_MARGIN_MM:
        raise ConfigError(f"margin_mm: must be from 0 to {LARGEST_MARGIN_MM:g} mm, got {margin_mm}")
