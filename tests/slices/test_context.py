"""Which slices a network sees beside the one in question."""

import numpy as np
import pytest
from scipy import ndimage

from lts.slices import slices_around


@pytest.mark.parametrize("context", [0, 1, 3])
@pytest.mark.parametrize("depth", [1, 2, 7])
def test_neighbors_repeat_beyond_the_ends_as_scipy_pads(context: int, depth: int) -> None:
    padded = np.pad(np.arange(depth), context, mode="edge")
    expected = np.lib.stride_tricks.sliding_window_view(padded, 2 * context + 1)
    np.testing.assert_array_equal(slices_around(range(depth), context=context, depth=depth), expected)
    middle_up = ndimage.shift(np.arange(depth, dtype=float), -1, order=0, mode="nearest")
    np.testing.assert_array_equal(
        slices_around(range(depth), context=1, depth=depth)[:, 2], middle_up.astype(int)
    )


def test_slices_may_be_counted_from_the_first_at_hand() -> None:
    around = slices_around([4, 5], context=1, depth=6, first=3)
    assert around.tolist() == [[0, 1, 2], [1, 2, 2]]
