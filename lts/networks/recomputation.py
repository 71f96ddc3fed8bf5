"""Activations that backward recomputes instead of keeping: less memory, the same gradients to the last bit.

A convolution keeps its input for backward. Where that is a normalization and a ReLU of something that is kept
anyway, or an upsampled copy of something smaller, recomputing it costs little beside the convolution itself,
and what a U-Net keeps shrinks by nearly half.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class _Recomputation:
    """How to recompute a tensor.

    Attributes:
        tensor: The tensor, held weakly: while it lives, no other has its memory.
        make: Called with the sources.
        sources: Tensors without gradient, or how to recompute them.
        autocast: Precision at the time: device, dtype, whether on.
    """

    tensor: weakref.ref[Tensor]
    make: Callable[..., Tensor]
    sources: tuple["Tensor | _Recomputation", ...]
    autocast: tuple[str, torch.dtype, bool]

    def makes(self, tensor: Tensor) -> bool:
        original = self.tensor()
        return original is not None and original.shape == tensor.shape and original.dtype == tensor.dtype

    def __call__(self) -> Tensor:
        sources = [source() if isinstance(source, _Recomputation) else source for source in self.sources]
        device, dtype, enabled = self.autocast
        with torch.autocast(device, dtype=dtype, enabled=enabled):
            return self.make(*sources)


_recomputations: ContextVar[dict[int, _Recomputation] | None] = ContextVar("recomputations", default=None)
"""By the address of its memory, what can be recomputed; None where everything is kept."""


@contextmanager
def recomputing() -> Iterator[None]:
    """Have operations within keep the recipe, not the value, of what `recomputable` names.

    Does nothing without gradients or in a trace, nor in a compiled network: the compiler makes that choice
    itself.
    """
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if tracing or torch.compiler.is_compiling() or not torch.is_grad_enabled():
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


def recomputable(tensor: Tensor, make: Callable[..., Tensor], *sources: Tensor) -> None:
    """Say that `tensor`, as it is when it is next kept, equals `make(*sources)`.

    `make` has no effect beside its value. Sources that are recomputable themselves are recomputed too.
    """
    recomputations = _recomputations.get()
    if recomputations is None:
        return
    device = tensor.device.type
    autocast = (device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device))
    known = [recomputations.get(source.data_ptr()) for source in sources]
    recomputations[tensor.data_ptr()] = _Recomputation(
        weakref.ref(tensor),
        make,
        tuple(
            recomputation if recomputation is not None and recomputation.makes(source) else source.detach()
            for source, recomputation in zip(sources, known, strict=True)
        ),
        autocast,
    )


def norm_relu(norm: nn.Module, image: Tensor) -> Tensor:
    """`relu(norm(image))`, in place where the normalization made a tensor of its own."""
    if isinstance(norm, nn.Identity):
        return F.relu(image, inplace=True)
    out: Tensor = norm(image)
    # To recompute it would count the batch twice, and wait for the other devices.
    if isinstance(norm, nn.SyncBatchNorm):
        return F.relu(out, inplace=True)
    recomputable(out, lambda kept: F.relu(_norm_again(norm, kept), inplace=True), image)
    return F.relu(out, inplace=True)


def _norm_again(norm: nn.Module, image: Tensor) -> Tensor:
    if isinstance(norm, nn.BatchNorm2d) and norm.training:  # its running statistics have seen this batch
        return F.batch_norm(image, None, None, norm.weight, norm.bias, training=True, eps=norm.eps)
    out: Tensor = norm(image)
    return out
