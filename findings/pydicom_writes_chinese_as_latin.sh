#!/usr/bin/env bash
# A patient's name with Chinese characters in ISO 2022 IR 58 (GB 2312) is written by pydicom, and read back by pydicom.
#
# Guessed:     the name comes back, as names in ISO 2022 IR 87 (Japanese) and 149 (Korean) do.
# Found:       it comes back as Latin letters: the escape sequence that DICOM puts before Chinese characters is missing in
#              the file, without a warning or an error. pydicom counts this set among those for which Python writes and
#              removes the escapes; Python's codec for it does neither. So a file that has them, as others write it, is read
#              with the escapes left in the name: control characters before its Chinese parts.
# Versions:    pydicom 3.0.2
# Source:      handled_encodings and encode_string in pydicom/charset.py; PS3.5 K.2 has the example
# Output seen: ISO 2022 IR 87 and 149: the same name, escape in the file
#              ISO 2022 IR 58: Zhang^XiaoDong=ÕÅ^Ð¡¶«, escape not in the file
#              as others write it: 'Zhang^XiaoDong=\x1b$)A张^\x1b$)A小东'
# For names:   write Chinese as UTF-8, SpecificCharacterSet ISO_IR 192.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet pydicom==3.0.2
cd "$folder"
venv/bin/python - <<'PYTHON'
import warnings

from pydicom import dcmread
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

NAMES = {
    "ISO 2022 IR 87": ("Yamada^Tarou=山田^太郎", b"\x1b$B"),
    "ISO 2022 IR 149": ("Hong^Gildong=洪^吉洞", b"\x1b$)C"),
    "ISO 2022 IR 58": ("Zhang^XiaoDong=张^小东", b"\x1b$)A"),
}
warnings.simplefilter("error")
found = {}
for charset, (name, escape) in NAMES.items():
    scan = Dataset()
    scan.file_meta = FileMetaDataset()
    scan.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    scan.file_meta.MediaStorageSOPClassUID = scan.SOPClassUID = CTImageStorage
    scan.file_meta.MediaStorageSOPInstanceUID = scan.SOPInstanceUID = generate_uid()
    scan.SpecificCharacterSet, scan.PatientName = ["", charset], name
    scan.save_as("scan.dcm", enforce_file_format=True)
    again = str(dcmread("scan.dcm").PatientName)
    with open("scan.dcm", "rb") as file:
        found[charset] = (again == name, escape in file.read())
    escaped = "in" if found[charset][1] else "not in"
    print(f"{charset}: {'the same name' if again == name else again}, escape {escaped} the file")
written_by_others = b"Zhang^XiaoDong=\x1b$)A" + "张".encode("gb2312") + b"^\x1b$)A" + "小东".encode("gb2312")
read = decode_bytes(written_by_others, convert_encodings(["", "ISO 2022 IR 58"]), {ord("^"), ord("=")})
print(f"as others write it: {read!r}")
assert read == "Zhang^XiaoDong=\x1b$)A张^\x1b$)A小东", read
assert found == {
    "ISO 2022 IR 87": (True, True),
    "ISO 2022 IR 149": (True, True),
    "ISO 2022 IR 58": (False, False),
}
PYTHON
