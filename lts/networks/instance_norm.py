"""Instance normalization that keeps features channels last on a CPU."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from lts.networks.torch_internals import is_transformed


class InstanceNorm2d(nn.InstanceNorm2d):
    """torch's, with a weight and a bias for each channel and no running statistics.

    torch's own gives back features channel after channel, and each convolution behind it orders them anew: on
    a CPU a training step of a U-Net takes half as long again, and a prediction twice as long. So each image
    is normalized by itself, by the kernel of batch normalization. Its own sums are rounded more than torch's:
    not noticed beside noise, but of an image of one value all that is left is rounding. Training has them,
    as its gradient needs them; elsewhere the kernel is given mean and variance, by sums as exact as torch's.

    Args:
        channels: Of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=True)

    def forward(self, image: Tensor) -> Tensor:
        """`(B, C, H, W)` to the same shape, type and layout."""
        return instance_norm(image, self.weight, self.bias, eps=self.eps, learning=torch.is_grad_enabled())


def instance_norm(image: Tensor, weight: Tensor, bias: Tensor, *, eps: float, learning: bool) -> Tensor:
    """`F.instance_norm`, of each image by itself where that is faster.

    Args:
        image: `(B, C, H, W)`.
        weight: `(C,)`.
        bias: `(C,)`.
        eps: Added to the variance.
        learning: Whether there may be a gradient, and sums may be rounded as a training does not notice.
    """
    if not _is_faster_one_by_one(image, weight):
        return F.instance_norm(image, weight=weight, bias=bias, eps=eps)
    if learning:
        normalized: Tensor = _OneByOne.apply(image, weight, bias, eps)
        return normalized
    if image.dtype != weight.dtype:  # sums of bfloat16 would be rounded to it
        return F.instance_norm(image, weight=weight, bias=bias, eps=eps)
    return _exactly_one_by_one(image, weight, bias, eps)


def _exactly_one_by_one(image: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    normalized, unused = torch.empty_like(image), weight.new_empty(0)
    for one in range(len(image)):
        whole = slice(one, one + 1)
        centered = image[whole] - image[whole].mean((2, 3), keepdim=True)
        left = centered.mean((0, 2, 3))  # by the rounding of the first mean
        variance = centered.square().mean((0, 2, 3)) - left.square()
        torch.native_batch_norm(
            centered,
            weight,
            bias,
            running_mean=left,
            running_var=variance,
            training=False,
            momentum=0.0,
            eps=eps,
            out=(normalized[whole], unused, unused),
        )
    return normalized


def _is_faster_one_by_one(image: Tensor, weight: Tensor) -> bool:
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return (
        image.device.type == "cpu"
        and not (tracing or torch.compiler.is_compiling() or is_transformed())
        and image.is_contiguous(memory_format=torch.channels_last)
        and not image.is_contiguous()
        and weight.dtype in (torch.float32, torch.float64)
    )


class _OneByOne(torch.autograd.Function):
    """Batch normalization of batches of one image, by a kernel that reads and writes channels last."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        normalized = torch.empty_like(image)
        mean = weight.new_empty(image.shape[:2])
        inverse_std = torch.empty_like(mean)
        for one in range(len(image)):
            torch.native_batch_norm(
                image[one : one + 1],
                weight,
                bias,
                running_mean=None,
                running_var=None,
                training=True,
                momentum=0.0,
                eps=eps,
                out=(normalized[one : one + 1], mean[one], inverse_std[one]),
            )
        ctx.save_for_backward(image, weight, mean, inverse_std)
        ctx.eps = eps
        return normalized

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        image, weight, mean, inverse_std = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        of_image, of_weight, of_bias = (
            torch.empty_like(image),
            torch.zeros_like(weight),
            torch.zeros_like(weight),
        )
        for one in range(len(image)):
            whole = slice(one, one + 1)
            of_image[whole], one_weight, one_bias = torch.ops.aten.native_batch_norm_backward(
                grad[whole],
                image[whole],
                weight,
                running_mean=None,
                running_var=None,
                save_mean=mean[one],
                save_invstd=inverse_std[one],
                train=True,
                eps=ctx.eps,
                output_mask=[True, True, True],
            )
            of_weight += one_weight
            of_bias += one_bias
        return of_image, of_weight, of_bias, None
