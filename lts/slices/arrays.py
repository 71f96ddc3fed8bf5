"""The arrays of a stored case as files: written plainly, opened mapped, and never unpickled."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from lts.base import written_whole

Shape = tuple[int, int, int]

IMAGE_TYPE, LABELS_TYPE = np.dtype(np.int16), np.dtype(np.uint8)


def write_array(path: Path, chunks: Iterable[np.ndarray], *, shape: Shape, dtype: np.dtype) -> None:
    """Write an array chunk by chunk as a `.npy` file.

    Not through a mapping: on a full disk, that kills the process where a plain write raises.

    Args:
        path: The file.
        chunks: Parts of the array, one after the other along its first axis.
        shape: Shape of the whole.
        dtype: Type of the whole and of the parts.

    Raises:
        StorageError: It cannot be written.
    """
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with written_whole(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in chunks:
            assert chunk.dtype == dtype
            file.write(np.ascontiguousarray(chunk).data)


def open_array(path: Path) -> np.ndarray:
    """An array, mapped from the disk."""
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def is_sound(path: Path, *, shape: Shape, dtype: np.dtype) -> bool:
    """Whether a file is a whole array of this shape and type; its values are not read."""
    try:
        array = open_array(path)
    except (OSError, ValueError, EOFError):
        return False
    return array.shape == shape and array.dtype == dtype


def in_chunks(depth: int, *, slices: int) -> Iterator[slice]:
    """Slices that cover `depth` in steps of `slices`."""
    return (slice(start, start + slices) for start in range(0, depth, slices))
