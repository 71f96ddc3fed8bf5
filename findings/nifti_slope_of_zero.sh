#!/usr/bin/env bash
# A NIfTI file with scl_slope 0 and scl_inter -1024: 1024 HU lie between two readers.
#
# Guessed:     a slope of 0 means that nothing is scaled (the format says so), so readers return what is stored.
# Found:       nibabel does that. SimpleITK takes the slope for 1, and adds the intercept.
# Versions:    nibabel 5.4.2, SimpleITK 2.5.7 (ITK 5.4), numpy 2.4.6
# Source:      scl_slope in nifti1.h of the NIfTI standard; ITK Modules/IO/NIFTI/src/itkNiftiImageIO.cxx
# Output seen: nibabel [0 30 60], SimpleITK [-1024 -994 -964]
# For CT:      a converter that wrote slope 0 beside an intercept makes a scan that is air in one program and liver in
#              another. Write slope 1, or scale the voxels and leave both fields at 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet nibabel==5.4.2 SimpleITK==2.5.7 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import struct

import nibabel
import numpy as np
import SimpleITK

stored = np.array([0, 30, 60], np.int16).reshape(3, 1, 1)
content = bytearray(nibabel.Nifti1Image(stored, np.eye(4)).to_bytes())
struct.pack_into("<ff", content, 112, 0.0, -1024.0)  # scl_slope, scl_inter
with open("scan.nii", "wb") as file:
    file.write(content)

by_nibabel = np.asarray(nibabel.load("scan.nii").dataobj).ravel().astype(int)
by_itk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage("scan.nii")).ravel().astype(int)
print(f"nibabel {by_nibabel}, SimpleITK {by_itk}")
assert by_nibabel.tolist() == [0, 30, 60]
assert by_itk.tolist() == [-1024, -994, -964]
PYTHON
