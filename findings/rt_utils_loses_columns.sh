#!/usr/bin/env bash
# Contours of a liver on a series that is wider than it is high: rt-utils writes them, and reads only a part back.
#
# Guessed:     a mask that was written for a series comes back in the series' shape, voxel for voxel.
# Found:       with as many rows as columns it does, holes and lesions of one voxel too. Otherwise rows and columns of the
#              array are exchanged, but not what is drawn into it: of 24 rows and 32 columns comes an array of 32 by 24,
#              and what lies right of column 24 is gone without a word. A left lobe there reads as an empty mask.
# Versions:    rt-utils 1.2.7, pydicom 3.0.2, opencv-python-headless 5.0.0.93, numpy 2.4.6
# Source:      create_empty_series_mask in rt_utils/image_helper.py, which takes Columns first
# Output seen: 24 rows of 24: (24, 24, 2) -> (24, 24, 2), from column 4: 72 of 72, from column 18: 72 of 72
#              24 rows of 32: (24, 32, 2) -> (32, 24, 2), from column 4: 72 of 72, from column 26: 0 of 72
# For masks:   read the contours with a library that takes the shape from Rows and Columns, or compare the voxel count.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet \
    rt-utils==1.2.7 pydicom==3.0.2 opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import contextlib
import io
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from rt_utils import RTStructBuilder

SLICES, HEIGHT, SIDE = 2, 12, 6


def write_series(folder, rows, columns):
    folder.mkdir()
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for number in range(SLICES):
        scan = Dataset()
        scan.file_meta = FileMetaDataset()
        scan.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        scan.file_meta.MediaStorageSOPClassUID = scan.SOPClassUID = CTImageStorage
        scan.file_meta.MediaStorageSOPInstanceUID = scan.SOPInstanceUID = generate_uid()
        scan.StudyInstanceUID, scan.SeriesInstanceUID, scan.FrameOfReferenceUID = study, series, frame
        scan.Modality, scan.PatientID, scan.PatientName, scan.StudyID = "CT", "1", "made", "1"
        scan.PatientBirthDate = scan.PatientSex = scan.AccessionNumber = scan.ReferringPhysicianName = ""
        scan.StudyDescription = scan.SeriesDescription = ""
        scan.StudyDate, scan.StudyTime = "20200101", "000000"
        scan.SeriesNumber, scan.InstanceNumber = 1, number + 1
        scan.ImagePositionPatient, scan.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
        scan.PixelSpacing, scan.SliceThickness = [1, 1], 1
        scan.Rows, scan.Columns = rows, columns
        scan.SamplesPerPixel, scan.PhotometricInterpretation = 1, "MONOCHROME2"
        scan.BitsAllocated = scan.BitsStored = 16
        scan.HighBit, scan.PixelRepresentation = 15, 1
        scan.RescaleSlope, scan.RescaleIntercept = 1, 0
        scan.PixelData = np.zeros((rows, columns), np.int16).tobytes()
        scan.save_as(folder / f"{number}.dcm", enforce_file_format=True)


def through_contours(mask, folder):
    with contextlib.redirect_stdout(io.StringIO()):
        made = RTStructBuilder.create_new(dicom_series_path=str(folder))
        made.add_roi(mask=mask, name="lobe")
        made.save("contours.dcm")
    read = RTStructBuilder.create_from(dicom_series_path=str(folder), rt_struct_path="contours.dcm")
    return read.get_roi_mask_by_name("lobe")


def hold(rows, columns):
    folder, left = Path(f"{rows}x{columns}"), []
    write_series(folder, rows, columns)
    for first in (4, columns - SIDE):
        mask = np.zeros((rows, columns, SLICES), bool)
        mask[4 : 4 + HEIGHT, first : first + SIDE, 1] = True
        again = through_contours(mask, folder)
        left.append(int(again.sum()))
        print(f"{rows} rows of {columns}: {mask.shape} -> {again.shape}, from column {first}: {left[-1]} of 72")
    return again.shape, left


assert hold(24, 24) == ((24, 24, SLICES), [72, 72])
assert hold(24, 32) == ((32, 24, SLICES), [72, 0])
PYTHON
