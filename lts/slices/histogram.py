"""How often each Hounsfield value occurs: what histogram equalization is fitted on."""

import numpy as np
from numpy.typing import NDArray

from lts.base import AIR_HU, HU_BINS

_COUNT_CHUNK = 1 << 20
_INT16_MIN, _INT16_VALUES = -(1 << 15), 1 << 16


def count_hu(hu: NDArray[np.int16]) -> NDArray[np.int64]:
    """Count the voxels at each Hounsfield value.

    Args:
        hu: Any shape. Contiguous arrays and memory maps are read without a copy of the whole.

    Returns:
        `(4096,)`: voxels at HU -1024 to 3071, lower and higher ones in the end bins. Zeros for no voxel.

    Example:
        >>> counts = count_hu(np.array([[[-1024, 40, 40, 9999]]], np.int16))
        >>> counts.shape, int(counts[0]), int(counts[1024 + 40]), int(counts[-1])
        ((4096,), 1, 2, 1)
    """
    assert hu.dtype == np.int16, f"hu must be int16, got {hu.dtype}"
    flat = hu.ravel()
    # Counting the bit patterns needs no clipping; the chunks bound the wide copy that bincount makes.
    by_bits = np.zeros(_INT16_VALUES, dtype=np.int64)
    for start in range(0, flat.size, _COUNT_CHUNK):
        by_bits += np.bincount(flat[start : start + _COUNT_CHUNK].view(np.uint16), minlength=_INT16_VALUES)
    by_value = np.roll(by_bits, _INT16_VALUES // 2)
    first = AIR_HU - _INT16_MIN
    last = first + HU_BINS - 1
    counts = by_value[first : last + 1].copy()
    counts[0] += by_value[:first].sum()
    counts[-1] += by_value[last + 1 :].sum()
    return counts
