"""How often each Hounsfield value occurs: what histogram equalization is fitted on."""

import numpy as np
from numpy.typing import NDArray

from lts.base import AIR_HU, HU_BINS
from lts.volume import count_values


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
    by_value = count_values(hu)
    first = AIR_HU + len(by_value) // 2
    last = first + HU_BINS - 1
    counts = by_value[first : last + 1].copy()
    counts[0] += by_value[:first].sum()
    counts[-1] += by_value[last + 1 :].sum()
    return counts
