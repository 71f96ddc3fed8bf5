#!/usr/bin/env bash
# A lesion that was found 40 pixels off has a Hausdorff distance of 0: the rows of the image are taken for points.
#
# Guessed:     metric="HD" of a package made for masks is the distance of the masks' voxels, in pixels.
# Found:       miseval hands the two images as they are to a function that wants a list of points, one in each line. So
#              each row of pixels is a point in as many dimensions as the image is wide. A lesion moved along its columns
#              keeps the same set of rows, 0; one moved across is never further than the root of its width. Three
#              dimensions end in an AssertionError. With metric="AHD" the package measures between voxels.
# Versions:    miseval 1.3.0 (hausdorff 0.2.6), scipy 1.17.1, numpy 2.2.6
# Source:      calc_SimpleHausdorffDistance in miseval/hausdorff.py of the package
# Output seen: moved by 1, 10, 40 rows:    true 1, 10, 40, miseval 0.00, 0.00, 0.00
#              moved by 1, 10, 40 columns: true 1, 10, 40, miseval 1.41, 3.16, 3.16
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet miseval==1.3.0 hausdorff==0.2.6 scipy==1.17.1 numpy==2.2.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
from miseval import evaluate
from scipy.spatial.distance import directed_hausdorff

STEPS = (1, 10, 40)


def lesion(row, column):
    mask = np.zeros((64, 64), np.uint8)
    mask[row : row + 10, column : column + 10] = 1
    return mask


def true_distance(a, b):
    points = np.argwhere(a), np.argwhere(b)
    return max(directed_hausdorff(*points)[0], directed_hausdorff(*points[::-1])[0])


reference = lesion(10, 10)
moved = {
    "rows": [lesion(10 + step, 10) for step in STEPS],
    "columns": [lesion(10, 10 + step) for step in STEPS],
}
found = {}
for way, masks in moved.items():
    true = [true_distance(reference, mask) for mask in masks]
    found[way] = [float(evaluate(reference, mask, metric="HD")) for mask in masks]
    print(
        f"moved by {', '.join(map(str, STEPS))} {way}: true {', '.join(f'{one:.0f}' for one in true)}, "
        f"miseval {', '.join(f'{one:.2f}' for one in found[way])}"
    )
    assert true == list(STEPS)
assert found["rows"] == [0, 0, 0]
assert np.allclose(found["columns"], np.sqrt([2, 10, 10]))
try:
    evaluate(reference[None], reference[None], metric="HD")
except AssertionError as error:
    print(f"three dimensions: AssertionError: {error}")
else:
    raise SystemExit("three dimensions are taken now")
PYTHON
