"""How axial slices of any size, or a part of them, are laid on a square of `image_size` pixels, and back."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lts.base import LABELS, ConfigError
from lts.slices.box import Box

SMALLEST_IMAGE, LARGEST_IMAGE = 16, 4096
SMALLEST_MM, LARGEST_MM = 0.01, 100.0
_ROUNDING = 1e-6
"""Of a pixel: what a quotient of millimeters may be off a whole number."""
_OPENCV_SIDE = 2**15
"""Pixels of a side that are too many for OpenCV."""

cv2.setNumThreads(0)  # its threads cost more than they gain on single slices

Range = tuple[int, int]
"""The first, and the one after the last."""


@dataclass(frozen=True)
class PlaneFit:
    """The way from slices of `source_hw` pixels to a square of `image_size` pixels.

    A part of the slice, often the whole, is resized to `fitted_hw`, which keeps its proportions in mm, then
    padded or cropped. Pixels of the square are `pixel_mm` wide and high, up to the rounding of `fitted_hw`.

    Attributes:
        source_hw: Pixels of a slice.
        rows: Those of the part.
        columns: Those of the part.
        fitted_hw: Pixels of the resized part.
        top: Row of the square where it begins; negative where the square begins later.
        left: Its column.
        image_size: Side of the square in pixels.
        pixel_mm: Side of its pixels.

    Example:
        >>> plane = fit_plane((100, 50), (1.0, 1.0), image_size=64, pixel_mm=None)
        >>> plane.fitted_hw, plane.invert(torch.ones(2, 1, 64, 64)).shape
        ((64, 32), torch.Size([2, 1, 100, 50]))
    """

    source_hw: tuple[int, int]
    rows: Range
    columns: Range
    fitted_hw: tuple[int, int]
    top: int
    left: int
    image_size: int
    pixel_mm: float

    @property
    def _padding(self) -> tuple[int, int, int, int]:
        """Left, right, top, bottom; negative where the square is the smaller one."""
        (height, width), size = self.fitted_hw, self.image_size
        return self.left, size - width - self.left, self.top, size - height - self.top

    @property
    def _part(self) -> tuple[slice, slice]:
        return slice(*self.rows), slice(*self.columns)

    @property
    def on_square(self) -> tuple[slice, slice]:
        """Rows and columns of the square that show the slice."""
        rows, columns = (
            slice(max(0, begin), min(self.image_size, begin + length))
            for begin, length in zip((self.top, self.left), self.fitted_hw, strict=True)
        )
        return rows, columns

    def to_source(self, rows: Range, columns: Range) -> tuple[Range, Range]:
        """The pixels of the slice that some rows and columns within `on_square` touch."""
        return (
            _to_source(rows, begin=self.top, fitted=self.fitted_hw[0], part=self.rows),
            _to_source(columns, begin=self.left, fitted=self.fitted_hw[1], part=self.columns),
        )

    def apply(self, slices: Tensor, *, fill: float) -> Tensor:
        """Lay slices on the square.

        Args:
            slices: `(N, H, W)`, any real dtype.
            fill: Value of the padding.

        Returns:
            `(N, image_size, image_size)` float32, smoothed where it shrinks.
        """
        assert slices.shape[1:] == self.source_hw, f"expected slices of {self.source_hw}, got {slices.shape}"
        part = slices[:, *self._part]
        return F.pad(_resize(part[None].float(), self.fitted_hw)[0], self._padding, value=fill)

    def apply_labels(self, labels: Tensor) -> Tensor:
        """Lay label slices on the square: a pixel takes the highest label that covers half of it.

        Args:
            labels: `(N, H, W)` uint8: 0, 1, 2.

        Returns:
            `(N, image_size, image_size)` uint8; background outside.
        """
        fitted = torch.zeros(len(labels), self.image_size, self.image_size, dtype=torch.uint8)
        highest = labels.flatten(1).amax(1)
        for label in LABELS[1:]:
            # Slice by slice, so that what is made on the way stays in the cache; numpy compares bytes faster.
            for i in (highest >= label).nonzero()[:, 0].tolist():
                covered = torch.from_numpy(labels[i : i + 1].numpy() >= label)
                fitted[i] += (self.apply(covered, fill=0) >= 0.5)[0]
        return fitted

    def invert(self, slices: Tensor) -> Tensor:
        """Bring values on the square back onto the slices' own pixels; 0 where the square did not reach.

        None is beyond the values that its image has on the square.

        Args:
            slices: `(N, C, image_size, image_size)` float.

        Returns:
            `(N, C, H, W)` of the same dtype.
        """
        left, right, top, bottom = self._padding
        fitted = F.pad(slices, (-left, -right, -top, -bottom))
        rows, columns = self._part
        size = rows.stop - rows.start, columns.stop - columns.start
        if tuple(fitted.shape[-2:]) == size == self.source_hw:
            return fitted
        whole = slices.new_zeros(*slices.shape[:2], *self.source_hw)
        part = whole[:, :, rows, columns]
        if _opencv_enlarges(fitted, size):
            _enlarge(fitted, into=part)
        else:
            # torch's weights add up to 1 but for rounding; a probability must not exceed it.
            least, most = (of(fitted, dim=(-2, -1), keepdim=True) for of in (torch.amin, torch.amax))
            part.copy_(torch.clamp(_resize(fitted.contiguous(), size), least, most))
        return whole


def check_plane(*, image_size: int, pixel_mm: float | None) -> None:
    """Check the square that slices are laid on.

    Args:
        image_size: Side of the square in pixels.
        pixel_mm: Side of its pixels; None where it follows from the slice.

    Raises:
        ConfigError: `image_size` is outside 16 to 4096, or `pixel_mm` outside 0.01 to 100.

    Example:
        >>> check_plane(image_size=256, pixel_mm=1.5)
    """
    if not SMALLEST_IMAGE <= image_size <= LARGEST_IMAGE:
        raise ConfigError(
            f"image_size: must be from {SMALLEST_IMAGE} to {LARGEST_IMAGE} pixels, got {image_size}"
        )
    if pixel_mm is not None and not SMALLEST_MM <= pixel_mm <= LARGEST_MM:
        raise ConfigError(f"pixel_mm: must be from {SMALLEST_MM} to {LARGEST_MM} mm or null, got {pixel_mm}")


def fit_plane(
    shape_hw: tuple[int, int],
    spacing_mm: tuple[float, float],
    *,
    image_size: int,
    pixel_mm: float | None,
    box: Box | None = None,
    margin_mm: float = 0.0,
) -> PlaneFit:
    """Plan how slices are laid on a square.

    Args:
        shape_hw: Pixels of a slice.
        spacing_mm: Distance between its pixels, `(H, W)`.
        image_size: Side of the square in pixels.
        pixel_mm: Side of the square's pixels; None fits the longer side of the slice, or of the box with its
            margin, to the square.
        box: Whose rows and columns are in the middle of the square, which may reach beyond the slice; None
            for the whole slice.
        margin_mm: What is seen beyond the box on every side, at least, where the side of a pixel is None.

    Raises:
        ConfigError: As `check_plane`.

    Example:
        >>> fit_plane((512, 512), (0.75, 0.75), image_size=256, pixel_mm=None).pixel_mm
        1.5
        >>> box = Box(slices=(0, 9), rows=(100, 300), columns=(40, 320))
        >>> plane = fit_plane((512, 512), (0.75, 0.75), image_size=256, pixel_mm=None, box=box, margin_mm=23)
        >>> plane.pixel_mm, plane.rows, plane.columns
        (1.0, (29, 371), (9, 351))
    """
    check_plane(image_size=image_size, pixel_mm=pixel_mm)
    if box is not None:
        return _fit_to_box(
            shape_hw, spacing_mm, image_size=image_size, pixel_mm=pixel_mm, box=box, margin_mm=margin_mm
        )
    extent_mm = [n * step for n, step in zip(shape_hw, spacing_mm, strict=True)]
    side_mm = pixel_mm or max(extent_mm) / image_size
    height, width = (max(1, round(extent / side_mm)) for extent in extent_mm)
    return PlaneFit(
        source_hw=shape_hw,
        rows=(0, shape_hw[0]),
        columns=(0, shape_hw[1]),
        fitted_hw=(height, width),
        top=(image_size - height) // 2,
        left=(image_size - width) // 2,
        image_size=image_size,
        pixel_mm=side_mm,
    )


def _fit_to_box(
    shape_hw: tuple[int, int],
    spacing_mm: tuple[float, float],
    *,
    image_size: int,
    pixel_mm: float | None,
    box: Box,
    margin_mm: float,
) -> PlaneFit:
    sides = list(zip((box.rows, box.columns), shape_hw, spacing_mm, strict=True))
    longest_mm = max((stop - start) * step for (start, stop), _, step in sides) + 2 * margin_mm
    side_mm = pixel_mm or longest_mm / image_size
    parts, fitted, begins = [], [], []
    for (start, stop), length, step in sides:
        first_mm = (start + stop) / 2 * step - image_size * side_mm / 2
        last_mm = first_mm + image_size * side_mm
        first = max(0, math.floor(first_mm / step + _ROUNDING))
        last = min(length, math.ceil(last_mm / step - _ROUNDING))
        parts.append((first, last))
        fitted.append(max(1, round((last - first) * step / side_mm)))
        begins.append(round((first * step - first_mm) / side_mm))
    return PlaneFit(
        source_hw=shape_hw,
        rows=parts[0],
        columns=parts[1],
        fitted_hw=(fitted[0], fitted[1]),
        top=begins[0],
        left=begins[1],
        image_size=image_size,
        pixel_mm=side_mm,
    )


def lay_on_plane(voxels: np.ndarray, plane: PlaneFit, *, fill: int) -> Tensor:
    """Slices of a scan as the network sees them, in training as in serving.

    Args:
        voxels: `(N, H, W)`, int16 or float32.
        plane: How they are laid out.
        fill: Value of the padding.

    Returns:
        `(N, image_size, image_size)`: int16 for int16, rounded; float32 for float32.

    Example:
        >>> plane = fit_plane((100, 50), (1.0, 1.0), image_size=64, pixel_mm=None)
        >>> laid = lay_on_plane(np.zeros((3, 100, 50), np.int16), plane, fill=-1024)
        >>> laid.shape, laid.dtype, int(laid[0, 0, 0]), int(laid[0, 32, 32])
        (torch.Size([3, 64, 64]), torch.int16, -1024, 0)
    """
    laid = plane.apply(torch.from_numpy(voxels), fill=fill)
    return laid.round_().to(torch.int16) if voxels.dtype == np.int16 else laid


def _resize(slices: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(slices.shape[-2:]) == size:
        return slices
    return F.interpolate(slices, size=size, mode="bilinear", antialias=True)


def _opencv_enlarges(slices: Tensor, size: tuple[int, int]) -> bool:
    """Whether OpenCV makes the same of them, as it smooths nothing that shrinks."""
    is_plain = slices.device.type == "cpu" and slices.dtype == torch.float32 and not slices.requires_grad
    lengths = list(zip(slices.shape[-2:], size, strict=True))
    return is_plain and all(old <= new < _OPENCV_SIDE for old, new in lengths)


def _enlarge(slices: Tensor, *, into: Tensor) -> None:
    """What `_resize` would make of `(N, C, H, W)`, without its errors of 1e-5 and in a fifth of the time."""
    height, width = into.shape[-2:]
    sources, places = slices.contiguous().numpy(), into.numpy()
    for index in np.ndindex(sources.shape[:2]):
        made = cv2.resize(sources[index], (width, height), dst=places[index], interpolation=cv2.INTER_LINEAR)
        assert np.may_share_memory(made, places)


def _to_source(pixels: Range, *, begin: int, fitted: int, part: Range) -> Range:
    first, stop = part
    scale = (stop - first) / fitted
    low, high = ((pixel - begin) * scale for pixel in pixels)
    return first + math.floor(low + _ROUNDING), min(stop, first + math.ceil(high - _ROUNDING))
