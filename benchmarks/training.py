"""A training step of the U-Net as shipped, beside the plain one and beside other libraries' U-Nets."""

import copy
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from monai.networks.nets import BasicUNet
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.config import shipped
from benchmarks.measuring import Figure, Report, in_turns, middle, ratios
from benchmarks.profiling import operator_profile_of
from lts.networks import blocks, unet

SIZE, BATCH, CHANNELS, REGIONS, REPEATS = 256, 8, 3, 2, 3
_NAMES = {"shipped": "U-Net", "resnet50": "ResNet-50 U-Net"}
CLOSE = 0.10
"""How far the numbers of parameters of two networks that are compared may differ."""


def main(result: Path, scratch: Path) -> None:  # noqa: ARG001
    """Measure and write the figures."""
    torch.manual_seed(0)
    images = torch.rand(BATCH, CHANNELS, SIZE, SIZE)
    masks = torch.rand(BATCH, REGIONS, SIZE, SIZE) > 0.9
    network = _shipped_network("unet")
    resnet50 = _shipped_network("resnet50", weights=None)
    loss = shipped("loss/bce_dice")
    make = partial(_step, loss=loss, images=images, masks=masks)
    rivals = {
        "MONAI BasicUNet": (network, _basic_unet(), "shipped"),
        "smp Unet (mobilenet_v2)": (network, _smp_unet("mobilenet_v2"), "shipped"),
        "smp Unet (resnet50)": (resnet50, _smp_unet("resnet50", (384, 192, 96, 48, 24)), "resnet50"),
    }
    steps = {
        "plain": _plainly(make(copy.deepcopy(network))),
        "eager": make(copy.deepcopy(network), channels_last=True),
        "shipped": make(copy.deepcopy(network), channels_last=True, compiled=True),
        "resnet50": make(copy.deepcopy(resnet50), channels_last=True, compiled=True),
        **{name: make(_alike(ours, other)) for name, (ours, other, _) in rivals.items()},
    }
    first_s = {name: _timed(step) for name, step in steps.items()}
    same = _same_losses(steps)
    times = in_turns(steps, repeats=REPEATS)
    rates = {name: BATCH / middle(of) for name, of in times.items()}
    profile = operator_profile_of(steps["shipped"])
    report = Report()
    report.figures.append(
        Figure(
            what="training step of the U-Net as shipped (long runs: compiled)",
            against="the same network, plain float32, contiguous",
            values=ratios(times["plain"], times["shipped"]),
            unit="x",
            goal=1.4,
            better="more",
            detail=f"{middle(times['shipped']):.2f} s against {middle(times['plain']):.2f} s, "
            f"batch {BATCH}, CPU; its first step took {first_s['shipped']:.0f} s",
            same_work=same,
            profile=profile,
        )
    )
    report.figures.append(
        Figure(
            what="the same, not compiled (short runs)",
            against="the same network, plain float32, contiguous",
            values=ratios(times["plain"], times["eager"]),
            unit="x",
            goal=None,
            better="more",
            detail=f"{middle(times['eager']):.2f} s; activations made again in backward, to save memory",
        )
    )
    for name, (ours, other, side) in rivals.items():
        report.figures.append(
            Figure(
                what=f"training step, images a second, {_NAMES[side]}",
                against=f"{name}, equal parameters",
                values=ratios(times[name], times[side]),
                unit="x",
                goal=1.2,
                better="more",
                detail=f"{rates[side]:.1f} against {rates[name]:.1f} images/s, "
                f"{_parameters(ours):,} and {_parameters(other):,} parameters, "
                f"{_gflop(ours):.0f} and {_gflop(other):.0f} GFLOP an image forward",
                profile=operator_profile_of(steps[side]),
            )
        )
    report.notes.append(
        f"Two threads of {torch.get_num_threads()} cores; forward, loss, backward, clip, Adam."
    )
    report.save(result)


def _shipped_network(name: str, **arguments: object) -> nn.Module:
    network: nn.Module = shipped(
        f"model/{name}", "model", in_channels=CHANNELS, out_channels=REGIONS, **arguments
    )
    return network


def _step(
    network: nn.Module,
    *,
    loss: nn.Module,
    images: Tensor,
    masks: Tensor,
    channels_last: bool = False,
    compiled: bool = False,
) -> Callable[[], float]:
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    forward = torch.compile(network.__call__, dynamic=False) if compiled else network

    def step() -> float:
        found: Tensor = loss(forward(images), masks)
        optimizer.zero_grad()
        found.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        return found.item()

    return step


def _plainly(step: Callable[[], float]) -> Callable[[], float]:
    """The step without what lts does for speed or memory: nothing made again, torch's own interpolation."""

    def plain(image: Tensor) -> Tensor:
        return F.interpolate(image, scale_factor=2.0, mode="bilinear", align_corners=False)

    def run() -> float:
        ours = blocks.enlarge_twice, unet.remaking
        blocks.enlarge_twice, unet.remaking = plain, nullcontext
        try:
            return step()
        finally:
            blocks.enlarge_twice, unet.remaking = ours

    return run


def _same_losses(steps: dict[str, Callable[[], float]]) -> str:
    """After as many steps, ours must have learned the same."""
    losses = {name: steps[name]() for name in ("plain", "eager", "shipped")}
    spread = max(losses.values()) - min(losses.values())
    assert spread < 1e-3, losses
    return f"After a step the three losses of lts differ by {spread:.1e}"


def _timed(step: Callable[[], float]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def _basic_unet() -> nn.Module:
    """MONAI's U-Net, of two dimensions, with the channels of its documentation for 32 at the first level."""
    features = (32, 64, 128, 256, 512, 32)
    return BasicUNet(spatial_dims=2, in_channels=CHANNELS, out_channels=REGIONS, features=features)


def _smp_unet(encoder: str, decoder_channels: Sequence[int] = (256, 128, 64, 32, 16)) -> nn.Module:
    """segmentation_models.pytorch's U-Net with one of its encoders."""
    return smp.Unet(
        encoder_name=encoder,
        encoder_weights=None,
        decoder_channels=decoder_channels,
        in_channels=CHANNELS,
        classes=REGIONS,
    )


def _alike(ours: nn.Module, other: nn.Module) -> nn.Module:
    numbers = _parameters(other), _parameters(ours)
    assert abs(numbers[0] / numbers[1] - 1) <= CLOSE, numbers
    return other


def _gflop(network: nn.Module) -> float:
    image = torch.rand(1, CHANNELS, SIZE, SIZE)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        copy.deepcopy(network).eval()(image)
    return float(counter.get_total_flops()) / 1e9


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
