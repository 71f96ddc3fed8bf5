"""What the networks share: blocks with their start values, the decoder, padding to whole strides."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lts.base import ConfigError
from lts.networks.instance_norm import InstanceNorm2d
from lts.networks.recomputation import norm_relu, recomputable
from lts.networks.torch_internals import has_hooks
from lts.networks.upsampling import upsample2x

Norm = Literal["batch", "instance", "group", "none"]

MAX_GROUPS = 8
PRIOR = 0.01


def check_whole(name: str, value: int, *, low: int, high: int | None = None) -> None:
    """Raise ConfigError unless `value` is a whole number from `low` to `high` (no upper bound if None)."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole and low <= value <= (math.inf if high is None else high)):
        rule = f">= {low}" if high is None else f"from {low} to {high}"
        raise ConfigError(f"{name}: must be a whole number {rule}, got {value!r}")


def check_norm(norm: object) -> None:
    """Raise ConfigError unless `norm` is one of `Norm`."""
    if norm not in get_args(Norm):
        raise ConfigError(f"norm: must be one of {list(get_args(Norm))}, got {norm!r}")


def conv2d(
    in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, bias: bool
) -> nn.Conv2d:
    """A convolution with the start values of He et al. (2015); an odd kernel at stride 1 keeps the size."""
    padding = (kernel_size - 1) // 2
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=bias)
    nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def norm2d(norm: Norm, channels: int) -> nn.Module:
    """The normalization named `norm`; "group" has as many groups as divide both 8 and the channels."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "instance":
        return InstanceNorm2d(channels)
    if norm == "group":
        return nn.GroupNorm(math.gcd(channels, MAX_GROUPS), channels)
    return nn.Identity()


class ConvBlock(nn.Module):
    """Twice: 3x3 convolution, normalization, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, *, norm: Norm) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            conv2d(channels, out_channels, 3, bias=norm == "none") for channels in (in_channels, out_channels)
        )
        self.norms = nn.ModuleList(norm2d(norm, out_channels) for _ in self.convs)
        self.relu = nn.ReLU()

    def forward(self, image: Tensor, deep: Tensor | None = None) -> Tensor:
        """`(B, in, H, W)` to `(B, out, H, W)`.

        Args:
            image: Features.
            deep: Features at half the size that are upsampled and set beside; the channels of both are the
                `in` channels. Not joined by the caller, who would hold what is joined, the largest tensor of
                all, to the end of the block.
        """
        if deep is not None:
            image = _upsample_beside(image, deep)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            image = conv(image)  # a name for both: the input is free before the normalization
            if any(map(has_hooks, (conv, norm, self.relu))):
                image = self.relu(norm(image))
            else:
                image = norm_relu(norm, image)
        return image


def _upsample_beside(skip: Tensor, deep: Tensor) -> Tensor:
    def join(skip: Tensor, deep: Tensor) -> Tensor:
        return torch.cat([skip, upsample2x(deep)], dim=1)

    out = join(skip, deep)
    recomputable(out, join, skip, deep)
    return out


class OpenGate(nn.Module):
    """The gate of a plain skip: lets everything through."""

    def __init__(self, skip_channels: int, deep_channels: int) -> None:  # noqa: ARG002 - the shape of every gate
        super().__init__()

    def forward(self, skip: Tensor, deep: Tensor) -> Tensor:  # noqa: ARG002
        """Return `skip`."""
        return skip


class UpBlock(nn.Module):
    """One level up: the deeper features at twice the size, beside the gated skip, through a `ConvBlock`.

    A 1x1 convolution, then bilinear interpolation: the two commute, and at the small size the convolution
    costs a quarter. On a CPU a training step takes as long as with a transposed convolution, which has four
    times the weights and can leave a pattern of blocks.
    """

    def __init__(
        self, deep_channels: int, skip_channels: int, out_channels: int, *, norm: Norm, gate: type[nn.Module]
    ) -> None:
        super().__init__()
        # No bias: the block that follows has its own shift.
        self.reduce = conv2d(deep_channels, out_channels, 1, bias=False)
        self.gate = gate(skip_channels, deep_channels)
        self.block = ConvBlock(skip_channels + out_channels, out_channels, norm=norm)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """`(B, deep, H/2, W/2)` and `(B, skip, H, W)` to `(B, out, H, W)`."""
        out: Tensor = self.block(self.gate(skip, deep), self.reduce(deep))
        return out


class Decoder(nn.Module):
    """From features at halving sizes back to the size of the first.

    Args:
        feature_channels: Channels of the features, finest first.
        out_channels: Channels after each level, finest first: one fewer than features.
        norm: Normalization of the blocks.
        gate: What stands on every skip: a module made from (skip channels, deeper channels) and called
            with (skip, deeper features).
    """

    def __init__(
        self,
        feature_channels: Sequence[int],
        out_channels: Sequence[int],
        *,
        norm: Norm,
        gate: type[nn.Module] = OpenGate,
    ) -> None:
        super().__init__()
        assert len(out_channels) == len(feature_channels) - 1
        deep_channels = [*out_channels[1:], feature_channels[-1]]
        self.levels = nn.ModuleList(
            UpBlock(deep, skip, out, norm=norm, gate=gate)
            for deep, skip, out in zip(deep_channels, feature_channels[:-1], out_channels, strict=True)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features, finest first, to `(B, out_channels[0], H, W)` at the size of the first."""
        out = features[-1]
        for out in self.each_level(features):  # noqa: B007 - only the last is kept, as all of them are large
            pass
        return out

    def each_level(self, features: list[Tensor]) -> Iterator[Tensor]:
        """The output of each level, coarsest first, from features that come finest first."""
        *skips, out = features
        for level, skip in zip(reversed(self.levels), reversed(skips), strict=True):
            out = level(out, skip)
            yield out


def segmentation_head(in_channels: int, out_channels: int) -> nn.Conv2d:
    """1x1 convolution to logits, whose bias starts every probability near 0.01.

    Tumor fills well under one pixel in a hundred: from 0.5 the first steps would only unlearn the foreground
    (Lin et al. 2017, section 4.1).
    """
    head = nn.Conv2d(in_channels, out_channels, 1)
    nn.init.normal_(head.weight, std=in_channels**-0.5)
    assert head.bias is not None
    nn.init.constant_(head.bias, math.log(PRIOR / (1 - PRIOR)))
    return head


def padding(size: int, multiple: int) -> int:
    """Pixels to add to `size` for a multiple of `multiple`, and for two of them at least.

    Two, because a normalization over one single pixel is undefined. Arithmetic without branches, so that a
    traced or exported network pads every size rightly and not only the one it was traced with.
    """
    one_too_few = (2 * multiple - 1) // (size + multiple - 1)  # 1 if size <= multiple, else 0
    return -size % multiple + one_too_few * multiple


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until H and W are multiples of `multiple`, and at least two of them.

    Repeated edges, not zeros: 0 is the floor of the window, which for some windows is soft tissue.

    Args:
        image: `(B, C, H, W)`, H and W >= 1.
        multiple: The network's total stride in pixels.
    """
    height, width = image.shape[-2:]
    return F.pad(image, (0, padding(width, multiple), 0, padding(height, multiple)), mode="replicate")
