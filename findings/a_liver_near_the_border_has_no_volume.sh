#!/usr/bin/env bash
# A liver that begins two slices above the end of a scan has a volume of 0.0 in TotalSegmentator's statistics.
#
# Guessed:     the statistics of a mask that is cut by the border tell what is left of it, are missing, or say so.
# Found:       where a mask has a voxel among the first or last 3 of any axis, volume and intensity are the number 0.0,
#              which is what an organ that was not found has too. Nothing is printed. The liver need not be cut: a scan
#              that ends 2 slices below its tip is enough, as abdominal scans often do. Averaged over patients, the zeros
#              count. In the command it is on by default as well (--stats_include_incomplete turns it off).
# Versions:    TotalSegmentator 2.18.0, nibabel 5.4.2, numpy 2.4.6
# Source:      touches_border and get_basic_statistics in totalsegmentator/statistics.py
# Output seen: free slices below the liver: 1, 2, 3, 4
#              true volume in ml: 50.1, 48.4, 46.7, 44.9
#              told volume in ml: 0.0, 0.0, 46.7, 44.9
#              exclude_masks_at_border=False: 50.1, 48.4, 46.7, 44.9
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet nibabel==5.4.2 numpy==2.4.6 tqdm==4.70.1
# The statistics need none of the networks' libraries.
"$folder/venv/bin/python" -m pip install --quiet --no-deps TotalSegmentator==2.18.0
"$folder/venv/bin/python" - <<'PYTHON'
import nibabel
import numpy as np
from totalsegmentator.map_to_binary import class_map
from totalsegmentator.statistics import get_basic_statistics

FREE, SPACING_MM = (1, 2, 3, 4), (0.8, 0.8, 3.0)
(LIVER,) = (label for label, name in class_map["total"].items() if name == "liver")


def volumes_ml(free, **settings):
    mask = np.zeros((60, 60, 40), np.uint8)
    mask[10:40, 10:40, free:30] = LIVER
    scan = nibabel.Nifti1Image(np.where(mask, 110, -1000).astype(np.int16), np.diag([-0.8, -0.8, 3.0, 1.0]))
    told = get_basic_statistics(mask, scan, quiet=True, task="total", **settings)["liver"]["volume"] / 1000
    return np.count_nonzero(mask) * np.prod(SPACING_MM) / 1000, float(told)


true, told = np.transpose([volumes_ml(free) for free in FREE])
whole = [volumes_ml(free, exclude_masks_at_border=False)[1] for free in FREE]
print("free slices below the liver:", ", ".join(map(str, FREE)))
for name, values in (
    ("true volume in ml", true),
    ("told volume in ml", told),
    ("exclude_masks_at_border=False", whole),
):
    print(f"{name}:", ", ".join(f"{value:.1f}" for value in values))
assert list(told[:2]) == [0, 0]
assert np.allclose(told[2:], true[2:], rtol=1e-5)
assert np.allclose(whole, true, rtol=1e-5)
PYTHON
