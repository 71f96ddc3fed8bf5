#!/usr/bin/env bash
# "Average Hausdorff distance" and "average surface distance" of the same masks differ by a factor.
#
# Guessed:     both average how far the surfaces of two masks are apart.
# Found:       SimpleITK's HausdorffDistanceImageFilter averages over every voxel of each mask. The inside counts 0, so the
#              larger a mask, the smaller its distance. Its maximum is that of the surfaces. medpy's ASSD is an average
#              over surface voxels.
# Versions:    SimpleITK 2.5.7 (ITK 5.4), medpy 0.5.2, numpy 2.4.6
# Source:      ITK Modules/Filtering/DistanceMap/include/itkDirectedHausdorffDistanceImageFilter.hxx
# Output seen: cubes of 6, 15 and 24 voxels, 2 voxels apart: SimpleITK [0.5 0.2 0.125], medpy [0.737 0.676 0.67]
# For tables:  never put one beside the other; name the definition, or the filter.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet SimpleITK==2.5.7 medpy==0.5.2 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import SimpleITK
from medpy.metric.binary import assd, hd

by_itk, by_medpy = [], []
for edge in (6, 15, 24):
    reference = np.zeros((36, 36, 36), np.uint8)
    reference[4 : 4 + edge, 4 : 4 + edge, 4 : 4 + edge] = 1
    moved = np.roll(reference, 2, axis=0)
    distances = SimpleITK.HausdorffDistanceImageFilter()
    distances.Execute(SimpleITK.GetImageFromArray(reference), SimpleITK.GetImageFromArray(moved))
    assert distances.GetHausdorffDistance() == hd(moved, reference) == 2
    by_itk.append(distances.GetAverageHausdorffDistance())
    by_medpy.append(float(assd(moved, reference)))
print(f"cubes of 6, 15 and 24 voxels, 2 voxels apart: SimpleITK {np.round(by_itk, 3)}, medpy {np.round(by_medpy, 3)}")
# Of each column of voxels one lies 1 voxel outside and one 2, the others inside.
assert np.allclose(by_itk, [3 / edge for edge in (6, 15, 24)])
assert np.allclose(by_medpy, [0.7368, 0.6757, 0.6700], atol=1e-4)
PYTHON
