#!/usr/bin/env bash
# Median HU of liver and tumor by SimpleITK: the same number for both, outside of all values that the tumor has.
#
# Guessed:     the median of a label is that of its voxels, as its mean, minimum and maximum are.
# Found:       LabelIntensityStatisticsImageFilter takes it from a histogram of 128 bins that reaches from the lowest to
#              the highest value of the whole image. Air and one voxel of metal make a bin 32 HU wide, and its middle is
#              the median. ITK itself takes a bin a value for 16-bit images; SimpleITK sets 128. The median of
#              LabelStatisticsImageFilter comes from 256 bins, and is interpolated.
# Versions:    SimpleITK 2.5.7 (ITK 5.4), numpy 2.4.6
# Source:      ITK Modules/Filtering/LabelMap/include/itkStatisticsLabelMapFilter.h, .hxx; GetNumberOfBins()
# Output seen: liver 45 to 65 HU: true median 55, filter 47.7; tumor 27 to 43 HU: true median 35, filter 47.7;
#              with a bin for each value: 55 and 35
# For HU:      SetNumberOfBins(65536), or take the median with numpy.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet SimpleITK==2.5.7 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import SimpleITK

LIVER, TUMOR = 1, 2
labels = np.zeros((24, 24, 24), np.uint8)
labels[4:20, 4:20, 4:14] = LIVER
labels[4:20, 4:20, 14:20] = TUMOR
ct = np.full(labels.shape, -1024, np.int16)
ct[0, 0, 0] = 3071
for label, lowest_hu, highest_hu in ((LIVER, 45, 65), (TUMOR, 27, 43)):
    inside = labels == label
    ct[inside] = np.linspace(lowest_hu, highest_hu, inside.sum()).round()

statistics = SimpleITK.LabelIntensityStatisticsImageFilter()
assert statistics.GetNumberOfBins() == 128


def medians(n_bins=None):
    if n_bins:
        statistics.SetNumberOfBins(n_bins)
    statistics.Execute(SimpleITK.GetImageFromArray(labels), SimpleITK.GetImageFromArray(ct))
    return {label: statistics.GetMedian(label) for label in (LIVER, TUMOR)}


by_default, by_value = medians(), medians(n_bins=65536)
true = {label: float(np.median(ct[labels == label])) for label in by_default}
print(
    f"liver 45 to 65 HU: true median {true[LIVER]:g}, filter {by_default[LIVER]:.1f}; "
    f"tumor 27 to 43 HU: true median {true[TUMOR]:g}, filter {by_default[TUMOR]:.1f}; "
    f"with a bin for each value: {by_value[LIVER]:g} and {by_value[TUMOR]:g}"
)
assert true == by_value == {LIVER: 55, TUMOR: 35}
assert by_default[LIVER] == by_default[TUMOR] > statistics.GetMaximum(TUMOR) == 43
assert all(abs(statistics.GetMean(label) - true[label]) < 0.01 for label in true)
PYTHON
