"""The U-Net whose skips are gated by attention."""

from typing import ClassVar

from torch import Tensor, nn

from lts.networks.blocks import conv2d
from lts.networks.unet import UNet
from lts.networks.upsampling import upsample2x

OPEN = 2.0


class AttentionGate(nn.Module):
    """Additive attention gate (Oktay et al. 2018, equations 1 and 2).

    The skip is weighed per pixel by `sigmoid(psi(relu(W_x skip + W_g deep)))`, worked out at the deeper,
    coarser size and upsampled bilinearly. `psi` starts with a bias of 2, so that an untrained gate stands
    mostly open (about 0.9) and the network starts close to a plain U-Net.
    """

    def __init__(self, skip_channels: int, deep_channels: int) -> None:
        super().__init__()
        inner_channels = max(1, skip_channels // 2)
        self.from_skip = conv2d(skip_channels, inner_channels, 2, stride=2, bias=False)
        self.from_deep = conv2d(deep_channels, inner_channels, 1, bias=True)
        self.psi = conv2d(inner_channels, 1, 1, bias=True)
        assert self.psi.bias is not None
        nn.init.constant_(self.psi.bias, OPEN)
        self.relu, self.sigmoid = nn.ReLU(), nn.Sigmoid()

    def forward(self, skip: Tensor, deep: Tensor) -> Tensor:
        """`(B, skip, H, W)` and `(B, deep, H/2, W/2)` to the weighed skip, `(B, skip, H, W)`."""
        query = self.relu(self.from_skip(skip) + self.from_deep(deep))
        attention = self.sigmoid(self.psi(query))
        return skip * upsample2x(attention)


class AttentionUNet(UNet):
    """`UNet` with an `AttentionGate` on every skip; arguments, shapes and errors are those of `UNet`.

    Example:
        >>> import torch
        >>> network = AttentionUNet(in_channels=1, out_channels=1, width=8, depth=3)
        >>> network(torch.rand(1, 1, 31, 20)).shape
        torch.Size([1, 1, 31, 20])
    """

    gate: ClassVar[type[nn.Module]] = AttentionGate
