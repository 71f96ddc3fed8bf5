"""What validation scores cost beside the forward pass, and AUROC beside torchmetrics' own."""

import sys
from pathlib import Path

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torchmetrics.classification import BinaryAUROC

from benchmarks.config import shipped
from benchmarks.measuring import Figure, Report, in_turns, middle, peak_mib, ratios, reset_peak
from benchmarks.profiling import operator_profile_of
from lts.base import MASK_THRESHOLD
from lts.metrics import BinnedAUROC, CaseOverlap

SIZE, BATCH, CHANNELS = 256, 16, 3
REGIONS = ["liver", "tumor"]
SLICES, THRESHOLDS, WITHIN = 1000, 1000, 1e-3


def main(result: Path, scratch: Path) -> None:  # noqa: ARG001
    """Measure and write the figures."""
    torch.manual_seed(0)
    report = Report(figures=[_validation(), *_auroc()])
    report.save(result)


def _validation() -> Figure:
    network = shipped("model/unet", "model", in_channels=CHANNELS, out_channels=len(REGIONS)).eval()
    network = network.to(memory_format=torch.channels_last)
    images = torch.rand(BATCH, CHANNELS, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    mask = torch.rand(BATCH, len(REGIONS), SIZE, SIZE) > 0.9
    case = torch.zeros(BATCH, dtype=torch.int64)
    with torch.inference_mode():
        probs = network(images).sigmoid()
    overlap = CaseOverlap(regions=REGIONS, cases=1, threshold=MASK_THRESHOLD)
    auroc = BinnedAUROC(regions=REGIONS)

    @torch.inference_mode()
    def forward() -> None:
        network(images)

    @torch.inference_mode()
    def score() -> None:
        overlap.update(probs, mask, case)
        auroc.update(probs, mask)

    times = in_turns({"forward": forward, "score": score}, repeats=5)
    return Figure(
        what="validation metrics of a batch",
        against="the forward pass of the U-Net as shipped",
        values=tuple(100 * share for share in ratios(times["score"], times["forward"])),
        unit="%",
        goal=5,
        better="less",
        detail=f"{middle(times['score']) * 1e3:.1f} ms of {middle(times['forward']) * 1e3:.0f} ms, "
        f"batch {BATCH} of {SIZE}x{SIZE}, CPU",
        profile=operator_profile_of(score),
    )


def _auroc() -> list[Figure]:
    target = torch.rand(SLICES, 1, SIZE, SIZE) < 0.05
    # As of a network: most are sure, some are wrong.
    logits = torch.randn(SLICES, 1, SIZE, SIZE) * 2 + torch.where(target, 2.5, -4.0)
    probs = logits.sigmoid()
    batches = list(zip(probs.split(BATCH), target.split(BATCH), strict=True))
    found: dict[str, float] = {}

    def ours() -> None:
        metric = BinnedAUROC(regions=["liver"])
        for some, truth in batches:
            metric.update(some, truth)
        found["ours"] = float(metric.compute()["liver/auroc"])

    def theirs() -> None:
        metric = BinaryAUROC(thresholds=THRESHOLDS)
        for some, truth in batches:
            metric.update(some, truth.int())
        found["theirs"] = float(metric.compute())

    times = in_turns({"ours": ours, "theirs": theirs}, repeats=1, warm_up=0)  # theirs takes minutes
    exact = _exact(probs, target)
    off = {name: abs(value - exact) for name, value in found.items()}
    assert off["ours"] < WITHIN, off
    same = f"Exact {exact:.6f} (scikit-learn): off by {off['ours']:.1e} and {off['theirs']:.1e}"
    speed = Figure(
        what=f"AUROC over {SLICES:,} slices of {SIZE}x{SIZE}",
        against=f"torchmetrics BinaryAUROC(thresholds={THRESHOLDS})",
        values=ratios(times["theirs"], times["ours"]),
        unit="x",
        goal=20,
        better="more",
        detail=f"{middle(times['ours']):.2f} s against {middle(times['theirs']):.1f} s",
        same_work=same,
        profile=operator_profile_of(ours),
    )
    exactness = Figure(
        what="the same, its error",
        against="scikit-learn's exact area",
        values=(off["ours"],),
        unit="",
        goal=WITHIN,
        better="less",
        detail=f"{SLICES * SIZE * SIZE:,} voxels",
    )
    return [speed, exactness, _growth_of_memory(batches)]


def _exact(probs: Tensor, target: Tensor) -> float:
    return float(roc_auc_score(target.flatten().numpy(), probs.flatten().numpy()))


def _growth_of_memory(batches: list[tuple[Tensor, Tensor]]) -> Figure:
    """What the process holds at most, once its first batches are through."""
    metric = BinnedAUROC(regions=["liver"])
    for some, truth in batches[:4]:
        metric.update(some, truth)
    reset_peak()
    before = peak_mib()
    for some, truth in batches:
        metric.update(some, truth)
    metric.compute()
    return Figure(
        what="the same, memory that it gains",
        against="its own after four batches",
        values=(peak_mib() - before,),
        unit="MiB",
        goal=16,
        better="less",
        detail=f"histogram of {metric.histogram.numel() * 8 / 2**20:.0f} MiB",
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
