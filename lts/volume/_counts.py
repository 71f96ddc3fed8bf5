"""How often each value occurs in a scan."""

import numpy as np
import numpy.typing as npt

_VALUES = 2**16
_CHUNK = 1 << 20
"""Voxels that are counted at once, as counting makes a copy of eight bytes each."""


def count_values(voxels: npt.NDArray[np.int16]) -> npt.NDArray[np.int64]:
    """Count the voxels of each value.

    Args:
        voxels: Any shape. Contiguous arrays and memory maps are read without a copy of the whole.

    Returns:
        `(65536,)`: voxels of the values -32768 to 32767. Zeros for no voxel.

    Example:
        >>> counts = count_values(np.array([[[-1, 40, 40]]], np.int16))
        >>> counts.shape, int(counts[32768 - 1]), int(counts[32768 + 40])
        ((65536,), 1, 2)
    """
    assert voxels.dtype == np.int16, f"voxels must be int16, got {voxels.dtype}"
    flat = voxels.ravel()
    counts = np.zeros(_VALUES, np.int64)
    for start in range(0, flat.size, _CHUNK):
        counts += np.bincount(flat[start : start + _CHUNK].view(np.uint16), minlength=_VALUES)
    return np.roll(counts, _VALUES // 2)  # as unsigned numbers, the negative ones come last
