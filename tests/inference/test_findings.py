"""Volumes, burden and lesions of masks that are known by hand."""

import numpy as np
import pytest
import SimpleITK

from lts.inference import measure
from lts.volume import Geometry

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


def test_what_a_model_does_not_predict_is_not_told() -> None:
    found = measure(np.minimum(mask(), 1), geometry=LPI, regions=("liver",))
    assert (found.tumor_ml, found.tumor_burden, found.lesions) == (None, None, None)
    assert found.to_dict()["lesion_count"] is None
    tumor = measure(mask(), geometry=LPI, regions=("tumor",))
    assert (tumor.liver_ml, tumor.tumor_burden, len(tumor.lesions)) == (None, None, 2)


def test_without_a_liver_there_is_no_burden() -> None:
    found = measure(np.zeros_like(mask()), geometry=LPI, regions=REGIONS)
    assert (found.liver_ml, found.tumor_ml, found.tumor_burden, found.lesions) == (0, 0, None, ())


def test_all_of_it_becomes_plain_types() -> None:
    told = measure(mask(), geometry=LPI, regions=REGIONS).to_dict()
    assert told["lesion_count"] == 2
    assert set(told["lesions"][0]) == {
        "volume_ml",
        "diameter_mm",
        "center_ras_mm",
        "center_voxel",
        "center_zhw",
        "slice_from_feet",
    }
    assert all(type(value) is int for value in told["lesions"][0]["center_voxel"])
