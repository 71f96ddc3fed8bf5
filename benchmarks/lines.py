"""Where the time of the loader and of a training step goes, line by line.

python -m benchmarks.lines
"""

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import torch
from line_profiler import LineProfiler
from torch import nn

from benchmarks.config import shipped
from benchmarks.loader import SIZE, SLICES, exhaust, make_data
from benchmarks.scans import full_size_case
from benchmarks.training import CHANNELS, REGIONS, make_step
from lts.data import Augmentation, SliceDataset
from lts.networks import UNet

STEPS, BATCH = 3, 8


def main() -> None:
    """Print both."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory(prefix="lts-lines-") as folder:
        print(loader_lines(Path(folder) / "loader"))
    print(step_lines())


def loader_lines(scratch: Path) -> str:
    """The lines that load and augment slices as shipped."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    scratch.mkdir()
    data = make_data(full_size_case(scratch), scratch, shipped("augment/default"), SLICES)
    exhaust(data.train_dataloader())
    lines = _lines(lambda: exhaust(data.train_dataloader()), SliceDataset.read, Augmentation.__call__)
    torch.set_num_threads(threads)
    return lines


def step_lines() -> str:
    """The lines of a step of the U-Net as shipped, not compiled, and of its forward pass."""
    network: nn.Module = shipped("model/unet", "model", in_channels=CHANNELS, out_channels=REGIONS)
    images = torch.rand(BATCH, CHANNELS, SIZE, SIZE)
    masks = torch.rand(BATCH, REGIONS, SIZE, SIZE) > 0.9
    step = make_step(network, loss=shipped("loss/bce_dice"), images=images, masks=masks, channels_last=True)
    step()
    return _lines(lambda: [step() for _ in range(STEPS)], step, UNet.forward)


def _lines(work: Callable[[], object], *functions: Callable[..., object]) -> str:
    """Milliseconds that each line of the functions takes."""
    profiler = LineProfiler(*functions)
    profiler.runcall(work)
    text = io.StringIO()
    profiler.print_stats(text, output_unit=1e-3, stripzeros=True)
    return "\n".join(line.rstrip()[:120] for line in text.getvalue().splitlines() if line.strip())


if __name__ == "__main__":
    main()
