"""Bilinear upsampling by two, with a backward that a CPU does four times as fast."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lts.networks.torch_internals import is_transformed

_TAPS = (0.25, 0.75, 0.75, 0.25)


def upsample2x(image: Tensor) -> Tensor:
    """Bilinear interpolation at twice the size, pixel centers kept (`align_corners=False`).

    Args:
        image: `(B, C, H, W)`.

    Returns:
        `(B, C, 2H, 2W)`.
    """
    # The transforms of torch.func take torch's own alone.
    if not image.requires_grad or is_transformed():
        return _interpolate(image)
    upsampled: Tensor = _Upsample2x.apply(image)
    return upsampled


def _interpolate(image: Tensor) -> Tensor:
    return F.interpolate(image, scale_factor=2.0, mode="bilinear", align_corners=False)


class _Upsample2x(torch.autograd.Function):
    """Interpolation whose backward is a convolution.

    Along each axis a pixel gives 1/4, 3/4, 3/4, 1/4 of itself to the four that surround it; at an edge also
    what would have gone to the one beyond. Gathering that is a convolution of stride two over the gradient
    with its edges repeated. The library's own backward scatters instead, which is slow on a CPU, slower still
    when compiled, and on a GPU adds in any order.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor) -> Tensor:  # noqa: ARG004
        return _interpolate(image)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ARG004
        taps = grad.new_tensor(_TAPS)
        channels = grad.shape[1]
        kernel = torch.outer(taps, taps).expand(channels, 1, len(_TAPS), len(_TAPS))
        return F.conv2d(F.pad(grad, (1, 1, 1, 1), mode="replicate"), kernel, stride=2, groups=channels)
