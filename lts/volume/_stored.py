"""What a format hands on of a volume: its numbers as they lie on disk, and their grid."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lts.base import VolumeError
from lts.volume._geometry import FloatArray, Geometry
from lts.volume._notes import Note, grid_notes


class Stored(Protocol):
    """A volume as it lies on disk; what its values mean is the matter of who reads it."""

    @property
    def geometry(self) -> Geometry:
        """The grid."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the grid could not be proven or was corrected, one sentence each."""

    @property
    def plain(self) -> npt.NDArray[Any] | None:
        """`(X, Y, Z)`, Fortran order, where the stored numbers are the values and are in memory; else None.

        Whoever asks may write into it.
        """

    def slices(self) -> Generator[tuple[int, FloatArray]]:
        """The values `(X, Y)`, slice by slice of the last axis on disk, in any order.

        Float64 never holds a whole volume so.

        Raises:
            VolumeError: A value is NaN or infinite, or cannot be decoded.
        """

    def place_of(self, index: int) -> Path:
        """The file that a slice lies in, for messages."""


@dataclass(frozen=True, eq=False)
class StoredArray:
    """The numbers of a file in memory.

    Attributes:
        path: The file.
        geometry: Its grid.
        voxels: `(X, Y, Z)`, any real type and byte order.
        slope: A value is a stored number times this,
        inter: plus this.
        more_notes: What the format has to say of the grid.
    """

    path: Path
    geometry: Geometry
    voxels: npt.NDArray[Any]
    slope: float = 1.0
    inter: float = 0.0
    more_notes: tuple[Note, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """See `Stored`."""
        told = {note.code for note in self.more_notes}
        return (*self.more_notes, *(note for note in grid_notes(self.geometry) if note.code not in told))

    @property
    def plain(self) -> npt.NDArray[Any] | None:
        """See `Stored`."""
        return self.voxels if (self.slope, self.inter) == (1, 0) else None

    def slices(self) -> Generator[tuple[int, FloatArray]]:
        """See `Stored`."""
        for index in range(self.voxels.shape[2]):
            with np.errstate(all="ignore"):
                values = self.voxels[..., index].astype(np.float64)
                if self.plain is None:
                    values *= self.slope
                    values += self.inter
            if not np.isfinite(values).all():
                raise VolumeError(
                    f"{self.path}: voxels must be finite, got NaN or infinity in slice {index}",
                    code="not-finite",
                )
            yield index, values

    def place_of(self, index: int) -> Path:  # noqa: ARG002  all slices lie in one file
        """See `Stored`."""
        return self.path
