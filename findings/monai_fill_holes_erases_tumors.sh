#!/usr/bin/env bash
# MONAI's FillHoles cleans a liver and tumor mask: every tumor that lies inside of the liver is gone.
#
# Guessed:     a hole is background that one class encloses, as the documentation says; a tumor is none, and stays.
# Found:       all that a label encloses becomes that label, other labels too. A tumor at the liver's surface stays, one
#              inside becomes liver, whether all labels are asked for or the liver alone. In one-hot masks both channels
#              then hold the tumor, and argmax takes the liver. The mask that was handed in is overwritten as well, so
#              whoever compares it with the result finds no change.
# Versions:    monai 1.6.1, torch 2.13.0, scipy 1.17.1, numpy 2.4.6
# Source:      fill_holes in monai/transforms/utils.py; FillHoles in monai/transforms/post/array.py
# Output seen: tumor voxels: 223 before, all labels 8, liver alone 8, tumor alone 224; the mask handed in: 8
#              one-hot: 216 voxels both liver and tumor, tumor by argmax 8
# For masks:   fill the holes of (mask > 0) and give liver to what was 0 alone, on a copy.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet monai==1.6.1 torch==2.13.0 scipy==1.17.1 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
import torch
from monai.transforms import FillHoles

LIVER, TUMOR = 1, 2
labels = np.zeros((1, 24, 24, 24), np.uint8)
labels[0, 2:22, 2:22, 2:22] = LIVER
labels[0, 14, 14, 14] = 0
labels[0, 6:12, 6:12, 6:12] = TUMOR
labels[0, 9, 9, 9] = 0
labels[0, 2:4, 16:18, 16:18] = TUMOR
n_before = int((labels == TUMOR).sum())

given = {name: torch.as_tensor(labels.copy()) for name in ("all labels", "liver alone", "tumor alone")}
asked = {"all labels": None, "liver alone": [LIVER], "tumor alone": [TUMOR]}
n_tumor = {name: int((FillHoles(asked[name])(given[name]) == TUMOR).sum()) for name in asked}
n_given = int((given["all labels"] == TUMOR).sum())
one_hot = torch.as_tensor(np.stack([labels[0] == label for label in (0, LIVER, TUMOR)]).astype(np.float32))
filled = FillHoles()(one_hot)
n_both = int((filled[LIVER] * filled[TUMOR]).sum())
n_by_argmax = int((filled.argmax(0) == TUMOR).sum())
print(
    f"tumor voxels: {n_before} before, {', '.join(f'{name} {n}' for name, n in n_tumor.items())}; "
    f"the mask handed in: {n_given}"
)
print(f"one-hot: {n_both} voxels both liver and tumor, tumor by argmax {n_by_argmax}")
# Inside lies a cube of 216 voxels, 1 of them a hole; at the surface a block of 8.
assert n_before == 223
assert n_tumor == {"all labels": 8, "liver alone": 8, "tumor alone": 224}
assert (n_given, n_both, n_by_argmax) == (8, 216, 8)
PYTHON
