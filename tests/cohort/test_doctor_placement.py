"""Whether a mask lies on its image: a box of liver in a body of fat, whose shares are counted in voxels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lts.cohort.doctor.examine import _judge_place
from lts.cohort.doctor.placement import Move, measure_placement
from lts.volume import Geometry, Volume, Voxel, read_ct, read_mask

VOXEL = Voxel.of_spacing((5.0, 5.0, 5.0))
LIVER = (slice(10, 20), slice(12, 32), slice(5, 25))
"""10 x 20 x 20 voxels."""


def body() -> tuple[np.ndarray, np.ndarray]:
    """A box of fat of -100 HU in air, with a liver of 110 HU; it lies in the middle of no axis."""
    hu, labels = np.full((40, 50, 50), -1000, np.int16), np.zeros((40, 50, 50), np.uint8)
    hu[2:38, 3:47, 2:48] = -100
    hu[LIVER], labels[LIVER] = 110, 1
    return hu, labels


def better(hu: np.ndarray, labels: np.ndarray, voxel: Voxel = VOXEL) -> str | None:
    _, place = measure_placement(hu, labels, voxel=voxel)
    return place and str(place.move)


def judged(hu: np.ndarray, labels: np.ndarray) -> list[tuple[str, str]]:
    grid = Geometry.from_affine(np.diag([-5.0, -5, 5, 1]), shape=hu.shape[::-1])
    return [(one.code, one.severity) for one in _judge_place("a", Volume(hu, grid), Volume(labels, grid))]


def sprinkled(count: int, value: int) -> tuple[np.ndarray, np.ndarray]:
    """The body, with so many voxels of the liver of another value."""
    hu, labels = body()
    values = np.full(4000, 110, np.int16)
    values[np.random.default_rng(0).choice(4000, count, replace=False)] = value
    hu[LIVER] = values.reshape(hu[LIVER].shape)
    return hu, labels


@pytest.mark.parametrize(
    ("spoil", "mended_by"),
    [
        (lambda mask: mask, None),
        (lambda mask: mask[::-1], "mirrored head to foot"),
        (lambda mask: mask[:, ::-1], "mirrored front to back"),
        (lambda mask: mask[:, :, ::-1], "mirrored left to right"),
        (lambda mask: mask[:, ::-1, ::-1], "mirrored front to back and left to right"),
        (lambda mask: mask.transpose(0, 2, 1), "transposed"),
        (lambda mask: mask.transpose(0, 2, 1)[:, ::-1], "transposed, mirrored left to right"),
        (lambda mask: np.roll(mask, 5, axis=1), "moved 25 mm to the front"),
        (lambda mask: np.roll(mask, (-4, 3), axis=(0, 2)), "moved 20 mm to the head and 15 mm to the right"),
        (lambda mask: np.roll(mask[::-1], -3, axis=2), "mirrored head to foot, moved 15 mm to the left"),
    ],
)
def test_what_mends_a_mask_is_told(spoil: Callable[[np.ndarray], np.ndarray], mended_by: str | None) -> None:
    hu, labels = body()
    assert better(hu, spoil(labels)) == mended_by


def test_axes_are_exchanged_where_the_grid_is_the_same_alone() -> None:
    cube = np.full((40, 40, 40), -100, np.int16)
    labels = np.zeros(cube.shape, np.uint8)
    cube[2:12, 4:24, 8:38], labels[2:12, 4:24, 8:38] = 110, 1
    other = labels.transpose(2, 0, 1)
    assert better(cube, other) == "turned to another order of its axes"
    assert better(cube, other, Voxel.of_spacing((5.0, 7.0, 7.0))) is None


@pytest.mark.parametrize(("odd", "mended_by"), [(200, None), (201, "moved 5 mm to the right")])
def test_another_place_is_sought_where_more_than_a_twentieth_is_odd(odd: int, mended_by: str | None) -> None:
    hu, labels = body()
    hu[12, 14, 10 : 10 + odd - 200] = 400  # and 200 voxels of the label leave the liver
    assert better(hu, np.roll(labels, 1, axis=2)) == mended_by


@pytest.mark.parametrize(("cells", "mended_by"), [(20, "moved 100 mm to the feet"), (23, None)])
def test_another_place_is_sought_100_mm_away_and_a_little_beyond(cells: int, mended_by: str | None) -> None:
    _, labels = body()
    labels = np.pad(labels, ((0, 40), (0, 0), (0, 0)))
    hu = np.where(labels == 1, 40, -1000).astype(np.int16)
    assert better(hu, np.roll(labels, cells, axis=0)) == mended_by


def test_muscle_as_dense_as_the_liver_is_no_place_for_it() -> None:
    hu, labels = (each[::-1].copy() for each in body())
    hu[4:18, 5:45, 3:47] = 110  # the label would fit anywhere in it
    assert better(hu, np.roll(labels, 5, axis=1)) == "moved 25 mm to the front"


def test_a_mirrored_label_fits_to_the_voxel_although_its_grid_is_thinned() -> None:
    hu, labels = np.full((45, 60, 60), -100, np.int16), np.zeros((45, 60, 60), np.uint8)
    liver = (slice(4, 34), slice(8, 44), slice(7, 43))
    hu[liver], labels[liver] = 110, 1
    _, place = measure_placement(hu, labels[:, :, ::-1], voxel=Voxel.of_spacing((1.0, 1.0, 1.0)))
    assert place is not None
    assert (str(place.move), place.odd) == ("mirrored left to right", 0)


@pytest.mark.parametrize(("value", "odd"), [(-51, 1), (-50, 0), (250, 0), (251, 1)])
def test_no_liver_has_a_median_beyond_the_brightest_or_the_fattest(value: int, odd: float) -> None:
    hu, labels = body()
    hu[LIVER] = value
    stays, _ = measure_placement(hu, labels, voxel=VOXEL)
    assert stays.odd == odd


@pytest.mark.parametrize(("odd", "found"), [(199, True), (201, False)])
def test_another_place_is_three_times_less_odd(odd: int, found: bool) -> None:
    hu, labels = body()
    core = np.full(
        (10, 20, 12), 110, np.int16
    )  # moved by two voxels a tenth of the label leaves, none of this
    core.ravel()[:odd] = 400
    hu[10:20, 12:32, 9:21] = core
    assert (better(hu, np.roll(labels, 2, axis=2)) is not None) == found


@pytest.mark.parametrize(("odd", "found"), [(400, True), (401, False)])
def test_a_tenth_may_be_odd_in_the_right_place(odd: int, found: bool) -> None:
    hu, labels = sprinkled(odd, 400)
    assert (better(hu, labels[:, :, ::-1]) is not None) == found


@pytest.mark.parametrize(("value", "odd"), [(210, 0), (211, 0.25), (10, 0), (9, 0.25)])
def test_what_is_100_hu_from_the_median_is_liver(value: int, odd: float) -> None:
    stays, _ = measure_placement(*sprinkled(1000, value), voxel=VOXEL)
    assert stays.odd == pytest.approx(odd)


@pytest.mark.parametrize(("voxels", "found"), [(499, False), (500, True)])
def test_a_few_voxels_tell_nothing(voxels: int, found: bool) -> None:
    hu, labels = body()
    some = np.zeros((3, 20, 20), np.uint8)
    some.ravel()[:voxels] = 1
    labels[:], labels[10:13, 12:32, 5:25] = 0, some
    assert (better(hu, labels[:, :, ::-1]) is not None) == found


def test_a_label_in_the_air_beside_the_body_is_odd_although_air_is_of_one_density() -> None:
    hu, labels = body()
    hu[:, :, 27:] = -1000
    stays, place = measure_placement(hu, np.roll(labels, 22, axis=2), voxel=VOXEL)
    assert (stays.odd, stays.air) == (pytest.approx(1), pytest.approx(1))
    assert place is not None


@pytest.mark.parametrize(
    ("hu_of_liver", "hu_of_body"), [(110, 40), (45, 40), (-30, 40), (-30, -100), (190, 60), (240, 60)]
)
def test_fatty_plain_and_bright_livers_are_sound(hu_of_liver: int, hu_of_body: int) -> None:
    hu, labels = body()
    hu[hu == -100] = hu_of_body
    hu[LIVER] = hu_of_liver
    assert judged(hu, labels) == []


@pytest.mark.parametrize(
    "kind", ["cysts", "noise", "gas in a tumor", "oil in a tumor", "lung at the dome", "a cube"]
)
def test_a_sick_or_noisy_liver_is_sound(kind: str) -> None:
    hu, labels = sprinkled(1300, 5) if kind == "cysts" else body()
    tumor = (slice(12, 18), slice(14, 28), slice(8, 22))
    if kind == "noise":
        noise = np.random.default_rng(0).normal(0, 80, hu.shape)
        hu = (hu + noise * (hu > -1000)).astype(np.int16)
    elif kind == "gas in a tumor":
        labels[tumor], hu[tumor] = 2, -700
    elif kind == "oil in a tumor":
        labels[tumor], hu[tumor] = 2, 900
        hu[2:38, 38:46, 18:32] = 400  # a spine, or the oil would be bone in front
    elif kind == "lung at the dome":
        hu[20:34, 6:44, 4:46] = -850
        hu[19, 12:32, 5:14] = -400  # 180 of 4000 voxels are half lung
    elif kind == "a cube":
        hu, labels = hu[9:21, 11:33, 4:26], labels[9:21, 11:33, 4:26]
    assert judged(hu, labels) == []


@pytest.mark.parametrize(
    ("voxels", "value", "told"), [(200, -201, False), (201, -201, True), (201, -200, False)]
)
def test_a_twentieth_of_air_is_told_although_no_place_is_better(voxels: int, value: int, told: bool) -> None:
    assert judged(*sprinkled(voxels, value)) == ([("mask-misplaced", "warning")] if told else [])


def test_the_image_is_misplaced_where_its_organs_lie_the_wrong_way_round() -> None:
    hu, labels = body()
    assert judged(hu, labels[:, :, ::-1]) == [("mask-misplaced", "error")]
    assert judged(hu[:, :, ::-1], labels) == [("image-misplaced", "error")]
    # both of them lie on each other: it is the header of both
    assert judged(hu[:, :, ::-1], labels[:, :, ::-1]) == [("mirrored", "error")]
    assert Move(mirrored=(1, 2)).mirrored_alone is None
    assert Move(mirrored=(1,), shift_mm=(0, 5.0, 0)).mirrored_alone is None


@pytest.mark.parametrize("number", range(4))
def test_real_masks_that_were_spoilt_are_mended_and_sound_ones_left(real_data: Path, number: int) -> None:
    scan = read_ct(real_data / "lits_real" / f"volume-{number}.nii.gz")
    mask = read_mask(real_data / "lits_real" / f"segmentation-{number}.nii.gz", image=scan.geometry).voxels
    voxel = scan.geometry.voxel
    assert better(scan.voxels, mask, voxel) is None
    for axis, told in enumerate(("head to foot", "front to back", "left to right")):
        assert better(scan.voxels, np.flip(mask, axis), voxel) == f"mirrored {told}"
    if scan.voxels.shape[1] == scan.voxels.shape[2]:
        assert better(scan.voxels, mask.transpose(0, 2, 1), voxel) == "transposed"
    thirty_mm = round(30 / voxel.spacing_mm[1])
    moved = better(scan.voxels, np.roll(mask, thirty_mm, axis=1), voxel)
    assert moved == f"moved {thirty_mm * voxel.spacing_mm[1]:.0f} mm to the front"


@pytest.mark.parametrize("number", ["10001", "10021", "10050"])
def test_single_slices_of_clipped_values_are_left(real_data: Path, number: int) -> None:
    scan = read_ct(real_data / "liver_slices" / f"volume-{number}.nii.gz")
    mask = read_mask(real_data / "liver_slices" / f"segmentation-{number}.nii.gz", image=scan.geometry)
    stays, place = measure_placement(scan.voxels, mask.voxels, voxel=scan.geometry.voxel)
    assert stays.odd < 0.05
    assert place is None
