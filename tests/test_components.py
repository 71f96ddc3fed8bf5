"""Boxes around masks, against scipy."""

import numpy as np
import pytest
from scipy import ndimage

from lts.components import bounding_box


@pytest.mark.parametrize("share", [0.001, 0.01, 0.3])
@pytest.mark.parametrize("seed", range(5))
def test_a_box_is_that_of_scipy(seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((7, 11, 13)) < share
    boxes = ndimage.find_objects(mask.view(np.uint8))
    assert bounding_box(mask) == (boxes[0] if boxes else None)


def test_the_box_of_one_voxel_is_that_voxel() -> None:
    mask = np.zeros((3, 4, 5), np.bool_)
    mask[2, 0, 4] = True
    assert bounding_box(mask) == (slice(2, 3), slice(0, 1), slice(4, 5))


def test_an_empty_mask_has_no_box() -> None:
    assert bounding_box(np.zeros((3, 4, 5), np.bool_)) is None
