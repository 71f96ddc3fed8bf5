"""Augmentation against phantoms whose place and value are worked out by hand, and against SciPy."""

import math
import os
import pickle
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from scipy import ndimage

from lts.base import ConfigError
from lts.data.augment import Augmentation

CONF = Path(__file__).parents[2] / "conf" / "augment"
AIR = -1024
NOTHING = {
    "flip_left_right": 0,
    "flip_front_back": 0,
    "affine_probability": 0,
    "rotate_deg": [0, 0],
    "scale": [1, 1],
    "shift_percent": [0, 0],
    "intensity_probability": 0,
    "hu_shift": [0, 0],
    "hu_scale": [1, 1],
    "hu_scale_center": 60,
    "noise_probability": 0,
    "noise_hu": [0, 0],
    "air_hu": AIR,
}
EVERYTHING = {
    "flip_left_right": 0.5,
    "flip_front_back": 0.5,
    "affine_probability": 0.8,
    "rotate_deg": [-15, 15],
    "scale": [0.85, 1.15],
    "shift_percent": [-5, 5],
    "elastic_probability": 0.5,
    "elastic_percent": [0, 4],
    "coarse_probability": 0.5,
    "blur_probability": 0.5,
    "gamma_probability": 0.5,
    "intensity_probability": 0.5,
    "hu_shift": [-15, 15],
    "hu_scale": [0.9, 1.1],
    "noise_probability": 0.5,
    "noise_hu": [0, 10],
}

OF_VALUES = [f"{step}_probability" for step in ("coarse", "blur", "gamma", "intensity", "noise")]


def augmentation(**settings):
    return Augmentation(**{**NOTHING, **settings})


def affine(**settings):
    return augmentation(affine_probability=1, **settings)


def marker(height, width, row, column):
    """A slice at 0 HU with one pixel at 500, and labels with a tumor there."""
    image, labels = np.zeros((1, height, width), np.int16), np.zeros((height, width), np.uint8)
    image[0, row, column], labels[row, column] = 500, 2
    return image, labels


def assert_marker_at(place, image, labels):
    assert np.argwhere(image[0] == 500).tolist() == [list(place)]
    assert np.argwhere(labels == 2).tolist() == [list(place)]


def uniform(value, *, shape=(1, 32, 32)):
    return np.full(shape, value, np.int16), np.zeros(shape[1:], np.uint8)


def noisy(slices=1, height=33, width=46):
    """Random tissue without padding and random labels."""
    rng = np.random.default_rng(0)
    image = rng.integers(-1000, 1000, (slices, height, width)).astype(np.int16)
    return image, rng.integers(0, 3, (height, width)).astype(np.uint8)


def assert_same(left, right):
    np.testing.assert_array_equal(left[0], right[0])
    np.testing.assert_array_equal(left[1], right[1])


def test_a_flip_left_right_mirrors_the_columns():
    image, labels = augmentation(flip_left_right=1)(*marker(9, 14, 2, 3), seed=0)
    assert_marker_at((2, 10), image, labels)


def test_a_flip_front_back_mirrors_the_rows():
    image, labels = augmentation(flip_front_back=1)(*marker(9, 14, 2, 3), seed=0)
    assert_marker_at((6, 3), image, labels)


def test_a_positive_quarter_turn_moves_the_right_edge_to_the_top():
    # About the center (4, 6), three columns to the right become three rows up.
    image, labels = affine(rotate_deg=[90, 90])(*marker(9, 13, 4, 9), seed=0)
    assert_marker_at((1, 6), image, labels)


@pytest.mark.parametrize("size", [16, 17])
def test_a_quarter_turn_of_a_square_loses_no_pixel(size):
    image, labels = noisy(3, size, size)
    turned = affine(rotate_deg=[90, 90])(image, labels, seed=0)
    assert_same(turned, (np.rot90(image, axes=(1, 2)), np.rot90(labels)))


def test_a_shift_is_a_percentage_of_each_side_to_the_right_and_down():
    image, labels = affine(shift_percent=[25, 25])(*marker(40, 80, 1, 2), seed=0)
    assert_marker_at((11, 22), image, labels)


def test_magnification_moves_pixels_away_from_the_center():
    image, labels = affine(scale=[2, 2])(*marker(9, 13, 3, 8), seed=0)
    assert image[0, 2, 10] == 500
    assert labels[2, 10] == 2


@pytest.mark.parametrize("slices", [1, 2, 5])
def test_a_rotation_with_scale_and_shift_agrees_with_scipy(slices):
    rows, columns = np.mgrid[:64, :80]
    smooth = np.rint(400 * np.sin(rows / 9) * np.cos(columns / 11)).astype(np.int16)
    image, _ = affine(rotate_deg=[20, 20], scale=[1.2, 1.2], shift_percent=[5, 5])(
        np.broadcast_to(smooth, (slices, 64, 80)), np.zeros((64, 80), np.uint8), seed=0
    )
    # From output (row, column) to input: undo the shift, 5 % cut to whole pixels, then scale and rotation.
    cos, sin = math.cos(math.radians(20)), math.sin(math.radians(20))
    back = np.array([[cos, sin], [-sin, cos]]) / 1.2
    center = np.array([31.5, 39.5])
    offset = center - back @ (center + np.array([3, 4]))
    expected = ndimage.affine_transform(smooth.astype(float), back, offset, order=1, cval=np.nan)
    known = ~np.isnan(expected)
    assert known.mean() > 0.8
    np.testing.assert_allclose(image[:, known], [expected[known]] * slices, atol=0.51)  # rounded to whole HU


@pytest.mark.parametrize("slices", [1, 2, 3, 4, 5, 6, 7, 9])
def test_what_comes_into_view_is_air_in_every_slice_and_background_in_the_labels(slices):
    image, labels = np.full((slices, 10, 20), 100, np.int16), np.ones((10, 20), np.uint8)
    image, labels = affine(shift_percent=[20, 20])(image, labels, seed=0)
    assert (image[:, :2] == AIR).all()
    assert (image[:, :, :4] == AIR).all()
    assert (image[:, 2:, 4:] == 100).all()
    assert labels[:2].max() == labels[:, :4].max() == 0
    assert labels[2:, 4:].min() == 1


def test_air_is_zero_where_the_config_says_so():
    image, labels = uniform(100)
    image, _ = affine(shift_percent=[50, 50], air_hu=0)(image, labels, seed=0)
    assert np.unique(image).tolist() == [0, 100]


@pytest.mark.parametrize("slices", [1, 2, 3, 5, 6])
def test_every_slice_moves_alike(slices):
    image, labels = noisy(slices)
    moved = augmentation(flip_left_right=0.5, affine_probability=1, rotate_deg=[-40, 40], scale=[0.5, 2])
    together, _ = moved(image, labels, seed=3)
    for each in range(slices):
        alone, _ = moved(image[each : each + 1], labels, seed=3)
        np.testing.assert_array_equal(together[each], alone[0])


def test_labels_stay_labels_and_stay_on_their_tissue():
    rows, columns = np.mgrid[:97, :120]
    labels = np.zeros((97, 120), np.uint8)
    labels[np.hypot(rows - 40, columns - 45) < 30] = 1
    labels[np.hypot(rows - 35, columns - 50) < 9] = 2
    image = np.array([-500, 100, 900], np.int16)[labels][None]
    augment = augmentation(**{**EVERYTHING, **dict.fromkeys(OF_VALUES, 0)})
    for seed in range(30):
        moved, moved_labels = augment(image, labels, seed=seed)
        assert set(np.unique(moved_labels)) == {0, 1, 2}
        # Where interpolation mixed nothing in, the value tells the label.
        assert (moved_labels[moved[0] <= -500] == 0).all()
        assert (moved_labels[(moved[0] == 100)] == 1).mean() > 0.99
        assert (moved_labels[moved[0] == 900] == 2).all()
        assert (moved[0] == 900).sum() > 100


def test_between_tumor_and_background_no_liver_appears():
    image, labels = uniform(0, shape=(1, 40, 40))
    labels[10:30, 10:30] = 2
    _, turned = affine(rotate_deg=[30, 30], scale=[1.1, 1.1])(image, labels, seed=0)
    assert np.unique(turned).tolist() == [0, 2]


def test_both_axes_are_magnified_alike():
    image, labels = uniform(0, shape=(1, 81, 81))
    labels[30:51, 30:51] = 1
    sides = set()
    for seed in range(30):
        _, moved = affine(scale=[0.5, 1.5])(image, labels, seed=seed)
        height, width = moved.any(axis=1).sum(), moved.any(axis=0).sum()
        assert abs(int(height) - int(width)) <= 1
        sides.add(int(height))
    assert min(sides) < 15
    assert max(sides) > 27


def test_a_shift_of_the_scale_moves_every_voxel_but_padding():
    image, labels = uniform(100)
    image[0, 0, :3] = [AIR, AIR + 1, 32767]
    shifted, _ = augmentation(intensity_probability=1, hu_shift=[7, 7])(image, labels, seed=0)
    assert shifted[0, 0, :4].tolist() == [AIR, AIR + 8, 32767, 107]


@pytest.mark.parametrize("slices", [1, 3, 7])
def test_no_voxel_falls_below_air(slices):
    image, labels = uniform(-1020, shape=(slices, 8, 10))
    lowered, _ = augmentation(intensity_probability=1, hu_shift=[-15, -15])(image, labels, seed=0)
    assert np.unique(lowered).tolist() == [AIR]


def test_contrast_spreads_about_its_center():
    image, labels = uniform(60)
    image[0, 0, :2] = [160, -40]
    stretched, _ = augmentation(intensity_probability=1, hu_scale=[1.5, 1.5])(image, labels, seed=0)
    assert stretched[0, 0, :3].tolist() == [210, -90, 60]


def test_contrast_and_shift_add_up_and_round_to_the_nearest():
    image, labels = uniform(161)
    both = augmentation(intensity_probability=1, hu_scale=[0.9, 0.9], hu_shift=[-15, -15])
    assert np.unique(both(image, labels, seed=0)[0]).tolist() == [136]  # 60 + 0.9 * 101 - 15 = 135.9


@pytest.mark.parametrize("slices", [1, 3])
def test_changed_values_are_as_near_as_whole_numbers_come(slices):
    hu = np.random.default_rng(0).integers(-1000, 3000, (slices, 40, 50)).astype(np.int16)
    scale, shift = 1.0734, -7.321
    changing = augmentation(intensity_probability=1, hu_scale=[scale, scale], hu_shift=[shift, shift])
    exact = 60 + scale * (hu.astype(float) - 60) + shift
    changed = changing(hu, np.zeros((40, 50), np.uint8), seed=0)[0]
    assert np.abs(changed - np.maximum(exact, AIR)).max() <= 0.501


def test_values_beyond_int16_stop_at_its_ends():
    image, labels = uniform(0)
    image[0, 0, :2] = [32767, -1000]
    most = augmentation(intensity_probability=1, hu_scale=[1000, 1000], hu_shift=[32767, 32767])
    assert most(image, labels, seed=0)[0][0, 0, :2].tolist() == [32767, AIR]
    loud = augmentation(noise_probability=1, noise_hu=[32767, 32767])(image, labels, seed=0)[0]
    assert np.abs(loud.astype(int)).max() == 32767
    assert loud.min() == AIR


def test_shifts_fill_their_range_evenly():
    image, labels = uniform(0, shape=(1, 2, 2))
    shifting = augmentation(intensity_probability=1, hu_shift=[-15, 15])
    shifts = np.array([shifting(image, labels, seed=seed)[0][0, 0, 0] for seed in range(600)])
    assert (shifts.min(), shifts.max()) == (-15, 15)
    assert abs(shifts.mean()) < 1.5
    assert shifts.std() == pytest.approx(30 / math.sqrt(12), rel=0.08)


def test_noise_has_the_deviation_asked_for_in_each_slice_alone():
    image, labels = uniform(50, shape=(2, 256, 256))
    noise = augmentation(noise_probability=1, noise_hu=[10, 10])(image, labels, seed=1)[0].astype(float) - 50
    expected = math.sqrt(10**2 + 1 / 12)  # and rounding
    assert noise.std(axis=(1, 2)) == pytest.approx([expected] * 2, rel=0.01)
    assert noise.mean(axis=(1, 2)) == pytest.approx([0, 0], abs=0.15)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(noise[0, :, :-1].ravel(), noise[0, :, 1:].ravel())[0, 1]) < 0.02


def test_the_deviation_of_the_noise_fills_its_range():
    image, labels = uniform(50)
    noising = augmentation(noise_probability=1, noise_hu=[2, 10])
    stds = np.array([noising(image, labels, seed=seed)[0].std() for seed in range(200)])
    assert 1.8 < stds.min() < 2.6
    assert 9.4 < stds.max() < 10.8
    assert stds.mean() == pytest.approx(6, abs=0.6)


def test_noise_leaves_padding_alone():
    image, labels = uniform(AIR)
    assert (augmentation(noise_probability=1, noise_hu=[10, 10])(image, labels, seed=0)[0] == AIR).all()


def test_an_elastic_deformation_moves_slices_and_labels_alike_and_more_than_an_affine_map_could():
    rows, columns = np.meshgrid(np.arange(128), np.arange(96), indexing="ij")
    ramps = np.stack([rows, columns]).astype(np.int16) * 10
    disk = (((rows - 64) ** 2 + (columns - 48) ** 2) < 30**2).astype(np.uint8)
    deform = augmentation(elastic_probability=1, elastic_percent=[3, 3], air_hu=-1)
    moved, labels = deform(ramps, disk, seed=0)
    inside = np.s_[30:98, 24:72]
    from_rows, from_columns = moved[0][inside] / 10, moved[1][inside] / 10
    shifts = np.stack([(from_rows - rows[inside]) / 128, (from_columns - columns[inside]) / 96])
    assert 0.01 < shifts.std() < 0.06
    square = np.hypot(from_rows - 64, from_columns - 48)
    off_the_edge = np.abs(square - 30) > 1
    assert (labels[inside] == (square < 30))[off_the_edge].all()
    design = np.stack([np.ones(square.size), rows[inside].ravel(), columns[inside].ravel()], axis=1)
    _, residual, _, _ = np.linalg.lstsq(design, from_rows.ravel(), rcond=None)
    assert math.sqrt(residual[0] / square.size) > 0.3  # pixels


@pytest.mark.parametrize("slices", [1, 5])
def test_a_coarser_scanner_averages_each_slice_over_its_pixels(slices):
    hu = np.random.default_rng(0).integers(-200, 200, (slices, 40, 60)).astype(np.int16)
    labels = np.zeros((40, 60), np.uint8)
    coarse, same = augmentation(coarse_probability=1, coarse_zoom=[0.5, 0.5])(hu, labels, seed=0)
    of_four = hu.reshape(slices, 20, 2, 30, 2).astype(float).mean(axis=(2, 4))
    by_scipy = ndimage.zoom(of_four, (1, 2, 2), order=1, mode="nearest", grid_mode=True)
    assert np.abs(coarse - by_scipy).max() <= 1.01  # rounded twice
    assert same is labels or (same == labels).all()


@pytest.mark.parametrize("slices", [1, 5])
def test_a_blur_is_gaussian_within_each_slice(slices):
    hu = np.random.default_rng(0).integers(-200, 200, (slices, 40, 60)).astype(np.int16)
    blurred, _ = augmentation(blur_probability=1, blur_pixels=[1.5, 1.5])(
        hu, np.zeros((40, 60), np.uint8), seed=0
    )
    by_scipy = ndimage.gaussian_filter(hu.astype(float), (0, 1.5, 1.5), mode="nearest", truncate=4)
    assert np.abs(blurred - by_scipy).max() <= 1.5


def test_gamma_bends_the_scale_between_its_ends():
    values = [-1024, -150, -100, 0, 75, 150, 299, 300, 1000]
    image = np.array(values, np.int16).reshape(1, 3, 3)
    bent, _ = augmentation(gamma_probability=1, gamma=[2, 2], gamma_hu=[-150, 300])(
        image, np.zeros((3, 3), np.uint8), seed=0
    )
    inside = [-150 + 450 * ((hu + 150) / 450) ** 2 for hu in values[2:7]]
    expected = [-1024, -150, *map(round, inside), 300, 1000]
    assert bent.ravel().tolist() == expected == [-1024, -150, -144, -100, -38, 50, 298, 300, 1000]


@pytest.mark.parametrize("step", ["elastic", "coarse", "blur", "gamma"])
def test_padding_stays_padding(step):
    image, labels = uniform(AIR)
    image[:, :, 16:] = 100
    changed, _ = augmentation(**{f"{step}_probability": 1, "elastic_percent": [0, 0]})(image, labels, seed=0)
    assert (changed[:, :, :16] == AIR).all()


def test_steps_come_together_as_often_as_chance_has_it():
    image, labels = noisy(1, 4, 6)
    steps = augmentation(flip_left_right=0.5, flip_front_back=0.5, intensity_probability=0.3, hu_shift=[9, 9])
    places = {
        (False, False): image,
        (True, False): image[:, :, ::-1],
        (False, True): image[:, ::-1],
        (True, True): image[:, ::-1, ::-1],
    }
    seen = []
    for seed in range(1000):
        changed, _ = steps(image, labels, seed=seed)
        seen += [
            (*flips, bool(raised))
            for flips, place in places.items()
            for raised in (0, 9)
            if np.array_equal(changed, place + raised)
        ]
    assert len(seen) == 1000
    for flip_w in (False, True):
        for flip_h in (False, True):
            assert seen.count((flip_w, flip_h, True)) / 1000 == pytest.approx(0.25 * 0.3, abs=0.03)
            assert seen.count((flip_w, flip_h, False)) / 1000 == pytest.approx(0.25 * 0.7, abs=0.05)


def test_the_seed_alone_decides():
    image, labels = noisy(3)
    augment = augmentation(**EVERYTHING)
    first = [augment(image, labels, seed=seed) for seed in range(12)]
    copies = (augment, augmentation(**EVERYTHING), pickle.loads(pickle.dumps(augment)))
    for each in copies:
        for seed in reversed(range(12)):
            assert_same(each(image, labels, seed=seed), first[seed])
    assert len({image.tobytes() for image, _ in first}) == 12


def test_seeds_may_be_large():
    image, labels = noisy()
    augment = augmentation(**EVERYTHING)
    big = 2**128 - 1
    assert_same(augment(image, labels, seed=big), augment(image, labels, seed=big))


def test_no_global_random_state_is_touched_and_no_argument_written():
    image, labels = noisy(3)
    image.flags.writeable = labels.flags.writeable = False
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    augment = augmentation(**EVERYTHING)
    for seed in range(20):
        augment(image, labels, seed=seed)
    assert random.getstate() == before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])
    assert_same((image, labels), noisy(3))


@pytest.mark.parametrize("shape", [(1, 33, 46), (3, 64, 64), (2, 1, 5), (7, 31, 17)])
def test_shapes_types_and_layout_are_kept(shape):
    image, labels = noisy(*shape)
    augment = augmentation(**EVERYTHING)
    for seed in range(20):
        changed, changed_labels = augment(image, labels, seed=seed)
        assert (changed.shape, changed.dtype) == (shape, np.int16)
        assert (changed_labels.shape, changed_labels.dtype) == (shape[1:], np.uint8)
        assert changed.flags.c_contiguous
        assert changed_labels.flags.c_contiguous


def test_slices_of_a_memory_map_are_read_in_place(tmp_path):
    image, labels = noisy(5)
    np.save(tmp_path / "image.npy", image)
    on_disk = np.load(tmp_path / "image.npy", mmap_mode="r")
    augment = augmentation(**EVERYTHING)
    assert_same(augment(on_disk[1:4], labels, seed=2), augment(image[1:4], labels, seed=2))
    changed, _ = augmentation()(on_disk[::2], labels, seed=2)
    assert changed.flags.c_contiguous
    np.testing.assert_array_equal(changed, image[::2])


def test_settings_that_change_nothing_give_back_the_arguments():
    image, labels = noisy(3)
    changed = instantiate(OmegaConf.load(CONF / "none.yaml"))(image, labels, seed=0)
    assert changed[0] is image
    assert changed[1] is labels


def test_certain_steps_of_no_size_change_no_value():
    image, labels = noisy(3)
    still = augmentation(affine_probability=1, intensity_probability=1, noise_probability=1)
    assert_same(still(image, labels, seed=0), (image, labels))


def test_the_light_config_shifts_and_leaves_values():
    image, labels = noisy(height=128, width=128)
    light = instantiate(OmegaConf.load(CONF / "light.yaml"))
    results = [light(image, labels, seed=seed)[0] for seed in range(30)]
    assert len({result.tobytes() for result in results}) > 5
    assert all(set(np.unique(result)) <= {AIR, *np.unique(image).tolist()} for result in results)


def test_the_default_config_moves_slices_and_changes_values_within_its_bounds():
    image, labels = uniform(100)
    default = instantiate(OmegaConf.load(CONF / "default.yaml"))
    means, moved, flipped = [], 0, 0
    for seed in range(200):
        changed, _ = default(image, labels, seed=seed)
        means.append(np.median(changed))
        moved += int((changed == AIR).any())
        marked = default(*marker(33, 33, 16, 4), seed=seed)[1]
        flipped += int(marked[:, 17:].any())
    assert min(means) >= 60 + 0.9 * 40 - 15 - 1
    assert max(means) <= 60 + 1.1 * 40 + 15 + 1
    assert max(means) - min(means) > 20
    assert moved > 60
    assert flipped == 0  # a mirrored liver lies where no patient's does


def test_one_thread_and_no_question_to_the_network():
    assert cv2.getNumThreads() == 1
    assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "1"


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("flip_left_right", 1.5, r"must be a number in \[0, 1\], got 1.5"),
        ("flip_front_back", -0.1, r"must be a number in \[0, 1\]"),
        ("affine_probability", "often", r"must be a number in \[0, 1\], got 'often'"),
        ("intensity_probability", None, r"must be a number in \[0, 1\]"),
        ("noise_probability", float("nan"), r"must be a number in \[0, 1\]"),
        ("rotate_deg", 15, r"must be a range \[lowest, highest\], got 15"),
        ("rotate_deg", [15], r"must be a range \[lowest, highest\]"),
        ("rotate_deg", "ab", r"must be a number in \[-180, 180\], got 'a'"),
        ("rotate_deg", [-181, 0], r"must be a number in \[-180, 180\], got -181"),
        ("rotate_deg", [15, -15], r"the lowest value must come first, got \[15, -15\]"),
        ("scale", [0, 1], r"must be > 0, got \[0, 1\]"),
        ("scale", [-1, 1], "must be a number in"),
        ("shift_percent", [0, 101], r"must be a number in \[-100, 100\], got 101"),
        ("hu_shift", [0, float("inf")], "must be a number in"),
        ("hu_scale", [0, 1], r"must be > 0"),
        ("hu_scale_center", "liver", "must be a number in"),
        ("hu_shift", [0, 32768], r"must be a number in \[-32768, 32767\], got 32768"),
        ("hu_scale", [1, 1001], r"must be a number in \[0, 1000\], got 1001"),
        ("noise_hu", [-1, 0], r"must be a number in \[0, 32767\], got -1"),
        ("elastic_percent", [0, 21], r"must be a number in \[0, 20\], got 21"),
        ("coarse_zoom", [0, 1], r"must be > 0"),
        ("coarse_zoom", [0.5, 1.1], r"must be a number in \[0, 1\], got 1.1"),
        ("blur_pixels", [0, 1], r"must be > 0"),
        ("gamma", [0, 1], r"must be > 0"),
        ("gamma_hu", [100, 100], r"the highest value must be above the lowest, got \[100, 100\]"),
        ("air_hu", -1000.5, "must be a whole number, got -1000.5"),
        ("air_hu", -40000, r"must be a number in \[-32768, 32767\], got -40000"),
    ],
)
def test_a_setting_that_breaks_its_rule_is_refused_by_name(key, value, rule):
    with pytest.raises(ConfigError, match=rf"^{key}: {rule}"):
        augmentation(**{key: value})


@pytest.mark.parametrize(
    ("image", "labels", "rule"),
    [
        (np.zeros((1, 4, 4), np.float32), np.zeros((4, 4), np.uint8), "image must be int16"),
        (np.zeros((4, 4), np.int16), np.zeros((4, 4), np.uint8), r"image must be \(N, H, W\)"),
        (np.zeros((1, 4, 4), np.int16), np.zeros((4, 4), np.int16), "labels must be uint8"),
        (np.zeros((1, 4, 4), np.int16), np.zeros((4, 5), np.uint8), "must match image"),
    ],
)
def test_arrays_of_another_kind_are_a_bug(image, labels, rule):
    with pytest.raises(AssertionError, match=rule):
        augmentation()(image, labels, seed=0)
