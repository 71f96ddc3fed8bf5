"""The steps of `Augmentation` as transforms of albumentations, on raw values of slices that come last."""

import math
import os
from collections.abc import Callable
from typing import Any

# Without this, importing albumentations asks the network for a newer version.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations as A
import cv2
import numpy as np
from albumentations.core.type_definitions import Targets
from numpy.typing import NDArray

from lts.base import BACKGROUND

# OpenCV would start a thread per core in every loader worker, and a forked worker inherits a pool without its
# threads. Set here, it holds before the first call in every process that augments, forked or spawned.
cv2.setNumThreads(0)

FlipLeftRight, FlipFrontBack, Pipeline = A.HorizontalFlip, A.VerticalFlip, A.Compose

_INT16 = np.iinfo(np.int16)
_SIGN = np.uint16(0x8000)
_ALL_HU = np.arange(_INT16.min, _INT16.max + 1, dtype=np.int16)
_KNOTS = 5  # control points of an elastic deformation, along each side


class Affine(A.Affine):  # type: ignore[misc]  # albumentations is untyped here
    """albumentations' draws and matrices, laid on one slice at a time, as unsigned numbers.

    OpenCV places pixels of int16, or of two channels, on a grid of 32nds; those of one uint16 exactly, and in
    half the time.
    """

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        drawn = super().get_params_dependent_on_data(params, data)
        return {"matrix": drawn["matrix"]}

    def apply(self, img: NDArray[np.int16], matrix: NDArray[np.float64], **_: Any) -> NDArray[np.int16]:
        fill = float(self.fill) - _INT16.min
        return _each_as_unsigned(img, lambda one: _warp(one, matrix, self.interpolation, fill))

    def apply_to_mask(
        self, mask: NDArray[np.uint8], matrix: NDArray[np.float64], **_: Any
    ) -> NDArray[np.uint8]:
        if not mask.any():  # as most slices of an abdomen
            return mask
        return _warp(mask, matrix, self.mask_interpolation, float(self.fill_mask))


def _warp(pixels: NDArray[Any], matrix: NDArray[np.float64], interpolation: int, fill: float) -> NDArray[Any]:
    """Map `(H, W)` pixels; what comes into view is `fill`."""
    warped: NDArray[Any] = cv2.warpAffine(
        pixels,
        matrix[:2],
        pixels.shape[::-1],
        flags=interpolation,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=fill,
    )
    return warped


def _each_slice(img: NDArray[Any], change: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[Any]:
    """Change the slices of an image that has them last, one by one."""
    return change(img) if img.ndim == 2 else cv2.merge([change(one) for one in cv2.split(img)])


def _each_as_unsigned(
    img: NDArray[np.int16], change: Callable[[NDArray[Any]], NDArray[Any]]
) -> NDArray[np.int16]:
    """Change each slice in the order of its values, but counted from 0."""
    signed: NDArray[np.int16] = (_each_slice(img.view(np.uint16) ^ _SIGN, change) ^ _SIGN).view(np.int16)
    return signed


class Elastic(A.DualTransform):  # type: ignore[misc]
    """Shifts of a grid of control points, cubic between them; the same for slices and labels."""

    _targets = (Targets.IMAGE, Targets.MASK)

    def __init__(self, *, elastic_percent: tuple[float, float], air_hu: int, p: float) -> None:
        super().__init__(p=p)
        self.elastic_percent = elastic_percent
        self.air_hu = air_hu

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        drawn = super().get_params_dependent_on_data(params, data)
        height, width = params["shape"][:2]
        deviation = self.py_random.uniform(*self.elastic_percent) / 100
        moved = deviation * self.random_generator.standard_normal((_KNOTS, _KNOTS, 2), dtype=np.float32)
        field = cv2.resize(moved, (width, height), interpolation=cv2.INTER_CUBIC)
        columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        return {**drawn, "columns": columns + field[..., 0] * width, "rows": rows + field[..., 1] * height}

    def apply(
        self, img: NDArray[np.int16], columns: NDArray[np.float32], rows: NDArray[np.float32], **_: Any
    ) -> NDArray[np.int16]:
        fill = float(self.air_hu) - _INT16.min
        return _each_as_unsigned(
            img, lambda one: _moved(one, columns, rows, interpolation=cv2.INTER_LINEAR, fill=fill)
        )

    def apply_to_mask(
        self, mask: NDArray[np.uint8], columns: NDArray[np.float32], rows: NDArray[np.float32], **_: Any
    ) -> NDArray[np.uint8]:
        if not mask.any():
            return mask
        return _moved(mask, columns, rows, interpolation=cv2.INTER_NEAREST, fill=BACKGROUND)


def _moved(
    pixels: NDArray[Any],
    columns: NDArray[np.float32],
    rows: NDArray[np.float32],
    *,
    interpolation: int,
    fill: float,
) -> NDArray[Any]:
    """`(H, W)` pixels, each taken from the place that `columns` and `rows` name."""
    moved: NDArray[Any] = cv2.remap(
        pixels, columns, rows, interpolation, borderMode=cv2.BORDER_CONSTANT, borderValue=fill
    )
    return moved


class Coarse(A.ImageOnlyTransform):  # type: ignore[misc]
    """The slices as a scanner of larger pixels would give them."""

    def __init__(self, *, coarse_zoom: tuple[float, float], air_hu: int, p: float) -> None:
        super().__init__(p=p)
        self.coarse_zoom = coarse_zoom
        self.air_hu = air_hu

    def get_params(self) -> dict[str, Any]:
        return {"zoom": self.py_random.uniform(*self.coarse_zoom)}

    def apply(self, img: NDArray[np.int16], zoom: float, **_: Any) -> NDArray[np.int16]:
        height, width = img.shape[:2]
        smaller = (max(1, round(width * zoom)), max(1, round(height * zoom)))

        def change(one: NDArray[np.int16]) -> NDArray[Any]:
            coarse = cv2.resize(one, smaller, interpolation=cv2.INTER_AREA)
            enlarged: NDArray[Any] = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
            return enlarged

        # One by one: OpenCV shrinks up to four together.
        return _with_air(_each_slice(img, change), measured=img, air_hu=self.air_hu)


class Blur(A.ImageOnlyTransform):  # type: ignore[misc]
    """Gaussian blur of each slice; albumentations' own takes no int16."""

    def __init__(self, *, blur_pixels: tuple[float, float], air_hu: int, p: float) -> None:
        super().__init__(p=p)
        self.blur_pixels = blur_pixels
        self.air_hu = air_hu

    def get_params(self) -> dict[str, Any]:
        return {"deviation": self.py_random.uniform(*self.blur_pixels)}

    def apply(self, img: NDArray[np.int16], deviation: float, **_: Any) -> NDArray[np.int16]:
        blurred = cv2.GaussianBlur(img, (0, 0), deviation, borderType=cv2.BORDER_REPLICATE)
        return _with_air(blurred, measured=img, air_hu=self.air_hu)


class Gamma(A.ImageOnlyTransform):  # type: ignore[misc]
    """Bends the scale between two Hounsfield units, as contrast of another phase does."""

    def __init__(
        self, *, gamma: tuple[float, float], gamma_hu: tuple[float, float], air_hu: int, p: float
    ) -> None:
        super().__init__(p=p)
        self.gamma = gamma
        self.gamma_hu = gamma_hu
        self.air_hu = air_hu

    def get_params(self) -> dict[str, Any]:
        return {"exponent": self.py_random.uniform(*self.gamma)}

    def apply(self, img: NDArray[np.int16], exponent: float, **_: Any) -> NDArray[np.int16]:
        low, high = self.gamma_hu
        between = np.arange(math.floor(low) + 1, math.ceil(high))
        bent = _ALL_HU.copy()
        bent[between - _INT16.min] = np.rint(
            low + (high - low) * ((between - low) / (high - low)) ** exponent
        )
        return _with_air(bent[img.view(np.uint16) ^ _SIGN], measured=img, air_hu=self.air_hu)


class ShiftAndScale(A.ImageOnlyTransform):  # type: ignore[misc]  # albumentations is untyped here
    """Offset and contrast in Hounsfield units; albumentations' own expect values of [0, 255] or [0, 1]."""

    def __init__(
        self,
        *,
        hu_shift: tuple[float, float],
        hu_scale: tuple[float, float],
        hu_scale_center: float,
        air_hu: int,
        p: float,
    ) -> None:
        super().__init__(p=p)
        self.hu_shift = hu_shift
        self.hu_scale = hu_scale
        self.hu_scale_center = hu_scale_center
        self.air_hu = air_hu

    def get_params(self) -> dict[str, Any]:
        scale = self.py_random.uniform(*self.hu_scale)
        shift = self.py_random.uniform(*self.hu_shift)
        return {"factor": scale, "offset": self.hu_scale_center * (1 - scale) + shift}

    def apply(self, img: NDArray[np.int16], factor: float, offset: float, **_: Any) -> NDArray[np.int16]:
        changed = cv2.addWeighted(img, factor, img, 0, offset)
        return _with_air(changed, measured=img, air_hu=self.air_hu)


class Noise(A.ImageOnlyTransform):  # type: ignore[misc]
    """Gaussian noise of a drawn standard deviation in HU, independent in each voxel."""

    def __init__(self, *, noise_hu: tuple[float, float], air_hu: int, p: float) -> None:
        super().__init__(p=p)
        self.noise_hu = noise_hu
        self.air_hu = air_hu

    def get_params(self) -> dict[str, Any]:
        return {"std_hu": self.py_random.uniform(*self.noise_hu)}

    def apply(self, img: NDArray[np.int16], std_hu: float, **_: Any) -> NDArray[np.int16]:
        noise = self.random_generator.standard_normal(img.shape, dtype=np.float32)
        noisy = cv2.addWeighted(img, 1, noise, std_hu, 0, dtype=cv2.CV_16S)
        return _with_air(noisy, measured=img, air_hu=self.air_hu)


def _with_air(changed: NDArray[np.int16], *, measured: NDArray[np.int16], air_hu: int) -> NDArray[np.int16]:
    """Changed values, air where they are below it and where `measured` is padding."""
    # OpenCV takes a number for the first channel alone, so slices are laid side by side.
    kept: NDArray[np.int16] = cv2.max(changed.reshape(len(changed), -1), float(air_hu)).reshape(
        measured.shape
    )
    np.copyto(kept, measured, where=measured == air_hu)
    return kept
