import numpy as np

from lts.base import AIR_HU, HU_BINS
from lts.slices import count_hu


def tissue(shape, *, seed=0):
    """Whole HU around that of soft tissue."""
    return np.rint(np.random.default_rng(seed).normal(40, 60, shape)).astype(np.int16)


def test_counts_agree_with_a_clipped_histogram():
    hu = np.random.default_rng(0).integers(-(2**15), 2**15, (3, 70, 90)).astype(np.int16)
    hu[0, 0, :6] = [-32768, -1025, -1024, 3071, 3072, 32767]
    edges = np.arange(AIR_HU, AIR_HU + HU_BINS + 1)
    expected, _ = np.histogram(np.clip(hu, AIR_HU, AIR_HU + HU_BINS - 1), bins=edges)
    counts = count_hu(hu)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, expected)


def test_counts_are_right_across_many_chunks_and_for_views(tmp_path):
    hu = tissue((5, 700, 700))
    np.save(tmp_path / "hu.npy", hu)
    on_disk = np.load(tmp_path / "hu.npy", mmap_mode="r")
    np.testing.assert_array_equal(count_hu(on_disk), count_hu(hu))
    np.testing.assert_array_equal(count_hu(hu[::2, ::-1, 3:]), count_hu(hu[::2, ::-1, 3:].copy()))
    assert count_hu(hu).sum() == hu.size


def test_no_voxels_count_zero():
    assert count_hu(np.empty((0, 4, 4), dtype=np.int16)).tolist() == [0] * HU_BINS
