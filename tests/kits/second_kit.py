"""Two masks of the scan of `make_hu` whose overlap is known by hand, and files of them."""

from pathlib import Path

import nibabel as nib
import numpy as np
from service_kit import DEPTH, SIDE, SPACING_MM

SHAPE = (DEPTH, SIDE, SIDE)
VOXEL_ML = float(np.prod(SPACING_MM)) / 1000  # 0.012


def own_labels() -> np.ndarray:
    """Of the model, `(Z, H, W)`: a liver of 4 x 10 x 20 voxels, in it a tumor of 2 x 3 x 5."""
    return _labels(column=6, tumor_column=8)


def second_labels() -> np.ndarray:
    """The same liver one column, the same tumor two columns further toward the patient's left.

    In 760 voxels both have liver, in 18 both have tumor. Of 4 slices the livers differ in 20 pixels each, and
    of the two with tumor the tumors in 12 more, which lie within both livers.
    """
    return _labels(column=7, tumor_column=10)


def _labels(*, column: int, tumor_column: int) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:5, 4:14, column : column + 20] = 1
    labels[2:4, 6:9, tumor_column : tumor_column + 5] = 2
    return labels


def write_mask_file(path: Path, labels_zhw: np.ndarray) -> Path:
    """Write labels as a file on the grid of `write_scan`: .nii by nibabel, .nrrd and .mha by SimpleITK.

    On disk those of nibabel run toward the right, the front and the head, those of SimpleITK toward the left,
    the back and the head, as memory does.
    """
    if ".nii" in path.name:
        on_disk = labels_zhw.transpose(2, 1, 0)[::-1, ::-1]
        nib.save(nib.Nifti1Image(on_disk, np.diag([*SPACING_MM, 1.0])), path)
        return path
    import SimpleITK

    image = SimpleITK.GetImageFromArray(labels_zhw)
    image.SetSpacing(SPACING_MM)
    # Of the first voxel in memory, in LPS: that of the file by nibabel lies farthest to the right and front.
    image.SetOrigin((-SPACING_MM[0] * (SIDE - 1), -SPACING_MM[1] * (SIDE - 1), 0))
    SimpleITK.WriteImage(image, str(path))
    return path
