#!/usr/bin/env bash
# A DICOM series that lacks a slice, or holds two phases: spacing is an average over what is there.
#
# Guessed:     spacing is the distance of neighbors, so a gap shifts what lies beyond it, or the reader raises.
# Found:       SimpleITK divides the extent by the number of files less one. With a slice missing every slice but the first
#              and the last lies at a wrong place and all volumes grow; where a series holds two phases at the same
#              positions, they are stacked on each other with a spacing that no slice has. Python sees no error and no
#              warning: ITK prints a line to the terminal.
# Versions:    SimpleITK 2.5.7 (ITK 5.4), pydicom 3.0.2, numpy 2.4.6
# Source:      ITK Modules/IO/ImageBase/include/itkImageSeriesReader.hxx ("Non uniform sampling or missing slices")
# Output seen: slices every 3 mm, one missing: 3.33333 mm; two phases of 5 slices: 10 slices every 1.33333 mm
# For CT:      compare the positions of all slices yourself before such a volume is measured.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet SimpleITK==2.5.7 pydicom==3.0.2 numpy==2.4.6
cd "$folder"
venv/bin/python -W error - 2>/dev/null <<'PYTHON'
from pathlib import Path

import pydicom
import SimpleITK
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid


def read_series(name, positions_mm):
    Path(name).mkdir()
    for index, z_mm in enumerate(positions_mm):
        ct = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
        ct.SOPInstanceUID = ct.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ct.ImagePositionPatient, ct.InstanceNumber = [0, 0, z_mm], index + 1
        ct.save_as(f"{name}/{index}.dcm")
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(name))
    return reader.Execute()


gap = read_series("gap", [0, 3, 6, 9, 15, 18, 21, 24, 27, 30])
phases = read_series("phases", [0, 3, 6, 9, 12] * 2)
print(
    f"slices every 3 mm, one missing: {gap.GetSpacing()[2]:g} mm; "
    f"two phases of 5 slices: {phases.GetSize()[2]} slices every {phases.GetSpacing()[2]:g} mm"
)
assert abs(gap.GetSpacing()[2] - 30 / 9) < 1e-6
assert phases.GetSize()[2] == 10
assert abs(phases.GetSpacing()[2] - 12 / 9) < 1e-6
PYTHON
