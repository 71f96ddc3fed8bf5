#!/usr/bin/env bash
# Spacing in micrometers: the unit counts in NIfTI and not in NRRD, and in ITK and not in nibabel.
#
# Guessed:     a reader either knows units or leaves all of them to the caller.
# Found:       SimpleITK multiplies spacing and origin of a NIfTI file by its unit (1500 um become 1.5 mm), but takes the
#              numbers of an NRRD file as they are, although it states "um" too. nibabel leaves both to the caller.
# Versions:    nibabel 5.4.2, SimpleITK 2.5.7 (ITK 5.4), pynrrd 1.1.3, numpy 2.4.6
# Source:      xyzt_units in ITK Modules/IO/NIFTI/src/itkNiftiImageIO.cxx; Modules/IO/NRRD/src/itkNrrdImageIO.cxx
# Output seen: NIfTI: SimpleITK 1.5, nibabel 1500; NRRD: SimpleITK 1500
# For volumes: the same scan, converted from NIfTI to NRRD by a tool that keeps units, is 10^9 times as large.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet nibabel==5.4.2 SimpleITK==2.5.7 pynrrd==1.1.3 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import nibabel
import nrrd
import numpy as np
import SimpleITK

voxels = np.zeros((3, 4, 5), np.int16)
image = nibabel.Nifti1Image(voxels, np.diag([1500.0, 1500.0, 3000.0, 1.0]))
image.header.set_xyzt_units("micron")
image.to_filename("scan.nii")
nrrd.write(
    "scan.nrrd",
    voxels,
    {
        "space": "left-posterior-superior",
        "space directions": np.diag([1500.0, 1500.0, 3000.0]),
        "space units": ["um", "um", "um"],
    },
)

nifti_itk = SimpleITK.ReadImage("scan.nii").GetSpacing()[0]
nifti_nibabel = float(nibabel.load("scan.nii").header.get_zooms()[0])
nrrd_itk = SimpleITK.ReadImage("scan.nrrd").GetSpacing()[0]
print(f"NIfTI: SimpleITK {nifti_itk:g}, nibabel {nifti_nibabel:g}; NRRD: SimpleITK {nrrd_itk:g}")
assert abs(nifti_itk - 1.5) < 1e-6
assert nifti_nibabel == 1500
assert nrrd_itk == 1500
PYTHON
