#!/usr/bin/env bash
# The generalized Dice of one patient, in torchmetrics: 0.97 alone, 0.94 before another in the batch, 0.015 behind him.
#
# Guessed:     the score of a patient follows from his masks; the size of a batch changes speed alone.
# Found:       each class is weighted by 1 / its voxels squared. For a class that the patient has not, as a tumor in a
#              healthy one, the weight is borrowed from the others of the batch: their largest for that class, or, as the
#              table of these is read transposed, for another one. Alone there is none to borrow, the weight is 0, and a
#              false tumor costs nothing but the liver under it. Behind a patient with a small tumor the false tumor is
#              all that counts. A cohort's mean then depends on the size and the order of its batches.
# Versions:    torchmetrics 1.9.0, torch 2.14.1
# Source:      w_max in _generalized_dice_update, torchmetrics/functional/segmentation/generalized_dice.py
# Output seen: healthy, with a false tumor: alone 0.968, before the other 0.936, behind him 0.015
#              ill: alone 0.627, before the other 0.627, behind him 0.627
#              mean of 2 healthy and 2 ill: one by one 0.797, in pairs 0.551, in other pairs 0.79, at once 0.551
# For scores:  batches of one patient, and a score of its own for those without the class; or DiceScore, of each class.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet torchmetrics==1.9.0 torch==2.14.1
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import torch
from torchmetrics.functional.segmentation import generalized_dice_score
from torchmetrics.segmentation import GeneralizedDiceScore

SIDE, LIVER, TUMOR = 64, 1, 2
LABELS = {"num_classes": 3, "include_background": False, "input_format": "index"}


def patient(*, tumor, found):
    """Reference and prediction of a liver of 40 by 40 pixels; tumors are squares inside of it, by their sides."""
    both = []
    for side in (tumor, found):
        labels = torch.zeros(SIDE, SIDE, dtype=torch.long)
        labels[10:50, 10:50] = LIVER
        labels[20 : 20 + side, 20 : 20 + side] = TUMOR
        both.append(labels)
    return both


def stacked(patients):
    references, predictions = map(torch.stack, zip(*patients, strict=True))
    return predictions, references


def scores(*patients):
    found = generalized_dice_score(*stacked(patients), **LABELS).tolist()
    return [round(each, 3) for each in found]


def mean(patients, batch_size):
    metric = GeneralizedDiceScore(**LABELS)
    for first in range(0, len(patients), batch_size):
        metric.update(*stacked(patients[first : first + batch_size]))
    return round(metric.compute().item(), 3)


def show(told, one, other):
    found = scores(one)[0], scores(one, other)[0], scores(other, one)[1]
    print(f"{told}: alone {found[0]}, before the other {found[1]}, behind him {found[2]}")
    return found


healthy, ill = patient(tumor=0, found=10), patient(tumor=6, found=4)
of_healthy = show("healthy, with a false tumor", healthy, ill)
of_ill = show("ill", ill, healthy)
mixed, sorted_by_health = [healthy, ill, ill, healthy], [healthy, healthy, ill, ill]
means = mean(mixed, 1), mean(mixed, 2), mean(sorted_by_health, 2), mean(mixed, 4)
print("mean of 2 healthy and 2 ill: one by one {}, in pairs {}, in other pairs {}, at once {}".format(*means))
assert of_healthy == (0.968, 0.936, 0.015)
assert of_ill == (0.627, 0.627, 0.627)
assert means == (0.797, 0.551, 0.79, 0.551)
PYTHON
