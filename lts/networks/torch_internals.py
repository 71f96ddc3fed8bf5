"""What is used of torch beyond its public interface, all of it: reading what has no public name.

`tests/test_private_interfaces.py` says which of it a new version breaks.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook


def version_of(tensor: Tensor) -> int:
    """How often the tensor was changed in place; autograd tells by this that a kept tensor is the same."""
    return tensor._version


def is_transformed() -> bool:
    """Whether a transform of `torch.func` is at work, as `vmap` or `grad`."""
    return torch._C._are_functorch_transforms_active()


def has_hooks(module: nn.Module) -> bool:
    """Whether a hook looks at what the module takes or gives."""
    own = (
        module._forward_pre_hooks,
        module._forward_hooks,
        module._backward_pre_hooks,
        module._backward_hooks,
    )
    return any(own) or bool(_has_any_global_hook())  # type: ignore[no-untyped-call]
