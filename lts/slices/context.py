"""Neighboring slices that a network sees beside the one in question."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def slices_around(
    slices: Sequence[int] | range, *, context: int, depth: int, first: int = 0
) -> NDArray[np.int64]:
    """Which slices a network sees for each slice in question. Beyond the ends the outermost repeats.

    Args:
        slices: The slices in question, from the feet up.
        context: Neighbors on each side.
        depth: Slices of the scan.
        first: The slice that counts as 0 in what is returned, where the scan is at hand from there on alone.

    Returns:
        `(N, 2 * context + 1)`, from foot to head.

    Example:
        >>> slices_around([0, 3], context=1, depth=4)
        array([[0, 0, 1],
               [2, 3, 3]])
    """
    around = np.asarray(slices, np.int64)[:, None] + np.arange(-context, context + 1)
    return around.clip(0, depth - 1) - first
