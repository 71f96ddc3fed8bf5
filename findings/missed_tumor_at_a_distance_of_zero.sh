#!/usr/bin/env bash
# A tumor that was missed gets the best surface distance there is, and makes the mean of a cohort better.
#
# Guessed:     infinity, NaN or an error, as nothing was predicted from which a distance could be taken.
# Found:       seg-metrics puts zeros in place of the distance map of an empty mask, so all distances of a missed tumor
#              are 0 mm, and so are those of a false alarm. Asked for distances, it warns of nothing. medpy raises.
# Versions:    seg-metrics 1.2.8, medpy 0.5.2, SimpleITK 2.5.7 (ITK 5.4), numpy 2.4.6
# Source:      "all 0, set the distance map to 0" in seg_metrics/seg_metrics.py of the package
# Output seen: hd95 and msd in mm: 2 voxels off [6.0, 2.4], missed [0.0, 0.0], false alarm [0.0, 0.0]
# For means:   count missed tumors and false alarms first; take distances of pairs alone that both hold something.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet seg-metrics==1.2.8 medpy==0.5.2 SimpleITK==2.5.7 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from medpy.metric.binary import hd95
from seg_metrics.seg_metrics import write_metrics

tumor = np.zeros((16, 24, 24), np.uint8)
tumor[4:10, 6:16, 6:16] = 1
nothing = np.zeros_like(tumor)
moved = np.roll(tumor, 2, axis=0)


def distances_mm(reference, prediction):
    (scores,) = write_metrics(
        labels=[1], gdth_img=reference, pred_img=prediction, spacing=[3, 1, 1], metrics=["hd95", "msd"]
    )
    return [round(float(scores[name][0]), 1) for name in ("hd95", "msd")]


off, missed, false_alarm = (
    distances_mm(*pair) for pair in ((tumor, moved), (tumor, nothing), (nothing, tumor))
)
print(f"hd95 and msd in mm: 2 voxels off {off}, missed {missed}, false alarm {false_alarm}")
assert off[0] == hd95(moved, tumor, (3, 1, 1)) == 6
assert missed == false_alarm == [0, 0]
try:
    hd95(nothing, tumor, (3, 1, 1))
except RuntimeError:
    pass
else:
    raise SystemExit("medpy takes an empty mask")
PYTHON
