"""What every metric asks of its batch. Values are judged on the device: nothing here waits for it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lts.base import ConfigError


def check_channels(regions: Sequence[str]) -> tuple[str, ...]:
    """Return `regions`, which name the channels, as a tuple.

    Raises:
        ConfigError: There is none, a name is empty, or two are the same.
    """
    named = tuple(regions)
    if isinstance(regions, str) or not named or not all(named) or len(set(named)) < len(named):
        raise ConfigError(f"regions: must be one or more names, each once, got {regions!r}")
    return named


def check_batch(probs: Tensor, target: Tensor, *, regions: Sequence[str]) -> None:
    """Check what a batch shows without its values: shapes, kinds of number, device.

    Args:
        probs: `(B, R, ...)` floating point.
        target: `(B, R, ...)` bool, as large as `probs`.
        regions: The R regions.

    Raises:
        ValueError: One of these is not so, or the batch is empty.
    """
    if not probs.is_floating_point():
        raise ValueError(f"probs: must be floating point, got {probs.dtype}")
    if target.dtype != torch.bool:
        raise ValueError(f"target: must be bool, got {target.dtype}")
    if probs.ndim < 3 or probs.shape[1] != len(regions) or probs.numel() == 0:
        raise ValueError(
            f"probs: must be (B, {len(regions)}, ...) for {list(regions)}, got {tuple(probs.shape)}"
        )
    if target.shape != probs.shape:
        raise ValueError(f"target: must be {tuple(probs.shape)} like probs, got {tuple(target.shape)}")
    if target.device != probs.device:
        raise ValueError(f"target: must be on {probs.device} like probs, got {target.device}")


def check_ignored(ignored: Tensor | None, probs: Tensor) -> None:
    """Check which voxels of a batch do not count.

    Args:
        ignored: `(B, ...)` bool, or None.
        probs: `(B, R, ...)`.

    Raises:
        ValueError: It is of another shape, kind or device.
    """
    shape = (len(probs), *probs.shape[2:])
    if ignored is not None and (
        ignored.dtype != torch.bool or ignored.shape != shape or ignored.device != probs.device
    ):
        raise ValueError(
            f"ignored: must be bool {shape} on {probs.device}, "
            f"got {ignored.dtype} {tuple(ignored.shape)} on {ignored.device}"
        )


def outside_unit_interval(probs: Tensor) -> Tensor:
    """A bool scalar on the device: does any of `probs` lie outside [0, 1], NaN included?"""
    low, high = probs.aminmax()
    return ((low >= 0) & (high <= 1)).logical_not()
