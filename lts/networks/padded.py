"""Images of any size for a network that takes whole multiples alone."""

from torch import Tensor, nn

from lts.networks.blocks import check_whole, pad_to_multiple


class Padded(nn.Module):
    """A network of any library, for images of any size: padded as those of lts are, and cut back.

    Rows and columns at the end are repeated until both sides are multiples, and at least two of them.

    Args:
        network: Maps `(B, C, H, W)` to `(B, R, H, W)` where H and W are multiples.
        multiple: Of what, in pixels: 2 to the number of times that the network halves the image.

    Raises:
        ConfigError: `multiple` is no whole number >= 1.

    Example:
        >>> import torch
        >>> halving = nn.Sequential(nn.MaxPool2d(8), nn.Upsample(scale_factor=8))
        >>> Padded(halving, multiple=8)(torch.rand(1, 1, 5, 29)).shape
        torch.Size([1, 1, 5, 29])
    """

    def __init__(self, network: nn.Module, *, multiple: int) -> None:
        super().__init__()
        check_whole("multiple", multiple, low=1)
        self.network, self.multiple = network, multiple

    @property
    def encoder(self) -> nn.Module:
        """The network's own, if it has a part of this name."""
        return self.network.get_submodule("encoder")

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every pixel and region.

        Args:
            image: `(B, C, H, W)`, any H and W >= 1.

        Returns:
            `(B, R, H, W)`.
        """
        height, width = image.shape[-2:]
        logits: Tensor = self.network(pad_to_multiple(image, self.multiple))
        return logits[..., :height, :width]
