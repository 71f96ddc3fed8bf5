"""The shape of a voxel, from which volumes and distances on a grid follow."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lts.base import VolumeError

_FloatArray = npt.NDArray[np.float64]

RIGHT_ANGLE = 1e-4
"""The largest cosine between two edges that still stand at a right angle: the rounding of headers stays below
1e-6, a length is wrong by less than a part in 10,000, and ITK opens no grid that is sheared more."""


@dataclass(frozen=True)
class Voxel:
    """A voxel by its three edges.

    Edges need not stand at right angles: a gantry tilt that is left in an affine shears the grid. One rule
    holds for all grids: volumes follow the determinant, and distances lie between positions in the world.

    Attributes:
        edges_mm: From a voxel's center to those of its next neighbors along `(Z, H, W)`, each as `(x, y, z)`
            of any right-angled world.

    Raises:
        VolumeError: The edges are not finite, or do not span space.

    Example:
        >>> voxel = Voxel.of_spacing((5, 0.75, 0.75))
        >>> voxel.spacing_mm, voxel.volume_ml, voxel.sheared
        ((5.0, 0.75, 0.75), 0.0028125, False)
    """

    edges_mm: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        finite = np.isfinite(self._matrix_mm).all()
        if not finite or np.linalg.det(self._matrix_mm) == 0:
            raise VolumeError(f"edges_mm: must be finite and span three directions, got {self.edges_mm}")

    @classmethod
    def of_spacing(cls, spacing_mm: Sequence[float]) -> Self:
        """A voxel of right angles.

        Args:
            spacing_mm: Length of its edges along `(Z, H, W)`.

        Raises:
            VolumeError: These are not three lengths > 0.
        """
        if len(spacing_mm) != 3 or not all(0 < edge < math.inf for edge in spacing_mm):
            raise VolumeError(f"spacing_mm: must be three sizes > 0 mm, got {tuple(spacing_mm)}")
        return cls.of_matrix(np.diag(spacing_mm))

    @classmethod
    def of_matrix(cls, matrix_mm: npt.ArrayLike) -> Self:
        """The voxel of a grid.

        Args:
            matrix_mm: `(3, 3)`, the edges as columns: those of an affine from `(z, h, w)` to the world.

        Raises:
            VolumeError: The edges are not finite, or do not span space.
        """
        return cls(tuple(tuple(edge) for edge in np.asarray(matrix_mm, np.float64).T.tolist()))

    @cached_property
    def _matrix_mm(self) -> _FloatArray:
        matrix: _FloatArray = np.array(self.edges_mm, np.float64).T
        return matrix

    @cached_property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Length of the edges along `(Z, H, W)`."""
        z, h, w = np.sqrt((self._matrix_mm**2).sum(axis=0)).tolist()
        return z, h, w

    @cached_property
    def directions(self) -> _FloatArray:
        """`(3, 3)`, where the edges along `(Z, H, W)` point: unit vectors as columns."""
        return self._matrix_mm / self.spacing_mm

    @cached_property
    def largest_cosine(self) -> float:
        """Of the angles between edges: 0 where all of them are right."""
        return float(np.abs(np.triu(self.directions.T @ self.directions, 1)).max())

    @property
    def sheared(self) -> bool:
        """Whether an angle between edges is not right."""
        return self.largest_cosine > RIGHT_ANGLE

    @cached_property
    def volume_ml(self) -> float:
        """The determinant of the edges."""
        # of right angles it is the product, without the rounding of a determinant
        return (
            abs(float(np.linalg.det(self._matrix_mm))) / 1000
            if self.sheared
            else math.prod(self.spacing_mm) / 1000
        )

    @cached_property
    def gaps_mm(self) -> tuple[float, float, float]:
        """Between neighboring planes of voxels along `(Z, H, W)`; the spacing where all angles are right."""
        if not self.sheared:
            return self.spacing_mm
        z, h, w = (1 / np.linalg.norm(np.linalg.inv(self._matrix_mm), axis=1)).tolist()
        return z, h, w

    def positions_mm(self, index: npt.NDArray[Any]) -> _FloatArray:
        """Where voxels lie, but for a turn and a shift, which change no distance.

        Args:
            index: `(N, 3)` of `(z, h, w)`.

        Returns:
            `(N, 3)` mm.
        """
        positions: _FloatArray = index @ self._matrix_mm.T if self.sheared else index * self.spacing_mm
        return positions
