#!/usr/bin/env bash
# surface-distance from the package index works beside numpy 2, until a case without tumor comes.
#
# Guessed:     a package that imports, and gives right figures for one case, does so for the next.
# Found:       of two masks that both hold something all is well. Where one is empty it raises AttributeError, since that
#              branch alone uses a name (np.Inf) that numpy 2.0 took away. Its metadata allows any numpy.
# Versions:    surface-distance 0.1, numpy 2.4.6, scipy 1.17.1
# Source:      compute_surface_distances in surface_distance/metrics.py of the package
# Output seen: one voxel apart: 1.0 mm; nothing predicted: AttributeError: `np.Inf` was removed in the NumPy 2.0 release
# For scores:  try a metric on an empty side first, then on real cases; pin "numpy<2" beside this one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet surface-distance==0.1 numpy==2.4.6 scipy==1.17.1
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
import surface_distance

mask = np.zeros((12, 12, 12), bool)
mask[3:9, 3:9, 3:9] = True
moved = np.roll(mask, 1, axis=0)
distances = surface_distance.compute_surface_distances(mask, moved, (1, 1, 1))
farthest_mm = surface_distance.compute_robust_hausdorff(distances, 100)
try:
    surface_distance.compute_surface_distances(mask, np.zeros_like(mask), (1, 1, 1))
except AttributeError as error:
    told = str(error)
else:
    raise SystemExit("an empty mask is taken")
print(f"one voxel apart: {farthest_mm} mm; nothing predicted: AttributeError: {told[:50]}")
assert farthest_mm == 1
assert told.startswith("`np.Inf` was removed")
PYTHON
