#!/usr/bin/env bash
# A multi-frame CT whose frames have rescale slopes of their own: four readers return four images, one of them right.
#
# Guessed:     a reader applies the slope of each frame, or it says that it cannot.
# Found:       highdicom applies each. SimpleITK applies the slope of the first frame to all; dcm2niix that of the
#              last frame, here the lowest slice; pydicom's apply_rescale looks for a slope outside of the frames alone,
#              and returns what is stored. None raises or warns. From a file a slice SimpleITK and dcm2niix take the
#              slope of each.
# Versions:    highdicom 0.28.2, SimpleITK 2.5.7 (ITK 5.4), dcm2niix 1.0.20260724, pydicom 3.0.2, nibabel 5.4.2,
#              numpy 2.4.6
# Source:      GetInterceptSlopeValueFromSequence in gdcmImageHelper.cxx of GDCM, ITK's reader of DICOM ("Get first
#              item"); apply_modality_lut in pydicom/pixels/processing.py
# Output seen: true [50.0, 206.0, 424.0], highdicom [50.0, 206.0, 424.0], SimpleITK [400.0, 412.0, 424.0],
#              dcm2niix [50.0, 51.5, 53.0], pydicom [100.0, 103.0, 106.0]
# For CT, PET: look for one slope in all frames before a multi-frame file is read by anything but highdicom.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet \
    highdicom==0.28.2 SimpleITK==2.5.7 dcm2niix==1.0.20260724 pydicom==3.0.2 nibabel==5.4.2 numpy==2.4.6
cd "$folder"
mkdir scan
cat >make.py <<'PYTHON'
import numpy as np
import pydicom
from highdicom.legacy import LegacyConvertedEnhancedCTImage
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

series = []
for index, (stored, slope) in enumerate(((100, "0.5"), (103, "2"), (106, "4"))):
    ct = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    ct.SOPInstanceUID = ct.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ct.ImagePositionPatient, ct.InstanceNumber = [0, 0, 3 * index], index + 1
    ct.SliceThickness = 3
    ct.RescaleSlope, ct.RescaleIntercept = slope, "0"
    ct.PixelData = np.full((ct.Rows, ct.Columns), stored, "<i2").tobytes()
    series.append(ct)
LegacyConvertedEnhancedCTImage(
    legacy_datasets=series,
    series_instance_uid=generate_uid(),
    series_number=2,
    sop_instance_uid=generate_uid(),
    instance_number=1,
).save_as("scan/scan.dcm")
PYTHON
venv/bin/python -W ignore make.py
venv/bin/dcm2niix -f scan -o . scan >dcm2niix.log
if grep -i warning dcm2niix.log; then exit 1; fi
venv/bin/python -W error - <<'PYTHON'
import highdicom
import nibabel
import numpy as np
import pydicom
import SimpleITK
from pydicom.pixels import apply_rescale


def from_low_to_high(column, z_mm):
    return np.asarray(column, float)[np.argsort(z_mm)].tolist()


scan = pydicom.dcmread("scan/scan.dcm")
frames = scan.PerFrameFunctionalGroupsSequence
z_mm = [float(frame.PlanePositionSequence[0].ImagePositionPatient[2]) for frame in frames]
by_frame = highdicom.imread("scan/scan.dcm")
by_itk = SimpleITK.ReadImage("scan/scan.dcm")
assert [by_itk.TransformIndexToPhysicalPoint((0, 0, frame))[2] for frame in range(3)] == z_mm
nifti = nibabel.load("scan.nii")
nifti_z_mm = [(nifti.affine @ [0, 0, slice_, 1])[2] for slice_ in range(3)]
found = {
    "highdicom": from_low_to_high([by_frame.get_frame(number)[5, 5] for number in (1, 2, 3)], z_mm),
    "SimpleITK": from_low_to_high(SimpleITK.GetArrayFromImage(by_itk)[:, 5, 5], z_mm),
    "dcm2niix": from_low_to_high(nifti.get_fdata()[5, 5], nifti_z_mm),
    "pydicom": from_low_to_high(apply_rescale(scan.pixel_array, scan)[:, 5, 5], z_mm),
}
print("true [50.0, 206.0, 424.0]", *(f"{name} {values}" for name, values in found.items()), sep=", ")
assert found == {
    "highdicom": [50, 206, 424],
    "SimpleITK": [400, 412, 424],
    "dcm2niix": [50, 51.5, 53],
    "pydicom": [100, 103, 106],
}
PYTHON
