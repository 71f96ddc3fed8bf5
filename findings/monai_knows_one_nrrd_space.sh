#!/usr/bin/env bash
# One CT in NRRD files of the three anatomical spaces of the format, loaded by MONAI and by SimpleITK.
#
# Guessed:     a header that names its space is understood, or refused; the patient lies where SimpleITK puts him.
# Found:       MONAI turns left-posterior-superior alone into its own space. A file in right-anterior-superior lies right,
#              and Orientation then raises ValueError, as it takes the header's words for its own code. One in
#              left-anterior-superior is loaded mirrored, left for right, without a warning.
# Versions:    monai 1.6.1, pynrrd 1.1.3, SimpleITK 2.5.7 (ITK 5.4), nibabel 5.4.2, torch 2.13.0, numpy 2.4.6
# Source:      NrrdReader._switch_lps_ras in monai/data/image_reader.py; Orientation in monai/transforms/spatial/array.py
# Output seen: left-posterior-superior: at [36 -38 20], SimpleITK and MONAI the same, oriented
#              right-anterior-superior: the same, Orientation raises ValueError
#              left-anterior-superior: SimpleITK [36 -38 20], MONAI [-36 -38 20], Orientation raises ValueError
# For scans:   write NRRD in left-posterior-superior; with MONAI read others by ITKReader.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet \
    monai==1.6.1 pynrrd==1.1.3 SimpleITK==2.5.7 nibabel==5.4.2 torch==2.13.0 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import nibabel
import nrrd
import numpy as np
import SimpleITK
from monai.transforms import LoadImage, Orientation

SPACES = {"left-posterior-superior": (-1, -1), "right-anterior-superior": (1, 1), "left-anterior-superior": (-1, 1)}
RAS = np.array([[2.0, 0, 0, 30], [0, 2, 0, -40], [0, 0, 5, 10]])
VOXEL = (3, 1, 2)
place = RAS @ (*VOXEL, 1)
voxels = np.zeros((6, 5, 4), np.int16)
voxels[VOXEL] = 100

found = {}
for space, (x, y) in SPACES.items():
    own = np.diag([x, y, 1]) @ RAS
    path = f"{space}.nrrd"
    header = {"space": space, "space directions": own[:, :3].T, "space origin": own[:, 3], "kinds": ["domain"] * 3}
    nrrd.write(path, voxels, header)
    by_itk = SimpleITK.ReadImage(path).TransformIndexToPhysicalPoint(VOXEL) * np.array([-1, -1, 1])
    image = LoadImage(image_only=True, ensure_channel_first=True)(path)
    by_monai = nibabel.affines.apply_affine(np.asarray(image.affine), VOXEL)
    try:
        turned = Orientation("RAS")(image)
        oriented = "oriented"
    except ValueError:
        oriented = "Orientation raises ValueError"
    print(f"{space}: at {place}, SimpleITK {by_itk}, MONAI {by_monai}, {oriented}")
    found[space] = (np.allclose(by_itk, place), np.allclose(by_monai, place), oriented)
assert found == {
    "left-posterior-superior": (True, True, "oriented"),
    "right-anterior-superior": (True, True, "Orientation raises ValueError"),
    "left-anterior-superior": (True, False, "Orientation raises ValueError"),
}, found
PYTHON
