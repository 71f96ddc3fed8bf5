#!/usr/bin/env bash
# A detector that finds all lesions of a scan and nothing else scores 0 by MONAI's FROC; one that misses a lesion, 0.75.
#
# Guessed:     each lesion that is found raises the score, to 1 where all are found without a false alarm.
# Found:       the curve takes every confidence as a threshold but the lowest one. That is meant for the 0 that stands
#              for a missed lesion; where none is missed, it is that of a real detection, which is never counted. Masks,
#              whose lesions all have a confidence of 1, fall from 0.75 to 0. A false alarm of low confidence brings
#              the score to 1. So of two good systems the worse one wins, and the gain of the last lesion cannot be seen.
# Versions:    monai 1.6.1, torch 2.13.0, numpy 2.4.6
# Source:      all_probs[1:] in compute_froc_curve_data, monai/metrics/froc.py
# Output seen: 4 lesions, of which 1, 2, 3, 4 are found:
#              all with a confidence of 1: 0.25, 0.5, 0.75, 0.0; and a false alarm of 0.1: 0.25, 0.5, 0.75, 1.0
#              each with its own, 0.6 to 0.9: 0.25, 0.5, 0.75, 0.75; and a false alarm of 0.1: 0.25, 0.5, 0.75, 1.0
# For lesions: give compute_froc_curve_data one more confidence of 0 among the false positives.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet monai==1.6.1 torch==2.13.0 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from monai.metrics import compute_fp_tp_probs_nd, compute_froc_curve_data, compute_froc_score

SIDE, N_LESIONS, FALSE_ALARM = 40, 4, ([0, 30, 30], 0.1)
lesions = np.zeros((SIDE, SIDE, SIDE), int)
for number in range(N_LESIONS):
    lesions[10 * number : 10 * number + 3, 10:13, 10:13] = number + 1
centers = [[10 * number + 1, 11, 11] for number in range(N_LESIONS)]


def froc(confidences, *false_alarms, zeros=0):
    """The score of one scan, in which as many lesions are found as there are confidences."""
    points = [*zip(centers, confidences, strict=False), *false_alarms]
    places, probs = (np.array(each) for each in zip(*points, strict=True))
    false, true, n_lesions = compute_fp_tp_probs_nd(probs, places, lesions)
    false = np.append(false, np.zeros(zeros))
    return round(float(compute_froc_score(*compute_froc_curve_data(false, true, n_lesions, num_images=1))), 3)


def hold(told, confidences, expected):
    numbers = range(1, N_LESIONS + 1)
    plain = [froc(confidences[:number]) for number in numbers]
    alarmed = [froc(confidences[:number], FALSE_ALARM) for number in numbers]
    listed, listed_alarmed = (", ".join(map(str, each)) for each in (plain, alarmed))
    print(f"{told}: {listed}; and a false alarm of {FALSE_ALARM[1]}: {listed_alarmed}")
    shares = [number / N_LESIONS for number in numbers]
    assert plain == [*shares[:-1], expected]
    assert alarmed == [froc(confidences[:number], zeros=1) for number in numbers] == shares


print(f"{N_LESIONS} lesions, of which {', '.join(map(str, range(1, N_LESIONS + 1)))} are found:")
hold("all with a confidence of 1", [1.0, 1.0, 1.0, 1.0], 0.0)
hold("each with its own, 0.6 to 0.9", [0.9, 0.8, 0.7, 0.6], 0.75)
PYTHON
