#!/usr/bin/env bash
# What lies outside of the liver and a margin of 0 voxels is to be removed: nothing is removed.
#
# Guessed:     with a margin of 0 the mask stays as it is, and all that is outside of it goes.
# Found:       scipy's binary_dilation, asked for 0 iterations, goes on until nothing changes: the mask fills the scan.
#              TotalSegmentator's remove_outside_of_mask hands its margin (addon) on to it, so 0 removes less than 1
#              does. Erosion by 0 in turn leaves nothing of the mask. A margin in mm, divided by slices thicker than it
#              and cut to an integer, is such a 0.
# Versions:    TotalSegmentator 2.18.0 (without its models), scipy 1.17.1, nibabel 5.4.2, numpy 2.4.6
# Source:      remove_outside_of_mask in totalsegmentator/postprocessing.py; "iterations" in the manual of
#              scipy.ndimage.binary_dilation
# Output seen: mask of 1000 of 8000 voxels: dilated by 1 1600, by 0 8000; eroded by 1 512, by 0 0
#              left of 16 voxels, 8 of them outside: margin of 1 8, margin of 0 16
# For masks:   where the margin may be 0, leave dilation out; and round up what was in mm.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet scipy==1.17.1 nibabel==5.4.2 numpy==2.4.6 tqdm==4.70.1
"$folder/venv/bin/python" -m pip install --quiet --no-deps TotalSegmentator==2.18.0
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion
from totalsegmentator.postprocessing import remove_outside_of_mask

liver = np.zeros((20, 20, 20), np.uint8)
liver[5:15, 5:15, 5:15] = 1
vessels = np.zeros_like(liver)
vessels[8:10, 8:10, 8:10] = 1
vessels[0:2, 0:2, 0:2] = 1

grown = [int(binary_dilation(liver, iterations=margin).sum()) for margin in (1, 0)]
shrunk = [int(binary_erosion(liver, iterations=margin).sum()) for margin in (1, 0)]
left = [int(remove_outside_of_mask(vessels.copy(), liver, addon=margin).sum()) for margin in (1, 0)]
print(
    f"mask of {liver.sum()} of {liver.size} voxels: dilated by 1 {grown[0]}, by 0 {grown[1]}; "
    f"eroded by 1 {shrunk[0]}, by 0 {shrunk[1]}"
)
print(f"left of {vessels.sum()} voxels, 8 of them outside: margin of 1 {left[0]}, margin of 0 {left[1]}")
assert grown == [1600, liver.size]
assert shrunk == [512, 0]
assert left == [8, 16]
PYTHON
