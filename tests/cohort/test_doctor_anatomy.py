"""Organs tell how a scan lies: a body of boxes, whose distances are counted in voxels."""

import numpy as np
import pytest

from lts.cohort.doctor.anatomy import Anatomy, measure_anatomy
from lts.volume import Voxel


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (Anatomy(20.0, -10.0, 0.6), (False, False, False)),
        (Anatomy(20.1, -10.0, 0.6), (True, False, False)),
        (Anatomy(20.0, -10.1, 0.6), (False, True, False)),
        (Anatomy(20.0, -10.0, 0.61), (False, False, True)),
        (Anatomy(-60.0, 60.0, 0.0), (False, False, False)),
        (Anatomy(None, None, None), (False, False, False)),
    ],
)
def test_sides_are_wrong_beyond_their_margins(measured: Anatomy, expected: tuple[bool, bool, bool]) -> None:
    assert (measured.mirrored, measured.upside_down, measured.back_to_front) == expected


SPACING_MM = (5.0, 5.0, 5.0)


def body() -> tuple[np.ndarray, np.ndarray]:
    """A box of 200 x 200 x 300 mm with liver on the right, lungs above, spine behind; 0.125 ml a voxel."""
    hu = np.full((40, 50, 70), -1000, np.int16)
    hu[:, 5:45, 5:65] = 40
    hu[28:, 10:40, 10:60] = -850
    hu[:, 36:40, 33:37] = 400
    labels = np.zeros(hu.shape, np.uint8)
    labels[10:20, 15:35, 10:30] = 1
    return hu, labels


def measured(
    hu: np.ndarray, labels: np.ndarray, spacing_mm: tuple[float, float, float] = SPACING_MM
) -> Anatomy:
    return measure_anatomy(hu, labels, voxel=Voxel.of_spacing(spacing_mm))


def test_distances_are_in_mm() -> None:
    found = measured(*body())
    # liver at column 19.5, body's middle at 34 or 35; lungs at slice 33.5, liver at 14.5
    assert found.liver_left_mm == pytest.approx(-75, abs=5)
    assert found.lungs_above_mm == pytest.approx(95)
    assert found.bone_in_front == 0
    hu, labels = body()
    wide = measured(hu, labels, (10.0, 5.0, 7.0))
    assert wide.lungs_above_mm == pytest.approx(190)
    assert wide.liver_left_mm == pytest.approx(-105, abs=7)


def test_a_fine_grid_is_thinned_and_measures_the_same() -> None:
    fine = [array.repeat(4, 0).repeat(5, 1).repeat(3, 2) for array in body()]
    found = measured(*fine, (5 / 4, 1.0, 5 / 3))
    assert found.liver_left_mm == pytest.approx(measured(*body()).liver_left_mm, abs=1)
    assert found.lungs_above_mm == pytest.approx(95, abs=1)


def test_without_a_liver_or_a_body_nothing_can_be_told() -> None:
    hu, labels = body()
    assert measured(hu, labels * 0) == Anatomy(None, None, None)
    assert measured(np.full_like(hu, -1000), labels) == Anatomy(None, None, None)
    assert measured(
        np.where(np.arange(40)[:, None, None] < 22, -1000, hu).astype(np.int16), labels
    ) == Anatomy(None, None, None)


def test_the_table_and_arms_are_no_part_of_the_body() -> None:
    hu, labels = body()
    hu[:, 47:50, :30] = 40
    assert measured(hu, labels).liver_left_mm == measured(*body()).liver_left_mm


@pytest.mark.parametrize(("coat_hu", "moved"), [(-300, False), (-299, True)])
def test_fat_is_of_the_body_and_what_is_lighter_is_not(coat_hu: int, moved: bool) -> None:
    hu, labels = body()
    hu[:, 5:45, 65:70] = coat_hu
    assert (measured(hu, labels).liver_left_mm != measured(*body()).liver_left_mm) == moved


@pytest.mark.parametrize(
    ("lung_hu", "told"),
    [(-850, True), (-960, True), (-961, False), (-501, True), (-500, False)],
)
def test_lung_is_neither_gas_nor_tissue(lung_hu: int, told: bool) -> None:
    hu, labels = body()
    hu[hu == -850] = lung_hu
    assert (measured(hu, labels).lungs_above_mm is not None) == told


@pytest.mark.parametrize(("voxels", "told"), [(799, False), (800, True)])
def test_a_little_air_is_no_lung(voxels: int, told: bool) -> None:
    hu, labels = body()
    hu[hu == -850] = 40
    spot = hu[28:30, 10:30, 20:40]
    flat = np.full(800, 40, np.int16)
    flat[:voxels] = -850
    spot[:] = flat.reshape(spot.shape)
    assert (measured(hu, labels).lungs_above_mm is not None) == told


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("end", [0, -1])
def test_air_that_reaches_a_side_of_the_scan_is_no_lung(axis: int, end: int) -> None:
    hu, labels = body()
    hu[hu == -1000] = 40
    assert measured(hu, labels).lungs_above_mm is not None
    middle = hu.shape[axis] // 2
    way_out = np.moveaxis(hu[30:32, 20:22] if axis == 2 else hu[30:32, :, 20:22], axis, 0)
    way_out[slice(middle) if end == 0 else slice(middle, None)] = -850
    assert measured(hu, labels).lungs_above_mm is None


@pytest.mark.parametrize(
    ("bone_hu", "rows", "columns", "share"),
    [
        (251, slice(36, 40), slice(33, 37), 0.0),
        (250, slice(36, 40), slice(33, 37), None),
        (400, slice(10, 14), slice(33, 37), 1.0),
        (400, slice(36, 40), slice(43, 47), None),  # 40 mm beside the middle
        (400, slice(36, 40), slice(38, 42), 0.0),  # up to 30 mm beside it
        (400, slice(36, 40), slice(27, 31), 0.0),
        (400, slice(23, 27), slice(33, 37), 0.5),
    ],
)
def test_bone_near_the_middle_tells_front_from_back(
    bone_hu: int, rows: slice, columns: slice, share: float | None
) -> None:
    hu, labels = body()
    hu[hu == 400] = 40
    hu[:, rows, columns] = bone_hu
    found = measured(hu, labels)
    assert found.bone_in_front == (None if share is None else pytest.approx(share))


@pytest.mark.parametrize(("voxels", "told"), [(79, False), (80, True)])
def test_a_little_bone_tells_nothing(voxels: int, told: bool) -> None:
    hu, labels = body()
    hu[hu == 400] = 40
    spot = np.full(8 * 4 * 3, 40, np.int16)
    spot[:voxels] = 400
    hu[10:18, 36:40, 34:37] = spot.reshape(8, 4, 3)
    assert (measured(hu, labels).bone_in_front is not None) == told


def test_bone_is_told_in_the_slices_of_the_liver_alone() -> None:
    hu, labels = body()
    hu[:10, 8:12, 30:40] = 400
    hu[20:, 8:12, 30:40] = 400
    assert measured(hu, labels).bone_in_front == 0
