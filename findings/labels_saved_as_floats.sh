#!/usr/bin/env bash
# A liver and tumor mask goes through get_fdata() and back into a NIfTI file: the liver is gone, or the tumor, or all.
#
# Guessed:     0, 1 and 2 fit the integer type that the header states, so they are stored as they are, floats or not.
# Found:       nibabel stretches any array of floats over the whole range of the header's type, and writes the slope and
#              intercept that undo it, rounded. From a uint8 file label 1 comes back as 0.996: a cast to integers, or
#              SimpleITK asked for uint8, has no liver. From an int16 file label 2 comes back just below 2: a cast has
#              no tumor, and nothing at all of a mask of 0 and 1. The highest label decides: 0 to 3 survive as uint8.
# Versions:    nibabel 5.4.2, SimpleITK 2.5.7 (ITK 5.4), numpy 2.4.6
# Source:      SlopeArrayWriter and SlopeInterArrayWriter (_range_scale) in nibabel/arraywriters.py
# Output seen: uint8, labels 0 to 2: stored [0, 127, 255], cast [0, 2], SimpleITK [0, 2]
#              int16, labels 0 to 2: stored [-32768, 0, 32767], cast [0, 1], SimpleITK [0, 1, 2]
#              int16, labels 0 to 1: stored [-32768, 32767], cast [0], SimpleITK [0, 1]
# For masks:   cast to integers before saving, with a header of that type; round what is read before it is cast.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet nibabel==5.4.2 SimpleITK==2.5.7 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import nibabel
import numpy as np
import SimpleITK


def saved_through_floats(dtype, itk_type, highest):
    labels = np.arange(highest + 1, dtype=dtype)
    mask = nibabel.Nifti1Image(labels.reshape(-1, 1, 1), np.eye(4))
    nibabel.Nifti1Image(mask.get_fdata(), mask.affine, mask.header).to_filename("mask.nii")
    again = nibabel.load("mask.nii")
    read = again.get_fdata().ravel()
    assert np.rint(read).tolist() == labels.tolist()
    stored = again.dataobj.get_unscaled().ravel()
    by_itk = np.unique(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage("mask.nii", itk_type)))
    cut = np.unique(read.astype(np.uint8))
    print(
        f"{labels.dtype}, labels 0 to {highest}: "
        f"stored {stored.tolist()}, cast {cut.tolist()}, SimpleITK {by_itk.tolist()}"
    )
    return stored.tolist(), cut.tolist(), by_itk.tolist()


assert saved_through_floats(np.uint8, SimpleITK.sitkUInt8, 2) == ([0, 127, 255], [0, 2], [0, 2])
assert saved_through_floats(np.int16, SimpleITK.sitkInt16, 2) == ([-32768, 0, 32767], [0, 1], [0, 1, 2])
assert saved_through_floats(np.int16, SimpleITK.sitkInt16, 1) == ([-32768, 32767], [0], [0, 1])
PYTHON
