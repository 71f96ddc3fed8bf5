"""Networks without memory: what they are and what they answer, before anything is allocated."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from lts.base import ConfigError


@contextmanager
def without_memory() -> Iterator[None]:
    """Have modules that are made within stand on PyTorch's device "meta", whatever their size."""
    with torch.device("meta"), _LinspaceOnCpu():
        yield


class _LinspaceOnCpu(TorchFunctionMode):
    """Networks with stochastic depth read its rates, a number a layer, out of a tensor as they are made."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        return func(*args, **({"device": "cpu"} if func is torch.linspace else {}), **kwargs)


def check_answer(network: nn.Module, *, images: tuple[int, int, int, int], regions: int) -> None:
    """Check, without memory, that a network takes images and gives logits of their size.

    Args:
        network: On any device; stays as it is.
        images: Shape of the images, `(B, C, H, W)`.
        regions: Channels that the logits must have.

    Raises:
        ConfigError: It gives something else.
        Exception: As it raises itself where it does not take them, or cannot do without values.
    """
    named = chain(network.named_parameters(), network.named_buffers())
    tensors = {name: tensor.detach().to("meta") for name, tensor in named}
    with without_memory(), torch.no_grad():
        logits = functional_call(network, tensors, torch.empty(images))
    check_logits(logits, images=images, regions=regions)


def check_logits(logits: object, *, images: tuple[int, ...], regions: int) -> None:
    """Check that what a network gave for images is a tensor with a channel per region, of their size.

    Args:
        logits: What it gave.
        images: Shape of the images, `(B, C, H, W)`.
        regions: Channels that the logits must have.

    Raises:
        ConfigError: It is something else.
    """
    batch, _, height, width = images
    expected = (batch, regions, height, width)
    if not isinstance(logits, Tensor) or logits.shape != expected:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise ConfigError(f"logits of images {images} must be a tensor of shape {expected}, got {got}")
