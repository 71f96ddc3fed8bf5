"""Finds misplaced masks: a liver has a uniform density, the tissue under a misplaced mask has not."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import permutations, product
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lts.base import LIVER
from lts.volume import Voxel

ODD_HU = 100
"""How far from the median of a liver's label a voxel may be to be liver: veins, tumors, noise stay within."""

MOST_ODD = 0.05
"""Share of a label that may be odd before another place is sought: in the scans at hand up to 2 %, and 13 %
or more where a mask is mirrored or turned. It convicts nobody: cysts, or noise of 60 HU, reach it."""

LEAST_GAIN = 3.0
"""How many times less odd another place must make a label to be the right one. The label of a sick or noisy
liver is the least odd where it lies; of one that was mirrored or turned, the right place is 7 times less odd
in the scans at hand, and more."""

AIR_HU_BELOW = -200
"""No liver, and neither its fat, its cysts nor its tumors, has so little."""

MOST_AIR = 0.05
"""Share of a label that may be air where no other place is better: the dome's rim in thick slices is 1 %, and
gas in dead tissue, which is labeled as tumor, does not count."""

LIVER_HU = (-50.0, 250.0)
"""Where the median of a liver lies, from fatty to the brightest phase. Air or fat of one density is none."""

MOST_ODD_MENDED = 0.1
"""Share of a label that may be odd in its right place: a part of it may lie outside of the image."""

LEAST_CELLS = 500
"""Cells of the coarse grid that a label must have: fewer may fit anywhere by chance."""

FARTHEST_MM = 100.0
"""How far a mask may have been moved to be found."""

_CELL_MM = 3.0
_WORTH_A_LOOK = 1.5
# Muscle around a liver without contrast is as dense as the liver.
_RIM_WEIGHT = 0.3
_MIRRORED = ("head to foot", "front to back", "left to right")
_TOWARD = (("feet", "head"), ("front", "back"), ("right", "left"))

_Label = TypeVar("_Label", bound=np.generic)
_Mask = NDArray[np.bool_]
_Cells = tuple[int, int, int]
_STAYS: _Cells = (0, 1, 2)


@dataclass(frozen=True)
class Move:
    """A move of a mask: axes permuted, then mirrored, then shifted.

    Attributes:
        order: The axes of the mask that become Z, H and W.
        mirrored: The axes of Z, H, W that are then reversed.
        shift_mm: Toward the head, the back and the patient's left.
    """

    order: _Cells = _STAYS
    mirrored: tuple[int, ...] = ()
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def mirrored_alone(self) -> int | None:
        """The mirrored axis, if the move is one mirroring and nothing else."""
        alone = self.order == _STAYS and not any(self.shift_mm) and len(self.mirrored) == 1
        return self.mirrored[0] if alone else None

    def turned(self, mask: NDArray[_Label]) -> NDArray[_Label]:
        """A view of a `(Z, H, W)` mask with axes exchanged and mirrored, not shifted."""
        return np.flip(mask.transpose(self.order), self.mirrored)

    def __str__(self) -> str:
        """In words, such as "mirrored front to back"."""
        parts = []
        if self.order != _STAYS:
            parts.append("transposed" if self.order == (0, 2, 1) else "turned to another order of its axes")
        if self.mirrored:
            parts.append("mirrored " + " and ".join(_MIRRORED[axis] for axis in self.mirrored))
        shifts = [
            f"{abs(mm):.0f} mm to the {toward[mm > 0]}"
            for mm, toward in zip(self.shift_mm, _TOWARD, strict=True)
            if mm
        ]
        if shifts:
            parts.append("moved " + " and ".join(shifts))
        return ", ".join(parts)


@dataclass(frozen=True)
class Placement:
    """The fit of a label on an image.

    Attributes:
        odd: Share of it with another density than the rest.
        air: Share of it below -200 HU.
        move: The move of the mask.
    """

    odd: float
    air: float
    move: Move = field(default_factory=Move)


def measure_placement(
    hu: NDArray[np.int16], labels: NDArray[np.uint8], *, voxel: Voxel
) -> tuple[Placement, Placement | None]:
    """Measure the fit of a liver on its image, and search for a better place.

    Args:
        hu: `(Z, H, W)` Hounsfield units.
        labels: `(Z, H, W)`.
        voxel: The voxel of their grid.

    Returns:
        The fit as it is, and of a better place if there is one; searched only if the fit is poor.
    """
    grid = _Grid(hu, labels, voxel, cell_mm=_CELL_MM)
    stays = grid.place(Move())
    if stays.odd <= MOST_ODD or grid.n_cells < LEAST_CELLS:
        return stays, None
    coarse = _Grid(hu, labels, voxel, cell_mm=2 * _CELL_MM)
    return stays, _better(grid, coarse, stays)


def _better(grid: "_Grid", coarse: "_Grid", stays: Placement) -> Placement | None:
    """The move that corrects a label best: a turn or shift, else mirrored and shifted."""
    turns = list(grid.turns())
    mirrors = [turn for turn in turns if turn.order == _STAYS]
    for places in (
        (*(grid.place(turn) for turn in turns), _shifted_best(grid, coarse, Move(), stays)),
        (_shifted_best(grid, coarse, turn, stays) for turn in mirrors[1:]),
    ):
        best = min(places, key=lambda place: place.odd)
        if best.odd <= MOST_ODD_MENDED and best.odd * LEAST_GAIN <= stays.odd:
            return best
    return None


def _shifted_best(grid: "_Grid", coarse: "_Grid", turn: Move, stays: Placement) -> Placement:
    """The best shift of a label: searched on the coarse grid, then refined on the other."""
    at = coarse.best_shift(turn)
    found = coarse.place(turn, at)
    if found.odd * _WORTH_A_LOOK > stays.odd:
        return found
    z, h, w = (
        [round(n * wide / mm) + step for step in range(-math.ceil(wide / mm), math.ceil(wide / mm) + 1)]
        for n, wide, mm in zip(at, coarse.cell_mm, grid.cell_mm, strict=True)
    )
    return min((grid.place(turn, shift) for shift in product(z, h, w)), key=lambda place: place.odd)


class _Grid:
    """Image and mask on a coarser grid, whose cells lie evenly between the ends of each axis.

    Args:
        hu: `(Z, H, W)` Hounsfield units.
        labels: `(Z, H, W)`.
        voxel: The voxel of their grid.
        cell_mm: About the size of a cell.
    """

    def __init__(
        self, hu: NDArray[np.int16], labels: NDArray[np.uint8], voxel: Voxel, *, cell_mm: float
    ) -> None:
        steps = [max(1, round(cell_mm / gap)) for gap in voxel.gaps_mm]
        # so that a mirror image of the grid is the grid
        thin = tuple(slice((n - 1) % step // 2, None, step) for n, step in zip(hu.shape, steps, strict=True))
        self.hu, labels = hu[thin], labels[thin]
        self.cell_mm = [gap * step for gap, step in zip(voxel.gaps_mm, steps, strict=True)]
        # tumors may have any density
        self.liver, organ = labels == LIVER, labels >= LIVER
        self.n_cells = int(self.liver.sum())
        self.rim = ndimage.binary_dilation(organ) & ~organ

    def place(self, move: Move, shift: _Cells = (0, 0, 0)) -> Placement:
        """The label moved so, `shift` in cells; what leaves the image, or is all of it no liver, is odd."""
        values = self.hu[self._shifted(move.turned(self.liver), shift)]
        median = float(np.median(values)) if values.size else math.nan
        no_liver = not LIVER_HU[0] <= median <= LIVER_HU[1]
        like = np.zeros_like(values) if no_liver else np.abs(values - median) <= ODD_HU
        z, h, w = (cells * mm for cells, mm in zip(shift, self.cell_mm, strict=True))
        return Placement(
            odd=(self.n_cells - int(like.sum())) / max(1, self.n_cells),
            air=int((values < AIR_HU_BELOW).sum()) / max(1, self.n_cells),
            move=Move(move.order, move.mirrored, (z, h, w)),
        )

    def turns(self) -> Iterator[Move]:
        """All axis orders and directions that keep the grid, the identity first."""
        for order in permutations(range(3)):
            same = all(
                self.hu.shape[axis] == self.hu.shape[source]
                and math.isclose(self.cell_mm[axis], self.cell_mm[source], rel_tol=0.01)
                for axis, source in enumerate(order)
            )
            if same:
                for sides in product((False, True), repeat=3):
                    z, h, w = order
                    yield Move((z, h, w), tuple(axis for axis in range(3) if sides[axis]))

    def best_shift(self, turn: Move) -> _Cells:
        """Where what a label covers is liver, and what is around it is not."""
        from scipy import fft  # slow to import, and needed for what is misplaced alone

        reach = [math.ceil(FARTHEST_MM / mm) for mm in self.cell_mm]
        weights = turn.turned(self.liver) / self.n_cells
        weights -= _RIM_WEIGHT / max(1, int(self.rim.sum())) * turn.turned(self.rim)
        best: _Cells = (0, 0, 0)
        for _ in range(2):  # the second time with the density of the place that was found
            values = self.hu[self._shifted(turn.turned(self.liver), best)]
            density = float(np.clip(np.median(values), *LIVER_HU)) if values.size else 0.0
            like = np.pad(np.abs(self.hu - density) <= ODD_HU, [(r, r) for r in reach])
            sizes = [fft.next_fast_len(n, real=True) for n in like.shape]
            spectrum = fft.rfftn(like.astype(np.float32), sizes)
            spectrum *= np.conj(fft.rfftn(weights.astype(np.float32), sizes))
            # of all shifts those of at most `reach`, to either side
            fit = fft.irfftn(spectrum, sizes)[tuple(slice(2 * r + 1) for r in reach)]
            z, h, w = np.unravel_index(fit.argmax(), fit.shape)
            best = (int(z) - reach[0], int(h) - reach[1], int(w) - reach[2])
        return best

    @staticmethod
    def _shifted(mask: NDArray[np.generic], shift: _Cells) -> _Mask:
        """The mask moved by cells; what leaves the grid is lost."""
        moved = np.zeros(mask.shape, np.bool_)
        target = tuple(slice(max(0, n), min(0, n) or None) for n in shift)
        source = tuple(slice(max(0, -n), min(0, -n) or None) for n in shift)
        moved[target] = mask[source]
        return moved
