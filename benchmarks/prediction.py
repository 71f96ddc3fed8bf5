"""Prediction of a scan, from file to file, beside the network's own time on the same slices."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.measuring import Figure, Report, in_turns, middle, ratios
from benchmarks.profiling import profile_of
from benchmarks.scans import full_size_case
from benchmarks.training_run import train_briefly
from lts.inference import Predictor
from lts.inference.precision import autocast
from lts.inference.running import PIXELS_AT_ONCE
from lts.volume import read_ct, write_mask

ROOT = Path(__file__).parents[1]
SIZE, REPEATS = 256, 3


def main(result: Path, scratch: Path) -> None:
    """Measure and write the figures."""
    case = full_size_case(scratch)
    ckpt = train_briefly(scratch, f"data.image_size={SIZE}")
    predictor = Predictor.from_checkpoint(ckpt, device="cpu")
    depth = read_ct(case.image).voxels.shape[0]

    def from_file_to_file() -> None:
        scan = read_ct(case.image)
        write_mask(scratch / "mask.nii.gz", predictor.mask(scan), geometry=scan.geometry)

    sides = {"ours": from_file_to_file, "network": network_alone(predictor, depth)}
    times = in_turns(sides, repeats=REPEATS)
    command_s = _command(ckpt, case.image, scratch)
    report = Report()
    report.figures.append(
        Figure(
            what="prediction of 512x512x129, from file to file",
            against="the network's own time on the same slices",
            values=ratios(times["ours"], times["network"]),
            unit="x",
            goal=1.2,
            better="less",
            detail=f"{middle(times['ours']):.1f} s against {middle(times['network']):.1f} s, "
            f"U-Net as shipped at {SIZE}x{SIZE}, CPU, both in {predictor.precision}",
            profile=profile_of(from_file_to_file),
        )
    )
    report.figures.append(
        Figure(
            what="`python predict.py` of the same scan",
            against="for itself",
            values=(command_s,),
            unit="s",
            goal=None,
            better="less",
            detail="with its start, volumes and lesions",
        )
    )
    report.save(result)


def network_alone(predictor: Predictor, depth: int) -> Callable[[], None]:
    """The network of a predictor on as many slices as a scan has, at once and in numbers as lts runs it.

    Args:
        predictor: Of one network, at `SIZE`.
        depth: Slices of the scan.
    """
    (checkpoint,) = predictor.checkpoints
    images = torch.rand(depth, checkpoint.intensity.channels, SIZE, SIZE)
    images = images.contiguous(memory_format=torch.channels_last)
    at_once = max(1, torch.get_num_threads() * PIXELS_AT_ONCE // SIZE**2)

    @torch.inference_mode()
    def network() -> None:
        with autocast(getattr(torch, predictor.precision), predictor.device):
            for some in torch.split(images, at_once):
                checkpoint.network(some)

    return network


def _command(ckpt: Path, scan: Path, scratch: Path) -> float:
    arguments = [f"ckpt={ckpt}", f"input={scan}", f"output={scratch / 'masks'}", "device=cpu"]
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "predict.py", *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - began


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
