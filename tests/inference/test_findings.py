"""Volumes, burden and lesions of masks that are known by hand."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from scipy import ndimage

from lts.inference import measure, number_lesions, prediction_warnings
from lts.volume import Geometry, Volume

REGIONS = ("liver", "tumor")
# Axes on disk point left, back and to the feet; 2 x 3 x 5 mm.
LPI = Geometry.from_affine(
    [[-2, 0, 0, 100], [0, -3, 0, 50], [0, 0, -5, 700], [0, 0, 0, 1]], shape=(20, 16, 10)
)


def mask(geometry: Geometry = LPI) -> np.ndarray:
    labels = np.zeros(geometry.shape, np.uint8)
    labels[2:12, 3:9, 1:8] = 1  # 420 voxels
    labels[3:6, 4:7, 2:5] = 2  # 27
    labels[8, 5, 6] = 2
    return np.ascontiguousarray(geometry.to_canonical(labels))


def test_volumes_and_burden_are_counted_in_ml() -> None:
    found = measure(mask(), geometry=LPI, regions=REGIONS)
    assert found.liver_ml == pytest.approx(420 * 0.030)
    assert found.tumor_ml == pytest.approx(28 * 0.030)
    assert found.tumor_burden == pytest.approx(28 / 420)


def test_lesions_are_told_by_size_and_by_where_a_viewer_finds_them() -> None:
    found = measure(mask(), geometry=LPI, regions=REGIONS)
    large, small = found.lesions
    assert (large.volume_ml, small.volume_ml) == (pytest.approx(27 * 0.030), pytest.approx(0.030))
    assert small.diameter_mm == pytest.approx(2 * (30 * 3 / 4 / np.pi) ** (1 / 3))
    assert (large.center_voxel, small.center_voxel) == ((4, 5, 3), (8, 5, 6))
    assert large.center_ras_mm == pytest.approx((100 - 2 * 4, 50 - 3 * 5, 700 - 5 * 3))
    # The third axis on disk points to the feet, and slices are counted from there.
    assert (large.slice_from_feet, small.slice_from_feet) == (9 - 3, 9 - 6)
    assert large.center_zhw == (9 - 3, 5, 4)  # left and back are where columns and rows end


def test_positions_are_those_of_simpleitk_on_an_oblique_grid() -> None:
    turn = np.array([[0.9, -0.3, 0.2], [0.35, 0.92, -0.1], [-0.15, 0.16, 0.98]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = np.linalg.qr(turn)[0] * (2, 3, 5), (-20, 31, 640)
    geometry = Geometry.from_affine(affine, shape=(20, 16, 10))
    labels = mask(geometry)
    image = SimpleITK.GetImageFromArray((geometry.to_disk(labels) == 2).astype(np.uint8).T)
    to_lps = np.diag([-1.0, -1.0, 1.0])
    image.SetSpacing((2.0, 3.0, 5.0))
    image.SetDirection((to_lps @ geometry.affine[:3, :3] / (2, 3, 5)).ravel().tolist())
    image.SetOrigin((to_lps @ geometry.affine[:3, 3]).tolist())
    theirs = SimpleITK.LabelShapeStatisticsImageFilter()
    theirs.Execute(SimpleITK.ConnectedComponent(image, True))
    found = measure(labels, geometry=geometry, regions=REGIONS)
    centers = sorted(tuple(to_lps @ theirs.GetCentroid(label)) for label in theirs.GetLabels())
    assert len(centers) == 2
    for ours, center in zip(sorted(one.center_ras_mm for one in found.lesions), centers, strict=True):
        assert ours == pytest.approx(center, abs=0.01)


def test_the_longest_diameter_reaches_from_edge_to_edge_in_one_slice() -> None:
    large, small = measure(mask(), geometry=LPI, regions=REGIONS).lesions
    assert large.longest_axial_mm == pytest.approx(np.hypot(3 * 2, 3 * 3))
    assert small.longest_axial_mm == pytest.approx(np.hypot(2, 3))
    # a lesion that leans: no slice holds more than two voxels of it
    labels = np.zeros((10, 16, 20), np.uint8)
    for z in range(6):
        labels[z, 4, 3 + z : 5 + z] = 2
    (leaning,) = measure(labels, geometry=LPI, regions=REGIONS).lesions
    assert leaning.longest_axial_mm == pytest.approx(np.hypot(2 * 2, 3))


@pytest.mark.parametrize("seed", range(4))
def test_the_longest_diameter_is_that_of_simpleitk_in_pixels_as_fine_as_points(seed: int) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(14, 18)), 2)
    pieces, _ = ndimage.label(noise > 0.05)
    labels = np.zeros((1, 14, 18), np.uint8)
    labels[0][pieces == np.bincount(pieces[pieces > 0]).argmax()] = 2
    geometry = Geometry.from_affine(np.diag([0.7, 1.1, 5, 1]), shape=(18, 14, 1))
    (found,) = measure(labels, geometry=geometry, regions=REGIONS).lesions
    fine = 24
    image = SimpleITK.GetImageFromArray(np.kron(labels[0], np.ones((fine, fine), np.uint8)))
    image.SetSpacing((0.7 / fine, 1.1 / fine))
    theirs = SimpleITK.LabelShapeStatisticsImageFilter()
    theirs.ComputeFeretDiameterOn()
    theirs.Execute(image)
    assert found.longest_axial_mm == pytest.approx(theirs.GetFeretDiameter(2), abs=1.2 * 1.3 / fine)


def test_lesions_are_numbered_in_the_order_in_which_they_are_told() -> None:
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[0, 0, 0], labels[2, 1:3, 1:4], labels[3, 4, 5], labels[1, 4, 0:2] = 2, 2, 2, 2
    found = measure(labels, geometry=Geometry.from_affine(np.eye(4), shape=(6, 5, 4)), regions=REGIONS)
    numbers = number_lesions(labels)
    assert numbers.max() == len(found.lesions) == 4
    for number, lesion in enumerate(found.lesions, start=1):
        where = np.argwhere(numbers == number)
        assert lesion.center_zhw == pytest.approx(where.mean(axis=0), abs=0.01)
        assert lesion.volume_ml == pytest.approx(len(where) / 1000)


def test_what_a_model_does_not_predict_is_not_told() -> None:
    found = measure(np.minimum(mask(), 1), geometry=LPI, regions=("liver",))
    assert (found.tumor_ml, found.tumor_burden, found.lesions) == (None, None, None)
    assert found.to_dict()["lesion_count"] is None
    tumor = measure(mask(), geometry=LPI, regions=("tumor",))
    assert (tumor.liver_ml, tumor.tumor_burden, len(tumor.lesions)) == (None, None, 2)


def test_without_a_liver_there_is_no_burden() -> None:
    found = measure(np.zeros_like(mask()), geometry=LPI, regions=REGIONS)
    assert (found.liver_ml, found.tumor_ml, found.tumor_burden, found.lesions) == (0, 0, None, ())


def scan(units: str = "mm", *, twice: bool = False, wide: int = 0) -> Volume:
    """Blobs of fat and tissue, 2.5 x 12 x 12 mm by its numbers."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(80, 30, 30)), (6, 1, 1))
    hu = np.where(noise > 0, 40, np.where(noise > -0.1, -100, -800)).astype(np.int16)
    hu = np.concatenate([hu, hu]) if twice else np.pad(hu, ((0, 0), (0, 0), (0, wide)), constant_values=-1000)
    header = nib.Nifti1Header()
    header.set_data_shape(hu.shape[::-1])
    header.set_sform(np.diag([-12, -12, 2.5, 1]), 1)
    header["pixdim"][1:4] = 12, 12, 2.5
    header.set_xyzt_units(units)
    return Volume(hu, Geometry.from_header(header, shape=hu.shape[::-1]))


@pytest.mark.parametrize(
    ("odd", "liver", "told"),
    [
        (scan(), 4000, []),
        (scan(), 1000, ["The liver has 360 ml, of adults 500 to 4000 ml are likely."]),
        (
            scan("micron"),
            1000,
            ["Spacing is 0.0025 x 0.012 x 0.012 mm (slices, rows, columns), as the header"],
        ),
        (scan(wide=60), 1000, ["The scan is 200 x 360 x 1080 mm large"]),
        (scan(twice=True), 1000, ["Slices 200 mm apart are more alike than slices 20 mm apart"]),
    ],
)
def test_a_scan_is_doubted_as_one_of_a_cohort_is(odd: Volume, liver: int, told: list[str]) -> None:
    labels = np.zeros(odd.voxels.shape, np.uint8)
    box = np.zeros((50, 10, 8), np.uint8)
    box.ravel()[:liver] = 1
    labels[10:60, 5:15, 5:13] = box
    found = measure(labels, geometry=odd.geometry, regions=REGIONS)
    doubted = prediction_warnings(
        found, scan=odd, labels_zhw=labels, files=[Path("none")], modality="ct", checkpoints=[]
    )
    assert len(doubted) == len(told)
    assert all(one.startswith(start) for one, start in zip(doubted, told, strict=True))


def test_all_of_it_becomes_plain_types() -> None:
    told = measure(mask(), geometry=LPI, regions=REGIONS).to_dict()
    assert told["lesion_count"] == 2
    assert set(told["lesions"][0]) == {
        "volume_ml",
        "diameter_mm",
        "longest_axial_mm",
        "center_ras_mm",
        "center_voxel",
        "center_zhw",
        "slice_from_feet",
    }
    assert all(type(value) is int for value in told["lesions"][0]["center_voxel"])
