#!/usr/bin/env bash
# A DICOM SEG read back by SimpleITK or dcmqi does not lie on the grid of its scan.
#
# Guessed:     who reads a SEG of 6 slices gets 6 slices, with the spacing that it states.
# Found:       frames without a voxel are left out when it is written, and neither reader brings them back. dcmqi returns the
#              slices from the first to the last that holds any segment, a file a segment with its number as value.
#              SimpleITK returns a frame a slice for each segment, one after the other, values of 0 and 255, a spacing
#              of 1 mm along all axes, and no error.
# Versions:    highdicom 0.28.2, SimpleITK 2.5.7 (ITK 5.4), dcmqi 1.5.7, pydicom 3.0.2, numpy 2.4.6
# Source:      ITK Modules/IO/GDCM/src/itkGDCMImageIO.cxx (one geometry a file, from the plane of one frame);
#              segimage2itkimage of dcmqi ("Slice extent" in its log)
# Output seen: scan: 6 slices of 0.661 0.661 3 mm; SimpleITK: 3 slices of 1 1 1 mm, values [0 255];
#              dcmqi: 4 slices of 0.661 0.661 3 mm
# For masks:   resample what is read onto the scan's grid by world positions, never pair the arrays.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet \
    highdicom==0.28.2 SimpleITK==2.5.7 dcmqi==1.5.7 pydicom==3.0.2 numpy==2.4.6
cd "$folder"
cat >make.py <<'PYTHON'
import highdicom
import numpy as np
import pydicom
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.data import get_testdata_file
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

series = []
for index in range(6):
    ct = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    ct.SOPInstanceUID = ct.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ct.ImagePositionPatient, ct.InstanceNumber = [0, 0, 3 * index], index + 1
    ct.SliceThickness = ct.SpacingBetweenSlices = 3
    series.append(ct)
mask = np.zeros((6, 128, 128), np.uint8)
mask[1:3, 20:40, 30:60] = 1
mask[4, 80:90, 30:60] = 2


def segment(number, label):
    return SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=codes.SCT.Organ,
        segmented_property_type=codes.SCT.Liver,
        algorithm_type="MANUAL",
    )


Segmentation(
    source_images=series,
    pixel_array=mask,
    segmentation_type="BINARY",
    segment_descriptions=[segment(1, "first"), segment(2, "second")],
    series_instance_uid=generate_uid(),
    series_number=2,
    sop_instance_uid=generate_uid(),
    instance_number=1,
    manufacturer="-",
    manufacturer_model_name="-",
    software_versions="-",
    device_serial_number="-",
).save_as("seg.dcm")
PYTHON
venv/bin/python -W ignore make.py
mkdir dcmqi
venv/bin/segimage2itkimage --inputDICOM seg.dcm --outputDirectory dcmqi --outputType nii >dcmqi.log 2>&1
venv/bin/python - <<'PYTHON'
import numpy as np
import SimpleITK


def told(image):
    return f"{image.GetSize()[2]} slices of {' '.join(f'{mm:.3g}' for mm in image.GetSpacing())} mm"


by_itk = SimpleITK.ReadImage("seg.dcm")
by_dcmqi = SimpleITK.ReadImage("dcmqi/1.nii.gz")
values = np.unique(SimpleITK.GetArrayFromImage(by_itk))
print(f"scan: 6 slices of 0.661 0.661 3 mm; SimpleITK: {told(by_itk)}, values {values}; dcmqi: {told(by_dcmqi)}")
assert told(by_itk) == "3 slices of 1 1 1 mm"
assert values.tolist() == [0, 255]
assert told(by_dcmqi) == "4 slices of 0.661 0.661 3 mm"
PYTHON
