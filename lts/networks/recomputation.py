"""Activations that backward recomputes instead of keeping: less memory, the same gradients to the last bit.

A convolution keeps its input for backward. Where that is a normalization and a ReLU of something that is kept
anyway, or an upsampled copy of something smaller, recomputing it costs little beside the convolution itself,
and what a U-Net keeps shrinks by nearly half.

Tensors of less than 32 MiB are kept: a step on a CPU takes a fifth longer by recomputing them, and they are
not what fills a memory.

It steps aside where it could be noticed: under the transforms of `torch.func`, in traces and in compiled
networks everything is kept, and so is what a hook looks at or changes.
"""

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from lts.networks.instance_norm import InstanceNorm2d, instance_norm
from lts.networks.torch_internals import is_transformed, version_of

_LEAST_BYTES = 32 * 2**20
"""Of a tensor that is worth recomputing."""


@dataclass(frozen=True, eq=False)
class _Recomputation:
    """How to recompute a tensor.

    Attributes:
        tensor: The tensor, held weakly: while it lives, no other has its memory.
        version: Of the tensor, as it is when it is kept; whoever changes it in place counts that up.
        make: Called with the sources.
        sources: Tensors without gradient, or how to recompute them.
        versions: Of these tensors.
        autocast: Precision at the time: device, dtype, whether on.
    """

    tensor: weakref.ref[Tensor]
    version: int
    make: Callable[..., Tensor]
    sources: tuple["Tensor | _Recomputation", ...]
    versions: tuple[int | None, ...]
    autocast: tuple[str, torch.dtype, bool]

    def makes(self, tensor: Tensor) -> bool:
        original = self.tensor()
        return (
            original is not None
            and version_of(original) == self.version
            and original.shape == tensor.shape
            and original.dtype == tensor.dtype
        )

    def __call__(self) -> Tensor:
        if self.versions != _versions(self.sources):
            raise RuntimeError(
                "a tensor that gradients are computed from was changed in place between forward and backward"
            )
        sources = [source() if isinstance(source, _Recomputation) else source for source in self.sources]
        device, dtype, enabled = self.autocast
        with torch.autocast(device, dtype=dtype, enabled=enabled):
            return self.make(*sources)


def _versions(sources: Sequence[Tensor | _Recomputation]) -> tuple[int | None, ...]:
    return tuple(version_of(source) if isinstance(source, Tensor) else None for source in sources)


_recomputations: ContextVar[dict[int, _Recomputation] | None] = ContextVar("recomputations", default=None)
"""By the address of its memory, what can be recomputed; None where everything is kept."""


@contextmanager
def recomputing() -> Iterator[None]:
    """Have operations within keep the recipe, not the value, of what `recomputable` names.

    Does nothing without gradients, in a trace or in a compiled network, where the compiler makes that choice
    itself, nor under a transform of `torch.func`, which allows no hooks on saved tensors.
    """
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    elsewhere = tracing or torch.compiler.is_compiling() or is_transformed()
    if elsewhere or not torch.is_grad_enabled():
        yield
        return
    recomputations: dict[int, _Recomputation] = {}

    def pack(tensor: Tensor) -> Tensor | _Recomputation:
        recomputation = recomputations.get(tensor.data_ptr())
        return recomputation if recomputation is not None and recomputation.makes(tensor) else tensor

    def unpack(kept: Tensor | _Recomputation) -> Tensor:
        return kept() if isinstance(kept, _Recomputation) else kept

    token = _recomputations.set(recomputations)
    try:
        with saved_tensors_hooks(pack, unpack):
            yield
    finally:
        _recomputations.reset(token)
        recomputations.clear()  # backward holds `pack`, and would hold every source until its end


def recomputable(tensor: Tensor, make: Callable[..., Tensor], *sources: Tensor, changes: int = 0) -> None:
    """Say that `tensor` equals `make(*sources)`.

    Args:
        tensor: The tensor; where it is changed in another way than is told here, it is kept.
        make: Has no effect beside its value.
        sources: What it is called with; those that are recomputable themselves are recomputed too.
        changes: How many operations in place are yet to make it what `make` gives.
    """
    recomputations, device = _recomputations.get(), tensor.device.type
    if recomputations is None or not torch.amp.is_autocast_available(device):  # as on "meta"
        return
    if tensor.nbytes < _LEAST_BYTES:
        return
    autocast = (device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device))
    known = [recomputations.get(source.data_ptr()) for source in sources]
    kept = tuple(
        recomputation if recomputation is not None and recomputation.makes(source) else source.detach()
        for source, recomputation in zip(sources, known, strict=True)
    )
    recomputations[tensor.data_ptr()] = _Recomputation(
        weakref.ref(tensor), version_of(tensor) + changes, make, kept, _versions(kept), autocast
    )


def norm_relu(norm: nn.Module, image: Tensor) -> Tensor:
    """`relu(norm(image))`, in place where the normalization makes a tensor that it does not need itself."""
    out: Tensor = norm(image)
    # To recompute it among devices would make them wait for each other.
    if isinstance(norm, nn.Identity | nn.SyncBatchNorm):
        return F.relu(out, inplace=True)
    if (function := _function_of(norm)) is None:
        return F.relu(out)
    again, tensors = function
    recomputable(out, lambda *sources: F.relu(again(*sources), inplace=True), image, *tensors, changes=1)
    return F.relu(out, inplace=True)


def _function_of(norm: nn.Module) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]] | None:
    """What a normalization does now, as a function of its input and of its tensors; None if unknown.

    By the time of backward the module may be in another mode, or have other weights.
    """
    if not getattr(norm, "affine", False):
        return None
    # Not isinstance: what a subclass does besides is not known.
    if type(norm) is nn.BatchNorm2d:
        by_batch = norm.training or not norm.track_running_stats
        running = () if by_batch else (norm.running_mean, norm.running_var)
        return partial(_batch_norm, eps=norm.eps), (norm.weight, norm.bias, *running)
    if type(norm) is InstanceNorm2d:
        return partial(instance_norm, eps=norm.eps, learning=True), (norm.weight, norm.bias)
    if type(norm) is nn.GroupNorm:
        return partial(_group_norm, groups=norm.num_groups, eps=norm.eps), (norm.weight, norm.bias)
    return None


def _batch_norm(
    image: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor | None = None,
    var: Tensor | None = None,
    *,
    eps: float,
) -> Tensor:
    # In training without running statistics: they have seen this batch.
    return F.batch_norm(image, mean, var, weight, bias, training=mean is None, eps=eps)


def _group_norm(image: Tensor, weight: Tensor, bias: Tensor, *, groups: int, eps: float) -> Tensor:
    return F.group_norm(image, groups, weight, bias, eps=eps)
