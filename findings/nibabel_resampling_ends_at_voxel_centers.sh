#!/usr/bin/env bash
# A mask that reaches the first slice, resampled to thin slices by its nearest neighbor: nibabel cuts off half a slice.
#
# Guessed:     whatever lies inside of a voxel takes its value, as that voxel is the nearest one.
# Found:       nibabel.processing.resample_from_to hands "constant" on to scipy, whose grid ends at the centers of the
#              outer voxels. The outer half of each of them becomes 0, in masks and in CT, at order 0 as at order 1.
#              SimpleITK fills a voxel up to its edge. Many a liver reaches the end of its scan.
# Versions:    nibabel 5.4.2, scipy 1.17.1, SimpleITK 2.5.7 (ITK 5.4), numpy 2.4.6
# Source:      resample_from_to in nibabel/processing.py (mode="constant"); "grid-constant" in the manual of
#              scipy.ndimage.affine_transform
# Output seen: slices of 5 mm, 30 mm in the mask, to slices of 1 mm on the same edges: nibabel 28 mm, SimpleITK 30 mm,
#              nibabel with mode="grid-constant" 30 mm
# For masks:   pass mode="grid-constant", or resample with ITK; never resample mask and prediction with two libraries.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet nibabel==5.4.2 scipy==1.17.1 SimpleITK==2.5.7 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import nibabel
import numpy as np
import SimpleITK
from nibabel.processing import resample_from_to

mask = np.zeros((8, 8, 10), np.uint8)
mask[2:6, 2:6, :6] = 1
thick = nibabel.Nifti1Image(mask, np.diag([1.0, 1.0, 5.0, 1.0]))
thin_affine = np.eye(4)
thin_affine[2, 3] = -2  # the center of the first of 5 thin slices in the first thick one
thin = nibabel.Nifti1Image(np.zeros((8, 8, 50), np.uint8), thin_affine)
thick.to_filename("thick.nii")
thin.to_filename("thin.nii")


def inside_mm(volume):
    return int(np.count_nonzero(volume)) / 16  # 4 by 4 columns of slices of 1 mm


by_nibabel = inside_mm(resample_from_to(thick, thin, order=0).dataobj)
assert inside_mm(resample_from_to(thick, thin, order=1).slicer[:, :, :5].dataobj) == 3
by_grid = inside_mm(resample_from_to(thick, thin, order=0, mode="grid-constant").dataobj)
resampled = SimpleITK.Resample(
    SimpleITK.ReadImage("thick.nii"),
    SimpleITK.ReadImage("thin.nii"),
    SimpleITK.Transform(),
    SimpleITK.sitkNearestNeighbor,
)
by_itk = inside_mm(SimpleITK.GetArrayFromImage(resampled))
print(
    "slices of 5 mm, 30 mm in the mask, to slices of 1 mm on the same edges: "
    f'nibabel {by_nibabel:g} mm, SimpleITK {by_itk:g} mm, nibabel with mode="grid-constant" {by_grid:g} mm'
)
assert by_nibabel == 28
assert by_itk == by_grid == 30
PYTHON
