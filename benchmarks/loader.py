"""Slices a second that one process loads and augments, beside MONAI's `CacheDataset`."""

import math
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from monai.data import CacheDataset
from monai.transforms import Affined, Compose, EnsureTyped, RandAffined, RandFlipd, RandShiftIntensityd
from torch.utils.data import DataLoader

from benchmarks.config import shipped
from benchmarks.measuring import Figure, Report, in_turns, rate, ratios
from benchmarks.profiling import profile_of
from benchmarks.scans import full_size_case
from lts.cohort import Case
from lts.data import Augmentation, SliceDataModule
from lts.slices import Recipe, StoredCase

SIZE, BATCH, SLICES, REPEATS = 256, 16, 320, 5
PLAIN_SLICES = 16 * SLICES
RECIPE = Recipe(image_size=SIZE, pixel_mm=None, modality="ct")
ROTATE_DEG, SCALE, HU_SHIFT = 15.0, 0.15, 15.0
KEYS = ("image", "label")
SAME_HU = 1.0


def main(result: Path, scratch: Path) -> None:
    """Measure and write the figures."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    case = full_size_case(scratch)
    ours = make_data(case, scratch, _augmentation(), SLICES)
    plain = make_data(case, scratch, None, PLAIN_SLICES)
    default = make_data(case, scratch, shipped("augment/default"), SLICES)
    (stored,) = ours.stored("train")
    monai = _monai(stored)
    agreement = _same_work(stored, ours, monai)
    times = in_turns(
        {
            "ours": lambda: exhaust(ours.train_dataloader()),
            "monai": lambda: exhaust(monai),
            "plain": lambda: exhaust(plain.train_dataloader()),
            "default": lambda: exhaust(default.train_dataloader()),
        },
        repeats=REPEATS,
    )
    report = Report()
    report.figures.append(
        Figure(
            what="slices a second and process, augmented",
            against="MONAI CacheDataset, same transforms",
            values=ratios(times["monai"], times["ours"]),
            unit="x",
            goal=12,
            better="more",
            detail=f"{rate(times['ours'], items=SLICES):,.0f} against "
            f"{rate(times['monai'], items=SLICES):,.0f} slices/s",
            same_work=agreement,
            profile=profile_of(lambda: exhaust(ours.train_dataloader())),
        )
    )
    report.figures.append(
        Figure(
            what="slices a second and process, not augmented",
            against="the loader alone",
            values=tuple(PLAIN_SLICES / seconds for seconds in times["plain"]),
            unit="slices/s",
            goal=20_000,
            better="more",
            detail=f"batches of {BATCH} of {SIZE}x{SIZE}",
            profile=profile_of(lambda: exhaust(plain.train_dataloader())),
        )
    )
    report.figures.append(
        Figure(
            what="slices a second and process, augmented as shipped",
            against="for itself",
            values=tuple(SLICES / seconds for seconds in times["default"]),
            unit="slices/s",
            goal=None,
            better="more",
            detail="flips, affine map, HU shift and scale, and noise in three slices of ten",
        )
    )
    report.save(result)


def _augmentation(**changes: Any) -> Augmentation:
    settings = {
        "flip_left_right": 0.5,
        "flip_front_back": 0.5,
        "affine_probability": 1.0,
        "rotate_deg": [-ROTATE_DEG, ROTATE_DEG],
        "scale": [1 - SCALE, 1 + SCALE],
        "shift_percent": [0, 0],
        "intensity_probability": 1.0,
        "hu_shift": [-HU_SHIFT, HU_SHIFT],
        "hu_scale": [1, 1],
        "noise_probability": 0.0,
    }
    augmentation: Augmentation = shipped("augment/default", **{**settings, **changes})
    return augmentation


def make_data(case: Case, scratch: Path, augment: Augmentation | None, slices: int) -> SliceDataModule:
    """The slices of a case, set up to be loaded in this process."""
    data = SliceDataModule(
        cases={"train": [case], "val": [case]},
        recipe=RECIPE,
        store_dir=scratch / "store",
        intensity=shipped("intensity/ct_windows"),
        augment=augment,
        regions=["liver", "tumor"],
        context=0,
        batch_size=BATCH,
        num_workers=0,
        region_share=0.0,
        slices_per_epoch=slices,
        seed=0,
    )
    data.setup("fit")
    return data


def _monai(stored: StoredCase) -> DataLoader[Any]:
    """The same slices in memory, its random transforms at the same ranges; both give HU."""
    images, labels = stored.open_image(), stored.open_labels()
    items = [
        {"image": images[z][None].astype(np.float32), "label": labels[z][None]}
        for z in np.arange(SLICES) % len(images)
    ]
    transforms = Compose(
        [
            EnsureTyped(KEYS),
            RandFlipd(KEYS, prob=0.5, spatial_axis=0),
            RandFlipd(KEYS, prob=0.5, spatial_axis=1),
            RandAffined(
                KEYS,
                prob=1.0,
                rotate_range=math.radians(ROTATE_DEG),
                scale_range=SCALE,
                mode=("bilinear", "nearest"),
                padding_mode="border",
            ),
            RandShiftIntensityd("image", offsets=HU_SHIFT, prob=1.0),
        ]
    )
    data = CacheDataset(items, transforms, cache_rate=1.0, num_workers=1, progress=False)
    return DataLoader(data, batch_size=BATCH, shuffle=True, num_workers=0)


def _same_work(stored: StoredCase, ours: SliceDataModule, monai: DataLoader[Any]) -> str:
    """Hold shapes, and one slice rotated and scaled by both, against each other."""
    mine, theirs = next(iter(ours.train_dataloader())), next(iter(monai))
    assert mine["image"].shape == theirs["image"].shape == (BATCH, 1, SIZE, SIZE)
    assert mine["labels"].shape == theirs["label"][:, 0].shape
    z = len(stored.open_image()) // 2
    image, labels = stored.open_image()[z : z + 1], stored.open_labels()[z]
    degrees, scale = 10.0, 1.1
    fixed = _augmentation(
        flip_left_right=0.0,
        flip_front_back=0.0,
        rotate_deg=[degrees, degrees],
        scale=[scale, scale],
        hu_shift=[5, 5],
    )
    moved, moved_labels = fixed(image, labels, seed=0)
    affine = Affined(
        KEYS,
        rotate_params=-math.radians(degrees),  # it turns the other way
        scale_params=(1 / scale, 1 / scale),  # of the grid, not of the image
        mode=("bilinear", "nearest"),
        padding_mode="border",
    )
    expected = affine(
        {"image": torch.tensor(image, dtype=torch.float32), "label": torch.tensor(labels[None])}
    )
    inner = slice(SIZE // 4, -SIZE // 4)
    off_hu = np.abs(moved[0] - 5.0 - expected["image"][0].numpy())[inner, inner].mean()
    same = (moved_labels == expected["label"][0].numpy()).mean()
    assert off_hu < SAME_HU, off_hu
    assert same > 0.999, same
    return (
        f"A slice turned by {degrees:g} degrees and enlarged by {scale:g} by both differs by {off_hu:.2f} HU "
        f"on average (int16 against float32), and {1 - same:.2%} of its labels"
    )


def exhaust(loader: DataLoader[Any]) -> None:
    """Load all that it has."""
    for _ in loader:
        pass


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
