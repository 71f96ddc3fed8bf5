"""Real scans: shapes, labels, where the liver lies, and odd files read rightly or refused."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from lts.base import VolumeError
from lts.volume import read_ct, read_geometry, read_mask, read_mr, write_mask

CASES = {  # file number: shape on disk, spacing (X, Y, Z), axes, voxels labeled 1 and 2
    "lits_real/0": ((64, 64, 33), (5.3125, 5.3125, 5.0), "RAS", (6165, 210)),
    "lits_real/1": ((128, 128, 65), (2.28, 2.28, 3.2), "LPS", (82774, 6694)),
    "lits_real/2": ((128, 128, 39), (2.90625, 2.90625, 4.0), "LPI", (41930, 0)),
    "lits_real/3": ((122, 101, 30), (3.0, 3.0, 3.0), "RAS", (38634, 0)),
    "full_size/1": ((512, 512, 129), (0.57, 0.57, 1.6), "LPS", (2650863, 214268)),
}

ODD = {  # shape (Z, H, W) and axes on disk
    "CT_pitch.nii.gz": ((58, 248, 175), "RAS"),
    "anatomical.nii": ((25, 41, 33), "LAS"),
    "draw.nii.gz": ((67, 79, 64), "AIL"),
    "low_res.nii.gz": ((3, 5, 7), "RAS"),
    "reoriented_anat_moved.nii": ((22, 26, 21), "RAS"),
    "standard.nii.gz": ((7, 5, 4), "RAS"),
}

ODD_REFUSED = {
    "complex.nii.gz": "voxels must be real numbers, got datatype 32",
    "example4d.nii.gz": "must hold one volume, got 2",
    "example_nifti2.nii.gz": "must hold one volume, got 2",
    "functional.nii": "must hold one volume, got 20",
    "row_major.dconn.nii": "CIFTI is not a scan",
}


@pytest.mark.parametrize("case", CASES)
def test_a_liver_scan_has_its_shape_labels_and_liver_on_the_right(
    case: str, real_data: Path, tmp_path: Path
) -> None:
    (x, y, z), spacing, axes, voxels = CASES[case]
    folder, number = case.split("/")
    scan = read_ct(real_data / folder / f"volume-{number}.nii.gz")
    mask = read_mask(real_data / folder / f"segmentation-{number}.nii.gz", image=scan.geometry)

    assert (scan.geometry.shape, scan.geometry.axes) == ((x, y, z), axes)
    assert scan.voxels.shape == mask.voxels.shape == (z, y, x)
    assert scan.geometry.spacing_mm == pytest.approx(spacing[::-1], rel=1e-5)
    assert scan.geometry.voxel_volume_ml == pytest.approx(np.prod(spacing) / 1000, rel=1e-5)
    assert tuple(np.bincount(mask.voxels.ravel(), minlength=3)[1:]) == voxels
    assert scan.notes == mask.notes == ()
    assert scan.voxels.min() >= -1024

    body_w = np.argwhere((scan.voxels > -200).any(axis=(0, 1)))
    _, liver_h, liver_w = np.argwhere(mask.voxels).mean(axis=0)
    assert liver_w < body_w.mean()
    _, bone_h, _ = np.argwhere(scan.voxels[mask.voxels.any(axis=(1, 2))] > 300).mean(axis=0)
    assert liver_h < bone_h  # the spine lies behind the liver

    write_mask(tmp_path / "mask.nii.gz", mask.voxels, geometry=scan.geometry)
    written, source = (
        nib.load(path)
        for path in (tmp_path / "mask.nii.gz", real_data / folder / f"segmentation-{number}.nii.gz")
    )
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), np.asanyarray(source.dataobj))
    np.testing.assert_array_equal(
        written.affine, nib.load(real_data / folder / f"volume-{number}.nii.gz").affine
    )


def test_an_mr_keeps_its_scale(real_data: Path) -> None:
    scan = read_mr(real_data / "mr/mr.nii.gz")
    mask = read_mask(real_data / "mr/mr_liver.nii.gz", image=scan.geometry)
    assert (scan.voxels.shape, scan.voxels.dtype) == ((20, 91, 117), np.int16)
    assert np.bincount(mask.voxels.ravel()).tolist()[1:] == [18480]
    np.testing.assert_array_equal(
        scan.voxels, SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(real_data / "mr/mr.nii.gz")))
    )


def test_every_odd_file_has_its_verdict(real_data: Path) -> None:
    assert {path.name for path in (real_data / "odd").iterdir()} == {*ODD, *ODD_REFUSED, "enh.dcm"}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_is_read_as_nibabel_reads_it(name: str, real_data: Path) -> None:
    path = real_data / "odd" / name
    scan = read_mr(path)
    assert (scan.voxels.shape, scan.geometry.axes) == ODD[name]
    image = nib.load(path)
    np.testing.assert_array_equal(scan.geometry.affine, image.affine)
    ras = np.asanyarray(nib.as_closest_canonical(image).dataobj)
    np.testing.assert_array_equal(scan.voxels, ras[::-1, ::-1].transpose(2, 1, 0))


@pytest.mark.parametrize("name", ODD_REFUSED)
def test_an_odd_file_that_is_no_scan_is_refused(name: str, real_data: Path) -> None:
    for read in (read_geometry, read_ct, read_mr):
        with pytest.raises(VolumeError, match=ODD_REFUSED[name]):
            read(real_data / "odd" / name)


def test_an_odd_dicom_file_is_no_ct_and_no_mask(real_data: Path) -> None:
    path = real_data / "odd" / "enh.dcm"
    scan = read_mr(path)
    image = SimpleITK.ReadImage(str(path))
    np.testing.assert_array_equal(scan.voxels, SimpleITK.GetArrayFromImage(image))
    with pytest.raises(VolumeError, match="modality must be CT, got 'MR'"):
        read_ct(path)
    with pytest.raises(VolumeError, match=r"enh\.dcm: a mask must be NIfTI, NRRD or MetaImage, got DICOM"):
        read_mask(path, image=scan.geometry)
