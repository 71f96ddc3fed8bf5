"""A training step of the U-Net as shipped, beside the plain one and beside other libraries' U-Nets."""

import copy
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.config import shipped
from benchmarks.measuring import Figure, Report, in_turns, middle, ratios
from benchmarks.profiling import operator_profile_of
from benchmarks.rivals import parameters, rivals
from lts.app.run.distributed import cpu_computes_bf16
from lts.networks import blocks, unet

SIZE, BATCH, CHANNELS, REGIONS, REPEATS = 256, 8, 3, 2, 5


def main(result: Path, scratch: Path) -> None:  # noqa: ARG001
    """Measure and write the figures."""
    torch.manual_seed(0)
    images = torch.rand(BATCH, CHANNELS, SIZE, SIZE)
    masks = torch.rand(BATCH, REGIONS, SIZE, SIZE) > 0.9
    others = rivals(in_channels=CHANNELS, regions=REGIONS)
    network = others[0].ours
    loss = shipped("loss/bce_dice")
    make = partial(make_step, loss=loss, images=images, masks=masks)
    steps = {
        "plain": _plainly(make(copy.deepcopy(network))),
        "compiled": make(copy.deepcopy(network), channels_last=True, compiled=True),
        **{rival.our_name: make(copy.deepcopy(rival.ours), channels_last=True) for rival in others},
        **{rival.name: make(rival.network) for rival in others},
    }
    if cpu_computes_bf16():
        steps["bfloat16"] = make(copy.deepcopy(network), channels_last=True, in_bfloat16=True)
    first_s = {name: _timed(step) for name, step in steps.items()}
    same = _same_losses(steps)
    times = in_turns(steps, repeats=REPEATS)
    rates = {name: BATCH / middle(of) for name, of in times.items()}
    profile = operator_profile_of(steps["U-Net"])
    report = Report()
    report.figures.append(
        Figure(
            what="training step of the U-Net in float32",
            against="the same network, plain, contiguous",
            values=ratios(times["plain"], times["U-Net"]),
            unit="x",
            goal=1.4,
            better="more",
            detail=f"{middle(times['U-Net']):.2f} s against {middle(times['plain']):.2f} s, "
            f"batch {BATCH}, CPU; large activations are made again in backward, to save memory",
            same_work=same,
            profile=profile,
        )
    )
    report.figures.append(
        Figure(
            what="the same, compiled (`compile=true`)",
            against="the same network, plain, contiguous",
            values=ratios(times["plain"], times["compiled"]),
            unit="x",
            goal=None,
            better="more",
            detail=f"{middle(times['compiled']):.2f} s; its first step took {first_s['compiled']:.0f} s",
        )
    )
    if "bfloat16" in times:
        report.figures.append(
            Figure(
                what="training step of the U-Net in bfloat16, as shipped on this CPU",
                against="lts in float32",
                values=ratios(times["U-Net"], times["bfloat16"]),
                unit="x",
                goal=1.6,
                better="more",
                detail=f"{middle(times['bfloat16']):.2f} s; weights, losses and sums stay float32",
            )
        )
    for rival in others:
        report.figures.append(
            Figure(
                what=f"training step, images a second, {rival.our_name}",
                against=f"{rival.name}, equal parameters, both in float32",
                values=ratios(times[rival.name], times[rival.our_name]),
                unit="x",
                goal=1.2,
                better="more",
                detail=f"{rates[rival.our_name]:.1f} against {rates[rival.name]:.1f} images/s, "
                f"{parameters(rival.ours):,} and {parameters(rival.network):,} parameters, "
                f"{_gflop(rival.ours):.0f} and {_gflop(rival.network):.0f} GFLOP an image forward",
                profile=operator_profile_of(steps[rival.our_name]),
            )
        )
    report.notes.append(
        f"{torch.get_num_threads()} threads; a step is forward, loss, backward, clipping and Adam. "
        "The large pages of memory that lts asks torch for serve all sides here."
    )
    report.save(result)


def make_step(
    network: nn.Module,
    *,
    loss: nn.Module,
    images: Tensor,
    masks: Tensor,
    channels_last: bool = False,
    compiled: bool = False,
    in_bfloat16: bool = False,
) -> Callable[[], float]:
    """A step of training, to be called again and again; it returns the loss."""
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    forward = torch.compile(network.__call__, dynamic=False) if compiled else network

    def step() -> float:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=in_bfloat16):
            found: Tensor = loss(forward(images), masks)
        optimizer.zero_grad()
        found.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        return found.item()

    return step


def _plainly(step: Callable[[], float]) -> Callable[[], float]:
    """The step without what lts does for speed or memory: nothing recomputed, torch's own interpolation."""

    def plain(image: Tensor) -> Tensor:
        return F.interpolate(image, scale_factor=2.0, mode="bilinear", align_corners=False)

    def run() -> float:
        ours = blocks.upsample2x, unet.recomputing
        blocks.upsample2x, unet.recomputing = plain, nullcontext
        try:
            return step()
        finally:
            blocks.upsample2x, unet.recomputing = ours

    return run


def _same_losses(steps: dict[str, Callable[[], float]]) -> str:
    """After as many steps, ours must have learned the same."""
    losses = {name: steps[name]() for name in ("plain", "compiled", "U-Net")}
    spread = max(losses.values()) - min(losses.values())
    assert spread < 1e-3, losses
    return f"After a step the three losses of lts differ by {spread:.1e}"


def _timed(step: Callable[[], float]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def _gflop(network: nn.Module) -> float:
    image = torch.rand(1, CHANNELS, SIZE, SIZE)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        copy.deepcopy(network).eval()(image)
    return float(counter.get_total_flops()) / 1e9


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
