"""One phantom scan: what is promised of its anatomy, tumors and noise."""

import numpy as np
import pytest
from scipy import ndimage

from lts.base import AIR_HU, LIVER, TUMOR, ConfigError
from lts.phantom import PhantomScan, make_phantom
from lts.phantom import scan as scan_module
from lts.phantom.texture import PADDING_HU

MATRIX = 80
CONNECTED_26 = np.ones((3, 3, 3))


def case_seed(case: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(7, spawn_key=(case,))


@pytest.fixture(scope="module")
def scans() -> list[PhantomScan]:
    return [make_phantom(seed=case_seed(case), matrix=MATRIX) for case in range(8)]


def lesions(scan: PhantomScan) -> tuple[np.ndarray, int]:
    pieces, count = ndimage.label(scan.labels == TUMOR, CONNECTED_26)
    return pieces, count


def best_threshold_dice(scans: list[PhantomScan]) -> float:
    """Pooled tumor Dice of the best `hu < t` or `hu > t` within the true liver, t in steps of 1 HU."""
    hu = np.concatenate([scan.hu[scan.labels >= LIVER] for scan in scans])
    tumor = np.concatenate([scan.labels[scan.labels >= LIVER] == TUMOR for scan in scans])
    best = 0.0
    for threshold in range(int(hu.min()), int(hu.max()) + 1):
        below = hu < threshold
        for found in (below, ~below):
            best = max(best, 2 * np.count_nonzero(found & tumor) / (found.sum() + tumor.sum()))
    return best


def test_same_seed_makes_the_same_scan() -> None:
    first, second = make_phantom(seed=3, matrix=48), make_phantom(seed=3, matrix=48)
    np.testing.assert_array_equal(first.hu, second.hu)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert (first.spacing_mm, first.tumors, first.disk_axes) == (
        second.spacing_mm,
        second.tumors,
        second.disk_axes,
    )


def test_other_seeds_make_other_scans(scans: list[PhantomScan]) -> None:
    assert len({(scan.hu.shape, scan.spacing_mm) for scan in scans}) == len(scans)
    assert len({int(np.count_nonzero(scan.labels)) for scan in scans}) == len(scans)


def test_types_and_labels(scans: list[PhantomScan]) -> None:
    for scan in scans:
        assert scan.hu.dtype == np.int16
        assert scan.labels.dtype == np.uint8
        assert scan.hu.shape == scan.labels.shape == (scan.hu.shape[0], MATRIX, MATRIX)
        assert set(np.unique(scan.labels)) <= {0, LIVER, TUMOR}
        assert scan.hu[scan.hu != PADDING_HU].min() == AIR_HU


def test_geometry_varies_within_what_is_promised(scans: list[PhantomScan]) -> None:
    for scan in scans:
        slice_mm, row_mm, column_mm = scan.spacing_mm
        assert 2 <= slice_mm <= 5
        assert row_mm == column_mm
        assert 310 <= row_mm * MATRIX <= 450
    assert len({scan.spacing_mm[0] for scan in scans}) >= 3
    assert len({scan.spacing_mm[1] for scan in scans}) >= 6
    assert len({scan.disk_axes for scan in scans}) >= 3


def test_some_scans_are_padded_outside_a_circle(scans: list[PhantomScan]) -> None:
    padded = [scan for scan in scans if scan.hu.min() == PADDING_HU]
    assert 0 < len(padded) < len(scans)
    for scan in padded:
        assert (scan.hu[:, [0, 0, -1, -1], [0, -1, 0, -1]] == PADDING_HU).all()
        assert (scan.hu[:, MATRIX // 2, [0, -1]] != PADDING_HU).all()


def test_liver_is_one_piece_on_the_right_of_the_patient_and_whole(scans: list[PhantomScan]) -> None:
    for scan in scans:
        liver = scan.labels >= LIVER
        assert ndimage.label(liver)[1] == 1
        assert not liver[[0, -1]].any()
        _, _, x = ndimage.center_of_mass(liver)
        assert x < 0.45 * MATRIX
        height_mm = np.count_nonzero(liver.any((1, 2))) * scan.spacing_mm[0]
        assert 130 <= height_mm <= 215
        assert 900 <= liver.sum() * np.prod(scan.spacing_mm) / 1000 <= 3000


def test_table_lies_behind_the_body_and_air_before_it(scans: list[PhantomScan]) -> None:
    for scan in scans:
        typical = np.median(scan.hu, axis=0)
        tissue, _ = ndimage.label(typical > -300)
        rows = np.flatnonzero((tissue == tissue[MATRIX // 2, MATRIX // 2]).any(1))
        behind, before = typical[rows.max() + 1 :, 37:43], typical[2 : rows.min() - 1, 30:50]
        assert behind.max() > -780, "the table's skins"
        assert np.mean(np.abs(behind + 880) < 40) > 0.1, "the foam between them"
        assert np.abs(before - AIR_HU).max() < 30


@pytest.mark.parametrize(
    ("low_hu", "high_hu", "most_share", "least_share"),
    [(-1024, -700, 0.2, 0.02), (-125, -75, 0.4, 0.08), (35, 80, 0.25, 0.05), (250, 900, 0.05, 0.002)],
    ids=["lung and gas", "fat", "muscle", "bone"],
)
def test_body_holds_lung_fat_muscle_and_bone(
    scans: list[PhantomScan], low_hu: int, high_hu: int, most_share: float, least_share: float
) -> None:
    for scan in scans:
        tissue = ndimage.binary_closing(scan.hu > -300, np.ones((1, 3, 3)))
        body = np.stack([ndimage.binary_fill_holes(plane) for plane in tissue])
        smooth = ndimage.uniform_filter(scan.hu.astype(np.float32), (1, 3, 3))[body]
        share = np.mean((smooth >= low_hu) & (smooth <= high_hu))
        assert least_share < share < most_share


def test_liver_is_enhanced_and_its_vessels_more_so(scans: list[PhantomScan]) -> None:
    typical = []
    for scan in scans:
        tissue = ndimage.binary_erosion(scan.labels == LIVER, iterations=2)
        smooth = ndimage.uniform_filter(scan.hu.astype(np.float32), 3)[tissue]
        typical.append(np.median(smooth))
        assert 85 <= typical[-1] <= 125
        assert 15 < np.percentile(smooth, 99.7) - typical[-1] < 90
    assert max(typical) - min(typical) > 10


def test_gallbladder_touches_the_liver_but_is_not_labeled(scans: list[PhantomScan]) -> None:
    watery_mm3 = []
    for scan in scans:
        smooth = ndimage.uniform_filter(scan.hu.astype(np.float32), (1, 3, 3))
        liver = scan.labels >= LIVER
        near = ndimage.binary_dilation(liver, iterations=3) & ~liver
        near[:, :, MATRIX // 2 :] = False
        watery = ndimage.binary_opening((smooth > -12) & (smooth < 25) & ~liver)
        watery_mm3.append(np.count_nonzero(watery & near) * np.prod(scan.spacing_mm))
        inside = ndimage.binary_erosion(scan.labels == LIVER) & (smooth < 45)
        assert np.count_nonzero(inside) * np.prod(scan.spacing_mm) < 6000
    assert np.median(watery_mm3) > 13500


def test_matrix_below_the_smallest_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^matrix: must be at least 32, got 31"):
        make_phantom(seed=0, matrix=31)


def test_some_scans_have_none_and_most_have(scans: list[PhantomScan]) -> None:
    counts = [len(scan.tumors) for scan in scans]
    assert 1 <= counts.count(0) <= 3
    assert max(counts) <= 6


def test_each_is_one_lesion_of_its_diameter(scans: list[PhantomScan]) -> None:
    for scan in scans:
        pieces, count = lesions(scan)
        assert count == len(scan.tumors)
        volumes = np.bincount(pieces.ravel(), minlength=1)[1:]
        assert (volumes >= 6).all()
        measured_mm = (6 / np.pi * volumes * np.prod(scan.spacing_mm)) ** (1 / 3)
        np.testing.assert_allclose(sorted(measured_mm), sorted(tumor.diameter_mm for tumor in scan.tumors))
        assert all(5 <= tumor.diameter_mm <= 64 for tumor in scan.tumors)
        assert all(pieces[tumor.center] for tumor in scan.tumors)


def test_liver_is_the_same_region_without_them(
    scans: list[PhantomScan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_module, "paint_tumors", lambda *_args, **_kwargs: ())
    for case in (3, 5):
        assert (scans[case].labels == TUMOR).any()
        without = make_phantom(seed=case_seed(case), matrix=MATRIX)
        np.testing.assert_array_equal(scans[case].labels >= LIVER, without.labels >= LIVER)


def test_liver_surrounds_them(scans: list[PhantomScan]) -> None:
    for scan in scans:
        tumor = scan.labels == TUMOR
        around = ndimage.binary_dilation(tumor) & ~tumor
        assert np.count_nonzero(scan.labels[around] == 0) <= 0.15 * np.count_nonzero(around)


def test_contrast_to_the_liver_around_is_as_stated(scans: list[PhantomScan]) -> None:
    checked = 0
    for scan in scans:
        pieces, _ = lesions(scan)
        tissue = ndimage.binary_erosion(scan.labels >= LIVER, iterations=2)
        for tumor in scan.tumors:
            if tumor.diameter_mm < 15:
                continue
            lesion = pieces == pieces[tumor.center]
            near = ndimage.binary_dilation(lesion, iterations=4)
            shell = near & ~ndimage.binary_dilation(scan.labels == TUMOR, iterations=2) & tissue
            measured = scan.hu[lesion].mean() - np.median(scan.hu[shell])
            assert measured == pytest.approx(tumor.contrast_hu, abs=7)
            checked += 1
    assert checked >= 8


def test_kinds_look_like_their_names() -> None:
    seen = set()
    for case in (0, 2, 7):
        scan = make_phantom(seed=case, matrix=64)
        pieces, _ = lesions(scan)
        for tumor in scan.tumors:
            assert (tumor.contrast_hu > 0) == (tumor.kind == "hyperdense")
            if tumor.diameter_mm > 30:
                depth_mm = ndimage.distance_transform_edt(pieces == pieces[tumor.center], scan.spacing_mm)
                core = scan.hu[depth_mm > 0.6 * depth_mm.max()].mean()
                border = scan.hu[(depth_mm > 0) & (depth_mm <= 0.35 * depth_mm.max())].mean()
                uneven = tumor.kind in ("rim", "necrotic")
                assert (border - core > 0.6 * abs(tumor.contrast_hu)) == uneven
                seen.add(tumor.kind)
    assert seen == {"hypodense", "hyperdense", "rim", "necrotic"}


def test_no_threshold_finds_them(scans: list[PhantomScan]) -> None:
    assert 0.1 < best_threshold_dice(scans) < 0.5


def test_level_varies_from_scan_to_scan(scans: list[PhantomScan]) -> None:
    levels = []
    for scan in scans:
        steps = np.diff(scan.hu.astype(float), axis=0)
        core = ndimage.binary_erosion(scan.labels == LIVER, iterations=3)
        levels.append(float(1.4826 * np.median(np.abs(steps[core[1:]]))))
    assert all(5 < level < 30 for level in levels)
    assert max(levels) > 1.2 * min(levels)
