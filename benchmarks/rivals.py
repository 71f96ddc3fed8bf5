"""U-Nets of other libraries, as large as the one of lts that each is held against."""

from collections.abc import Sequence
from dataclasses import dataclass

import segmentation_models_pytorch as smp
from monai.networks.nets import BasicUNet
from torch import nn

from benchmarks.config import shipped

CLOSE = 0.10
"""How far the numbers of parameters may differ."""


@dataclass(frozen=True)
class Rival:
    """A network of another library beside ours.

    Attributes:
        name: Whose it is, and which.
        network: The other one.
        ours: The one of lts.
        our_name: As in the tables.
    """

    name: str
    network: nn.Module
    ours: nn.Module
    our_name: str

    def __post_init__(self) -> None:
        numbers = parameters(self.network), parameters(self.ours)
        assert abs(numbers[0] / numbers[1] - 1) <= CLOSE, numbers


def rivals(*, in_channels: int, regions: int) -> list[Rival]:
    """Every network that ours are held against, with random weights.

    Args:
        in_channels: Channels of an image.
        regions: Channels of the logits.
    """
    channels = {"in_channels": in_channels, "out_channels": regions}
    unet = shipped("model/unet", "model", **channels)
    resnet50 = shipped("model/resnet50", "model", weights=None, **channels)
    # The features of its documentation, for 32 at the first level.
    basic = BasicUNet(spatial_dims=2, features=(32, 64, 128, 256, 512, 32), **channels)
    return [
        Rival("MONAI BasicUNet", basic, unet, "U-Net"),
        Rival(
            "smp Unet (mobilenet_v2)", _smp("mobilenet_v2", (256, 128, 64, 32, 16), **channels), unet, "U-Net"
        ),
        Rival(
            "smp Unet (resnet50)",
            _smp("resnet50", (384, 192, 96, 48, 24), **channels),
            resnet50,
            "ResNet-50 U-Net",
        ),
    ]


def parameters(network: nn.Module) -> int:
    """How many numbers it learns."""
    return sum(parameter.numel() for parameter in network.parameters())


def _smp(encoder: str, decoder_channels: Sequence[int], *, in_channels: int, out_channels: int) -> nn.Module:
    return smp.Unet(
        encoder_name=encoder,
        encoder_weights=None,
        decoder_channels=decoder_channels,
        in_channels=in_channels,
        classes=out_channels,
    )
