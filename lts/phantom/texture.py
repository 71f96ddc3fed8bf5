"""The grain of CT: correlated noise and the padding outside a round field of view."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lts.phantom.shapes import Floats

PADDING_HU = -2000
"""What some scanners write outside their round field of view."""


def ct_noise(rng: np.random.Generator, shape: tuple[int, int, int], *, grain_voxels: float) -> Floats:
    """Noise as filtered back projection leaves it: band-passed in plane, partly shared by slices.

    Low frequencies are missing, so the mean over a region is steadier than white noise would have it.

    Args:
        rng: Source of the noise.
        shape: (Z, H, W).
        grain_voxels: Size of its grain in plane.

    Returns:
        float32 noise of `shape`, mean 0 and standard deviation 1.
    """
    noise = rng.standard_normal(shape, dtype=np.float32)
    fine = ndimage.gaussian_filter(noise, (0.35, grain_voxels, grain_voxels), truncate=2.5)
    coarse_voxels = 2 * round(2 * grain_voxels) + 3
    fine -= ndimage.uniform_filter(fine, (0, coarse_voxels, coarse_voxels))
    scaled: Floats = fine * (1 / float(fine.std()))
    return scaled


def add_noise(hu: Floats, rng: np.random.Generator, *, sigma_hu: float, grain_voxels: float) -> None:
    """Add CT noise to `hu` in place, strongest in the middle of the body where fewest rays pass."""
    depth, height, width = hu.shape
    level = sigma_hu * (1.12 - 0.4 * np.minimum(_squared_radius(height, width), 1))
    hu += level * ct_noise(rng, (depth, height, width), grain_voxels=grain_voxels)


def pad_round_view(hu: NDArray[np.int16]) -> None:
    """Set voxels outside the circle that fits the slice to the padding value, in place."""
    _, height, width = hu.shape
    hu[:, _squared_radius(height, width) > 1] = PADDING_HU


def _squared_radius(height: int, width: int) -> Floats:
    """`(H, W)`, squared distance from the middle of a slice, 1 at the middle of its edges."""
    y, x = ((np.arange(n, dtype=np.float32) - (n - 1) / 2) / (n / 2) for n in (height, width))
    squared: Floats = y[:, None] ** 2 + x[None, :] ** 2
    return squared
