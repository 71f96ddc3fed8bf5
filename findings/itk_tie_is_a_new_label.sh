#!/usr/bin/env bash
# Two models vote on each voxel, one says liver, the other tumor: ITK answers with a class that none of them knows.
#
# Guessed:     a tie goes to the lower label, the first voter or the background, as it does for argmax and mode.
# Found:       LabelVoting writes the highest label there is, plus 1. Of liver 1 and tumor 2 comes 3, of masks of 0 and 1
#              comes 2: a threshold above 0 then takes the union, "== 1" the intersection. The number depends on what
#              the case holds: where no model sees a tumor, voxels undecided between liver and background are 2, tumor.
# Versions:    SimpleITK 2.5.7 (ITK 5.4), numpy 2.4.6
# Source:      "undecided" in ITK Modules/Segmentation/LabelVoting/include/itkLabelVotingImageFilter.h
# Output seen: LabelVoting of [0 1 2 1 0] and [0 1 2 2 1]: [0 1 2 3 3]
#              without tumor, [0 1 1 1 0] and [0 1 1 0 0]: [0 1 1 2 0]
# For voting:  an odd number of models of two classes, or SetLabelForUndecidedPixels(0) and a look at what it covers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet SimpleITK==2.5.7 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import SimpleITK


def vote(*voters):
    images = [SimpleITK.GetImageFromArray(np.array([[labels]], np.uint8)) for labels in voters]
    return SimpleITK.GetArrayFromImage(SimpleITK.LabelVoting(images)).ravel()


with_tumor = vote([0, 1, 2, 1, 0], [0, 1, 2, 2, 1])
without_tumor = vote([0, 1, 1, 1, 0], [0, 1, 1, 0, 0])
print(f"LabelVoting of [0 1 2 1 0] and [0 1 2 2 1]: {with_tumor}")
print(f"without tumor, [0 1 1 1 0] and [0 1 1 0 0]: {without_tumor}")
assert with_tumor.tolist() == [0, 1, 2, 3, 3]
assert without_tumor.tolist() == [0, 1, 1, 2, 0]
PYTHON
