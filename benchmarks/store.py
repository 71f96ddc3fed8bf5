"""Building the slice store, beside MONAI's load, orient and resample, and beside inflating the file alone."""

import gzip
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measuring import Figure, Report, in_turns, middle, ratios
from benchmarks.profiling import profile_of
from benchmarks.scans import copies, full_size_case
from lts.base import AIR_HU
from lts.cohort import Case
from lts.slices import Recipe, StoredCase, build_store

RECIPE = Recipe(image_size=256, pixel_mm=None, modality="ct")
REPEATS, MANY_CASES, MANY_REPEATS = 5, 100, 1  # LiTS has 131, mostly larger
SAME_HU, SAME_LABELS = 1.0, 0.995
KEYS = ("image", "label")


def main(result: Path, scratch: Path) -> None:
    """Measure and write the figures."""
    torch.set_num_threads(1)
    case = full_size_case(scratch)
    assert case.mask is not None
    times = in_turns(
        {
            "ours": lambda: _build([case], scratch, workers=1),
            "monai": lambda: _monai(case, scratch / "monai", smooth=True),
            "rough": lambda: _monai(case, scratch / "monai", smooth=False),
            "inflate": lambda: _inflate(case),
        },
        repeats=REPEATS,
    )
    same = _same_work(case, scratch)
    seconds = {name: middle(of) for name, of in times.items()}
    profile = profile_of(lambda: _build([case], scratch, workers=1))
    report = Report()
    report.figures.append(
        Figure(
            what="store build from .nii.gz, 512x512x129, one process",
            against="MONAI load, orient, smooth, resample, save",
            values=ratios(times["monai"], times["ours"]),
            unit="x",
            goal=4,
            better="more",
            detail=f"{seconds['ours']:.2f} s against {seconds['monai']:.2f} s, image and mask, one thread",
            same_work=same,
            profile=profile,
        )
    )
    report.figures.append(
        Figure(
            what="the same build",
            against="MONAI without the smoothing that shrinking needs",
            values=ratios(times["rough"], times["ours"]),
            unit="x",
            goal=None,
            better="more",
            detail=f"{seconds['ours']:.2f} s against {seconds['rough']:.2f} s",
        )
    )
    report.figures.append(
        Figure(
            what="the same build",
            against="inflating the files with gzip alone",
            values=ratios(times["ours"], times["inflate"]),
            unit="x",
            goal=1.8,
            better="less",
            detail=f"{seconds['ours']:.2f} s against {seconds['inflate']:.2f} s",
            profile=profile,
        )
    )
    report.figures.append(_two_processes(case, scratch))
    report.save(result)


def _two_processes(case: Case, scratch: Path) -> Figure:
    cases = copies(case, scratch / "many", count=MANY_CASES)
    times = in_turns(
        {
            "one": lambda: _build(cases, scratch, workers=1),
            "two": lambda: _build(cases, scratch, workers=2),
        },
        repeats=MANY_REPEATS,
        warm_up=0,
    )
    return Figure(
        what=f"store build of {MANY_CASES} such scans, two processes",
        against="one process",
        values=ratios(times["one"], times["two"]),
        unit="x",
        goal=1.8,
        better="more",
        detail=f"{middle(times['two']):.1f} s against {middle(times['one']):.1f} s, "
        "the start of the processes included",
        profile=profile_of(lambda: _build(cases[:8], scratch, workers=2)),
    )


def _build(cases: list[Case], folder: Path, *, workers: int) -> tuple[StoredCase, ...]:
    # Into a new store each time; all go with the scratch folder.
    store_dir = Path(tempfile.mkdtemp(dir=folder))
    return build_store(cases, RECIPE, store_dir=store_dir, workers=workers)


def _inflate(case: Case) -> None:
    assert case.mask is not None
    for path in (case.image, case.mask):
        with gzip.open(path) as file:
            while file.read(1 << 20):
                pass


@cache
def _monai_transforms(*, smooth: bool) -> Callable[[dict[str, str]], dict[str, Any]]:
    # Here, because each process that builds imports this module once more.
    from monai.transforms import Compose, LoadImaged, Orientationd, Resized

    transforms: Callable[[dict[str, str]], dict[str, Any]] = Compose(
        [
            LoadImaged(KEYS, reader="NibabelReader", ensure_channel_first=True),
            Orientationd(KEYS, axcodes="LPS"),
            Resized(
                KEYS,
                spatial_size=(RECIPE.image_size, RECIPE.image_size, -1),
                mode=("bilinear", "nearest"),
                anti_aliasing=(smooth, False),
            ),
        ]
    )
    return transforms


def _monai(case: Case, folder: Path, *, smooth: bool) -> tuple[np.ndarray, np.ndarray]:
    load = _monai_transforms(smooth=smooth)
    loaded = load({"image": str(case.image), "label": str(case.mask)})
    arrays = (
        loaded["image"][0].numpy().round().astype(np.int16),
        loaded["label"][0].numpy().astype(np.uint8),
    )
    folder.mkdir(exist_ok=True)
    for key, array in zip(KEYS, arrays, strict=True):
        np.save(folder / f"{key}.npy", array)
    return arrays


def _same_work(case: Case, scratch: Path) -> str:
    """Hold the stored slices against MONAI's, which smooths by another kernel."""
    (stored,) = _build([case], scratch, workers=1)
    image, labels = (array.transpose(2, 1, 0) for array in _monai(case, scratch / "monai", smooth=True))
    ours, our_labels = stored.open_image(), stored.open_labels()
    assert ours.shape == image.shape
    image = np.maximum(image, AIR_HU)  # padding outside the round field of view
    off_hu = abs(float(ours.mean()) - float(image.mean()))
    same = float((our_labels == labels).mean())
    assert off_hu < SAME_HU, off_hu
    assert same > SAME_LABELS, same
    return (
        f"Equal shapes; the means differ by {off_hu:.2f} HU, {same:.2%} of the labels are equal; both smooth "
        "the image, lts by area, MONAI by a Gaussian"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
