"""Training on a CUDA device, from plain to fastest; without a device, a note that says so."""

import copy
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.config import shipped
from benchmarks.measuring import Figure, Report, middle, ratios
from benchmarks.rivals import parameters, rivals
from benchmarks.scans import full_size_case
from lts.base import MASK_THRESHOLD, usable_processors
from lts.data import SliceDataModule
from lts.metrics import BinnedAUROC, CaseOverlap
from lts.slices import Recipe

SIZE, BATCH, CHANNELS, REGIONS = 256, 64, 3, ("liver", "tumor")
STEPS, REPEATS, MATRIX, MAX_WORKERS = 10, 5, 8192, 16


@dataclass(frozen=True)
class Settings:
    """How a step is done."""

    bf16: bool = False
    channels_last: bool = False
    compiled: bool = False
    fused: bool = False


AS_SHIPPED = "bf16, channels last, compiled"
WAY = {
    "float32": Settings(),
    "bf16": Settings(bf16=True),
    "bf16, channels last": Settings(bf16=True, channels_last=True),
    AS_SHIPPED: Settings(bf16=True, channels_last=True, compiled=True),
    f"{AS_SHIPPED}, fused Adam": Settings(bf16=True, channels_last=True, compiled=True, fused=True),
}


def main(result: Path, scratch: Path) -> None:
    """Measure where there is a device."""
    report = Report()
    if torch.cuda.is_available():
        measure(report, torch.device("cuda"), scratch, batch=BATCH)
    else:
        report.notes.append("This machine has no CUDA device: nothing was measured on one.")
    report.save(result)


def measure(report: Report, device: torch.device, scratch: Path, *, batch: int) -> None:
    """Add the figures of a device.

    Args:
        report: What gains them.
        device: Any; the bench asks for CUDA.
        scratch: Folder for scans and their store.
        batch: Images of a step.
    """
    torch.manual_seed(0)
    others = rivals(in_channels=CHANNELS, regions=len(REGIONS))
    network = others[0].ours.to(device)
    images = torch.rand(batch, CHANNELS, SIZE, SIZE, device=device)
    masks = torch.rand(batch, len(REGIONS), SIZE, SIZE, device=device) > 0.9
    seconds = _the_way(report, network, images, masks)
    timed = {network: seconds}
    for rival in others:
        if rival.ours not in timed:
            timed[rival.ours] = _times(rival.ours.to(device), images, masks, WAY[AS_SHIPPED])
        other, how = _times_of_rival(rival.network.to(device), images, masks)
        mine = timed[rival.ours]
        report.figures.append(
            Figure(
                what=f"training step on the device, {rival.our_name}, {AS_SHIPPED}",
                against=f"{rival.name}, equal parameters, {how}",
                values=ratios(other, mine),
                unit="x",
                goal=1.5 if rival.name.startswith("smp") else None,
                better="more",
                detail=f"{batch / middle(mine):,.0f} against {batch / middle(other):,.0f} images/s, "
                f"{parameters(rival.ours):,} and {parameters(rival.network):,} parameters",
            )
        )
    report.figures.append(_feeding(network, device, scratch, batch=batch))
    report.figures += _metrics(network, images, masks, device)


def _the_way(report: Report, network: nn.Module, images: Tensor, masks: Tensor) -> list[float]:
    """Add each step of the way; the seconds of the one that is shipped."""
    device, batch = images.device, len(images)
    with FlopCounterMode(display=False) as counter:
        network(images[:1]).sum().backward()
    flop = counter.get_total_flops() * batch
    network.zero_grad()
    times, peaks = {}, {}
    for name, settings in WAY.items():
        _reset_peak(device)
        times[name] = _times(copy.deepcopy(network), images, masks, settings)
        peaks[name] = _peak_gib(device)
    rate = _matrix_tflops(device)
    for name, seconds in times.items():
        tflops = flop / middle(seconds) / 1e12
        report.figures.append(
            Figure(
                what=f"training step on the device, {name}",
                against="plain float32",
                values=ratios(times["float32"], seconds),
                unit="x",
                goal=3 if name == AS_SHIPPED else None,
                better="more",
                detail=f"{batch / middle(seconds):,.0f} images/s at {SIZE}x{SIZE}, batch {batch}, "
                f"{tflops:.1f} TFLOP/s of {rate:.0f} in bf16 matrices, {peaks[name]:.1f} GiB at most",
            )
        )
    report.notes.append(f"The fastest: {min(times, key=lambda name: middle(times[name]))}.")
    return times[AS_SHIPPED]


def _times(network: nn.Module, images: Tensor, masks: Tensor, settings: Settings) -> list[float]:
    step = _step(network, settings)
    step(images, masks)
    return [_seconds(lambda: step(images, masks), images.device) for _ in range(REPEATS)]


def _times_of_rival(network: nn.Module, images: Tensor, masks: Tensor) -> tuple[list[float], str]:
    try:
        return _times(network, images, masks, WAY[AS_SHIPPED]), "the same settings"
    except Exception as error:  # compilers fail in many ways
        plain = replace(WAY[AS_SHIPPED], compiled=False)
        how = f"not compiled, which fails ({type(error).__name__})"
        return _times(network, images, masks, plain), how


def _step(network: nn.Module, settings: Settings) -> Callable[[Tensor, Tensor], None]:
    if settings.channels_last:
        network = network.to(memory_format=torch.channels_last)
    loss = shipped("loss/bce_dice")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=settings.fused)
    forward = torch.compile(network.__call__, dynamic=False) if settings.compiled else network

    def step(images: Tensor, masks: Tensor) -> None:
        if settings.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=settings.bf16):
            found = loss(forward(images), masks)
        optimizer.zero_grad()
        found.backward()
        optimizer.step()

    return step


def _feeding(network: nn.Module, device: torch.device, scratch: Path, *, batch: int) -> Figure:
    """How much longer steps take on what the loader brings than on a batch that is there."""
    workers = min(usable_processors(), MAX_WORKERS)
    data = _data(scratch, batch=batch, workers=workers)
    step = _step(copy.deepcopy(network), WAY[AS_SHIPPED])

    def on_device(raw: dict[str, Any]) -> dict[str, Any]:
        moved = {name: value.to(device, non_blocking=True) for name, value in raw.items()}
        return data.on_after_batch_transfer(moved, 0)

    batches = _endless(data)
    ready = on_device(next(batches))
    step(ready["image"], ready["mask"])

    def run(source: Iterator[dict[str, Any]]) -> float:
        def steps() -> None:
            for one in islice(source, STEPS):
                step(one["image"], one["mask"])

        return _seconds(steps, device, calls=1) / STEPS

    pairs = [(run(map(on_device, batches)), run(repeat(ready))) for _ in range(REPEATS)]
    return Figure(
        what="share of a training step that the device waits for data",
        against="steps on a batch that is there",
        values=tuple(100 * (1 - there / fed) for fed, there in pairs),
        unit="%",
        goal=5,
        better="less",
        detail=f"{batch / middle([fed for fed, _ in pairs]):,.0f} images/s with {workers} workers, augmented "
        "as shipped, intensity on the device",
    )


def _data(scratch: Path, *, batch: int, workers: int) -> SliceDataModule:
    case = full_size_case(scratch)
    data = SliceDataModule(
        cases={"train": [case], "val": [case]},
        recipe=Recipe(image_size=SIZE, pixel_mm=None, modality="ct"),
        store_dir=scratch / "store",
        intensity=shipped("intensity/ct_windows"),
        augment=shipped("augment/default"),
        regions=REGIONS,
        context=0,
        batch_size=batch,
        num_workers=workers,
        region_share=0.5,
        slices_per_epoch=batch * STEPS * REPEATS * 2,
        seed=0,
    )
    data.setup("fit")
    return data


def _endless(data: SliceDataModule) -> Iterator[dict[str, Any]]:
    return chain.from_iterable(repeat(data.train_dataloader()))


def _metrics(network: nn.Module, images: Tensor, masks: Tensor, device: torch.device) -> list[Figure]:
    host = torch.device("cpu")
    case = torch.zeros(len(images), dtype=torch.int64, device=device)
    with torch.inference_mode():
        probs = network(images).float().sigmoid()
    on_device, on_host = _score(device), _score(host)

    @torch.inference_mode()
    def forward() -> None:
        network(images)

    sides = {
        "device": lambda: on_device(probs, masks, case),
        "host": lambda: on_host(probs.to(host), masks.to(host), case.to(host)),
        "forward": forward,
    }
    for work in sides.values():
        work()
    times = {name: [_seconds(work, device) for _ in range(REPEATS)] for name, work in sides.items()}
    return [
        Figure(
            what="validation metrics on the device",
            against="the forward pass in float32",
            values=tuple(100 * share for share in ratios(times["device"], times["forward"])),
            unit="%",
            goal=5,
            better="less",
            detail=f"{middle(times['device']) * 1e3:.2f} ms, batch {len(images)}",
        ),
        Figure(
            what="validation metrics on the device",
            against="the same on the host, with the way there",
            values=ratios(times["host"], times["device"]),
            unit="x",
            goal=None,
            better="more",
            detail=f"{middle(times['host']) * 1e3:.2f} ms on the host",
        ),
    ]


def _score(device: torch.device) -> Callable[[Tensor, Tensor, Tensor], None]:
    overlap = CaseOverlap(regions=REGIONS, cases=1, threshold=MASK_THRESHOLD).to(device)
    auroc = BinnedAUROC(regions=REGIONS).to(device)

    def score(probs: Tensor, masks: Tensor, case: Tensor) -> None:
        overlap.update(probs, masks, case)
        auroc.update(probs, masks)

    return score


def _matrix_tflops(device: torch.device) -> float:
    matrix = torch.rand(MATRIX, MATRIX, device=device, dtype=torch.bfloat16)
    seconds = min(_seconds(lambda: matrix @ matrix, device) for _ in range(REPEATS))
    return 2 * MATRIX**3 / seconds / 1e12


def _seconds(work: Callable[[], object], device: torch.device, *, calls: int = STEPS) -> float:
    """Seconds of one call, by the mean of several."""
    _wait(device)
    began = time.perf_counter()
    for _ in range(calls):
        work()
    _wait(device)
    return (time.perf_counter() - began) / calls


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak_gib(device: torch.device) -> float:
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
