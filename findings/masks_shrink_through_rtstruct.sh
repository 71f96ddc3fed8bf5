#!/usr/bin/env bash
# Perfect masks written as RTSTRUCT and read by another library: Dice 0.97 for 24 mm, 0.79 for 4 mm, one voxel is gone.
#
# Guessed:     contours of a mask, filled again on the grid that they were drawn on, give that mask, whoever fills them.
# Found:       rt-utils draws a contour through the middles of the outermost voxels, not around them. It fills them with
#              the line itself, so its own way back is exact. dcmrtstruct2nii leaves out voxels that lie on the line: a
#              mask loses voxels of its edge, a quarter of a lesion of 6 mm. So two libraries that
#              each look right make a lesion smaller, and a system that was perfect loses by the way that it was read.
# Versions:    rt-utils 1.2.7, dcmrtstruct2nii 5, pydicom 2.4.4 (for dcmrtstruct2nii: 3.0 took pydicom.read_file away),
#              SimpleITK 2.5.7, scikit-image 0.26.0, numpy 2.2.6
# Source:      find_mask_contours in rt_utils/image_helper.py; DcmPatientCoords2Mask in
#              dcmrtstruct2nii/adapters/convert/rtstructcontour2mask.py
# Output seen: 24-mm: voxels 5593, by dcmrtstruct2nii 5279, Dice 0.97
#              10-mm: voxels 413, by dcmrtstruct2nii 350, Dice 0.92
#              6-mm: voxels 87, by dcmrtstruct2nii 65, Dice 0.86
#              4-mm: voxels 23, by dcmrtstruct2nii 15, Dice 0.79
#              voxel: voxels 1, by dcmrtstruct2nii 0, Dice 0.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet rt-utils==1.2.7 dcmrtstruct2nii==5 pydicom==2.4.4 SimpleITK==2.5.7 \
    scikit-image==0.26.0 numpy==2.2.6
cd "$folder"
mkdir series
venv/bin/python -W ignore - <<'PYTHON' | grep -v -e '^$' -e cite -e Thomas -e Writing
import numpy as np
import SimpleITK
from dcmrtstruct2nii import dcmrtstruct2nii
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from rt_utils import RTStructBuilder

SIDE, SLICES, PIXEL_MM, SLICE_MM = 64, 24, 0.8, 2.0
study, series, frame = generate_uid(), generate_uid(), generate_uid()
for number in range(SLICES):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    file = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    file.is_little_endian, file.is_implicit_VR = True, False
    file.SOPClassUID, file.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    file.StudyInstanceUID, file.SeriesInstanceUID, file.FrameOfReferenceUID = study, series, frame
    file.Modality, file.PatientID, file.PatientName, file.PatientBirthDate, file.PatientSex = "CT", "1", "P", "", ""
    file.StudyDate, file.StudyTime, file.StudyID, file.AccessionNumber = "20260101", "000000", "1", ""
    file.SeriesNumber, file.InstanceNumber, file.ReferringPhysicianName = 1, number + 1, ""
    file.ImagePositionPatient, file.ImageOrientationPatient = [-20, -20, SLICE_MM * number], [1, 0, 0, 0, 1, 0]
    file.PixelSpacing, file.SliceThickness, file.Rows, file.Columns = [PIXEL_MM] * 2, SLICE_MM, SIDE, SIDE
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 16, 15, 1
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.RescaleIntercept, file.RescaleSlope = 0, 1
    file.PixelData = np.zeros((SIDE, SIDE), np.int16).tobytes()
    file.save_as(f"series/{number:02d}.dcm", write_like_original=False)

row, column, slice_ = np.indices((SIDE, SIDE, SLICES))
off_mm = np.sqrt(((row - 30) * PIXEL_MM) ** 2 + ((column - 30) * PIXEL_MM) ** 2 + ((slice_ - 12) * SLICE_MM) ** 2)
masks = {f"{diameter}-mm": off_mm <= diameter / 2 for diameter in (24, 10, 6, 4)}
masks["voxel"] = np.zeros((SIDE, SIDE, SLICES), bool)
masks["voxel"][10, 10, 5] = True

structures = RTStructBuilder.create_new(dicom_series_path="series")
for name, mask in masks.items():
    structures.add_roi(mask=mask, name=name)
structures.save("structures.dcm")
by_itself = RTStructBuilder.create_from(dicom_series_path="series", rt_struct_path="structures.dcm")
dcmrtstruct2nii("structures.dcm", "series", "masks", convert_original_dicom=False)

dice = {}
for name, mask in masks.items():
    assert np.array_equal(by_itself.get_roi_mask_by_name(name), mask)
    read = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(f"masks/mask_{name}.nii.gz")).transpose(1, 2, 0) > 0
    dice[name] = 2 * np.count_nonzero(read & mask) / (read.sum() + mask.sum())
    print(f"{name}: voxels {mask.sum()}, by dcmrtstruct2nii {read.sum()}, Dice {dice[name]:.2f}")
    assert not (read & ~mask).any()
assert list(dice.values()) == sorted(dice.values(), reverse=True)
assert 0.96 < dice["24-mm"] < 0.98
assert 0.75 < dice["4-mm"] < 0.83
assert dice["voxel"] == 0
PYTHON
