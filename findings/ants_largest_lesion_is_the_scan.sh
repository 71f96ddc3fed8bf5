#!/usr/bin/env bash
# ANTs is asked for the largest of a few small lesions: it answers with the whole scan.
#
# Guessed:     the largest component, whatever its size; of a mask without any, an empty mask.
# Found:       GetLargestComponent drops components below 50 voxels first. Where none is left, the largest count is 0,
#              every voxel has it, and all become 1: the scan is one lesion. So it is for an empty mask. The 50 are
#              voxels, not mm3: a lesion of 6.7 mm at 0.8 by 0.8 by 5 mm, of 13.7 mm at 3 mm. No liver falls below them.
# Versions:    antspyx 0.6.3, numpy 2.3.5
# Source:      GetLargestComponent in Examples/ImageMath_Templates.hxx of ANTs ("smallest = 50");
#              iMath_get_largest_component in ants/ops/iMath.py
# Output seen: of 8000 voxels, lesions of 64 and 8: 64; of 27 and 8: 8000, from 1 voxel on 27; no lesion: 8000
# For lesions: ants.iMath(mask, "GetLargestComponent", 1), and only where the mask holds something.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet antspyx==0.6.3 numpy==2.3.5
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import ants
import numpy as np


def largest(edges, *smallest):
    mask = np.zeros((20, 20, 20), np.float32)
    for corner, edge in zip((2, 12), edges):
        mask[corner : corner + edge, corner : corner + edge, corner : corner + edge] = 1
    return int(ants.iMath(ants.from_numpy(mask), "GetLargestComponent", *smallest).numpy().sum())


large, small, any_size, none = largest((4, 2)), largest((3, 2)), largest((3, 2), 1), largest(())
print(
    f"of 8000 voxels, lesions of 64 and 8: {large}; of 27 and 8: {small}, from 1 voxel on {any_size}; no lesion: {none}"
)
assert (large, small, any_size, none) == (64, 8000, 27, 8000)
PYTHON
