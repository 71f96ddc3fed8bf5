"""Masks: labels, and whether they lie on their image's grid."""

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lts.base import VolumeError
from lts.volume import Geometry, read_mask

AFFINE = np.array([[-0.5, 0, 0, 40], [0, -0.75, 0, 60], [0, 0, 2.5, -100], [0, 0, 0, 1]])
LABELS = np.zeros((4, 5, 6), np.uint8)
LABELS[1:3, 1:4, 2:5] = 1
LABELS[2, 2, 3] = 2
IMAGE = Geometry.from_affine(AFFINE, shape=LABELS.shape)
NAMED = "; others can be named by settings"


def _save(path: Path, labels: np.ndarray, affine: np.ndarray | None = AFFINE) -> Path:
    nib.save(nib.Nifti1Image(labels, affine, dtype=labels.dtype), path)
    return path


def _shifted(millimeters: tuple[float, float, float]) -> np.ndarray:
    affine = AFFINE.copy()
    affine[:3, 3] += millimeters
    return affine


@pytest.mark.parametrize("dtype", ["i1", "u1", ">i2", "u2", "i4", "i8", "f4", ">f8"])
def test_labels_of_any_type_come_as_uint8(dtype: str, tmp_path: Path) -> None:
    volume = read_mask(_save(tmp_path / "a.nii.gz", LABELS.astype(dtype)), image=IMAGE)
    assert volume.voxels.dtype == np.uint8
    assert volume.voxels.flags.c_contiguous
    np.testing.assert_array_equal(volume.voxels, LABELS.T)
    assert volume.notes == ()


def test_an_empty_mask_is_a_mask(tmp_path: Path) -> None:
    assert not read_mask(_save(tmp_path / "a.nii", 0 * LABELS), image=IMAGE).voxels.any()


@pytest.mark.parametrize("noise", [0.0099, -0.0099])
def test_float_noise_within_a_hundredth_is_rounded_with_a_note(noise: float, tmp_path: Path) -> None:
    labels = LABELS.astype("f4")
    labels[2, 2, 3] += noise
    path = _save(tmp_path / "a.nii", labels)
    volume = read_mask(path, image=IMAGE)
    np.testing.assert_array_equal(volume.voxels, LABELS.T)
    assert volume.notes == ("Labels were rounded to the integers they lay next to.",)


@pytest.mark.parametrize(("one", "slope"), [(85, 1 / 85), (1, 1.0), (100, 0.01)])
def test_scaled_labels_are_rounded(one: int, slope: float, tmp_path: Path) -> None:
    image = nib.Nifti1Image(LABELS * np.uint8(one), AFFINE)
    image.header.set_slope_inter(slope, 0)
    nib.save(image, tmp_path / "a.nii")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.nii", image=IMAGE).voxels, LABELS.T)


def test_the_scale_of_labels_is_not_left_out(tmp_path: Path) -> None:
    image = nib.Nifti1Image(LABELS, AFFINE)
    image.header.set_slope_inter(0.5, 0)
    nib.save(image, tmp_path / "a.nii")
    with pytest.raises(VolumeError, match=r"labels must be among \[0, 1, 2\], got 0\.5$"):
        read_mask(tmp_path / "a.nii", image=IMAGE)


@pytest.mark.parametrize(
    ("extra", "dtype", "named"),
    [
        ([3], "u1", f"3{NAMED}"),
        ([255, 7], "u1", f"7, 255{NAMED}"),
        ([-1], "i2", "-1"),
        ([3], "u2", f"3{NAMED}"),
        ([0.5, 1.011], "f4", "0.5, 1.011"),
        ([-0.02, 2.02], "f4", "-0.02, 2.02"),
        ([9, 8, 7, 6, 5, 4, 3], "i4", f"3, 4, 5, 6, 7 and 2 more{NAMED}"),
    ],
)
def test_other_labels_are_named(extra: list[float], dtype: str, named: str, tmp_path: Path) -> None:
    labels = LABELS.astype(dtype)
    labels[0, 0, : len(extra)] = extra[:6]
    labels[0, 1, : len(extra[6:])] = extra[6:]
    message = f"a.nii: labels must be among [0, 1, 2], got {named}"
    with pytest.raises(VolumeError, match=re.escape(message) + "$"):
        read_mask(_save(tmp_path / "a.nii", labels), image=IMAGE)


def test_a_scan_in_place_of_its_mask_is_recognized(tmp_path: Path) -> None:
    hu = LABELS.astype("i2") - 1000
    with pytest.raises(
        VolumeError, match="got -1000, .*: values of a scan, so image and mask may be swapped$"
    ):
        read_mask(_save(tmp_path / "a.nii", hu), image=IMAGE)


def test_labels_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    labels = LABELS.astype("f4")
    labels[0, 0, 4] = np.nan
    with pytest.raises(VolumeError, match="voxels must be finite, got NaN or infinity in slice 4"):
        read_mask(_save(tmp_path / "a.nii", labels), image=IMAGE)


def test_of_a_mask_of_probabilities_not_every_number_is_gathered(tmp_path: Path) -> None:
    probabilities = np.linspace(0.1, 0.9, 40 * 40 * 3, dtype="f4").reshape((40, 40, 3), order="F")
    probabilities[0, 0, 2] = np.nan  # which would be told, were this slice looked at
    image = Geometry.from_affine(AFFINE, shape=probabilities.shape)
    with pytest.raises(VolumeError, match=r"got 0\.1, .* and 1595 more in the first slices$"):
        read_mask(_save(tmp_path / "a.nii", probabilities), image=image)


@pytest.mark.parametrize("codes", ["RAS", "LPI", "AIL", "SRP"])
def test_a_mask_with_other_axes_on_the_same_grid_is_turned_to_its_image(codes: str, tmp_path: Path) -> None:
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(AFFINE), nib.orientations.axcodes2ornt(codes)
    )
    turned = nib.Nifti1Image(LABELS, AFFINE).as_reoriented(turn)
    nib.save(turned, tmp_path / "a.nii")
    volume = read_mask(tmp_path / "a.nii", image=IMAGE)
    assert volume.geometry.axes == codes
    np.testing.assert_array_equal(volume.voxels, LABELS.T)
    assert volume.notes == ()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_corners_may_lie_off_by_a_tenth_of_a_voxel_along_each_axis(axis: int, tmp_path: Path) -> None:
    step = np.eye(3)[axis] * np.abs(np.diag(AFFINE)[:3])
    read_mask(_save(tmp_path / "a.nii", LABELS, _shifted(0.09 * step)), image=IMAGE)
    with pytest.raises(
        VolumeError, match=r"corners must lie within 0\.1 voxels of its image's, got 0\.11: mask"
    ):
        read_mask(_save(tmp_path / "a.nii", LABELS, _shifted(0.11 * step)), image=IMAGE)


def test_a_spacing_that_drifts_off_over_the_volume_is_refused(tmp_path: Path) -> None:
    affine = AFFINE.copy()
    affine[2, 2] *= 1.03  # over five steps the last slice is 0.15 of one too high
    with pytest.raises(
        VolumeError, match=r"got 0\.15: mask 4x5x6 voxels of 0\.5x0\.75x2\.575 mm, axes LPS, "
    ):
        read_mask(_save(tmp_path / "a.nii", LABELS, affine), image=IMAGE)


def test_a_mirrored_mask_of_equal_shape_is_refused(tmp_path: Path) -> None:
    affine = AFFINE.copy()
    affine[0, 0] *= -1
    message = (
        r"axes RPS, origin \(40\.0, 60\.0, -100\.0\); image 4x5x6 voxels of 0\.5x0\.75x2\.5 mm, axes LPS"
    )
    with pytest.raises(VolumeError, match=message):
        read_mask(_save(tmp_path / "a.nii", LABELS, affine), image=IMAGE)


def test_a_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    message = r"a\.nii: the mask's shape must be its image's: mask 4x5x5 voxels .*; image 4x5x6 voxels"
    with pytest.raises(VolumeError, match=message):
        read_mask(_save(tmp_path / "a.nii", LABELS[..., :5]), image=IMAGE)


@pytest.mark.parametrize(
    ("affine", "reason"),
    [
        (np.eye(4), "the affine is the identity"),
        (np.diag([-1, -1, 1, 1]), "the affine is that which ITK gives an array without a grid"),
        (None, "the header states no orientation"),
    ],
)
@pytest.mark.parametrize("codes", ["LPS", "RAS", "AIL"])
def test_a_mask_without_a_grid_takes_its_image_s(affine, reason: str, codes: str, tmp_path: Path) -> None:
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(AFFINE), nib.orientations.axcodes2ornt(codes)
    )
    scan = nib.Nifti1Image(LABELS, AFFINE).as_reoriented(turn)
    image = Geometry.from_affine(scan.affine, shape=scan.shape)
    volume = read_mask(_save(tmp_path / "a.nii", np.asanyarray(scan.dataobj), affine), image=image)
    assert volume.geometry == image
    assert volume.notes == (f"The image's grid was taken for the mask: {reason}.",)
    np.testing.assert_array_equal(volume.voxels, LABELS.T)


def test_a_mask_without_a_grid_and_of_another_shape_on_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="the mask's shape must be its image's"):
        read_mask(_save(tmp_path / "a.nii", LABELS.T, np.eye(4)), image=IMAGE)


def test_where_the_image_s_grid_is_unproven_too_nothing_is_corrected(tmp_path: Path) -> None:
    identity = Geometry.from_affine(np.eye(4), shape=LABELS.shape)
    volume = read_mask(_save(tmp_path / "a.nii", LABELS, np.eye(4)), image=identity)
    np.testing.assert_array_equal(volume.voxels, LABELS.T[:, ::-1, ::-1])
    assert volume.notes == ()
    with pytest.raises(VolumeError, match="corners must lie within"):
        read_mask(_save(tmp_path / "a.nii", LABELS, None), image=identity)


def test_a_1_mm_grid_elsewhere_is_not_the_identity(tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[0, 3] = 0.5
    with pytest.raises(VolumeError, match="corners must lie within"):
        read_mask(_save(tmp_path / "a.nii", LABELS, affine), image=IMAGE)
