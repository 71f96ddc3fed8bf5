"""A DICOM series is read to the grid and the values that the field's converters give it."""

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import nibabel
import numpy as np
import pytest

from lts.base import AIR_HU
from lts.volume import read_ct


def by_dcm2niix(series: Path, folder: Path) -> Path:
    program = Path(sys.executable).with_name("dcm2niix")
    if not program.exists():
        pytest.skip("dcm2niix is not installed")
    subprocess.run(
        [program, "-z", "n", "-b", "n", "-m", "y", "-o", folder, "-f", "made", series],
        check=True,
        capture_output=True,
    )
    (made,) = folder.glob("made*.nii")
    return made


def by_dicom2nifti(series: Path, folder: Path) -> Path:
    if find_spec("dicom2nifti") is None:
        pytest.skip("dicom2nifti is not installed")
    made = folder / "made.nii"
    # in a process of its own, as importing it exchanges character sets of pydicom for the whole process
    convert = (
        "import sys, dicom2nifti; dicom2nifti.dicom_series_to_nifti(*sys.argv[1:], reorient_nifti=False)"
    )
    subprocess.run([sys.executable, "-c", convert, series, made], check=True, capture_output=True)
    return made


@pytest.mark.parametrize("convert", [by_dcm2niix, by_dicom2nifti])
@pytest.mark.parametrize("name", ["ct_series", "small_ct"])
def test_a_real_series_lies_where_converters_put_it(
    name: str, convert: Callable[[Path, Path], Path], real_data: Path, tmp_path: Path
) -> None:
    series = real_data / "dicom" / name
    scan = read_ct(series)
    ours = nibabel.Nifti1Image(scan.geometry.to_disk(scan.voxels), scan.geometry.affine)
    theirs = nibabel.load(convert(series, tmp_path))
    found, expected = (nibabel.as_closest_canonical(image) for image in (ours, theirs))
    assert found.shape == expected.shape
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(found.shape) - 1)
    places, known = (nibabel.affines.apply_affine(image.affine, corners) for image in (found, expected))
    assert np.abs(places - known).max() < 0.01  # mm
    hu = np.asanyarray(expected.dataobj)
    np.testing.assert_array_equal(np.asanyarray(found.dataobj), np.maximum(hu, AIR_HU))
