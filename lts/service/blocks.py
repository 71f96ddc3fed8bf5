"""Volumes on disk in blocks of voxels, so that a plane across any axis is read without most of the rest.

A volume lies in slabs of slices, a slab in rows of blocks, a row in blocks beside each other, and a block in
slices, rows and columns. The last slab has the slices that are left; beyond the last row and column of the
volume, blocks are filled up with zeros.
"""

from collections.abc import Iterable, Iterator
from io import FileIO
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = (32, 16, 8)
"""Slices, rows and columns of a block.

To read a plane is to read the blocks that it meets. Axial and coronal planes meet rows of blocks, each one
piece of the file; of a sagittal plane every block is a piece, so blocks are long where that makes them fewer.
"""

Shape = tuple[int, int, int]


class BlockFile:
    """How a volume lies in its file.

    Args:
        shape: `(Z, H, W)` of the volume.
        dtype: Of its voxels.
    """

    def __init__(self, shape: Shape, dtype: np.dtype[Any]) -> None:
        self._shape, self._dtype = shape, dtype
        self._n_slabs, self._n_rows, self._n_columns = (
            ceil(length / block) for length, block in zip(shape, BLOCK, strict=True)
        )

    def write(self, path: Path, slices: Iterable[NDArray[Any]]) -> None:
        """Write slices `(H, W)`, from the feet up.

        Raises:
            OSError: They cannot be written.
        """
        (_, height, width), (_, rows, columns) = self._shape, BLOCK
        run = np.dtype((np.void, columns * self._dtype.itemsize))  # what is moved at once
        filled_up = np.zeros((self._n_rows * rows, self._n_columns * columns), self._dtype)
        in_blocks = filled_up.view(run).reshape(self._n_rows, rows, self._n_columns).swapaxes(1, 2)
        slab = np.empty((self._n_rows, self._n_columns, 0, rows), run)
        coming = iter(slices)
        with path.open("wb") as file:
            for number in range(self._n_slabs):
                depth = self._depth(number)
                if slab.shape[2] != depth:
                    slab = np.empty((self._n_rows, self._n_columns, depth, rows), run)
                for place, one in zip(range(depth), coming, strict=False):
                    filled_up[:height, :width] = one
                    slab[:, :, place] = in_blocks
                file.write(slab.view(np.uint8).data)

    def read_slices(self, file: FileIO) -> Iterator[NDArray[Any]]:
        """The slices `(H, W)` from the feet up, a slab of them at a time.

        Raises:
            FileNotFoundError: The file was emptied.
        """
        _, height, width = self._shape
        for slab in range(self._n_slabs):
            blocks = self._blocks(slab, self._n_rows, self._n_columns)
            self._read(blocks, file, slab)
            in_slices = blocks.transpose(2, 0, 3, 1, 4)
            yield from in_slices.reshape(len(in_slices), self._n_rows * BLOCK[1], -1)[:, :height, :width]

    def read_plane(self, file: FileIO, axis: int, index: int) -> NDArray[Any]:
        """The plane at an index of an axis of `(Z, H, W)`: `(H, W)`, `(Z, W)` or `(Z, H)`.

        Raises:
            FileNotFoundError: The file was emptied.
        """
        block, inside = divmod(index, BLOCK[axis])
        if axis == 0:
            parts = [_flat(self._row(file, block, row)[:, inside]) for row in range(self._n_rows)]
        elif axis == 1:
            parts = [_flat(self._row(file, slab, block)[:, :, inside]) for slab in range(self._n_slabs)]
        else:
            parts = [_flat(self._column(file, slab, block)[..., inside]) for slab in range(self._n_slabs)]
        height, width = (length for other, length in enumerate(self._shape) if other != axis)
        plane: NDArray[Any] = np.concatenate(parts)[:height, :width]
        return plane

    def _row(self, file: FileIO, slab: int, row: int) -> NDArray[Any]:
        """Blocks beside each other, `(W / block, *block)`."""
        blocks: NDArray[Any] = self._blocks(slab, 1, self._n_columns)[0]
        self._read(blocks, file, slab, row)
        return blocks

    def _column(self, file: FileIO, slab: int, column: int) -> NDArray[Any]:
        """Blocks behind each other, `(H / block, *block)`."""
        blocks = self._blocks(slab, self._n_rows, 1)
        for row, one in enumerate(blocks):
            self._read(one, file, slab, row, column)
        return blocks[:, 0]

    def _read(self, blocks: NDArray[Any], file: FileIO, slab: int, row: int = 0, column: int = 0) -> None:
        """Read blocks that follow each other."""
        _, rows, columns = BLOCK
        in_slab = (row * self._n_columns + column) * self._depth(slab)
        slices_before = slab * BLOCK[0] * self._n_rows * self._n_columns
        file.seek((slices_before + in_slab) * rows * columns * self._dtype.itemsize)
        if file.readinto(blocks.data) != blocks.nbytes:
            raise FileNotFoundError(f"{file.name}: was emptied")

    def _blocks(self, slab: int, n_rows: int, n_columns: int) -> NDArray[Any]:
        return np.empty((n_rows, n_columns, self._depth(slab), *BLOCK[1:]), self._dtype)

    def _depth(self, slab: int) -> int:
        """How many slices a slab has."""
        return min(BLOCK[0], self._shape[0] - slab * BLOCK[0])


def _flat(part: NDArray[Any]) -> NDArray[Any]:
    """Pieces `(n, rows, columns)` beside each other; a copy, so that the blocks that they lie in can go."""
    return part.swapaxes(0, 1).reshape(part.shape[1], -1)
