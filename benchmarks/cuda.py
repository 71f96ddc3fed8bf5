"""A training step on a CUDA device, from plain to fastest; without a device, a note that says so."""

import copy
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.config import shipped
from benchmarks.measuring import Figure, Report, middle, ratios
from lts.base import MASK_THRESHOLD
from lts.metrics import BinnedAUROC, CaseOverlap

SIZE, BATCH, CHANNELS, REGIONS = 256, 64, 3, ("liver", "tumor")
STEPS, REPEATS, MATRIX = 10, 5, 8192


@dataclass(frozen=True)
class Settings:
    """How a step is done."""

    bf16: bool = False
    channels_last: bool = False
    compiled: bool = False
    fused: bool = False


WAY = {
    "float32": Settings(),
    "bf16": Settings(bf16=True),
    "bf16, channels last": Settings(bf16=True, channels_last=True),
    "bf16, channels last, compiled": Settings(bf16=True, channels_last=True, compiled=True),
    "bf16, channels last, compiled, fused Adam": Settings(
        bf16=True, channels_last=True, compiled=True, fused=True
    ),
}


def main(result: Path, scratch: Path) -> None:  # noqa: ARG001
    """Measure where there is a device."""
    report = Report()
    if torch.cuda.is_available():
        measure(report, torch.device("cuda"), batch=BATCH)
    else:
        report.notes.append("This machine has no CUDA device: nothing was measured on one.")
    report.save(result)


def measure(report: Report, device: torch.device, *, batch: int) -> None:
    """Add the figures of a device."""
    torch.manual_seed(0)
    network = shipped("model/unet", "model", in_channels=CHANNELS, out_channels=len(REGIONS)).to(device)
    images = torch.rand(batch, CHANNELS, SIZE, SIZE, device=device)
    masks = torch.rand(batch, len(REGIONS), SIZE, SIZE, device=device) > 0.9
    with FlopCounterMode(display=False) as counter:
        network(images[:1]).sum().backward()
    flop = counter.get_total_flops() * batch
    network.zero_grad()
    times, peaks = {}, {}
    for name, settings in WAY.items():
        step = _step(copy.deepcopy(network), images, masks, settings)
        step()
        _forget_peak(device)
        times[name] = [_seconds(step, device) for _ in range(REPEATS)]
        peaks[name] = _peak_gib(device)
    fastest = min(times, key=lambda name: middle(times[name]))
    rate = _matrix_tflops(device)
    for name, seconds in times.items():
        tflops = flop / middle(seconds) / 1e12
        report.figures.append(
            Figure(
                what=f"training step, {name}",
                against="plain float32",
                values=ratios(times["float32"], seconds),
                unit="x",
                goal=3 if name == "bf16, channels last, compiled" else None,
                better="more",
                detail=f"{batch / middle(seconds):,.0f} images/s at {SIZE}x{SIZE}, batch {batch}, "
                f"{tflops:.1f} TFLOP/s of {rate:.0f} in bf16 matrices, {peaks[name]:.1f} GiB at most",
            )
        )
    report.figures.append(_metrics(network, images, masks, device))
    report.notes.append(f"The fastest: {fastest}.")


def _step(network: nn.Module, images: Tensor, masks: Tensor, settings: Settings) -> Callable[[], None]:
    if settings.channels_last:
        network = network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    loss = shipped("loss/bce_dice")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=settings.fused)
    forward = torch.compile(network.__call__, dynamic=False) if settings.compiled else network

    def step() -> None:
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=settings.bf16):
            found = loss(forward(images), masks)
        optimizer.zero_grad()
        found.backward()
        optimizer.step()

    return step


def _metrics(network: nn.Module, images: Tensor, masks: Tensor, device: torch.device) -> Figure:
    case = torch.zeros(len(images), dtype=torch.int64, device=device)
    with torch.inference_mode():
        probs = network(images).float().sigmoid()
    overlap = CaseOverlap(regions=REGIONS, cases=1, threshold=MASK_THRESHOLD).to(device)
    auroc = BinnedAUROC(regions=REGIONS).to(device)

    def score() -> None:
        overlap.update(probs, masks, case)
        auroc.update(probs, masks)

    @torch.inference_mode()
    def forward() -> None:
        network(images)

    for work in (score, forward):
        work()
    shares = [100 * _seconds(score, device) / _seconds(forward, device) for _ in range(REPEATS)]
    return Figure(
        what="validation metrics on the device",
        against="the forward pass in float32",
        values=tuple(shares),
        unit="%",
        goal=5,
        better="less",
        detail=f"batch {len(images)}",
    )


def _matrix_tflops(device: torch.device) -> float:
    matrix = torch.rand(MATRIX, MATRIX, device=device, dtype=torch.bfloat16)
    seconds = min(_seconds(lambda: matrix @ matrix, device) for _ in range(REPEATS))
    return 2 * MATRIX**3 / seconds / 1e12


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, by the mean of several."""
    _wait(device)
    began = time.perf_counter()
    for _ in range(STEPS):
        work()
    _wait(device)
    return (time.perf_counter() - began) / STEPS


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak_gib(device: torch.device) -> float:
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
