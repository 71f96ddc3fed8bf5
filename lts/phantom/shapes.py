"""Soft-edged implicit shapes on a voxel grid.

A shape is a function that is negative inside, positive outside and about as large as the distance to its
surface in mm. Its edge is drawn one voxel wide, by the share of each voxel that it fills, as borders blend
in CT.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats: TypeAlias = NDArray[np.float32]
Spacing: TypeAlias = tuple[float, float, float]
Point: TypeAlias = Sequence[float] | NDArray[np.float64]
Box: TypeAlias = tuple[slice, slice, slice]

SPLINE_STD = 0.479**1.5
"""Standard deviation that cubic B-spline weights leave of unit white noise on a coarse 3D lattice."""


@dataclass(frozen=True)
class Grid:
    """Where voxels lie, in mm: z to the head, y to the back, x to the patient's left.

    Attributes:
        z: `(Z, H, W)`, where each voxel lies in the reference anatomy, which patients bend and scale.
        y: The same, `(Z, H, W)`.
        x: The same, `(Z, H, W)`.
        spacing_mm: Voxel size (Z, H, W).
    """

    z: Floats
    y: Floats
    x: Floats
    spacing_mm: Spacing

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (Z, H, W)."""
        depth, height, width = self.z.shape
        return depth, height, width

    def crop(self, box: Box) -> "Grid":
        """The part of the grid inside `box`."""
        return Grid(self.z[box], self.y[box], self.x[box], self.spacing_mm)

    def box_of(self, low: Point, high: Point) -> Box:
        """A box that holds every voxel placed between `low` and `high` (z, y, x), at least one voxel wide."""
        bounds = []
        for (lowest, highest), least, most in zip(self._extents, low, high, strict=True):
            hits = np.flatnonzero((highest >= least) & (lowest <= most))
            first = int(hits[0]) if hits.size else 0
            bounds.append(slice(first, int(hits[-1]) + 1 if hits.size else 1))
        return bounds[0], bounds[1], bounds[2]

    @cached_property
    def _extents(self) -> list[tuple[Floats, Floats]]:
        """Lowest and highest coordinate of each layer of voxels, for each axis."""
        layers = ((self.z, (1, 2)), (self.y, (0, 2)), (self.x, (0, 1)))
        return [(coordinate.min(axis=others), coordinate.max(axis=others)) for coordinate, others in layers]


@dataclass(frozen=True)
class Canvas:
    """An image that is painted organ over organ; `hu` is changed in place.

    Attributes:
        hu: `(Z, H, W)` noise-free Hounsfield units.
        grid: Where its voxels lie.
    """

    hu: Floats
    grid: Grid

    def paint(self, shape: Floats, value: Floats | float, *, box: Box | None = None) -> None:
        """Lay `value` (HU) over what is there, by the share of each voxel that `shape` fills.

        Args:
            shape: Implicit function over `box`.
            value: One value, or one a voxel of `box`.
            box: Part of the canvas that `shape` covers; the whole canvas when None.
        """
        assert shape.dtype == np.float32
        part = self.hu if box is None else self.hu[box]
        part += filled_share(shape, spacing_mm=self.grid.spacing_mm) * (value - part)


def filled_share(shape: Floats, *, spacing_mm: Spacing) -> Floats:
    """Share of each voxel, 0 to 1, that an implicit shape fills: its edge is one voxel wide."""
    width = np.zeros_like(shape)
    for axis in range(3):
        if shape.shape[axis] > 1:
            width += np.abs(np.gradient(shape, axis=axis))
    np.clip(width, min(spacing_mm), 2 * max(spacing_mm), out=width)
    share: Floats = np.clip(0.5 - shape / width, 0, 1)
    return share


def ellipsoid(grid: Grid, center: Point, radii: Point, *, turn: NDArray[np.float64] | None = None) -> Floats:
    """Implicit ellipsoid; `center` and `radii` in mm as (z, y, x), `turn` a 3x3 rotation of its axes."""
    offsets = _offsets(grid, center)
    if turn is not None:
        offsets = [
            sum_of(offset * float(cosine) for offset, cosine in zip(offsets, row, strict=True))
            for row in turn
        ]
    scaled = [(offset / float(radius)) ** 2 for offset, radius in zip(offsets, radii, strict=True)]
    reach = np.sqrt(sum_of(scaled))
    slope = np.sqrt(sum_of(square / float(radius) ** 2 for square, radius in zip(scaled, radii, strict=True)))
    # reach / slope nears 0 / 0 in the middle, where the distance is the least radius
    distance: Floats = np.where(
        reach < 0.05, -float(min(radii)), reach * (reach - 1) / np.maximum(slope, 1e-6)
    )
    return distance


def capsule(grid: Grid, start: Point, end: Point, radius: float, end_radius: float | None = None) -> Floats:
    """Implicit tube from `start` to `end` (z, y, x), mm, with round ends, tapering to `end_radius`."""
    steps = [float(b) - float(a) for a, b in zip(start, end, strict=True)]
    offsets = _offsets(grid, start)
    length_squared = max(sum(step * step for step in steps), 1e-6)
    along = sum_of(offset * (step / length_squared) for offset, step in zip(offsets, steps, strict=True))
    np.clip(along, 0, 1, out=along)
    squared = sum_of((offset - along * step) ** 2 for offset, step in zip(offsets, steps, strict=True))
    taper = 0.0 if end_radius is None else end_radius - radius
    tube: Floats = np.sqrt(squared) - (radius + along * taper)
    return tube


def _offsets(grid: Grid, center: Point) -> list[Floats]:
    return [axis - float(at) for axis, at in zip((grid.z, grid.y, grid.x), center, strict=True)]


def sum_of(terms: Iterable[Floats]) -> Floats:
    """The sum of arrays, in order."""
    return reduce(np.add, terms)


def join(first: Floats, second: Floats, *, blend_mm: float) -> Floats:
    """Union of two shapes whose seam is rounded over `blend_mm`."""
    return -meet(-first, -second, blend_mm=blend_mm)


def meet(first: Floats, second: Floats, *, blend_mm: float) -> Floats:
    """Intersection of two shapes whose edge is rounded over `blend_mm`."""
    overlap = np.maximum(blend_mm - np.abs(first - second), 0)
    rounded: Floats = np.maximum(first, second) + overlap * overlap * (0.25 / blend_mm)
    return rounded


def largest_piece(shape: Floats) -> Floats:
    """The shape without what is not connected to its largest piece; face neighbors are connected."""
    pieces, count = ndimage.label(shape < 0)
    if count <= 1:
        return shape
    largest = 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    other = (pieces > 0) & (pieces != largest)
    alone: Floats = np.where(other, -shape, shape)
    return alone


def smooth_field(
    rng: np.random.Generator, shape: Sequence[int], *, spacing_mm: Sequence[float], scale_mm: float
) -> Floats:
    """A smooth random field of mean 0 and standard deviation about 1.

    Args:
        rng: Source of the field.
        shape: Voxels along each axis.
        spacing_mm: Voxel size along each axis.
        scale_mm: Distance over which the field changes: the knots of its cubic B-spline lie this far apart.

    Returns:
        float32 field of `shape`.
    """
    places = [
        np.arange(n, dtype=np.float64) * (step / scale_mm) for n, step in zip(shape, spacing_mm, strict=True)
    ]
    lattice = rng.standard_normal([int(place[-1]) + 4 for place in places], dtype=np.float32)
    for axis, place in enumerate(places):
        lattice = _spline_along(lattice, place, axis=axis)
    return lattice * (1 / SPLINE_STD)


def _spline_along(lattice: Floats, place: NDArray[np.float64], *, axis: int) -> Floats:
    """Cubic B-spline values at `place` (in knots) along one axis."""
    knot = place.astype(np.intp)
    t = place - knot
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 3 * (t + t**2 - t**3) + 1, t**3)
    column = [1] * lattice.ndim
    column[axis] = len(place)
    return sum_of(
        np.take(lattice, knot + tap, axis=axis) * (weight / 6).astype(np.float32).reshape(column)
        for tap, weight in enumerate(weights)
    )


def random_turn(rng: np.random.Generator, *, most_rad: float) -> NDArray[np.float64]:
    """A rotation about a random axis by up to `most_rad` (Rodrigues' formula)."""
    axis = rng.standard_normal(3)
    z, y, x = axis / np.linalg.norm(axis)
    cross = np.array([[0, -x, y], [x, 0, -z], [-y, z, 0]])
    angle = rng.uniform(-most_rad, most_rad)
    turn: NDArray[np.float64] = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return turn
