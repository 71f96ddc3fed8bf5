"""Values of a scan are counted as numpy counts them."""

import numpy as np

from lts.volume import count_values


def test_every_value_is_counted_in_all_slices() -> None:
    voxels = np.random.default_rng(0).integers(-(2**15), 2**15, (120, 96, 96), np.int16)  # two chunks
    expected = np.bincount(voxels.ravel().astype(np.int64) + 2**15, minlength=2**16)
    np.testing.assert_array_equal(count_values(voxels), expected)
    np.testing.assert_array_equal(count_values(voxels.transpose(2, 0, 1)[:, ::-1]), expected)
    assert not count_values(voxels[:0]).any()
