#!/usr/bin/env bash
# Volume similarity of a lesion predicted three times too large: 1.0 in SimpleITK, which elsewhere means the right volume.
#
# Guessed:     a similarity is 1 for equal volumes and falls with the difference, as Dice does.
# Found:       SimpleITK's is a difference: 2 (S - T) / (S + T), 0 for equal volumes, negative for too small ones, up to 2.
#              miseval and pymia give 1 - |difference| / sum under the same name. So 1.0 is perfect in two and threefold in
#              one, and the largest value, by which a table would rank, is the worst. Its mean is 0, perfect, for a
#              system that makes one lesion too small and the next too large by as much.
# Versions:    SimpleITK 2.5.7 (ITK 5.4), miseval 1.3.0, pymia 0.3.4, numpy 2.2.6
# Source:      ITK Modules/Filtering/ImageStatistics/include/itkLabelOverlapMeasuresImageFilter.hxx; VolumeSimilarity in
#              pymia/evaluation/metric/categorical.py; calc_VolumetricSimilarity_CM in miseval
# Output seen: equal: SimpleITK 0.00, miseval 1.00, pymia 1.00
#              a third: SimpleITK -1.00, miseval 0.50, pymia 0.50
#              threefold: SimpleITK 1.00, miseval 0.50, pymia 0.50
#              mean of a third and threefold: SimpleITK 0.00, miseval 0.50, pymia 0.50
# For tables:  write down the formula; from SimpleITK's value v the others' is 1 - |v| / 2, case by case.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet SimpleITK==2.5.7 miseval==1.3.0 pymia==0.3.4 numpy==2.2.6
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import miseval
import numpy as np
import SimpleITK
from pymia.evaluation.metric import VolumeSimilarity
from pymia.evaluation.metric.base import ConfusionMatrix


def lesion(n_voxels):
    mask = np.zeros((4, 4, 40), np.uint8)
    mask[1, 1, :n_voxels] = 1
    return mask


def by_itk(prediction, reference):
    overlap = SimpleITK.LabelOverlapMeasuresImageFilter()
    overlap.Execute(*map(SimpleITK.GetImageFromArray, (prediction, reference)))
    return overlap.GetVolumeSimilarity(1)


def by_miseval(prediction, reference):
    return miseval.evaluate(reference, prediction, metric="VS")


def by_pymia(prediction, reference):
    similarity = VolumeSimilarity()
    similarity.confusion_matrix = ConfusionMatrix(prediction, reference)
    return similarity.calculate()


def show(told, found):
    print("{}: SimpleITK {:.2f}, miseval {:.2f}, pymia {:.2f}".format(told, *found))
    return [round(float(each), 2) for each in found]


tools = by_itk, by_miseval, by_pymia
pairs = {"equal": (10, 10), "a third": (10, 30), "threefold": (30, 10)}
found = {told: show(told, [tool(*map(lesion, pair)) for tool in tools]) for told, pair in pairs.items()}
mean = show("mean of a third and threefold", np.mean([found["a third"], found["threefold"]], axis=0))
assert found == {"equal": [0, 1, 1], "a third": [-1, 0.5, 0.5], "threefold": [1, 0.5, 0.5]}
assert mean == [0, 0.5, 0.5]
PYTHON
