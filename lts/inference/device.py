"""Where networks run."""

import re

import torch

from lts.base import ConfigError


def find_device(name: str, *, turn: int = 0) -> torch.device:
    """The device of a name: `auto`, `cpu`, `cuda` or `cuda:N`.

    Args:
        name: The name.
        turn: Of several processes that say `auto`, which this is, from 0: they take the GPUs in turn.

    Raises:
        ConfigError: There is no such device, or not on this machine.

    Example:
        >>> find_device("cpu")
        device(type='cpu')
        >>> find_device("gpu")
        Traceback (most recent call last):
        lts.base._errors.ConfigError: device: must be auto, cpu, cuda or cuda:N, got 'gpu'
    """
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        index = turn % torch.cuda.device_count()
        return torch.device(f"cuda:{index}" if index else "cuda")
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", name):
        raise ConfigError(f"device: must be auto, cpu, cuda or cuda:N, got {name!r}")
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        there = f"cuda:0 to cuda:{count - 1}" if count > 1 else "cuda:0" if count else "no CUDA device"
        if (device.index or 0) >= count:
            raise ConfigError(f"device: {name} is not on this machine, which has {there}; use auto or cpu")
    return device
