#!/usr/bin/env bash
# A program writes and reads DICOM SEG objects, lets go of each, and databases pile up.
#
# Guessed:     a segmentation is a pydicom data set with an array; when the last name is gone, all of it is gone.
# Found:       every highdicom image, made or read, opens an SQLite database in memory, closes it never, and lies in a
#              circle of references: it stays until Python's collector of circles comes by. Python 3.13 then warns of an
#              unclosed database, in whatever code runs at that moment: with warnings as errors, tests fail at random
#              that never touched DICOM, each time others, and the name to look for is in none of them.
# Versions:    highdicom 0.28.2, pydicom 3.0.2, numpy 2.4.6; Python 3.11 to 3.13, the warning from 3.13 on
# Source:      _db_con in highdicom/image.py; ResourceWarning of sqlite3.Connection in "What's New In Python 3.13"
# Output seen: open after 3 made: 3, after 3 read: 6, after a collection: 0
#              warnings of Python 3.13.0: 6, unclosed database
# For tests:   call gc.collect() where the segmentation is used, or filter this one warning.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet highdicom==0.28.2 pydicom==3.0.2 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import gc
import sqlite3
import sys
import warnings

import highdicom
import numpy as np
from highdicom.seg import SegmentDescription, Segmentation, segread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SIDE, SLICES = 32, 4


def make_series():
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for number in range(SLICES):
        scan = Dataset()
        scan.file_meta = FileMetaDataset()
        scan.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        scan.file_meta.MediaStorageSOPClassUID = scan.SOPClassUID = CTImageStorage
        scan.file_meta.MediaStorageSOPInstanceUID = scan.SOPInstanceUID = generate_uid()
        scan.StudyInstanceUID, scan.SeriesInstanceUID, scan.FrameOfReferenceUID = study, series, frame
        scan.Modality, scan.PatientID, scan.PatientName = "CT", "1", "made^up"
        scan.PatientBirthDate = scan.PatientSex = scan.AccessionNumber = scan.StudyID = ""
        scan.ReferringPhysicianName, scan.StudyDate, scan.StudyTime = "", "20200101", "000000"
        scan.SeriesNumber, scan.InstanceNumber = 1, number + 1
        scan.ImagePositionPatient, scan.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
        scan.PixelSpacing, scan.SliceThickness, scan.Rows, scan.Columns = [1, 1], 1, SIDE, SIDE
        yield scan


def segment(series):
    mask = np.zeros((SLICES, SIDE, SIDE), np.uint8)
    mask[:, 8:16, 8:24] = 1
    liver = SegmentDescription(
        segment_number=1,
        segment_label="liver",
        segmented_property_category=codes.SCT.Organ,
        segmented_property_type=codes.SCT.Liver,
        algorithm_type="MANUAL",
    )
    return Segmentation(
        source_images=series,
        pixel_array=mask,
        segmentation_type="BINARY",
        segment_descriptions=[liver],
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="made",
        manufacturer_model_name="made",
        software_versions="1",
        device_serial_number="1",
    )


def n_open():
    return sum(type(each) is sqlite3.Connection for each in gc.get_objects())


series = list(make_series())
gc.collect()
gc.disable()
before = n_open()
for _ in range(3):
    segment(series).save_as("liver.dcm")
made = n_open() - before
for _ in range(3):
    segread("liver.dcm")
read = n_open() - before
told = []
sys.unraisablehook = lambda event: told.append(str(event.exc_value))
warnings.simplefilter("error", ResourceWarning)
gc.collect()
left = n_open() - before
print(f"open after 3 made: {made}, after 3 read: {read}, after a collection: {left}")
assert (made, read, left) == (3, 6, 0)
if sys.version_info >= (3, 13):
    print(f"warnings of Python {sys.version.split()[0]}: {len(told)}, {told[0].partition(' in ')[0]}")
    assert len(told) == 6
PYTHON
