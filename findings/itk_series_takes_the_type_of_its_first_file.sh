#!/usr/bin/env bash
# A DICOM series whose slices have rescale slopes of their own: values wrap around, without an error.
#
# Guessed:     a reader that applies the slope of each slice also makes room for what comes out.
# Found:       SimpleITK's ImageSeriesReader applies the slope of each slice, into the pixel type that the first file asks
#              for. After a first slice of slope 1, 1001 * 0.25 is cut to 250, and 1001 * 40 wraps to a negative number.
# Versions:    SimpleITK 2.5.7 (ITK 5.4), pydicom 3.0.2, numpy 2.4.6
# Source:      ITK Modules/IO/ImageBase/include/itkImageSeriesReader.hxx (one output type for all files)
# Output seen: 16-bit signed integer [1001 250 -25496], stored * slope [1001.0 250.25 40040.0]
# For CT, PET: where slopes differ, read slice by slice, or ask for SimpleITK.sitkFloat64.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet SimpleITK==2.5.7 pydicom==3.0.2 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import pydicom
import SimpleITK
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

SLOPES = ("1", "0.25", "40")
files = []
for index, slope in enumerate(SLOPES):
    ct = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    ct.SOPInstanceUID = ct.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ct.ImagePositionPatient = [0, 0, 3 * index]
    ct.RescaleSlope, ct.RescaleIntercept = slope, "0"
    ct.PixelData = np.full((ct.Rows, ct.Columns), 1001, "<i2").tobytes()
    files.append(f"{index}.dcm")
    ct.save_as(files[-1])


def first_voxels(**settings):
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(files)
    for name, value in settings.items():
        getattr(reader, name)(value)
    image = reader.Execute()
    return image.GetPixelIDTypeAsString(), SimpleITK.GetArrayFromImage(image)[:, 0, 0].tolist()


true = [1001 * float(slope) for slope in SLOPES]
pixel_type, read = first_voxels()
print(f"{pixel_type} {read}, stored * slope {true}")
assert (pixel_type, read) == ("16-bit signed integer", [1001, 250, 40040 - 65536])
assert first_voxels(SetOutputPixelType=SimpleITK.sitkFloat64)[1] == true
PYTHON
