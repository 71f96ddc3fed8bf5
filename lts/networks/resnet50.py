"""A segmentation network on torchvision's ResNet-50."""

import http.client
import pickle
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from lts.base import ConfigError, listed
from lts.networks.blocks import Decoder, check_whole, pad_to_multiple, segmentation_head
from lts.networks.recomputation import recomputing

STRIDE = 32
FEATURE_CHANNELS = (64, 256, 512, 1024, 2048)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DOWNLOAD_TIMEOUT_S = 15.0
"""Seconds without an answer or a byte after which a download counts as failed."""


class ResNet50Encoder(nn.Module):
    """torchvision's resnet50 without its head; parameters have torchvision's names.

    Images in [0, 1] are standardized with ImageNet's mean and deviation (their averages over the colors
    unless there are three channels) whatever the start values, so that a network rebuilt without fetching
    weights and filled from a checkpoint computes the same.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        if in_channels != 3:
            mean, std = mean.mean().expand(in_channels), std.mean().expand(in_channels)
        self.register_buffer("mean", mean.reshape(1, -1, 1, 1).clone(), persistent=False)
        self.register_buffer("std", std.reshape(1, -1, 1, 1).clone(), persistent=False)
        from torchvision.models import resnet50  # a second of importing, for this network alone

        net = resnet50(weights=None)
        if in_channels != 3:
            net.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
            nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.conv1, self.bn1, self.relu, self.maxpool = net.conv1, net.bn1, net.relu, net.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4

    def forward(self, image: Tensor) -> list[Tensor]:
        """`(B, C, H, W)` in [0, 1] to features of 1/2, 1/4, 1/8, 1/16 and 1/32 of its size.

        Their channels are 64, 256, 512, 1024 and 2048.
        """
        standardized = (image - self.mean) / self.std
        features = [self.relu(self.bn1(self.conv1(standardized)))]
        out = self.maxpool(features[0])
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            out = layer(out)
            features.append(out)
        return features


class ResNet50Segmenter(nn.Module):
    """ResNet-50 (He et al. 2016) as the encoder of a U-shaped network.

    The decoder takes the encoder's five features and the image itself as skips, upsamples bilinearly and
    normalizes per batch, like the encoder. Its finest level has `decoder_width` channels, each coarser one
    twice as many.

    Args:
        in_channels: Channels of the image.
        out_channels: Regions.
        weights: Start values of the encoder. None: random. "imagenet": torchvision's IMAGENET1K_V2, fetched
            through torchvision on first use. Anything else: path of a state dict with the names of
            torchvision's resnet50 (`fc.*` is ignored). See `adapt_kernels` for other than 3 channels.
        decoder_width: Channels of the decoder's finest level.

    Raises:
        ConfigError: An argument breaks its rule, or the weights cannot be had or do not fit.

    Example:
        >>> network = ResNet50Segmenter(in_channels=3, out_channels=2, weights=None)
        >>> network(torch.rand(2, 3, 64, 50)).shape
        torch.Size([2, 2, 64, 50])
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        weights: str | Path | None = "imagenet",
        decoder_width: int = 32,
    ) -> None:
        super().__init__()
        check_whole("in_channels", in_channels, low=1)
        check_whole("out_channels", out_channels, low=1)
        check_whole("decoder_width", decoder_width, low=1)
        self.in_channels, self.out_channels, self.decoder_width = in_channels, out_channels, decoder_width
        self.encoder = ResNet50Encoder(in_channels)
        if weights is not None:
            load_encoder(self.encoder, weights)
        widths = [decoder_width * 2**level for level in range(len(FEATURE_CHANNELS))]
        self.decoder = Decoder([in_channels, *FEATURE_CHANNELS], widths, norm="batch")
        self.head = segmentation_head(widths[0], out_channels)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every pixel and region.

        Args:
            image: `(B, in_channels, H, W)` in [0, 1], any H and W >= 1.

        Returns:
            `(B, out_channels, H, W)`.
        """
        height, width = image.shape[-2:]
        padded = pad_to_multiple(image, STRIDE)
        with recomputing():
            logits: Tensor = self.head(self.decoder([padded, *self.encoder(padded)]))
        return logits[..., :height, :width]


def load_encoder(encoder: ResNet50Encoder, weights: str | Path) -> None:
    """Fill `encoder` with "imagenet" or with the state dict in a file.

    Raises:
        ConfigError: The weights cannot be had, or names or shapes do not fit.
    """
    state = fetch_imagenet_state() if weights == "imagenet" else read_state(weights)
    state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    if "conv1.weight" in state:
        state["conv1.weight"] = adapt_kernels(state["conv1.weight"], encoder.conv1.in_channels)
    expected = encoder.state_dict()
    # Files from before torch 0.4.1 have no such counters, and nothing here reads them.
    missing = [name for name in expected if name not in state and not name.endswith("num_batches_tracked")]
    unknown = [name for name in state if name not in expected]
    misshapen = [
        f"{name} {tuple(value.shape)} instead of {tuple(expected[name].shape)}"
        for name, value in state.items()
        if name in expected and value.shape != expected[name].shape
    ]
    for problem, names in (("lacks", missing), ("has unknown", unknown), ("has misshapen", misshapen)):
        if names:
            raise ConfigError(
                f"weights: {weights} must be a state dict of torchvision's resnet50, "
                f"but it {problem} {listed(names, most=3)}"
            )
    encoder.load_state_dict(state, strict=False)


def adapt_kernels(kernels: Tensor, in_channels: int) -> Tensor:
    """Kernels over 3 colors to kernels over `in_channels`, with the same response to equal channels.

    Args:
        kernels: `(K, 3, h, w)`; any other number of channels is returned as it is, and so are 3 for 3.
        in_channels: Wanted channels.

    Returns:
        `(K, in_channels, h, w)`: the mean kernel in every channel, times `3 / in_channels`.
    """
    if kernels.ndim != 4 or kernels.shape[1] != 3 or in_channels == 3:
        return kernels
    return (kernels.sum(dim=1, keepdim=True) / in_channels).repeat(1, in_channels, 1, 1)


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name from a file written by `torch.save`, read without running code from it.

    Raises:
        ConfigError: No such file, it cannot be read, or it holds something else.
    """
    if not (isinstance(path, str | Path) and Path(path).is_file()):
        raise ConfigError(f'weights: must be null, "imagenet" or a file of weights; no file {path!s}')
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what an unpickler raises on a file of another kind has no bounds
        raise ConfigError(
            f"weights: {path} must be a file of torch.save that holds tensors alone, "
            f"but it cannot be read as one ({type(error).__name__})"
        ) from error
    tensors = isinstance(state, Mapping) and all(isinstance(value, Tensor) for value in state.values())
    if not tensors or not all(isinstance(name, str) for name in state):
        raise ConfigError(f"weights: {path} must hold a dict from names to tensors")
    return dict(state)


def fetch_imagenet_state() -> dict[str, Tensor]:
    """The state dict of torchvision's IMAGENET1K_V2, from torch.hub's cache or the network.

    Raises:
        ConfigError: It is not in the cache and cannot be fetched, or what came is damaged.
    """
    from torchvision.models import ResNet50_Weights

    source = ResNet50_Weights.IMAGENET1K_V2
    try:
        with socket_timeout(DOWNLOAD_TIMEOUT_S):
            state = source.get_state_dict(
                progress=True, check_hash=True, map_location="cpu", weights_only=True
            )
    except (OSError, http.client.HTTPException, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(source.url).name
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(
            f'weights: "imagenet" must be at {cached} or come from {source.url}, but: {reason}; '
            "put the file there or give weights=FILE, or weights=null for a random start"
        ) from error
    return dict(state)


@contextmanager
def socket_timeout(seconds: float) -> Iterator[None]:
    """Give new sockets a timeout while the block runs; torch.hub has no setting for it."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
