#!/usr/bin/env bash
# MONAI's RemoveSmallObjects on masks of liver and tumor: specks are removed from healthy patients alone.
#
# Guessed:     pieces of a label that are smaller than min_size voxels go, whatever other labels there are.
# Found:       a mask with labels up to 1 is split into connected pieces. As soon as a voxel is labeled 2, all voxels of a
#              label count as one piece, connected or not: nothing is removed from a liver or from tumors. Two regions in
#              channels, the liver with its tumors and the tumors, are connected from channel to channel: a tumor of one
#              voxel stays, as it is a piece of the liver. independent_channels=True is the default in both cases.
# Versions:    monai 1.6.1, scikit-image 0.26.0, torch 2.13.0, numpy 2.4.6
# Source:      remove_small_objects in monai/transforms/utils.py; skimage.morphology.remove_small_objects takes integers
#              for numbers of pieces and booleans for a mask to split, in all dimensions of the array
# Output seen: healthy, a voxel of liver apart: removed; with a tumor, the same voxel: kept
#              with a tumor, a tumor of one voxel: kept; regions in channels, the same: kept
#              the channel of tumors alone, the same: removed
# For masks:   split each label by itself (scipy.ndimage.label on mask == label), then remove.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet monai==1.6.1 scikit-image==0.26.0 torch==2.13.0 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
import torch
from monai.transforms import RemoveSmallObjects

LIVER, TUMOR = 1, 2
SPECK, LESION = (1, 1, 1), (10, 10, 10)
remove = RemoveSmallObjects(min_size=10)


def removed(mask, place):
    cleaned = np.asarray(remove(torch.as_tensor(mask)))
    return not cleaned[place]


healthy = np.zeros((1, 20, 20, 20), np.uint8)
healthy[0, 4:16, 4:16, 4:16] = LIVER
healthy[0][SPECK] = LIVER
ill = healthy.copy()
ill[0, 6:9, 6:9, 6:9] = TUMOR
ill[0][LESION] = TUMOR
regions = np.concatenate([ill > 0, ill == TUMOR]).astype(np.uint8)
lesion_alone = regions[1:]

found = {
    "healthy, a voxel of liver apart": removed(healthy, (0, *SPECK)),
    "with a tumor, the same voxel": removed(ill, (0, *SPECK)),
    "with a tumor, a tumor of one voxel": ill[0][LESION] != np.asarray(remove(torch.as_tensor(ill)))[0][LESION],
    "regions in channels, a tumor of one voxel": removed(regions, (1, *LESION)),
    "the channel of tumors alone, a tumor of one voxel": removed(lesion_alone, (0, *LESION)),
}
for what, gone in found.items():
    print(f"{what}: {'removed' if gone else 'kept'}")
assert list(found.values()) == [True, False, False, False, True]
PYTHON
