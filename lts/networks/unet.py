"""The U-Net."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lts.base import ConfigError
from lts.networks.blocks import (
    ConvBlock,
    Decoder,
    Norm,
    OpenGate,
    check_norm,
    check_whole,
    pad_to_multiple,
    segmentation_head,
)
from lts.networks.recomputation import recomputing

MAX_CHANNELS = 512
MAX_DEPTH, MAX_PATCH = 8, 8


class UNetEncoder(nn.Module):
    """A `ConvBlock` per level with 2x2 max-pooling between, dropout of channels at the end of the path."""

    def __init__(self, in_channels: int, channels: Sequence[int], *, norm: Norm, dropout: float) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            ConvBlock(before, after, norm=norm)
            for before, after in zip([in_channels, *channels[:-1]], channels, strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, image: Tensor) -> list[Tensor]:
        """`(B, C, H, W)` to one tensor per level, finest first, each half the size of the one before."""
        features = [self.levels[0](image)]
        for level in self.levels[1:]:
            features.append(level(self.pool(features[-1])))
        features[-1] = self.dropout(features[-1])
        return features


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015) with padded convolutions, so that the logits have the image's size.

    Channels double per level, up to 512 (Isensee et al. 2021), or stay at `width` where that is more.

    Args:
        in_channels: Channels of the image.
        out_channels: Regions.
        width: Channels of the finest level.
        depth: Levels of resolution, 2 to 8: the image is halved `depth - 1` times.
        norm: "batch", "instance", "group" (8 groups, fewer where 8 does not divide the channels) or "none".
        dropout: Probability that a channel of the deepest level is dropped in training, in [0, 1).
        patch: Side in pixels, 1 to 8, of the patches that the network takes as one: their pixels are channels
            of the finest level, and the logits of all of them come out of it (Shi et al. 2016). With 2 it
            computes a quarter, and masks keep the resolution of the image.
        deep_supervision: How many of the decoder's coarser levels have a head of their own for `every_level`,
            from 0 to `depth - 2` (Lee et al. 2015); a prediction does not use them.

    Raises:
        ConfigError: An argument breaks its rule.

    Example:
        >>> import torch
        >>> network = UNet(in_channels=3, out_channels=2)
        >>> logits = network(torch.rand(1, 3, 96, 100))
        >>> logits.shape
        torch.Size([1, 2, 96, 100])
    """

    gate: ClassVar[type[nn.Module]] = OpenGate

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        width: int = 32,
        depth: int = 5,
        norm: Norm = "batch",
        dropout: float = 0.0,
        patch: int = 1,
        deep_supervision: int = 0,
    ) -> None:
        super().__init__()
        check_whole("in_channels", in_channels, low=1)
        check_whole("out_channels", out_channels, low=1)
        check_whole("width", width, low=1)
        check_whole("depth", depth, low=2, high=MAX_DEPTH)
        check_whole("patch", patch, low=1, high=MAX_PATCH)
        check_whole("deep_supervision", deep_supervision, low=0, high=depth - 2)
        check_norm(norm)
        if not (isinstance(dropout, int | float) and 0 <= dropout < 1):
            raise ConfigError(f"dropout: must be a probability in [0, 1), got {dropout!r}")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.width, self.depth, self.norm, self.dropout, self.patch = width, depth, norm, dropout, patch
        channels = [min(width * 2**level, max(width, MAX_CHANNELS)) for level in range(depth)]
        self.deep_supervision = deep_supervision
        self.stride = patch * 2 ** (depth - 1)
        self.encoder = UNetEncoder(in_channels * patch**2, channels, norm=norm, dropout=dropout)
        self.decoder = Decoder(channels, channels[:-1], norm=norm, gate=self.gate)
        self.head = segmentation_head(channels[0], out_channels * patch**2)
        self.coarse_heads = nn.ModuleList(
            segmentation_head(coarse, out_channels * patch**2)
            for coarse in channels[1 : 1 + deep_supervision]
        )

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every pixel and region.

        Args:
            image: `(B, in_channels, H, W)` in [0, 1], any H and W >= 1.

        Returns:
            `(B, out_channels, H, W)`.
        """
        with recomputing():
            logits: Tensor = self.head(self.decoder(self._features(image)))
        return self._fitted(logits, image)

    def every_level(self, image: Tensor) -> list[Tensor]:
        """Logits as of `forward`, then those of each coarser level with a head, enlarged bilinearly.

        Args:
            image: `(B, in_channels, H, W)` in [0, 1].

        Returns:
            `1 + deep_supervision` tensors `(B, out_channels, H, W)`, finest first.
        """
        with recomputing():
            outs = list(self.decoder.each_level(self._features(image)))[::-1]
            heads = [self.head, *self.coarse_heads]
            logits = [head(out) for head, out in zip(heads, outs[: len(heads)], strict=True)]
        return [self._fitted(each, image, enlarged=2**level) for level, each in enumerate(logits)]

    def _features(self, image: Tensor) -> list[Tensor]:
        features: list[Tensor] = self.encoder(self._patches(pad_to_multiple(image, self.stride)))
        return features

    def _fitted(self, logits: Tensor, image: Tensor, *, enlarged: int = 1) -> Tensor:
        """Logits of a level at the size of the image, which was padded and may have been cut into patches."""
        height, width = image.shape[-2:]
        if self.patch > 1:
            logits = F.pixel_shuffle(logits, self.patch)
        if enlarged > 1:
            logits = F.interpolate(logits, scale_factor=float(enlarged), mode="bilinear")
        return logits[..., :height, :width]

    def _patches(self, image: Tensor) -> Tensor:
        if self.patch == 1:
            return image
        return F.pixel_unshuffle(image, self.patch).contiguous(memory_format=torch.channels_last)
