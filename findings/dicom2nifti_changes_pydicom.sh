#!/usr/bin/env bash
# A Chinese and a Japanese patient's name read by pydicom, before and after `import dicom2nifti` in the same process.
#
# Guessed:     importing a converter changes nothing for other code that reads DICOM.
# Found:       it replaces entries of pydicom's table of character sets, for the whole process. Of two of them pydicom
#              then misses the escape sequences, so that names in ISO 2022 IR 58 (Chinese) and ISO 2022 IR 159 (Japanese,
#              JIS X 0212) come back in Latin letters, and strict reading raises ValueError.
# Versions:    dicom2nifti 2.6.2, pydicom 3.0.2
# Source:      dicom2nifti/__init__.py calls patch_pydicom_encodings.apply(); CODES_TO_ENCODINGS in pydicom/charset.py
#              names iso_ir_58 and iso2022_jp_2, the new table GB2312 and iso-2022-jp
# Output seen: ISO 2022 IR 58: 张^小东 with its escapes before; '\x1b$)AÕÅ^\x1b$)AÐ¡¶«' and ValueError after
#              ISO 2022 IR 159: 丂 before; '\x1b$(D0!' and ValueError after
# For scans:   tools that share a process share pydicom's settings: convert in a process of its own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet dicom2nifti==2.6.2 pydicom==3.0.2 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
from pydicom import config, dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

NAMES = {
    "ISO 2022 IR 58": (b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab", "张^小东"),
    "ISO 2022 IR 159": (b"Dunhua=\x1b$(D0!\x1b(B", "丂"),
}


def write(charset, raw):
    scan = Dataset()
    scan.file_meta = FileMetaDataset()
    scan.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    scan.file_meta.MediaStorageSOPClassUID = scan.SOPClassUID = CTImageStorage
    scan.file_meta.MediaStorageSOPInstanceUID = scan.SOPInstanceUID = generate_uid()
    scan.SpecificCharacterSet, scan.PatientName = ["", charset], "x" * len(raw)
    scan.save_as(charset, enforce_file_format=True)
    with open(charset, "rb+") as file:
        content = file.read()
        file.seek(content.index(b"x" * len(raw)))
        file.write(raw)


def read(charset):
    loose = dcmread(charset).PatientName.ideographic
    try:
        with config.strict_reading():
            strict = dcmread(charset).PatientName.ideographic
    except ValueError:
        strict = "ValueError"
    return loose, strict


for charset, (raw, _) in NAMES.items():
    write(charset, raw)
before = {charset: read(charset) for charset in NAMES}
import dicom2nifti  # noqa: E402, F401

after = {charset: read(charset) for charset in NAMES}
for charset in NAMES:
    print(f"{charset}: {before[charset]} before, {after[charset]} after (loose, strict)")
for charset, (_, name) in NAMES.items():
    assert all(set(name) <= set(read_name) for read_name in before[charset]), before
    assert not (set(name) - {"^"}) & set(after[charset][0]) and after[charset][1] == "ValueError", after
PYTHON
