"""Scans to measure on: made by lts, so that every figure can be made anywhere."""

import shutil
from pathlib import Path

import numpy as np

from lts.cohort import Case
from lts.phantom import make_phantom
from lts.volume import Geometry, write_mask, write_volume

MATRIX, DEPTH = 512, 129


def full_size_case(folder: Path, *, depth: int = DEPTH) -> Case:
    """A phantom of 512x512 pixels and `depth` slices as `.nii.gz`, the size of a scan of LiTS.

    Args:
        folder: The folder of a benchmark; the files lie beside it, for the next one that wants the same.
        depth: Slices; those of the phantom come several times or are passed over.
    """
    folder = folder.parent / f"scan-{depth}"
    case = Case(
        id="volume-0",
        patient="0",
        image=folder / "volume-0.nii.gz",
        mask=folder / "segmentation-0.nii.gz",
    )
    if not folder.exists():
        _make(case, depth=depth)
    return case


def _make(case: Case, *, depth: int) -> None:
    assert case.mask is not None
    case.image.parent.mkdir()
    phantom = make_phantom(seed=1, matrix=MATRIX)
    taken = np.arange(depth) * len(phantom.hu) // depth
    hu, labels = phantom.hu[taken], phantom.labels[taken]
    slice_mm, row_mm, column_mm = phantom.spacing_mm
    affine = np.diag([-column_mm, -row_mm, slice_mm * len(phantom.hu) / depth, 1.0])
    # On disk x runs to the patient's left and y to the back, as in the canonical axes.
    write_volume(case.image, hu.transpose(2, 1, 0), affine=affine)
    write_mask(case.mask, labels, geometry=Geometry.from_affine(affine, shape=(MATRIX, MATRIX, depth)))


def copies(case: Case, folder: Path, *, count: int) -> list[Case]:
    """The same scan under several names, each with files of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number in range(count):
        image, mask = folder / f"volume-{number}.nii.gz", folder / f"segmentation-{number}.nii.gz"
        for source, target in ((case.image, image), (case.mask, mask)):
            assert source is not None
            shutil.copyfile(source, target)
        made.append(Case(id=f"volume-{number}", patient=str(number), image=image, mask=mask))
    return made
