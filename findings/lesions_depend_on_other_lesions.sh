#!/usr/bin/env bash
# A lesion of probability 0.35 is found, and is gone once the scan has a clear lesion elsewhere; of 12 lesions 5 are left.
#
# Guessed:     what is found at a place follows from the probabilities there; of 12 clear lesions, 12 are found.
# Found:       extract_lesion_candidates, which the documentation of picai_eval takes to make lesions of probabilities,
#              cuts a scan by default at its highest probability divided by 2.5: beside a lesion of 0.95 all below 0.38
#              go. With the "dynamic" thresholds each lesion has one of its own, and at most 5 are taken, the most
#              probable ones: enough for a prostate, not for a liver with metastases. Nothing is printed. A lesion of
#              10 voxels is dropped in either case, although 10 is called the minimum.
# Versions:    report-guided-annotation 0.3.4, scipy 1.17.1, numpy 2.4.6
# Source:      extract_lesion_candidates in report_guided_annotation/extract_lesion_candidates.py
# Output seen: lesions found of 1 of 0.35, of the same beside 1 of 0.95, of 12 of 0.6 to 0.95, of 1 of 10 voxels:
#              by default: 1, 1, 12, 0
#              dynamic: 1, 2, 5, 0
#              0.3: 1, 2, 12, 0
#              0.3, at least 9: 1, 2, 12, 1
#              dynamic, 100: 1, 2, 12, 0
# For lesions: a number as threshold, min_voxels_detection less one, num_lesions_to_extract as many as there may be.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet report-guided-annotation==0.3.4 scipy==1.17.1 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import contextlib
import io

import numpy as np

with contextlib.redirect_stdout(io.StringIO()):
    from report_guided_annotation import extract_lesion_candidates

SIDE, STEP, EDGE = 60, 14, 4


def scan(*probs, shape=(EDGE, EDGE, EDGE)):
    """Lesions of these probabilities, none next to another."""
    volume = np.zeros((SIDE, SIDE, SIDE), np.float32)
    for number, prob in enumerate(probs):
        corner = (STEP * (number % 4), STEP * (number // 4), 10)
        volume[tuple(slice(first, first + size) for first, size in zip(corner, shape, strict=True))] = prob
    return volume


many = np.linspace(0.6, 0.95, 12)
scans = scan(0.35), scan(0.35, 0.95), scan(*many), scan(0.9, shape=(1, 2, 5))
print(
    f"lesions found of 1 of 0.35, of the same beside 1 of 0.95, of {len(many)} of {many[0]:g} to {many[-1]:g}, "
    "of 1 of 10 voxels:"
)


def hold(told, expected, **options):
    found = [len(extract_lesion_candidates(volume, **options)[1]) for volume in scans]
    print(f"{told}: {', '.join(map(str, found))}")
    assert found == expected


hold("by default", [1, 1, 12, 0])
hold("dynamic", [1, 2, 5, 0], threshold="dynamic-v2")
hold("0.3", [1, 2, 12, 0], threshold=0.3)
((_, prob),) = extract_lesion_candidates(scans[1])[1]
assert round(float(prob), 2) == 0.95
hold("0.3, at least 9", [1, 2, 12, 1], threshold=0.3, min_voxels_detection=9)
hold("dynamic, 100", [1, 2, 12, 0], threshold="dynamic-v2", num_lesions_to_extract=100)
PYTHON
