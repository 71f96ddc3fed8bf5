#!/usr/bin/env bash
# nnU-Net is asked for its "2d" configuration on thin-slice CT: it trains on coronal slices.
#
# Guessed:     2d means slices as they were scanned, axial ones, as for any liver CT with thick slices.
# Found:       the planner puts the axis with the largest spacing first and slices along it. With 3 mm between slices of
#              0.8 mm pixels that is the patient's axis. With 0.7 mm between slices it is front to back: every slice is
#              coronal, 2d and its patch size are for that plane, and an axial model of others is no peer of it. The
#              word does not change, and neither does the name of the folder; plans.json says transpose_forward.
# Versions:    nnunetv2 2.8.1, SimpleITK 2.5.7, numpy 2.4.6
# Source:      determine_transpose in nnunetv2/experiment_planning/experiment_planners/default_experiment_planner.py
# Output seen: scans of 40 slices of 96 by 80; 3 mm thick: axes [0, 1, 2], 2d of [96, 80]
#              0.7 mm thick: axes [1, 0, 2], 2d of [40, 80]
# For peers:   compare transpose_forward before comparing 2d with 2d.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet nnunetv2==2.8.1 SimpleITK==2.5.7 numpy==2.4.6
cd "$folder"
export nnUNet_raw=$folder/raw nnUNet_preprocessed=$folder/preprocessed nnUNet_results=$folder/results
venv/bin/python - <<'PYTHON'
import json
import os
from pathlib import Path

import numpy as np
import SimpleITK

DATASETS = {"Dataset001_Thick": (0.8, 0.8, 3.0), "Dataset002_Thin": (0.8, 0.8, 0.7)}


def write(path, array, spacing_mm):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(spacing_mm)
    SimpleITK.WriteImage(image, str(path))


for name, spacing_mm in DATASETS.items():
    root, rng = Path(os.environ["nnUNet_raw"]) / name, np.random.default_rng(0)
    for case in range(4):
        labels = np.zeros((40, 96, 80), np.uint8)
        labels[10:30, 20:60, 15:50] = 1
        hu = (100 * labels + rng.normal(0, 10, labels.shape)).astype(np.float32)
        write(root / "imagesTr" / f"case{case}_0000.nii.gz", hu, spacing_mm)
        write(root / "labelsTr" / f"case{case}.nii.gz", labels, spacing_mm)
    description = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "liver": 1},
        "numTraining": 4,
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(description))
PYTHON
for dataset in 1 2; do
    venv/bin/nnUNetv2_plan_and_preprocess -d "$dataset" -c 2d --no_pp -npfp 1 >log 2>&1 || { cat log; exit 1; }
done
venv/bin/python - <<'PYTHON'
import json
import os
from pathlib import Path

found = {}
for folder in sorted(Path(os.environ["nnUNet_preprocessed"]).iterdir()):
    plans = json.loads((folder / "nnUNetPlans.json").read_text())
    of_2d = plans["configurations"]["2d"]
    found[folder.name] = plans["transpose_forward"], of_2d["median_image_size_in_voxels"], of_2d["spacing"]
    print(folder.name, "scans of 40 slices of 96 by 80: axes", *found[folder.name])
assert found["Dataset001_Thick"][:2] == ([0, 1, 2], [96.0, 80.0])
assert found["Dataset002_Thin"][:2] == ([1, 0, 2], [40.0, 80.0])
PYTHON
