"""Lesions cut out of training slices and put into healthy liver: values, sizes, places, whose they are."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from lts.base import ConfigError
from lts.cohort import Case
from lts.data import (
    Augmentation,
    Lesion,
    SliceDataModule,
    SliceDataset,
    collect_lesions,
    copy_tumor,
    cut_lesions,
)
from lts.slices import Recipe, StoredCase, build_store
from lts.volume import read_geometry, write_mask, write_volume

HOST_HU, DONOR_HU, FAT_HU, NOISE_HU = 110, 70, -90, 12
STILL = {"flip_left_right": 0.0, "affine_probability": 0, "intensity_probability": 0, "noise_probability": 0}


def host(*, slices: int = 1, noise_hu: float = 0, hu: float = HOST_HU) -> tuple[np.ndarray, np.ndarray]:
    """A round healthy liver in fat."""
    rows, columns = np.mgrid[:128, :128]
    liver = (rows - 64) ** 2 + (columns - 52) ** 2 < 45**2
    noise = np.random.default_rng(1).normal(0, noise_hu, (slices, 128, 128)) if noise_hu else 0
    image = np.where(liver, hu, FAT_HU) + np.zeros((slices, 1, 1)) + noise
    return np.rint(image).astype(np.int16), liver.astype(np.uint8)


def donor(
    *, radius: float = 8, contrast: float = -40, noise_hu: float = 0, liver_hu: float = DONOR_HU
) -> tuple[np.ndarray, np.ndarray]:
    """A slice that is all liver, with one round lesion."""
    rows, columns = np.mgrid[:96, :96]
    tumor = (rows - 50) ** 2 + (columns - 44) ** 2 < radius**2
    noise = np.random.default_rng(2).normal(0, noise_hu, tumor.shape) if noise_hu else 0
    image = np.where(tumor, liver_hu + contrast, liver_hu) + noise
    return np.rint(image).astype(np.int16)[None], (1 + tumor).astype(np.uint8)[None]


def lesions(*, pixel_mm: float = 0.8, **changes: Any) -> list[Lesion]:
    return cut_lesions(*donor(**changes), pixel_mm=pixel_mm)


def put(
    given: Sequence[Lesion], image: np.ndarray, labels: np.ndarray, seed: int = 0, **settings: Any
) -> tuple[np.ndarray, np.ndarray]:
    settings = {"pixel_mm": 0.8, **settings}
    put_in = copy_tumor(image, labels, np.random.default_rng(seed), lesions=given, **settings)
    assert put_in is not None
    return put_in


def inner(tumor: np.ndarray, pixels: int = 3) -> np.ndarray:
    return ndimage.binary_erosion(tumor, iterations=pixels)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("contrast", [-40, 25])
def test_the_distance_from_the_liver_around_is_that_of_the_scan_it_comes_from(
    seed: int, contrast: int
) -> None:
    image, labels = host()
    changed, marked = put(lesions(contrast=contrast), image, labels, seed)
    tumor = marked == 2
    np.testing.assert_allclose(changed[0][inner(tumor)], HOST_HU + contrast, atol=1)
    assert ndimage.label(tumor)[1] == 1
    assert (labels[tumor] == 1).all()
    assert ((marked == labels) | tumor).all()


@pytest.mark.parametrize("seed", range(12))
def test_nothing_changes_outside_of_the_liver_or_away_from_the_lesion(seed: int) -> None:
    image, labels = host(slices=3, noise_hu=NOISE_HU)
    of_three = cut_lesions(*(np.repeat(each, 3, 0) for each in donor(radius=14)), pixel_mm=0.8)
    changed, marked = put(of_three, image, labels, seed)
    beyond = ndimage.binary_dilation(marked == 2, iterations=6)
    for before, after in zip(image, changed, strict=True):
        np.testing.assert_array_equal(after[labels == 0], before[labels == 0])
        np.testing.assert_array_equal(after[~beyond], before[~beyond])
    assert image is not changed
    assert (labels <= 1).all()


def test_the_edge_is_softer_than_a_pixel_and_the_label_lies_where_half_of_it_is_tumor() -> None:
    image, labels = host()
    for seed in range(12):
        changed, marked = put(lesions(radius=10), image, labels, seed)
        share = (HOST_HU - changed[0].astype(float)) / 40
        whole = inner(labels == 1, 3)  # where the edge of the liver cuts nothing
        np.testing.assert_array_equal((share > 0.53)[whole] & (marked == 1)[whole], False)
        np.testing.assert_array_equal((share < 0.47)[whole] & (marked == 2)[whole], False)
        between = (share > 0.1) & (share < 0.9)
        outline = (marked == 2) & ~inner(marked == 2, 1)
        assert between.sum() > outline.sum()


@pytest.mark.parametrize("host_mm", [0.5, 0.8, 1.4])
def test_a_lesion_keeps_its_size_in_mm_whatever_the_pixels_of_the_slices(host_mm: float) -> None:
    image, labels = host()
    diameters = []
    for seed in range(40):
        given = lesions(pixel_mm=(0.6, 1.2)[seed % 2], radius=(12, 6)[seed % 2])  # both of 7.2 mm
        _, marked = put(given, image, labels, seed, pixel_mm=host_mm)
        diameters.append(2 * host_mm * np.sqrt((marked == 2).sum() / np.pi))
    assert np.median(diameters) == pytest.approx(14.4, rel=0.08)
    assert max(diameters) < 14.4 * 1.25 + 2 * host_mm
    assert np.max(diameters) / np.min(diameters) > 1.2  # a factor is drawn


def test_rims_and_cores_stay_and_the_noise_is_that_of_the_slice_once() -> None:
    image, labels = donor(radius=16, noise_hu=NOISE_HU)
    rows, columns = np.mgrid[:96, :96]
    distance = np.hypot(rows - 50, columns - 44)
    image[0][(distance >= 13) & (distance < 16)] += 90  # a rim of 3 pixels, 50 above the liver
    image[0][distance < 6] -= 25
    given = cut_lesions(image, labels, pixel_mm=0.8)
    into, of_host = host(noise_hu=NOISE_HU)
    fine, rims, cores, between = [], [], [], []
    for seed in range(12):
        changed, marked = put(given, into, of_host, seed, pixel_mm=0.8)
        depth = ndimage.distance_transform_edt(marked == 2)
        rims.append(changed[0][(depth > 1) & (depth < 3)].mean())
        between.append(changed[0][(depth > 5) & (depth < 8)].mean())
        cores.append(changed[0][depth > 12].mean())
        detail = changed[0] - ndimage.gaussian_filter(changed[0].astype(float), 1.5)
        before = into[0] - ndimage.gaussian_filter(into[0].astype(float), 1.5)
        even = (depth > 5) & (depth < 8)
        fine.append((detail[even].std() / before[even].std(), np.corrcoef(detail[even], before[even])[0, 1]))
    assert np.mean(rims) > HOST_HU + 30  # of 50, at a soft edge
    assert np.mean(between) == pytest.approx(HOST_HU - 40, abs=8)
    assert np.mean(cores) < np.mean(between) - 12
    ratio, alike = np.mean(fine, 0)
    assert ratio == pytest.approx(1, abs=0.15)
    assert alike > 0.8


def test_a_lesion_at_the_edge_of_the_liver_brings_no_fat_along() -> None:
    image, labels = donor(radius=12)
    fat = np.arange(96)[:, None] + np.zeros(96, int) < 42
    image[0][fat], labels[0][fat] = FAT_HU, 0
    image[0][42] = (image[0][42] + FAT_HU) // 2  # partial volume, labelled as liver and tumor
    (lesion,) = cut_lesions(image, labels, pixel_mm=0.8)
    np.testing.assert_allclose(lesion.contrast, -40, atol=0.01)
    assert lesion.liver_value == pytest.approx(DONOR_HU)
    assert lesion.open_side is not None
    assert lesion.open_side[0] < -5  # toward lower rows
    into, of_host = host()
    n_at_the_edge = 0
    for seed in range(20):
        changed, marked = put([lesion], into, of_host, seed)
        assert changed[0][of_host == 1].min() >= HOST_HU - 41
        # The side that was cut lies at the edge again.
        rim = (of_host == 1) & ~inner(of_host == 1, 2)
        n_at_the_edge += bool((marked[rim] == 2).any())
    assert n_at_the_edge >= 18


@pytest.mark.parametrize("seed", range(16))
def test_the_side_that_lay_at_the_edge_of_the_liver_is_turned_to_the_edge(seed: int) -> None:
    image, labels = donor(radius=12)
    image[0, :, 46:][labels[0, :, 46:] == 2] -= 40  # the half away from the edge
    image[0, :, :36], labels[0, :, :36] = FAT_HU, 0
    into, of_host = host()
    changed, marked = put(cut_lesions(image, labels, pixel_mm=0.8), into, of_host, seed)
    inward, outward = (
        np.argwhere((marked == 2) & each).mean(0)
        for each in (changed[0] < HOST_HU - 60, changed[0] >= HOST_HU - 60)
    )
    turned, away = outward - inward, inward - (64, 52)
    assert turned @ away > 0.5 * np.linalg.norm(turned) * np.linalg.norm(away)  # to 60 degrees


def test_what_becomes_smaller_is_a_mean_of_its_pixels() -> None:
    image, labels = donor(radius=36)
    image[labels == 2] += np.random.default_rng(3).normal(0, 40, (labels == 2).sum()).astype(np.int16)
    into, of_host = host()
    changed, marked = put(cut_lesions(image, labels, pixel_mm=0.2), into, of_host)
    assert changed[0][inner(marked == 2)].std() < 12  # one pixel in 16 would be 27


def test_what_is_no_lesion_that_can_be_told_from_its_surroundings_is_left_out() -> None:
    assert len(lesions()) == 1
    assert not lesions(radius=1.0)  # of one pixel
    assert not lesions(contrast=1, noise_hu=NOISE_HU)  # not to be seen
    image, labels = donor()
    for at_border in (np.s_[:, 50:, :], np.s_[:, :51, :], np.s_[:, :, 44:], np.s_[:, :, :45]):
        assert not cut_lesions(image[at_border], labels[at_border], pixel_mm=0.8)
    halved, without_half = image.copy(), labels.copy()
    halved[:, :50], without_half[:, :50] = FAT_HU, 0  # the edge of the liver may have cut it
    assert not cut_lesions(halved, without_half, pixel_mm=0.8)
    without_liver = np.where(labels == 1, 0, labels).astype(np.uint8)
    assert not cut_lesions(image, without_liver, pixel_mm=0.8)
    two = labels.copy()
    two[0, 10:20, 70:80] = 2
    assert len(cut_lesions(np.where(two == 2, 30, image).astype(np.int16), two, pixel_mm=0.8)) == 2


def test_neighbors_come_with_their_own_part_of_the_same_lesion() -> None:
    each = [donor(radius=radius, contrast=contrast) for radius, contrast in ((5, -30), (8, -40), (11, -50))]
    image, labels = (np.concatenate(arrays) for arrays in zip(*each, strict=True))
    image[0, 70:78, 70:78], labels[0, 70:78, 70:78] = 200, 2  # of another lesion
    (lesion,) = cut_lesions(image, labels, pixel_mm=0.8)
    np.testing.assert_array_equal(
        lesion.inside.sum((1, 2)), [(donor(radius=r)[1] == 2).sum() for r in (5, 8, 11)]
    )
    into, of_host = host(slices=3)
    changed, marked = put([lesion], into, of_host)
    values = [changed[z][inner(marked == 2)].min() for z in range(3)]
    np.testing.assert_allclose(values, [HOST_HU - 30, HOST_HU - 40, HOST_HU - 50], atol=1)
    areas = [(changed[z] < HOST_HU - 15).sum() for z in range(3)]
    assert areas[0] < areas[1] < areas[2]


def test_contrast_grows_with_the_value_of_the_liver_where_the_scale_is_arbitrary() -> None:
    given = lesions(liver_hu=1000, contrast=-400)
    image, labels = host(hu=100)
    changed, marked = put(given, image, labels, in_proportion=True)
    np.testing.assert_allclose(changed[0][inner(marked == 2)], 60, atol=1)
    of_mr = Augmentation(**STILL, tumor_probability=1, tumor_copied_share=1, air_hu=0)
    changed, marked = of_mr(image, labels, seed=0, lesions=given, pixel_mm=0.8)
    np.testing.assert_allclose(changed[0][inner(marked == 2)], 60, atol=1)


def test_there_is_no_copy_where_no_lesion_has_room_and_one_is_painted_there() -> None:
    image, labels = host()
    big = lesions(radius=30, pixel_mm=2)
    rng = np.random.default_rng(0)
    assert copy_tumor(image, labels, rng, lesions=big, pixel_mm=0.8) is None
    assert copy_tumor(image, labels * 0, rng, lesions=lesions(), pixel_mm=0.8) is None
    _, marked = put([*big, *lesions()], image, labels)
    assert 100 < (marked == 2).sum() < 400
    both = {**STILL, "tumor_probability": 1.0}
    painted = Augmentation(**both)(image, labels, seed=3)
    copied = Augmentation(**both, tumor_copied_share=1)(image, labels, seed=3, lesions=big, pixel_mm=0.8)
    for one, other in zip(painted, copied, strict=True):
        np.testing.assert_array_equal(one, other)


def test_tumors_are_copied_by_their_share_and_all_other_draws_stay_the_same() -> None:
    image, labels = host(noise_hu=NOISE_HU)
    given = {"lesions": lesions(contrast=60), "pixel_mm": 0.8}
    painting = Augmentation(tumor_probability=0.5, tumor_bright_share=0)
    without = Augmentation()
    never, mixed = (
        Augmentation(tumor_probability=0.5, tumor_bright_share=0, tumor_copied_share=share)
        for share in (0.0, 0.3)
    )
    n_copied = n_tumors = 0
    for seed in range(300):
        expected, of_liver = without(image, labels, seed=seed)
        painted, with_painted = painting(image, labels, seed=seed)
        for given_or_not in ({}, given):
            hu, marked = never(image, labels, seed=seed, **given_or_not)
            np.testing.assert_array_equal(hu, painted)
            np.testing.assert_array_equal(marked, with_painted)
        hu, marked = mixed(image, labels, seed=seed, **given)
        np.testing.assert_array_equal(mixed(image, labels, seed=seed, **given)[0], hu)
        np.testing.assert_array_equal(marked > 0, of_liver > 0)  # the same flips and rotation
        if not (with_painted == 2).any():
            np.testing.assert_array_equal(hu, expected)
            continue
        n_tumors += 1
        if (marked != with_painted).any():
            assert hu[0][marked == 2].mean() > expected[0][of_liver == 1].mean()  # the copied ones are bright
            n_copied += 1
        else:
            np.testing.assert_array_equal(hu, painted)
    assert 120 < n_tumors < 180
    assert 0.2 < n_copied / n_tumors < 0.4


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_out_of_its_range_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match=rf"^tumor_copied_share: must be a number in \[0, 1\], got {share}"):
        Augmentation(tumor_copied_share=share)


def write_case(folder: Path, name: str, *, contrast: int | None, depth: int = 8, side: int = 64) -> Case:
    """A scan with a liver of 100 HU and a lesion in it, if any, wider from slice to slice, in soft tissue."""
    rows, columns, z = np.mgrid[:side, :side, :depth]
    liver = np.hypot(rows - 40, columns - 36) < 20
    hu, labels = np.where(liver, 100, 40).astype(np.int16), liver.astype(np.uint8)
    if contrast is not None:
        tumor = (np.hypot(rows - 40, columns - 34) < 4.4 + 0.3 * z) & (z >= 2) & (z < 6)
        hu[tumor], labels[tumor] = 100 + contrast, 2
    case = Case(name, name, folder / f"{name}.nii.gz", folder / f"{name}-mask.nii.gz")
    write_volume(case.image, hu, affine=np.diag([1.5, 1.5, 4.0, 1.0]))
    assert case.mask is not None
    geometry = read_geometry(case.image)
    write_mask(case.mask, geometry.to_canonical(labels), geometry=geometry)
    return case


RECIPES = [Recipe(image_size=64), Recipe(image_size=64, focus="liver", margin_mm=10)]


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    contrasts = (-30, None, -60, 70)
    return [write_case(tmp_path, f"case-{n}", contrast=each) for n, each in enumerate(contrasts)]


def stored(cases: Sequence[Case], folder: Path, recipe: Recipe = RECIPES[0]) -> tuple[StoredCase, ...]:
    return build_store(cases, recipe, store_dir=folder / "store", workers=1)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("context", [0, 1, 2])
def test_lesions_are_those_of_the_stored_slices(
    cases: list[Case], tmp_path: Path, recipe: Recipe, context: int
) -> None:
    found = collect_lesions(stored(cases, tmp_path, recipe), context=context)
    assert len(found) == 3 * 4  # four slices of each case
    contrasts = [round(float(np.median(each.contrast[context][each.inside[context]]))) for each in found]
    assert sorted(contrasts) == [-60] * 4 + [-30] * 4 + [70] * 4
    assert {abs(each) for each in contrasts[:3]} == {30, 60, 70}  # one case after the other
    assert all(len(each.inside) == 2 * context + 1 for each in found)
    np.testing.assert_allclose([each.radius_mm for each in found], 8.2, rtol=0.16)


def test_the_same_lesions_are_chosen_whenever_the_seed_is_and_no_more_than_are_wanted(
    cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_stored = stored(cases, tmp_path)
    alike, other = (
        [collect_lesions(all_stored, seed=seed) for seed in (1, 1)],
        collect_lesions(all_stored, seed=2),
    )
    means = [[float(each.contrast.sum()) for each in found] for found in (*alike, other)]
    assert means[0] == means[1]
    assert means[2] != means[0]
    assert sorted(means[2]) == sorted(means[0])
    opened = []
    whole = StoredCase.open_image
    monkeypatch.setattr(StoredCase, "open_image", lambda case: opened.append(case) or whole(case))
    monkeypatch.setattr("lts.data.lesions._MOST_LESIONS", 5)
    assert len(collect_lesions(all_stored)) == len(opened) == 5
    opened.clear()
    monkeypatch.setattr("lts.data.lesions._MOST_BYTES", 1)
    assert len(collect_lesions(all_stored)) == len(opened) == 1


def data_module(folder: Path, cases: dict[str, list[Case]], **changes: Any) -> SliceDataModule:
    settings = {
        "cases": cases,
        "store_dir": folder / "store",
        "recipe": RECIPES[0],
        "augment": Augmentation(**STILL, tumor_probability=1.0, tumor_copied_share=1.0),
        "batch_size": 4,
        "num_workers": 0,
    }
    return SliceDataModule(**{**settings, **changes})


def batches(data: SliceDataModule) -> list[dict[str, torch.Tensor]]:
    data.setup("fit")
    loader = data.train_dataloader()
    loader.sampler.set_epoch(2)
    return list(loader)


@pytest.mark.parametrize("changes", [{"context": 2}, {"regions": ("tumor",)}, {"recipe": RECIPES[1]}])
def test_lesions_come_from_training_cases_alone(
    cases: list[Case], tmp_path: Path, changes: dict[str, Any]
) -> None:
    subsets = {"train": cases[:2], "val": cases[2:3], "test": cases[3:]}
    data = data_module(tmp_path, subsets, **changes)
    healthy, tumors, radii_mm = [], [], []
    for batch in batches(data):
        hu, labels = batch["image"][:, data._context].numpy(), batch["labels"].numpy()
        copied = [inner(each == 2, 2) for each in labels]
        tumors += [float(values[core].mean()) for values, core in zip(hu, copied, strict=True) if core.any()]
        healthy.append(int(hu.max()))
        pixels, pixel_mm = (labels == 2).sum((1, 2)), batch["pixel_mm"].numpy()
        radii_mm += (pixel_mm * np.sqrt(pixels / np.pi))[pixels > 0].tolist()
    assert len(tumors) >= 8
    np.testing.assert_allclose(tumors, 70, atol=4)  # not 40, not 170
    assert max(healthy) < 110
    assert 6 < np.median([each for each in radii_mm if each > 0]) < 10  # 8.2, and slices that have two
    for batch in data.val_dataloader():
        expected = data.stored("val")[0].open_labels()[batch["slice"] - data.stored("val")[0].first_slice]
        np.testing.assert_array_equal(batch["labels"], expected)


@pytest.mark.parametrize("context", [0, 1])
def test_slices_with_copied_lesions_do_not_depend_on_the_number_of_workers(
    cases: list[Case], tmp_path: Path, context: int
) -> None:
    epochs = [
        batches(data_module(tmp_path, {"train": cases}, num_workers=n, context=context, augment=augment))
        for n in (0, 1, 2)
        for augment in [Augmentation(tumor_probability=0.7, tumor_copied_share=0.6)]
    ]
    assert len(epochs[0]) > 3
    for other in epochs[1:]:
        for one, same in zip(epochs[0], other, strict=True):
            assert all(torch.equal(one[name], same[name]) for name in one)


def test_without_a_lesion_to_copy_the_share_is_refused_before_training(
    cases: list[Case], tmp_path: Path
) -> None:
    told = "^tumor_copied_share: must be 0 where no training slice holds a tumor within liver, got 0.5$"
    copying = Augmentation(tumor_probability=0.5, tumor_copied_share=0.5)
    data = data_module(tmp_path, {"train": cases[1:2], "val": cases[2:]}, augment=copying, region_share=0)
    with pytest.raises(ConfigError, match=told):
        data.setup("fit")
    without = stored(cases[1:2], tmp_path)
    with pytest.raises(ConfigError, match=told):
        SliceDataset(without, augment=copying)
    SliceDataset(without, augment=Augmentation(tumor_probability=0.5))
    no_masks = [replace(each, mask=None) for each in without]
    assert "labels" not in SliceDataset(no_masks, augment=copying)[0]


def test_an_augmentation_of_any_other_kind_is_called_with_slice_and_seed_alone(
    cases: list[Case], tmp_path: Path
) -> None:
    def as_it_is(image: np.ndarray, labels: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        return image, labels

    for augment in (as_it_is, Augmentation(tumor_probability=1)):
        assert SliceDataset(stored(cases, tmp_path), augment=augment)[3]["labels"].any()
