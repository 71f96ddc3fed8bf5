"""What processors compute in."""

import torch

_BF16_OF_CPUS = ("avx512_bf16", "amx_bf16")
"""Of `torch.cpu.get_capabilities`, those that make bfloat16 faster than float32."""


def computes_bf16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16; others compute it too, in float32 and slower.

    Example:
        >>> computes_bf16(torch.device("meta"))
        False
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return any(capabilities.get(name, False) for name in _BF16_OF_CPUS)
