#!/usr/bin/env bash
# Two masks that rightly agree on "no tumor" get an infinite Dice, and ruin the mean of a cohort.
#
# Guessed:     1 (they agree), or NaN (nothing to compare), as all of the field's libraries choose between.
# Found:       SimpleITK's LabelOverlapMeasuresImageFilter divides by 0 without a check: Dice is infinite, and its false
#              positive error the largest double. Neither is NaN, so no filter for NaN takes them out.
# Versions:    SimpleITK 2.5.7 (ITK 5.4), numpy 2.4.6
# Source:      ITK Modules/Filtering/ImageStatistics/include/itkLabelOverlapMeasuresImageFilter.hxx
# Output seen: Dice inf, false positive error 1.79769e+308; mean with a case of 0.5: inf
# For means:   handle empty pairs before the filter is asked.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet SimpleITK==2.5.7 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import math
import sys

import numpy as np
import SimpleITK

empty = SimpleITK.Image(8, 8, 8, SimpleITK.sitkUInt8)
overlap = SimpleITK.LabelOverlapMeasuresImageFilter()
overlap.Execute(empty, empty)
dice, false_positive_error = overlap.GetDiceCoefficient(), overlap.GetFalsePositiveError()
print(
    f"Dice {dice}, false positive error {false_positive_error:g}; "
    f"mean with a case of 0.5: {np.nanmean([dice, 0.5])}"
)
assert math.isinf(dice)
assert false_positive_error == sys.float_info.max
PYTHON
