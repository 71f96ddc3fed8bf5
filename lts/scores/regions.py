"""Regions of labels: the one place where a region's name becomes voxels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lts.base import REGION_MIN_LABEL, ConfigError, region_min_labels


def region_masks(labels: NDArray[np.uint8], regions: Sequence[str]) -> NDArray[np.bool_]:
    """The masks of regions: the liver holds its tumors.

    >>> region_masks(np.array([[0, 1, 2]], np.uint8), ["liver", "tumor"]).tolist()
    [[[False, True, True]], [[False, False, True]]]

    Args:
        labels: `(..., H, W)` uint8 labels 0, 1, 2.
        regions: Regions in channel order.

    Returns:
        `(..., R, H, W)` bool.

    Raises:
        ConfigError: As `check_regions`.
    """
    check_regions(regions)
    min_labels = np.array(region_min_labels(regions), labels.dtype)
    masks: NDArray[np.bool_] = labels[..., None, :, :] >= min_labels[:, None, None]
    return masks


def check_regions(regions: Sequence[str]) -> None:
    """Check that labels have these regions.

    Raises:
        ConfigError: There is none, or they are not known ones in channel order, each once.
    """
    known = list(REGION_MIN_LABEL)
    if not regions or list(regions) != [region for region in known if region in regions]:
        raise ConfigError(f"regions: must be one or more of {known} in this order, got {list(regions)}")
