#!/usr/bin/env bash
# A DICOM SEG of two segments, as highdicom writes it, loaded by MONAI: the second lies on the slices of the first.
#
# Guessed:     LoadImage puts each frame on the slice that its position says, or refuses the file.
# Found:       the frames are divided by the number of segments, and each segment is laid onto the slices from the first
#              on: where frames come from is not looked at. Frames without a voxel are not in the file, so two segments on
#              equally many but other slices come out on the same ones, without a warning, spread from the place of the
#              first segment's first frame to that of the second's last; in the file the highest frame is the first, so
#              here from 25 to 20 mm. Segments on unequally many slices, such as a liver and its tumor, raise ValueError.
# Versions:    monai 1.6.1, highdicom 0.28.2, pydicom 3.0.2, torch 2.13.0, numpy 2.4.6
# Source:      PydicomReader._get_seg_data in monai/data/image_reader.py; omit_empty_frames of highdicom.seg.Segmentation
# Output seen: written at 10 to 25 mm and 20 to 35 mm, each on four slices
#              four and four frames: (32, 32, 4, 2), both read at [20.0, 21.7, 23.3, 25.0] mm
#              with empty frames: (32, 32, 10, 2), both read where they were written
#              four and three frames: ValueError
# For masks:   write SEG with omit_empty_frames=False for MONAI, or read it by highdicom and place frames by position.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet \
    monai==1.6.1 highdicom==0.28.2 pydicom==3.0.2 torch==2.13.0 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import highdicom
import numpy as np
from highdicom.seg import Segmentation, SegmentAlgorithmTypeValues, SegmentationTypeValues, SegmentDescription
from monai.transforms import LoadImage
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SLICES, SIDE, STEP_MM = 10, 32, 5.0
LIVER_MM, SPLEEN_MM = [10.0, 15.0, 20.0, 25.0], [20.0, 25.0, 30.0, 35.0]
STUDY, SERIES, FRAME = generate_uid(), generate_uid(), generate_uid()


def slice_of_scan(number):
    scan = Dataset()
    scan.file_meta = FileMetaDataset()
    scan.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    scan.file_meta.MediaStorageSOPClassUID = scan.SOPClassUID = CTImageStorage
    scan.file_meta.MediaStorageSOPInstanceUID = scan.SOPInstanceUID = generate_uid()
    scan.StudyInstanceUID, scan.SeriesInstanceUID, scan.FrameOfReferenceUID = STUDY, SERIES, FRAME
    scan.Modality, scan.PatientID, scan.PatientName, scan.StudyID = "CT", "1", "made^up", "1"
    scan.PatientBirthDate = scan.PatientSex = scan.AccessionNumber = ""
    scan.StudyDate, scan.StudyTime = "20200101", "000000"
    scan.SeriesNumber, scan.InstanceNumber = 1, number + 1
    scan.ImagePositionPatient, scan.ImageOrientationPatient = [0, 0, number * STEP_MM], [1, 0, 0, 0, 1, 0]
    scan.PixelSpacing, scan.SliceThickness, scan.Rows, scan.Columns = [1, 1], STEP_MM, SIDE, SIDE
    scan.SamplesPerPixel, scan.PhotometricInterpretation = 1, "MONOCHROME2"
    scan.BitsAllocated, scan.BitsStored, scan.HighBit, scan.PixelRepresentation = 16, 16, 15, 1
    scan.RescaleSlope, scan.RescaleIntercept = 1, 0
    scan.PixelData = bytes(2 * SIDE * SIDE)
    return scan


def write(path, mask, **options):
    segments = [
        SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=kind,
            algorithm_type=SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, (label, kind) in enumerate((("liver", codes.SCT.Liver), ("spleen", codes.SCT.Spleen)), 1)
    ]
    Segmentation(
        source_images=[slice_of_scan(number) for number in range(SLICES)],
        pixel_array=mask,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="made up",
        manufacturer_model_name="made up",
        software_versions="1",
        device_serial_number="1",
        **options,
    ).save_as(path)


def load(path):
    """The shape, and where along the table each segment lies, in mm."""
    image = LoadImage(reader="PydicomReader", image_only=True)(path)
    array, affine = np.asarray(image), np.asarray(image.affine)
    found = []
    for segment in range(2):
        slices = np.flatnonzero(array[..., segment].any((0, 1)))
        found.append(sorted(np.round(affine[2, 2] * slices + affine[2, 3], 1).tolist()))
    return array.shape, found


equal = np.zeros((SLICES, SIDE, SIDE), np.uint8)
equal[2:6, 4:12, 4:12] = 1
equal[4:8, 20:28, 20:28] = 2
write("equal.dcm", equal)
write("whole.dcm", equal, omit_empty_frames=False)
unequal = equal.copy()
unequal[7] = 0
write("unequal.dcm", unequal)

shape, found = load("equal.dcm")
print(f"written at {LIVER_MM} and {SPLEEN_MM} mm")
print(f"four and four frames: {shape}, read at {found[0]} and {found[1]} mm")
assert found[0] == found[1] != LIVER_MM, found
shape, found = load("whole.dcm")
print(f"with empty frames: {shape}, read at {found[0]} and {found[1]} mm")
assert found == [LIVER_MM, SPLEEN_MM], found
try:
    load("unequal.dcm")
    raised = "nothing"
except Exception as error:
    raised = type(error).__name__
print(f"four and three frames: {raised}")
assert raised == "ValueError"
PYTHON
