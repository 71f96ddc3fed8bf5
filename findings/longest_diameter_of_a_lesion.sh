#!/usr/bin/env bash
# The longest diameter of a round lesion of 25 mm in slices of 5 mm, from two libraries: 0, 25 or 31 mm.
#
# Guessed:     a property called Feret diameter is the longest diameter, in mm where a spacing is given.
# Found:       SimpleITK answers 0.0 unless ComputeFeretDiameterOn() was called before Execute, and does not say that it
#              did not compute. It then measures between the middles of voxels: ten voxels of 1 mm in a row are 9 mm, a
#              lesion of one voxel is 0. Scikit-image measures around the voxels' convex hull, half a voxel outside in
#              every direction: in thick slices a sphere is 6 mm too long, and where the lesion is one voxel, or a row
#              of them, it raises an error about a surface level, in the middle of a table of lesions.
# Versions:    SimpleITK 2.5.7 (ITK 5.4), scikit-image 0.26.0, numpy 2.4.6
# Source:      LabelShapeStatisticsImageFilter; feret_diameter_max in skimage/measure/_regionprops.py
# Output seen: sphere of 25 mm, slices of 5 mm: SimpleITK 0.0, asked to compute 24.9, scikit-image 31.1
#              row of 10 mm: SimpleITK 0.0, asked to compute 9.0, scikit-image ValueError
#              one voxel of 1 mm: SimpleITK 0.0, asked to compute 0.0, scikit-image ValueError
# For lesions: say what a diameter means where it is reported; try one voxel and one thick slice.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet SimpleITK==2.5.7 scikit-image==0.26.0 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
import SimpleITK
from skimage.measure import regionprops

DEPTH, ROWS, COLUMNS = np.mgrid[:40, :40, :40] - 20


def by_itk(lesion, spacing_mm, *, computed):
    image = SimpleITK.GetImageFromArray(lesion.astype(np.uint8))
    image.SetSpacing(spacing_mm[::-1])
    shapes = SimpleITK.LabelShapeStatisticsImageFilter()
    if computed:
        shapes.ComputeFeretDiameterOn()
    shapes.Execute(image)
    return round(shapes.GetFeretDiameter(1), 1)


def by_skimage(lesion, spacing_mm):
    try:
        return round(float(regionprops(lesion.astype(int), spacing=spacing_mm)[0].feret_diameter_max), 1)
    except ValueError as error:
        return type(error).__name__


def hold(name, lesion, spacing_mm, expected):
    found = (
        by_itk(lesion, spacing_mm, computed=False),
        by_itk(lesion, spacing_mm, computed=True),
        by_skimage(lesion, spacing_mm),
    )
    print(f"{name}: SimpleITK {found[0]}, asked to compute {found[1]}, scikit-image {found[2]}")
    assert found == expected


sphere = (5 * DEPTH) ** 2 + ROWS**2 + COLUMNS**2 <= 12.5**2
row = (DEPTH == 0) & (ROWS == 0) & (COLUMNS >= 0) & (COLUMNS < 10)
voxel = (DEPTH == 0) & (ROWS == 0) & (COLUMNS == 0)
hold("sphere of 25 mm, slices of 5 mm", sphere, (5.0, 1.0, 1.0), (0.0, 24.9, 31.1))
hold("row of 10 mm", row, (1.0, 1.0, 1.0), (0.0, 9.0, "ValueError"))
hold("one voxel of 1 mm", voxel, (1.0, 1.0, 1.0), (0.0, 0.0, "ValueError"))
PYTHON
