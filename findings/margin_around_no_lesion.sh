#!/usr/bin/env bash
# A margin of 10 mm is drawn around the lesions of a scan that has none: scikit-image draws a margin.
#
# Guessed:     nothing dilated is nothing; an organ that fills the patch, eroded, still fills it.
# Found:       isotropic_dilation and isotropic_erosion cut a distance map by scipy.ndimage.distance_transform_edt, and
#              where there is nothing to be far from, that measures from a voxel outside, at index -1 of the first axis
#              and 0 of the others. So no lesion gets a margin in a corner of the scan, in volumes and on slices, and a
#              liver that fills its patch loses a corner. Scikit-image's dilation with a ball leaves both as they are.
# Versions:    scikit-image 0.26.0, scipy 1.17.1, numpy 2.4.6
# Source:      skimage/morphology/isotropic.py; indices that distance_transform_edt returns beside distances
# Output seen: margin of 10 mm around nothing: 105 voxels or 0.336 ml, index 0 0 0 to 1 10 10; with a ball 0 voxels
#              distances of a full row: 1 2 3 4, to index -1; full patch eroded by 5 voxels: 73 gone, with a ball 0
# For masks:   ask any() (of a mask) and all() (of a patch) before distances.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet scikit-image==0.26.0 scipy==1.17.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import math

import numpy as np
from scipy.ndimage import distance_transform_edt
from skimage.morphology import ball, dilation, erosion, isotropic_dilation, isotropic_erosion

SPACING_MM = 5, 0.8, 0.8
no_lesion, full = np.zeros((20, 64, 64), bool), np.ones((20, 64, 64), bool)
margin = isotropic_dilation(no_lesion, 10, spacing=SPACING_MM)
where = np.argwhere(margin)
first, last = (" ".join(map(str, corner)) for corner in (where.min(0), where.max(0)))
n_by_ball = int(dilation(no_lesion, ball(5)).sum())
print(
    f"margin of 10 mm around nothing: {margin.sum()} voxels or {margin.sum() * math.prod(SPACING_MM) / 1000:.3f} ml, "
    f"index {first} to {last}; with a ball {n_by_ball} voxels"
)
distances, nearest = distance_transform_edt(np.ones(4), return_indices=True)
n_gone = int((~isotropic_erosion(full, 5)).sum())
n_gone_by_ball = int((~erosion(full, ball(5))).sum())
print(
    f"distances of a full row: {' '.join(f'{each:g}' for each in distances)}, to index {nearest[0, 0]}; "
    f"full patch eroded by 5 voxels: {n_gone} gone, with a ball {n_gone_by_ball}"
)
assert (margin.sum(), first, last, n_by_ball) == (105, "0 0 0", "1 10 10", 0)
assert distances.tolist() == [1, 2, 3, 4]
assert (nearest == -1).all()
assert (n_gone, n_gone_by_ball) == (73, 0)
assert isotropic_dilation(np.zeros((64, 64), bool), 5).any()
PYTHON
