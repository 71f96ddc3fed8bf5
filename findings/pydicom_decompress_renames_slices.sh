#!/usr/bin/env bash
# A CT is decompressed by pydicom and a mask of it is written: the mask names slices that the archive has never seen.
#
# Guessed:     lossless decompression changes how pixels are stored; the slice stays the same, and so does its name.
# Found:       since pydicom 3, decompress() gives each slice a new SOP Instance UID, and compress() does too. Study and
#              series keep theirs, pixels are equal, nothing is printed. A segmentation or a report made of such slices
#              refers to none that the archive holds, so what looks the scan up by it finds nothing; stored back, the slices
#              double the series. The same line with pydicom 2 kept the name, and reading pixel_array, which
#              decompresses too, still does.
# Versions:    pydicom 3.0.2 and 2.4.4, highdicom 0.28.2, numpy 2.4.6 and 2.2.6
# Source:      generate_instance_uid in Dataset.decompress, pydicom/dataset.py, and decompress in pydicom/pixels/utils.py
# Output seen: pixel_array alone: 4 of 4 slices that the mask names are in the archive
#              decompress(): 0 of 4 slices that the mask names are in the archive
#              decompress(generate_instance_uid=False): 4 of 4 slices that the mask names are in the archive
#              pydicom 2.4.4, decompress(): 4 of 4 slices keep their names
# For masks:   decompress(generate_instance_uid=False), or pixel_array alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet pydicom==3.0.2 highdicom==0.28.2 numpy==2.4.6
python3 -m venv "$folder/before"
"$folder/before/bin/python" -m pip install --quiet pydicom==2.4.4 numpy==2.2.6
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
from pathlib import Path

import numpy as np
import pydicom
from highdicom.seg import Segmentation, SegmentAlgorithmTypeValues, SegmentationTypeValues, SegmentDescription
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless, generate_uid

SLICES, SIDE, STEP_MM = 4, 32, 5.0
STUDY, SERIES, FRAME = generate_uid(), generate_uid(), generate_uid()
HU = np.random.default_rng(0).integers(-1000, 1000, (SLICES, SIDE, SIDE)).astype(np.int16)


def write_archive():
    """A compressed series, each slice in a file that has its name."""
    for number in range(SLICES):
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
        scan.PixelData = HU[number].tobytes()
        scan.compress(RLELossless, generate_instance_uid=False)
        scan.save_as(f"archive/{scan.SOPInstanceUID}.dcm", enforce_file_format=True)


def read_archive():
    scans = [pydicom.dcmread(path) for path in Path("archive").iterdir()]
    return sorted(scans, key=lambda scan: scan.InstanceNumber)


def sources_of_a_mask(scans):
    """The slices that a segmentation made of these says it belongs to."""
    mask = np.zeros((SLICES, SIDE, SIDE), np.uint8)
    mask[:, 8:16, 8:16] = 1
    liver = SegmentDescription(
        segment_number=1,
        segment_label="liver",
        segmented_property_category=codes.SCT.Organ,
        segmented_property_type=codes.SCT.Liver,
        algorithm_type=SegmentAlgorithmTypeValues.MANUAL,
    )
    segmentation = Segmentation(
        source_images=scans,
        pixel_array=mask,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[liver],
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="made up",
        manufacturer_model_name="made up",
        software_versions="1",
        device_serial_number="1",
    )
    (series,) = segmentation.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == SERIES
    return {str(each.ReferencedSOPInstanceUID) for each in series.ReferencedInstanceSequence}


def hold(told, scans, expected):
    assert all((scan.pixel_array == hu).all() for scan, hu in zip(scans, HU, strict=True))
    known = len(sources_of_a_mask(scans) & {path.stem for path in Path("archive").iterdir()})
    print(f"{told}: {known} of {SLICES} slices that the mask names are in the archive")
    assert known == expected


Path("archive").mkdir()
write_archive()
hold("pixel_array alone", read_archive(), SLICES)
renamed, kept = read_archive(), read_archive()
for scan in renamed:
    scan.decompress()
for scan in kept:
    scan.decompress(generate_instance_uid=False)
hold("decompress()", renamed, 0)
hold("decompress(generate_instance_uid=False)", kept, SLICES)
PYTHON
before/bin/python -W ignore - <<'PYTHON'
from pathlib import Path

import pydicom

paths = list(Path("archive").iterdir())
scans = [pydicom.dcmread(path) for path in paths]
for scan in scans:
    assert scan.file_meta.TransferSyntaxUID.is_compressed
    scan.decompress()
    assert not scan.file_meta.TransferSyntaxUID.is_compressed
kept = sum(scan.SOPInstanceUID == path.stem for scan, path in zip(scans, paths, strict=True))
print(f"pydicom {pydicom.__version__}, decompress(): {kept} of {len(paths)} slices keep their names")
assert kept == len(paths)
PYTHON
