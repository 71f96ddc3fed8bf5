"""Random changes of a training slice, on raw Hounsfield units, before any window."""

import math
import random
from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from lts.base import AIR_HU, BACKGROUND, ConfigError
from lts.data.augment_steps import (
    Affine,
    Blur,
    Coarse,
    Elastic,
    FlipFrontBack,
    FlipLeftRight,
    Gamma,
    Noise,
    Pipeline,
    ShiftAndScale,
)
from lts.data.copied_tumors import copy_tumor
from lts.data.lesions import Lesion
from lts.data.synthetic_tumors import paint_tumor

_INT16 = np.iinfo(np.int16)
_OF_TUMORS, _OF_COPIES = 1, 2
"""Beside the seed of a draw, make the random numbers of tumors others than those of all the rest."""
_MAX_SCALE = 100
_MAX_ELASTIC_PERCENT, _MAX_BLUR_PIXELS, _MAX_GAMMA = 20, 100, 100
_MAX_HU_SCALE = 1000  # what is farther off OpenCV does not cut to int16, but turns over


class Augmentation:
    """Synthetic tumors, flips, deformations, resolution, and changes of the Hounsfield scale, in this order.

    A pure function of its arguments: the seed alone decides every draw, whatever ran before, in any process.
    One object serves one thread at a time. Ranges are `(lowest, highest)`, drawn uniformly.

    Args:
        tumor_probability: Probability of putting a tumor into the healthy liver of a slice; see
            `lts.data.paint_tumor`. It has random numbers of its own: with 0, all other draws stay the same.
        tumor_copied_share: Share of these tumors that are copied from other training slices, see
            `lts.data.copy_tumor`; the rest is painted, as are those where no lesion fits.
        tumor_size: Diameter of a painted one, as a share of that of the disk with the area of the slice's
            liver, in (0, 1], drawn uniformly on a logarithmic scale.
        tumor_contrast_hu: Its distance from the liver around it, in HU, >= 0.
        tumor_bright_share: Probability that it is brighter than the liver.
        flip_left_right: Probability of mirroring along W.
        flip_front_back: Probability of mirroring along H.
        affine_probability: Probability of rotating, scaling and shifting, about the center of the slice.
        rotate_deg: Rotation, counterclockwise as displayed with row 0 on top.
        scale: Magnification, the same along both axes, in (0, 100].
        shift_percent: Shift along W and along H, drawn apart, in percent of each side, cut to whole pixels.
        elastic_probability: Probability of an elastic deformation.
        elastic_percent: Standard deviation of the shifts of a grid of 5 x 5 points along W and along H, in
            percent of each side, in [0, 20]; cubic between them.
        coarse_probability: Probability of a coarser scanner: shrunk by area, and enlarged again linearly.
        coarse_zoom: Share of the pixels of a side that are left, in (0, 1].
        blur_probability: Probability of a Gaussian blur within the slice.
        blur_pixels: Its standard deviation in pixels, in (0, 100].
        gamma_probability: Probability of bending the Hounsfield scale.
        gamma: Exponent, in (0, 100]; above 1 it darkens.
        gamma_hu: Where the scale bends: both ends and what lies beyond stay as they are.
        intensity_probability: Probability of changing offset and contrast.
        hu_shift: Added to every voxel, in HU.
        hu_scale: Contrast: factor on the distance from `hu_scale_center`, in (0, 1000].
        hu_scale_center: The HU that a change of contrast leaves as it is.
        noise_probability: Probability of adding Gaussian noise.
        noise_hu: Its standard deviation in HU, >= 0, drawn once a call; each voxel of each slice has its own
            noise.
        air_hu: Raw value of air, whole, 0 for MR. It fills what the affine map brings into view and is the
            floor of the changed values. Voxels that hold it are padding, not measured, and keep it.

    Raises:
        ConfigError: A probability outside [0, 1], or a range that is not two numbers in order, within bounds.

    Example:
        >>> augment = Augmentation(rotate_deg=(-30, 30))
        >>> image, labels = np.zeros((1, 64, 64), np.int16), np.zeros((64, 64), np.uint8)
        >>> image, labels = augment(image, labels, seed=7)
        >>> image.shape, image.dtype, labels.shape
        ((1, 64, 64), dtype('int16'), (64, 64))
    """

    def __init__(
        self,
        *,
        tumor_probability: float = 0.0,
        tumor_copied_share: float = 0.0,
        tumor_size: Sequence[float] = (0.05, 0.5),
        tumor_contrast_hu: Sequence[float] = (15, 70),
        tumor_bright_share: float = 0.2,
        flip_left_right: float = 0.0,
        flip_front_back: float = 0.0,
        affine_probability: float = 0.8,
        rotate_deg: Sequence[float] = (-15, 15),
        scale: Sequence[float] = (0.85, 1.15),
        shift_percent: Sequence[float] = (-5, 5),
        elastic_probability: float = 0.0,
        elastic_percent: Sequence[float] = (0, 2),
        coarse_probability: float = 0.0,
        coarse_zoom: Sequence[float] = (0.5, 1),
        blur_probability: float = 0.0,
        blur_pixels: Sequence[float] = (0.5, 1),
        gamma_probability: float = 0.0,
        gamma: Sequence[float] = (0.7, 1.5),
        gamma_hu: Sequence[float] = (-150, 300),
        intensity_probability: float = 0.5,
        hu_shift: Sequence[float] = (-15, 15),
        hu_scale: Sequence[float] = (0.9, 1.1),
        hu_scale_center: float = 60,
        noise_probability: float = 0.3,
        noise_hu: Sequence[float] = (0, 10),
        air_hu: int = AIR_HU,
    ) -> None:
        _check_number("air_hu", air_hu, _INT16.min, _INT16.max)
        if air_hu % 1:
            raise ConfigError(f"air_hu: must be a whole number, got {air_hu}")
        _check_number("hu_scale_center", hu_scale_center, _INT16.min, _INT16.max)
        self._tumor_probability = _probability("tumor_probability", tumor_probability)
        self.tumor_copied_share = _probability("tumor_copied_share", tumor_copied_share)
        self._copy_tumor = partial(copy_tumor, in_proportion=air_hu == 0)
        self._paint_tumor = partial(
            paint_tumor,
            size=_checked_range("tumor_size", tumor_size, 0, 1, above=True),
            contrast_hu=_checked_range("tumor_contrast_hu", tumor_contrast_hu, 0, _INT16.max),
            bright_share=_probability("tumor_bright_share", tumor_bright_share),
        )
        shift = _checked_range("shift_percent", shift_percent, -100, 100)
        bent_hu = _checked_range("gamma_hu", gamma_hu, _INT16.min, _INT16.max)
        if bent_hu[0] == bent_hu[1]:
            raise ConfigError(f"gamma_hu: the highest value must be above the lowest, got {list(gamma_hu)}")
        steps = [
            FlipLeftRight(p=_probability("flip_left_right", flip_left_right)),
            FlipFrontBack(p=_probability("flip_front_back", flip_front_back)),
            Affine(
                rotate=_checked_range("rotate_deg", rotate_deg, -180, 180),
                scale=_checked_range("scale", scale, 0, _MAX_SCALE, above=True),
                keep_ratio=True,
                translate_percent=(shift[0] / 100, shift[1] / 100),
                interpolation=cv2.INTER_LINEAR,
                mask_interpolation=cv2.INTER_NEAREST,
                border_mode=cv2.BORDER_CONSTANT,
                fill=air_hu,
                fill_mask=BACKGROUND,
                p=_probability("affine_probability", affine_probability),
            ),
            Elastic(
                elastic_percent=_checked_range("elastic_percent", elastic_percent, 0, _MAX_ELASTIC_PERCENT),
                air_hu=air_hu,
                p=_probability("elastic_probability", elastic_probability),
            ),
            Coarse(
                coarse_zoom=_checked_range("coarse_zoom", coarse_zoom, 0, 1, above=True),
                air_hu=air_hu,
                p=_probability("coarse_probability", coarse_probability),
            ),
            Blur(
                blur_pixels=_checked_range("blur_pixels", blur_pixels, 0, _MAX_BLUR_PIXELS, above=True),
                air_hu=air_hu,
                p=_probability("blur_probability", blur_probability),
            ),
            Gamma(
                gamma=_checked_range("gamma", gamma, 0, _MAX_GAMMA, above=True),
                gamma_hu=bent_hu,
                air_hu=air_hu,
                p=_probability("gamma_probability", gamma_probability),
            ),
            ShiftAndScale(
                hu_shift=_checked_range("hu_shift", hu_shift, _INT16.min, _INT16.max),
                hu_scale=_checked_range("hu_scale", hu_scale, 0, _MAX_HU_SCALE, above=True),
                hu_scale_center=hu_scale_center,
                air_hu=air_hu,
                p=_probability("intensity_probability", intensity_probability),
            ),
            Noise(
                noise_hu=_checked_range("noise_hu", noise_hu, 0, _INT16.max),
                air_hu=air_hu,
                p=_probability("noise_probability", noise_probability),
            ),
        ]
        self._does_nothing = all(step.p == 0 for step in steps)
        self._pipeline = Pipeline([step for step in steps if step.p > 0], is_check_shapes=False)

    def __call__(
        self,
        image: NDArray[np.int16],
        labels: NDArray[np.uint8],
        *,
        seed: int,
        lesions: Sequence[Lesion] = (),
        pixel_mm: float = 1.0,
    ) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
        """Change a slice, its neighbors and its labels alike.

        Args:
            image: `(N, H, W)` raw values of N neighboring slices.
            labels: `(H, W)`.
            seed: Decides the draw, >= 0.
            lesions: Those that are copied, as of `lts.data.collect_lesions`, each of N slices.
            pixel_mm: Side of a pixel; copied lesions keep their size.

        Returns:
            Image and labels, of the same shapes and dtypes, contiguous. Where nothing was changed they may be
            the arguments themselves.
        """
        assert image.dtype == np.int16, f"image must be int16, got {image.dtype}"
        assert labels.dtype == np.uint8, f"labels must be uint8, got {labels.dtype}"
        assert image.ndim == 3, f"image must be (N, H, W), got {image.shape}"
        assert labels.shape == image.shape[1:], f"labels {labels.shape} must match image {image.shape}"
        if self._tumor_probability:
            rng = np.random.default_rng((seed, _OF_TUMORS))
            if rng.random() < self._tumor_probability:
                image, labels = self._with_copied_tumor(
                    image, labels, seed=seed, lesions=lesions, pixel_mm=pixel_mm
                ) or self._paint_tumor(image, labels, rng)
        if self._does_nothing:
            return np.ascontiguousarray(image), np.ascontiguousarray(labels)
        # One stream for all steps: Compose.set_random_seed gives each step the same one, so that a flip and a
        # rotation would always come together, and takes three times as long.
        self._pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
        # albumentations wants slices last, one alone as it is. OpenCV's merge is far faster than a transpose.
        slices_last = cv2.merge(list(image)) if len(image) > 1 else image[0]
        changed = self._pipeline(image=slices_last, mask=labels)
        slices_first = np.moveaxis(changed["image"], -1, 0) if len(image) > 1 else changed["image"][None]
        return np.ascontiguousarray(slices_first), np.ascontiguousarray(changed["mask"])

    def _with_copied_tumor(
        self,
        image: NDArray[np.int16],
        labels: NDArray[np.uint8],
        *,
        seed: int,
        lesions: Sequence[Lesion],
        pixel_mm: float,
    ) -> tuple[NDArray[np.int16], NDArray[np.uint8]] | None:
        """Image and labels with a copied lesion; None where one is to be painted."""
        if not self.tumor_copied_share:
            return None
        assert lesions, "lesions must be given, to copy of them"
        rng = np.random.default_rng((seed, _OF_COPIES))
        if rng.random() >= self.tumor_copied_share:
            return None
        return self._copy_tumor(image, labels, rng, lesions=lesions, pixel_mm=pixel_mm)


def _probability(key: str, value: float) -> float:
    _check_number(key, value, 0, 1)
    return float(value)


def _checked_range(
    key: str, bounds: Sequence[float], lowest: float, highest: float, *, above: bool = False
) -> tuple[float, float]:
    """Return `bounds` as two numbers in order, within [lowest, highest]; `above`: not at `lowest`."""
    if not isinstance(bounds, Sequence) or len(bounds) != 2:
        raise ConfigError(f"{key}: must be a range [lowest, highest], got {bounds!r}")
    for bound in bounds:
        _check_number(key, bound, lowest, highest)
    if bounds[0] > bounds[1]:
        raise ConfigError(f"{key}: the lowest value must come first, got {list(bounds)}")
    if above and bounds[0] <= lowest:
        raise ConfigError(f"{key}: must be > {lowest}, got {list(bounds)}")
    return float(bounds[0]), float(bounds[1])


def _check_number(key: str, value: object, lowest: float, highest: float) -> None:
    is_number = isinstance(value, int | float) and math.isfinite(value)
    if not (is_number and lowest <= value <= highest):  # type: ignore[operator]
        raise ConfigError(f"{key}: must be a number in [{lowest}, {highest}], got {value!r}")
