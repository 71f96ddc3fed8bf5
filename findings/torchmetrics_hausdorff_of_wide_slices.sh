#!/usr/bin/env bash
# A tumor found 30 pixels off, on slices cropped to other widths: torchmetrics' Hausdorff distance is 30, 40, 42 or 49.
#
# Guessed:     the distance of two masks does not depend on how much empty image there is beside them.
# Found:       it does where a slice has more columns than rows. The distances are put into a flat array, at the row times
#              the number of rows, plus the column: right for squares alone. Elsewhere they land on other pixels, several
#              on the same one, and the maximum is larger or smaller than the distance, so that the better of two
#              predictions may have the larger one. With several threads the last to write differs: the 42 below were 74
#              in other runs. With more rows than columns it raises IndexError. CT slices are squares until they are
#              cropped to the body or the liver, or cut along another plane.
# Versions:    torchmetrics 1.9.0, torch 2.14.1, scipy 1.17.1, numpy 2.4.6
# Source:      distance_transform in torchmetrics/functional/segmentation/utils.py ("h, _ = x.shape")
# Output seen: by one thread, tumor 30 columns off, and at its place with a pixel 41 columns from it:
#              64 rows of 64: 30.0 and 41.0
#              64 rows of 72: 40.0 and 44.0
#              64 rows of 96: 42.0 and 44.0
#              64 rows of 128: 48.8 and 29.6
#              72 rows of 64: IndexError and IndexError
# For scores:  fill the images up to squares before the metric, or take the distance of scipy, MONAI or SimpleITK.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet torchmetrics==1.9.0 torch==2.14.1 scipy==1.17.1 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
import torch
from scipy.spatial.distance import directed_hausdorff
from torchmetrics.segmentation import HausdorffDistance

OFF, STRAY = 30, 41
torch.set_num_threads(1)  # or the distances of wide slices may differ from run to run


def masks(rows, columns):
    """A tumor of 10 by 10 pixels; the same one elsewhere; the same one with a pixel that is far from it."""
    reference = np.zeros((rows, columns), int)
    reference[20:30, 10:20] = 1
    stray = reference.copy()
    stray[24, 19 + STRAY] = 1
    return reference, np.roll(reference, OFF, axis=1), stray


def true(prediction, reference):
    of_prediction, of_reference = np.argwhere(prediction), np.argwhere(reference)
    both = (of_prediction, of_reference), (of_reference, of_prediction)
    return round(max(directed_hausdorff(*pair)[0] for pair in both), 1)


def measured(prediction, reference):
    metric = HausdorffDistance(num_classes=2, input_format="index")
    try:
        metric.update(torch.from_numpy(prediction)[None], torch.from_numpy(reference)[None])
    except IndexError as error:
        return type(error).__name__
    return round(metric.compute().item(), 1)


def filled_up(mask):
    return np.pad(mask, [(0, max(mask.shape) - side) for side in mask.shape])


print(f"by one thread, tumor {OFF} columns off, and at its place with a pixel {STRAY} columns from it:")
for shape, expected in (
    ((64, 64), (30.0, 41.0)),
    ((64, 72), (40.0, 44.0)),
    ((64, 96), (42.0, 44.0)),
    ((64, 128), (48.8, 29.6)),
    ((72, 64), ("IndexError", "IndexError")),
):
    reference, *predictions = masks(*shape)
    found = tuple(measured(prediction, reference) for prediction in predictions)
    print(f"{shape[0]} rows of {shape[1]}: {found[0]} and {found[1]}")
    assert found == expected
    assert [true(each, reference) for each in predictions] == [OFF, STRAY]
    assert [measured(filled_up(each), filled_up(reference)) for each in predictions] == [OFF, STRAY]
PYTHON
