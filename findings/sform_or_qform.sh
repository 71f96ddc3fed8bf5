#!/usr/bin/env bash
# A NIfTI scan that was aligned to another one: nibabel and SimpleITK put it 6 mm apart.
#
# Guessed:     where the header has both, every reader takes the sform, and its code merely names the space.
# Found:       nibabel takes the sform of any code above 0. Where the two differ, SimpleITK takes it if its code is 1
#              (scanner), or if the qform has none; beside a qform with a code, an sform for an aligned or atlas space
#              (2 to 4) is passed over without a word. It then writes what it took as both forms, so the alignment is
#              lost for nibabel too. With neither code the first voxel is at 0 for SimpleITK, for nibabel the middle is.
# Versions:    nibabel 5.4.2, SimpleITK 2.5.7 (ITK 5.4), numpy 2.4.6
# Source:      prefer_sform_over_qform in ITK Modules/IO/NIFTI/src/itkNiftiImageIO.cxx; get_best_affine in
#              nibabel/nifti1.py
# Output seen: x of the first voxel, qform at 100 mm, sform at 106 mm:
#              codes of qform and sform 1 and 1: nibabel 106, SimpleITK 106, nibabel after SimpleITK wrote it 106
#              codes of qform and sform 1 and 2: nibabel 106, SimpleITK 100, nibabel after SimpleITK wrote it 100
#              codes of qform and sform 0 and 2: nibabel 106, SimpleITK 106, nibabel after SimpleITK wrote it 106
#              codes of qform and sform 2 and 4: nibabel 106, SimpleITK 100, nibabel after SimpleITK wrote it 100
#              codes of qform and sform 1 and 3: nibabel 106, SimpleITK 100, nibabel after SimpleITK wrote it 100
# For CT:      set both forms to one affine, or resample, before a mask by one library meets a scan by the other.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet nibabel==5.4.2 SimpleITK==2.5.7 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import nibabel
import numpy as np
import SimpleITK

scanner = np.diag([-0.8, -0.8, 3, 1])
scanner[:3, 3] = 100, 120, -50
aligned = scanner.copy()
aligned[0, 3] += 6


def read(qform_code, sform_code):
    scan = nibabel.Nifti1Image(np.zeros((8, 8, 8), np.int16), None)
    scan.set_qform(scanner, qform_code)
    scan.set_sform(aligned, sform_code)
    nibabel.save(scan, "scan.nii.gz")
    by_itk = SimpleITK.ReadImage("scan.nii.gz")
    SimpleITK.WriteImage(by_itk, "written.nii.gz")
    by_nibabel, after = (nibabel.load(name).affine[0, 3] for name in ("scan.nii.gz", "written.nii.gz"))
    return tuple(round(float(x_mm), 3) for x_mm in (by_nibabel, -by_itk.GetOrigin()[0], after))


print("x of the first voxel, qform at 100 mm, sform at 106 mm:")
for codes in ((1, 1), (1, 2), (0, 2), (2, 4), (1, 3)):
    by_nibabel, by_itk, after = read(*codes)
    print(
        f"codes of qform and sform {codes[0]} and {codes[1]}: nibabel {by_nibabel:g}, SimpleITK {by_itk:g}, "
        f"nibabel after SimpleITK wrote it {after:g}"
    )
    assert by_nibabel == 106
    assert by_itk == after == (106 if codes[0] == 0 or codes[1] == 1 else 100)
by_nibabel, by_itk, _ = read(0, 0)
# 8 voxels of 0.8 mm: the middle lies 3.5 of them away.
assert (by_nibabel, by_itk) == (2.8, 0)
PYTHON
