#!/usr/bin/env bash
# A mesh that PyVista makes of a mask lies outside of the patient, and two masks of one liver lie apart.
#
# Guessed:     pyvista.read of a NIfTI mask gives a grid in the scanner's millimetres, as it does of other formats that
#              hold an origin and directions; a surface made of it can be laid over the scan, a plan or another mask.
# Found:       VTK's NIfTI reader keeps the affine aside as a matrix, and PyVista does not apply it: origin 0, no
#              directions, voxel axes as they lie in the file, only the spacing is used. The same liver stored once from
#              right to left and once from left to right gives two surfaces in different places. The same mask as
#              MetaImage comes with its origin.
# Versions:    pyvista 0.49.1 (vtk 9.7.2), nibabel 5.4.2, SimpleITK 2.5.7, numpy 2.2.6
# Source:      NIFTIReader in pyvista/core/utilities/reader.py; vtkNIFTIImageReader.h, "GetSFormMatrix"
# Output seen: center of the liver in mm, right to left, back to front, foot to head:
#              true: 92.4, 109.2, -21.5
#              one.nii.gz: 7.6, 10.8, 28.5
#              turned.nii.gz: 23.6, 10.8, 28.5
#              one.mha: 92.4, 109.2, -21.5
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet pyvista==0.49.1 vtk==9.7.2 nibabel==5.4.2 SimpleITK==2.5.7 numpy==2.2.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import nibabel
import numpy as np
import pyvista
import SimpleITK

affine = np.diag([-0.8, -0.8, 3.0, 1.0])
affine[:3, 3] = 100, 120, -50
voxels = np.zeros((40, 30, 20), np.uint8)
voxels[5:15, 8:20, 4:16] = 1
mask = nibabel.Nifti1Image(voxels, affine)
nibabel.save(mask, "one.nii.gz")
turned = mask.as_reoriented([[0, -1], [1, 1], [2, 1]])  # stored from the other side, at the same place
nibabel.save(turned, "turned.nii.gz")
true = nibabel.affines.apply_affine(affine, np.argwhere(voxels).mean(0))


def center(name):
    grid = pyvista.read(name)
    values = np.asarray(grid.active_scalars).ravel()
    return np.asarray(grid.points)[values > 0].mean(0)


same = SimpleITK.ReadImage("one.nii.gz")
for key in same.GetMetaDataKeys():  # those of NIfTI; MetaImage has no place for them
    same.EraseMetaData(key)
SimpleITK.WriteImage(same, "one.mha")
found = {"one.nii.gz": center("one.nii.gz"), "turned.nii.gz": center("turned.nii.gz")}
from_mha = center("one.mha") * (-1, -1, 1)  # LPS to RAS
print("center of the liver in mm, right to left, back to front, foot to head:")
for name, place in {"true": true, **found, "one.mha": from_mha}.items():
    print(f"{name}: {', '.join(f'{one:.1f}' for one in place)}")
assert np.allclose(from_mha, true, atol=1e-3)
assert np.allclose(found["one.nii.gz"], np.argwhere(voxels).mean(0) * (0.8, 0.8, 3), atol=1e-3)
apart = found["turned.nii.gz"] - found["one.nii.gz"]
assert np.allclose(apart, (16, 0, 0), atol=1e-3)
PYTHON
