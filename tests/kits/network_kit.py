"""Every network with every normalization, small and by name."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from lts.networks import AttentionUNet, ResNet50Segmenter, UNet
from lts.networks.blocks import Norm


def _unet(kind: type[UNet], norm: Norm) -> Callable[[], nn.Module]:
    return lambda: kind(in_channels=2, out_channels=2, width=4, depth=3, norm=norm, dropout=0.0)


UNETS = {
    f"{kind.__name__}-{norm}": _unet(kind, norm)
    for kind in (UNet, AttentionUNet)
    for norm in ("batch", "instance", "group", "none")
}
NETWORKS = {
    **UNETS,
    "ResNet50": lambda: ResNet50Segmenter(in_channels=2, out_channels=2, weights=None, decoder_width=2),
}

each_unet = pytest.mark.parametrize("name", UNETS)
each_network = pytest.mark.parametrize("name", [*UNETS, pytest.param("ResNet50", marks=pytest.mark.slow)])


def make(name: str) -> nn.Module:
    """A network with the start values of a seed."""
    torch.manual_seed(0)
    return NETWORKS[name]()
