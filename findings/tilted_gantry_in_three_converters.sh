#!/usr/bin/env bash
# A CT with the gantry tilted by 20 degrees, 40 slices 5 mm apart along the table, as brain and spine scans come.
#
# Guessed:     the slices' positions and orientation are in every file, so a converter keeps them or refuses.
# Found:       SimpleITK stacks the slices along their normal, without a word: at the end of 195 mm a voxel lies 68 mm
#              from where the header says, and volumes are 6 % too large (5 mm between planes that are 4.7 mm apart).
#              Dcm2niix writes two files and warns. The first, which bears the plain name, has a sheared affine with
#              4.7 mm in place of 5: its end is 12 mm off, and a volume by the affine's determinant is 6 % too small,
#              by pixdim right. The second (_Tilt_1) is resampled to a straight grid and right on both counts.
#              Dicom2nifti refuses; its convert_directory logs that, writes nothing and returns.
# Versions:    SimpleITK 2.5.7 (ITK 5.4), dcm2niix 1.0.20260724 (package 1.0.20260724), dicom2nifti 2.6.2, nibabel 5.4.2
# Source:      the third direction is the cross product in GDCMImageIO of ITK; validate_orthogonal in dicom2nifti/common.py
# Output seen: SimpleITK: the rod's end 68 mm off, voxel by determinant and by spacings [5.0, 5.0] mm3, 4.70 by the header
#              dcm2niix, ct.nii: 12 mm off, [4.42, 4.7]; ct_Tilt_1.nii: 0 mm off, [4.7, 4.7]
#              dicom2nifti: NON_CUBICAL_IMAGE/GANTRY_TILT
# For scans:   the step between ImagePositionPatient of neighbors is the third column; the voxel's volume its determinant.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet \
    SimpleITK==2.5.7 dcm2niix==1.0.20260724 dicom2nifti==2.6.2 nibabel==5.4.2 pydicom==3.0.2 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import contextlib
import io
import math
import subprocess
from pathlib import Path

import dicom2nifti
import nibabel
import numpy as np
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SLICES, SIDE, STEP_MM, TILT_DEG = 40, 64, 5.0, 20
DOWN = np.array([0, math.cos(math.radians(TILT_DEG)), -math.sin(math.radians(TILT_DEG))])
ROD = slice(30, 34)
END_MM = np.array([31.5, 0, (SLICES - 1) * STEP_MM]) + 31.5 * DOWN


def write_series(folder):
    folder.mkdir()
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for number in range(SLICES):
        scan = Dataset()
        scan.file_meta = FileMetaDataset()
        scan.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        scan.file_meta.MediaStorageSOPClassUID = scan.SOPClassUID = CTImageStorage
        scan.file_meta.MediaStorageSOPInstanceUID = scan.SOPInstanceUID = generate_uid()
        scan.StudyInstanceUID, scan.SeriesInstanceUID, scan.FrameOfReferenceUID = study, series, frame
        scan.Modality, scan.PatientID, scan.PatientName, scan.StudyID = "CT", "1", "made^up", "1"
        scan.Manufacturer, scan.ProtocolName, scan.PatientPosition = "GE MEDICAL SYSTEMS", "made", "HFS"
        scan.StudyDate, scan.StudyTime, scan.ImageType = "20200101", "000000", ["ORIGINAL", "PRIMARY", "AXIAL"]
        scan.SeriesNumber, scan.InstanceNumber, scan.GantryDetectorTilt = 1, number + 1, -TILT_DEG
        scan.ImagePositionPatient = [0, 0, number * STEP_MM]
        scan.ImageOrientationPatient = [1, 0, 0, *DOWN]
        scan.PixelSpacing, scan.SliceThickness, scan.Rows, scan.Columns = [1, 1], STEP_MM, SIDE, SIDE
        scan.SamplesPerPixel, scan.PhotometricInterpretation = 1, "MONOCHROME2"
        scan.BitsAllocated = scan.BitsStored = 16
        scan.HighBit, scan.PixelRepresentation = 15, 1
        scan.RescaleSlope, scan.RescaleIntercept = 1, 0
        pixels = np.zeros((SIDE, SIDE), np.int16)
        pixels[ROD, ROD] = 1000
        scan.PixelData = pixels.tobytes()
        scan.save_as(folder / f"{number:02}.dcm", enforce_file_format=True)


def hold(name, end_mm, voxel_mm3, expected):
    found = round(float(np.linalg.norm(end_mm - END_MM))), [round(float(each), 2) for each in voxel_mm3]
    print(f"{name}: the rod's end {found[0]} mm off, voxel by determinant and by spacings {found[1]} mm3")
    assert found == expected


def rod_in(voxels):
    return np.argwhere(voxels > 500).mean(axis=0)


write_series(Path("series"))
print(f"a voxel has {math.cos(math.radians(TILT_DEG)) * STEP_MM:.2f} mm3")

reader = SimpleITK.ImageSeriesReader()
reader.SetFileNames(reader.GetGDCMSeriesFileNames("series"))
image = reader.Execute()
end = image.TransformContinuousIndexToPhysicalPoint((31.5, 31.5, SLICES - 1.0))
directions = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
hold("SimpleITK", end, (abs(np.linalg.det(directions)), np.prod(image.GetSpacing())), (68, [5.0, 5.0]))

Path("nifti").mkdir()
command = ["venv/bin/dcm2niix", "-o", "nifti", "-f", "ct", "series"]
printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
print("dcm2niix:", next(line for line in printed.splitlines() if "tilt" in line and "Warning" in line))
for name, expected in (("ct.nii", (12, [4.42, 4.7])), ("ct_Tilt_1.nii", (0, [4.7, 4.7]))):
    made = nibabel.load(f"nifti/{name}")
    last = np.asanyarray(made.dataobj)[:, :, SLICES - 1 :]
    at = nibabel.affines.apply_affine(made.affine, rod_in(last) + [0, 0, SLICES - 1])
    volume = abs(np.linalg.det(made.affine)), float(np.prod(made.header.get_zooms()))
    hold(f"dcm2niix, {name}", at * [-1, -1, 1], volume, expected)

try:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        dicom2nifti.dicom_series_to_nifti("series", "other.nii")
except dicom2nifti.exceptions.ConversionValidationError as error:
    print(f"dicom2nifti: {error}")
    assert "GANTRY_TILT" in str(error)
else:
    raise AssertionError("dicom2nifti converted it")
PYTHON
