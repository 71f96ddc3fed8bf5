#!/usr/bin/env bash
# A CT in an array of 16-bit integers, handed to ANTs: air has 4294966296 HU, fat 4294967206.
#
# Guessed:     integers stay what they are, or become floats: ANTs reads files of this type as floats.
# Found:       antspyx's from_numpy turns all integers but uint8 into unsigned ones of 32 bits, signed or not, so what is
#              below 0 comes out above four billion, in memory as in the file that is written from it. Nothing is said.
#              The same CT read by image_read from a file of 16-bit integers is right.
# Versions:    antspyx 0.6.3, nibabel 5.4.2, numpy 2.3.5
# Source:      infer_dtype in ants/internal.py; from_numpy in ants/core/ants_image_io.py
# Output seen: int16 array: unsigned int [4294966296 4294967206 0 60], in its file [4294966296 4294967206 0 60]
#              float32 array: float [-1000.0 -90.0 0.0 60.0]; file of int16: float [-1000.0 -90.0 0.0 60.0]
# For CT:      ants.from_numpy(array.astype("float32")).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet antspyx==0.6.3 nibabel==5.4.2 numpy==2.3.5
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import ants
import nibabel
import numpy as np

HU = [-1000, -90, 0, 60]
ct = np.repeat(np.array(HU, np.int16)[:, None, None], 4, axis=1).repeat(4, axis=2)


def column(array):
    return [value.item() for value in np.asarray(array)[:, 0, 0]]


def told(values):
    return f"[{' '.join(map(str, values))}]"


made = ants.from_numpy(ct)
ants.image_write(made, "made.nii.gz")
written = column(nibabel.load("made.nii.gz").dataobj)
as_floats = ants.from_numpy(ct.astype(np.float32))
nibabel.save(nibabel.Nifti1Image(ct, np.eye(4)), "ct.nii.gz")
read = ants.image_read("ct.nii.gz")
print(f"int16 array: {made.pixeltype} {told(column(made.numpy()))}, in its file {told(written)}")
print(
    f"float32 array: {as_floats.pixeltype} {told(column(as_floats.numpy()))}; "
    f"file of int16: {read.pixeltype} {told(column(read.numpy()))}"
)
assert column(made.numpy()) == written == [2**32 - 1000, 2**32 - 90, 0, 60]
assert column(as_floats.numpy()) == column(read.numpy()) == HU
for of_integers in ("int8", "int32", "int64"):
    assert ants.from_numpy(ct.clip(-100, 100).astype(of_integers)).min() == 0
    assert ants.from_numpy(ct.clip(-100, 100).astype(of_integers)).max() == 2**32 - 90
PYTHON
