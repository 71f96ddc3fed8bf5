"""Whole commands beside those of an earlier build, taken from the history into a folder of its own."""

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.measuring import Figure, Report, in_turns, middle, ratios
from benchmarks.scans import copies, full_size_case
from benchmarks.training_run import train_briefly
from lts.cohort import Case
from lts.phantom import make_phantom
from lts.volume import Geometry, read_ct, read_geometry, read_mask, write_mask, write_volume

ROOT = Path(__file__).parents[1]
COMMIT = "768db81"
SMALL_MATRIX, SMALL_DEPTH = 64, 33
SCORED_CASES = 8
REPEATS = 3
_STEEPNESS, _THRESHOLDS = 400.0, (0.8, 0.95)
"""Of liver and tumor, by the first window."""
SAME_SHARE = 1e-4
"""Of the voxels, that may have another label where the same checkpoint predicts."""


def main(result: Path, scratch: Path) -> None:
    """Measure and write the figures."""
    earlier = _earlier_build(scratch / "earlier")
    case, small = full_size_case(scratch), _small_scan(scratch / "small.nii.gz")
    default = _see_the_liver(train_briefly(scratch / "default", build=earlier))
    shipped = train_briefly(scratch / "shipped", "experiment=phantom_cpu", "data.num_workers=0", model=None)
    report = Report()

    def predicted(build: Path, ckpt: Path, scan: Path) -> Callable[[], None]:
        masks = scratch / f"{build.name}-{ckpt.parents[2].name}-{scan.name}"
        return lambda: _predict(build, ckpt, scan, masks)

    sides = {
        "earlier": predicted(earlier, default, case.image),
        "now": predicted(ROOT, default, case.image),
        "shipped": predicted(ROOT, shipped, case.image),
    }
    times = in_turns(sides, repeats=REPEATS)
    apart = _share_apart(
        *(scratch / f"{build.name}-default-{case.image.name}" for build in (earlier, ROOT)), case
    )
    against = f"the build of commit {COMMIT} with its default U-Net"
    report.figures += [
        Figure(
            what="`python predict.py`, 512x512x129, whole process, `experiment=phantom_cpu`",
            against=against,
            values=ratios(times["earlier"], times["shipped"]),
            unit="x",
            goal=5,
            better="more",
            detail=f"{middle(times['shipped']):.1f} s against {middle(times['earlier']):.1f} s, "
            "the mask of another, faster network; both briefly trained",
        ),
        Figure(
            what="the same scan by the same checkpoint of the default U-Net",
            against=f"the build of commit {COMMIT}",
            values=ratios(times["earlier"], times["now"]),
            unit="x",
            goal=1.8,
            better="more",
            detail=f"{middle(times['now']):.1f} s against {middle(times['earlier']):.1f} s",
            same_work=f"{apart:.2g} of the voxels have another label",
        ),
    ]
    assert apart <= SAME_SHARE, apart
    times = in_turns(
        {"earlier": predicted(earlier, default, small), "now": predicted(ROOT, default, small)},
        repeats=REPEATS,
    )
    report.figures.append(
        Figure(
            what=f"`python predict.py`, {SMALL_MATRIX}x{SMALL_MATRIX}x{SMALL_DEPTH}, the same checkpoint",
            against=f"the build of commit {COMMIT}",
            values=ratios(times["earlier"], times["now"]),
            unit="x",
            goal=2,
            better="more",
            detail=f"{middle(times['now']):.2f} s against {middle(times['earlier']):.2f} s",
        )
    )
    report.figures.append(_scoring(earlier, case, scratch))
    report.save(result)


def _scoring(earlier: Path, case: Case, scratch: Path) -> Figure:
    """`evaluate.py` on masks of several cases, in processes as it chooses."""
    references, predictions = scratch / "references", scratch / "predictions"
    for folder, shift in ((references, 0), (predictions, 2)):
        folder.mkdir()
        grid = read_geometry(case.image)
        assert case.mask is not None
        labels = np.roll(read_mask(case.mask, image=grid).voxels, shift, axis=2)
        write_mask(folder / "a.nii.gz", labels, geometry=grid)
        (made,) = [folder / "a.nii.gz"]
        copies(Case("a", "a", image=made, mask=made), folder / "copies", count=SCORED_CASES)
        for path in (folder / "copies").glob("segmentation-*"):
            path.rename(folder / path.name)
        made.unlink()
    runs = {"earlier": 0, "now": 0}

    def scored(name: str, build: Path) -> Callable[[], None]:
        def score() -> None:
            runs[name] += 1
            output = scratch / f"scores-{name}-{runs[name]}"
            _run(
                build,
                "evaluate.py",
                f"predictions={predictions}",
                f"references={references}",
                f"paths.output_dir={output}",
            )

        return score

    times = in_turns(
        {"earlier": scored("earlier", earlier), "now": scored("now", ROOT)}, repeats=2, warm_up=0
    )
    dice = [
        json.loads((scratch / f"scores-{name}-1" / "metrics.json").read_text())["regions"]["tumor"][
            "dice_per_case"
        ]
        for name in runs
    ]
    assert abs(dice[0] - dice[1]) < 1e-9, dice
    return Figure(
        what=f"`python evaluate.py predictions=... references=...`, {SCORED_CASES} cases of 512x512x129",
        against=f"the build of commit {COMMIT}",
        values=ratios(times["earlier"], times["now"]),
        unit="x",
        goal=2,
        better="more",
        detail=f"{middle(times['now']):.1f} s against {middle(times['earlier']):.1f} s, the report included",
        same_work=f"The tumor's Dice per case is {dice[1]:.6f} in both",
    )


def _earlier_build(folder: Path) -> Path:
    """The files of the earlier commit."""
    archive = subprocess.run(["git", "archive", COMMIT], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    command = [sys.executable, "-c", "import lts; print(lts.__file__)"]
    imported = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    assert imported.startswith(str(folder)), imported
    return folder


def _see_the_liver(path: Path) -> Path:
    """Replace the weights of a U-Net so that it answers by Hounsfield units alone, and has a mask to compare.

    Its first window goes straight through the upper level and its skip to the head; all else is computed too.
    """
    content = torch.load(path, weights_only=True)
    weights = content["state_dict"]
    for name, tensor in weights.items():
        keeps = name.endswith("running_var") or (".norms." in name and name.endswith("weight"))
        if tensor.is_floating_point():
            tensor.fill_(1.0 if keeps else 0.0)
    for block in ("encoder.levels.0", "decoder.levels.0.block"):
        for conv in (0, 1):
            weights[f"network.{block}.convs.{conv}.weight"][0, 0, 1, 1] = 1.0
    weights["network.head.weight"][:, 0] = _STEEPNESS
    weights["network.head.bias"].copy_(-_STEEPNESS * torch.tensor(_THRESHOLDS))
    torch.save(content, path)
    return path


def _small_scan(path: Path) -> Path:
    phantom = make_phantom(seed=2, matrix=SMALL_MATRIX)
    taken = np.arange(SMALL_DEPTH) * len(phantom.hu) // SMALL_DEPTH
    slice_mm, row_mm, column_mm = phantom.spacing_mm
    affine = np.diag([-column_mm, -row_mm, slice_mm * len(phantom.hu) / SMALL_DEPTH, 1.0])
    write_volume(path, phantom.hu[taken].transpose(2, 1, 0), affine=affine)
    return path


def _predict(build: Path, ckpt: Path, scan: Path, masks: Path) -> None:
    _run(
        build,
        "predict.py",
        f"ckpt={ckpt}",
        f"input={scan}",
        f"output={masks}",
        "device=cpu",
        "overwrite=true",
    )
    for path in masks.iterdir():  # so that the next round predicts again
        if path.name == "predictions.json":
            path.unlink()


def _run(build: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], cwd=build, check=True, stdout=subprocess.DEVNULL)


def _share_apart(first: Path, second: Path, case: Case) -> float:
    """The share of voxels whose labels differ."""
    grid: Geometry = read_ct(case.image).geometry
    masks = [read_mask(folder / f"{case.id}_mask.nii.gz", image=grid).voxels for folder in (first, second)]
    assert masks[0].any()
    return float(np.mean(masks[0] != masks[1]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
