"""Compares results and time of an exported file with PyTorch."""

import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lts.base import CheckpointError, Progress
from lts.inference.formats import Run
from lts.slices import slices_around

TOLERANCE = 1e-4
"""Largest difference of a probability from PyTorch's."""

_BATCH_SIZE = 4


@dataclass(frozen=True)
class Agreement:
    """The result of a comparison.

    Attributes:
        slices: Slices of the scan that were compared.
        other_sizes: How many other sizes were compared, of those that the network takes.
        largest_difference: Of a probability from PyTorch's, at all sizes.
        torch_ms_per_slice: Time of PyTorch at the size of the scan's slices, median of the batches.
        runtime_ms_per_slice: The same of the file's runtime.
    """

    slices: int
    other_sizes: int
    largest_difference: float
    torch_ms_per_slice: float
    runtime_ms_per_slice: float


@dataclass(frozen=True)
class _Compared:
    difference: float
    torch_ms_per_slice: float
    runtime_ms_per_slice: float


def measure_agreement(
    model: nn.Module,
    run: Run,
    slices: Tensor,
    *,
    context: int,
    name: str,
    progress: Progress = lambda _done, _total: None,
) -> Agreement:
    """Compare on all slices of a scan, in batches with their context, and on tiles of them at other sizes.

    Sizes that a network of another library does not accept are not compared.

    Args:
        model: `(B, 1 + 2 * context, H, W)` to probabilities `(B, R, H, W)`.
        run: Runs the exported file.
        slices: `(Z, S, S)`, any real dtype, Z >= 1 and S >= 4.
        context: Neighbors on each side.
        name: The beginning of errors.
        progress: Called after each batch of the scan's slices.

    Raises:
        CheckpointError: A probability differs by more than `TOLERANCE` or is no number, the shapes differ, or
            `run` fails.
    """
    tiles = [hu for hu in _tiles_of_other_sizes(slices, context=context) if _is_taken(model, hu)]
    others = [_compare(model, run, hu, name=name) for hu in tiles]
    _compare(model, run, _with_context(slices, 0, context=context), name=name)  # warms both up for this size
    whole: list[_Compared] = []
    for start in range(0, len(slices), _BATCH_SIZE):
        whole.append(_compare(model, run, _with_context(slices, start, context=context), name=name))
        progress(min(start + _BATCH_SIZE, len(slices)), len(slices))
    return Agreement(
        slices=len(slices),
        other_sizes=len(others),
        largest_difference=max(one.difference for one in (*others, *whole)),
        torch_ms_per_slice=statistics.median(one.torch_ms_per_slice for one in whole),
        runtime_ms_per_slice=statistics.median(one.runtime_ms_per_slice for one in whole),
    )


def _is_taken(model: nn.Module, hu: Tensor) -> bool:
    try:
        with torch.no_grad():
            model(hu)
    except Exception:  # networks of all libraries have errors of their own
        return False
    return True


def _compare(model: nn.Module, run: Run, hu: Tensor, *, name: str) -> _Compared:
    where = f"on {len(hu)} x {hu.shape[1]} slices of {hu.shape[2]} x {hu.shape[3]} pixels"
    started = time.perf_counter()
    with torch.no_grad():
        expected = model(hu)
    between = time.perf_counter()
    try:
        probs = run(hu)
    except Exception as error:  # every runtime has errors of its own
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise CheckpointError(f"{name} it cannot be run {where}: {reason}") from error
    ended = time.perf_counter()
    if probs.shape != expected.shape:
        raise CheckpointError(
            f"{name} its probabilities must be of shape {tuple(expected.shape)}, "
            f"got {tuple(probs.shape)} {where}"
        )
    difference = float((probs - expected).abs().max())
    if math.isnan(difference) or difference > TOLERANCE:
        raise CheckpointError(
            f"{name} its probabilities may differ from PyTorch's by {TOLERANCE:g}, "
            f"got {difference:.3g} {where}"
        )
    ms_per_slice = 1e3 / len(hu)
    return _Compared(difference, (between - started) * ms_per_slice, (ended - between) * ms_per_slice)


def _with_context(slices: Tensor, start: int, *, context: int) -> Tensor:
    """`(B, 1 + 2 * context, S, S)` float32: slices from `start` on, each between its neighbors."""
    wanted = range(start, min(start + _BATCH_SIZE, len(slices)))
    return slices[torch.from_numpy(slices_around(wanted, context=context, depth=len(slices)))].float()


def _tiles_of_other_sizes(slices: Tensor, *, context: int) -> Iterator[Tensor]:
    """`(B, 1 + 2 * context, H, W)` float32 from the middle of the scan, with odd sides and tiny ones."""
    side, per_input = slices.shape[-1], 1 + 2 * context
    shapes = ((1, side - 3, side + 5), (3, side // 2 + 1, side - 1), (5, 17, 31), (2, side + 1, 8), (1, 1, 1))
    for batch, height, width in shapes:
        numbers = (torch.arange(batch * per_input) + len(slices) // 2) % len(slices)
        rows, columns = (torch.arange(length) + side // 4 for length in (height, width))
        tiles = slices[numbers][:, rows % side][:, :, columns % side]
        yield tiles.reshape(batch, per_input, height, width).float()
