"""The numbers that networks compute in: float32, or bfloat16 where a processor has instructions for it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import Tensor

from lts.base import MASK_THRESHOLD, ConfigError
from lts.inference.model import Model
from lts.intensity import apply_with_context
from lts.networks.precision import computes_bf16

Precision = Literal["auto", "float32", "bfloat16"]

_MOST_CHANGED = 1e-3
"""Of the pixels of a probe and each region: so many may change sides in bfloat16."""
_AIR_HU, _BODY_HU, _LIVER_HU, _LESION_HU, _NOISE_HU = -1000, 40, 110, 60, 10
"""Of a probe; a model of MR takes them as values of its own scale."""


def autocast(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[object]:
    """Context in which networks compute in a type; their weights stay as they are."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def find_dtype(precision: Precision, models: Sequence[Model], device: torch.device) -> torch.dtype:
    """The type that models compute in.

    Args:
        precision: `auto` is bfloat16 where the device has instructions for it and each model answers a probe
            in it as in float32, else float32.
        models: On `device`, in evaluation mode.
        device: Where they run.

    Raises:
        ConfigError: bfloat16 is asked for, and the device has no instructions for it, or a model answers
            otherwise.
    """
    if precision not in ("auto", "float32", "bfloat16"):
        raise ConfigError(f"precision: must be auto, float32 or bfloat16, got {precision!r}")
    if precision == "float32":
        return torch.float32
    if not computes_bf16(device):
        if precision == "auto":
            return torch.float32
        raise ConfigError(f"precision: bfloat16 needs instructions that {device} does not have; use float32")
    for model in models:
        changed = share_changed(model, device)
        if not changed <= _MOST_CHANGED:
            if precision == "auto":
                return torch.float32
            raise ConfigError(
                f"precision: bfloat16 changes {changed:.2%} of the pixels of a probe by {model.name}, "
                f"at most {_MOST_CHANGED:.1%} may; use float32"
            )
    return torch.bfloat16


@torch.inference_mode()
def share_changed(model: Model, device: torch.device) -> float:
    """The share of pixels and regions of a probe that bfloat16 takes out of a mask or into it.

    Args:
        model: On `device`, in evaluation mode.
        device: Where it runs.
    """
    hu = _probe(model.recipe.image_size, 2 * model.context + 1).to(device)
    channels = apply_with_context(model.intensity, hu).contiguous(memory_format=torch.channels_last)
    masks = []
    for dtype in (torch.float32, torch.bfloat16):
        with autocast(dtype, device):
            logits = model.network(channels)
        masks.append(logits.float().sigmoid() > MASK_THRESHOLD)
    return float((masks[0] != masks[1]).float().mean())


def _probe(side: int, slices: int) -> Tensor:
    """`(1, slices, side, side)` int16: a body with a liver on the patient's right, and a lesion in it."""
    rows, columns = torch.meshgrid(*2 * [torch.linspace(-1, 1, side)], indexing="ij")

    def disk(row: float, column: float, radius: float) -> Tensor:
        return (rows - row) ** 2 + (columns - column) ** 2 < radius**2

    hu = torch.full((side, side), float(_AIR_HU))
    for inside, value in (
        (rows**2 / 0.5 + columns**2 / 0.8 < 1, _BODY_HU),
        (disk(-0.05, -0.4, 0.35), _LIVER_HU),
        (disk(-0.1, -0.45, 0.1), _LESION_HU),
    ):
        hu[inside] = value
    noise = torch.randn(slices, side, side, generator=torch.Generator().manual_seed(0))
    return (hu + _NOISE_HU * noise).round().to(torch.int16)[None]
