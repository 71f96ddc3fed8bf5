"""Volumes in blocks on disk: every plane is what an array holds there, and little else is read for it."""

from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lts.service.blocks import BLOCK, BlockFile


class CountingFile(FileIO):
    n_bytes = 0

    def readinto(self, buffer: Any) -> int:
        read = super().readinto(buffer)
        self.n_bytes += read
        return read


@pytest.mark.parametrize("dtype", ["<i2", "u1"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (33, 17, 9), (70, 48, 43), BLOCK])
def test_planes_and_slices_come_back_equal(tmp_path: Path, shape: Any, dtype: str) -> None:
    volume = np.random.default_rng(0).integers(0, 2**16, shape).astype(dtype)
    file = BlockFile(shape, volume.dtype)
    file.write(tmp_path / "a", volume)
    with (tmp_path / "a").open("rb", buffering=0) as opened:
        for axis, count in enumerate(shape):
            planes = [file.read_plane(opened, axis, index) for index in range(count)]
            np.testing.assert_array_equal(np.stack(planes, axis=axis), volume)
        np.testing.assert_array_equal(np.stack(list(file.read_slices(opened))), volume)


def test_of_a_large_volume_a_plane_reads_a_small_part(tmp_path: Path) -> None:
    volume = np.zeros((256, 128, 64), np.int16)
    file = BlockFile(volume.shape, volume.dtype)
    file.write(tmp_path / "a", volume)
    assert (tmp_path / "a").stat().st_size == volume.nbytes
    for axis in range(3):
        with CountingFile(str(tmp_path / "a")) as opened:
            file.read_plane(opened, axis, 21)
            assert opened.n_bytes <= volume.nbytes / 8
