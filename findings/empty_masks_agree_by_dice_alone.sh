#!/usr/bin/env bash
# A healthy patient in whom no tumor is predicted: Dice 1, IoU 0, sensitivity 0, from one library in one call.
#
# Guessed:     a library has one rule for two empty masks; where Dice is 1, IoU is too, as IoU = Dice / (2 - Dice).
# Found:       miseval gives such a case a Dice of 1 on purpose, "rewarding" it. Its IoU, sensitivity, precision, kappa
#              and MCC of the same masks are 0, without a warning. So with each healthy patient that a model is right about
#              the mean Dice of a cohort rises, and its mean IoU falls.
# Versions:    miseval 1.3.0, numpy 2.2.6
# Source:      calc_DSC_Sets and calc_DSC_Enhanced in miseval/dice.py, calc_IoU_Sets in miseval/jaccard.py
# Output seen: both empty: DSC 1.00, IoU 0.00, SENS 0.00, PREC 0.00, KAP 0.00, MCC 0.00
#              a patient at 0.80 and 4 healthy ones: mean Dice 0.96, mean IoU 0.13
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet miseval==1.3.0 hausdorff==0.2.6 numpy==2.2.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
from miseval import evaluate

empty, reference, shifted = (np.zeros((20, 20, 20), np.uint8) for _ in range(3))
reference[5:10, 5:10, 5:10] = 1
shifted[6:11, 5:10, 5:10] = 1

both_empty = {name: float(evaluate(empty, empty, metric=name)) for name in ("DSC", "IoU", "SENS", "PREC", "KAP", "MCC")}
print("both empty:", ", ".join(f"{name} {value:.2f}" for name, value in both_empty.items()))
assert both_empty.pop("DSC") == 1
assert not any(both_empty.values())

pairs = [(reference, shifted)] + 4 * [(empty, empty)]
dice, iou = (np.mean([evaluate(*pair, metric=name) for pair in pairs]) for name in ("DSC", "IoU"))
print(f"a patient at {evaluate(reference, shifted, metric='DSC'):.2f} and 4 healthy ones: ", end="")
print(f"mean Dice {dice:.2f}, mean IoU {iou:.2f}")
assert np.isclose(dice, 0.96)
assert np.isclose(iou, 2 / 3 / 5)
PYTHON
