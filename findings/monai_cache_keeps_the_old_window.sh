#!/usr/bin/env bash
# MONAI's PersistentDataset, run again with another window, spacing or corrected masks, serves what the first run made.
#
# Guessed:     what is kept on disk is found again for the same file and the same transforms alone.
# Found:       the name of what is kept comes from the item handed in, here the two paths, and from nothing else. Another
#              window or spacing, and a mask that was corrected in its file, are served as they were before, without a
#              word. A sweep over windows that share a folder compares equal runs. With hash_transform=pickle_hashing,
#              which is not the default, the transforms count; LMDBDataset takes that too, and does not use it. What the
#              files hold never counts.
# Versions:    monai 1.6.1, torch 2.13.0, nibabel 5.4.2, lmdb 3.0.0, numpy 2.4.6
# Source:      _cachecheck of PersistentDataset and of LMDBDataset in monai/data/dataset.py
# Output seen: a liver of 100 HU in the window, its voxels a side, its label:
#              window -45 to 105 HU: 0.97, 8, 1
#              then -100 to 300 HU: 0.97, 8, 1
#              then spacing of 2 mm: 0.97, 8, 1
#              then a corrected mask: 0.97, 8, 1
#              the same with pickle_hashing: 0.97, 8, 1; 0.5, 8, 1; 0.97, 4, 1; 0.97, 8, 1
#              LMDBDataset with pickle_hashing: 0.97, 8, 1; 0.97, 8, 1; 0.97, 8, 1; 0.97, 8, 1
# For runs:    a folder for each setting, or hash_transform, and an item that holds the files' hashes or dates.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet monai==1.6.1 torch==2.13.0 nibabel==5.4.2 lmdb==3.0.0 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import nibabel
import numpy as np
from monai.data import LMDBDataset, PersistentDataset
from monai.data.utils import pickle_hashing
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, RandFlipd, ScaleIntensityRanged, Spacingd

LIVER_HU, SIDE = 100, 8
NARROW_HU, WIDE_HU = (-45, 105), (-100, 300)
CASE = {"image": "ct.nii.gz", "mask": "mask.nii.gz"}


def save(key, value, dtype):
    array = np.full((SIDE, SIDE, SIDE), value, dtype)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), CASE[key])


def first_case(kind, folder, window_hu, spacing_mm, **options):
    transform = Compose(
        [
            LoadImaged(keys=list(CASE)),
            EnsureChannelFirstd(keys=list(CASE)),
            Spacingd(keys=list(CASE), pixdim=[spacing_mm] * 3, mode="nearest"),
            ScaleIntensityRanged("image", *window_hu, b_min=0.0, b_max=1.0, clip=True),
            RandFlipd(keys=list(CASE), prob=0.5),
        ]
    )
    dataset = kind([CASE], transform, cache_dir=folder, **options)
    case = dataset[0]
    if kind is LMDBDataset:
        dataset.close()
    return round(case["image"].mean().item(), 2), case["image"].shape[-1], int(case["mask"].max())


def four_runs(*where, **options):
    save("image", LIVER_HU, np.int16)
    save("mask", 1, np.uint8)
    yield first_case(*where, NARROW_HU, 1.0, **options)
    yield first_case(*where, WIDE_HU, 1.0, **options)
    yield first_case(*where, NARROW_HU, 2.0, **options)
    save("mask", 2, np.uint8)
    yield first_case(*where, NARROW_HU, 1.0, **options)


def told(run):
    return ", ".join(f"{each:g}" for each in run)


changes = (
    f"window {NARROW_HU[0]} to {NARROW_HU[1]} HU",
    f"then {WIDE_HU[0]} to {WIDE_HU[1]} HU",
    "then spacing of 2 mm",
    "then a corrected mask",
)
none = list(four_runs(PersistentDataset, None))
plain = list(four_runs(PersistentDataset, "plain"))
hashed = list(four_runs(PersistentDataset, "hashed", hash_transform=pickle_hashing))
database = list(
    four_runs(LMDBDataset, "lmdb", hash_transform=pickle_hashing, progress=False, lmdb_kwargs={"map_size": 2**24})
)
print(f"a liver of {LIVER_HU} HU in the window, its voxels a side, its label:")
for change, run in zip(changes, plain, strict=True):
    print(f"{change}: {told(run)}")
print(f"the same with pickle_hashing: {'; '.join(map(told, hashed))}")
print(f"LMDBDataset with pickle_hashing: {'; '.join(map(told, database))}")
assert none == [(0.97, 8, 1), (0.5, 8, 1), (0.97, 4, 1), (0.97, 8, 2)]
assert plain == database == [none[0]] * 4
assert hashed == [*none[:3], none[0]]
PYTHON
