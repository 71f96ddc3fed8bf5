"""Tumors painted into healthy liver: where they lie, how they look, and that only the seed decides."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from lts.base import ConfigError
from lts.data import Augmentation, paint_tumor

LIVER_HU, AROUND_HU, NOISE_HU = 110, -80, 12
EVEN = {"size": (0.3, 0.3), "contrast_hu": (40, 40), "bright_share": 1.0}
"""Bright ones are even inside."""


def scan(*, slices: int = 1, side: int = 128, noise_hu: float = 0) -> tuple[np.ndarray, np.ndarray]:
    """A round liver, left of the middle, in fat."""
    rows, columns = np.mgrid[:side, :side]
    liver = (rows - side * 0.5) ** 2 + (columns - side * 0.4) ** 2 < (0.3 * side) ** 2
    hu = np.where(liver, LIVER_HU, AROUND_HU) + np.zeros((slices, 1, 1))
    noise = np.random.default_rng(0).normal(0, noise_hu, hu.shape) if noise_hu else 0
    return np.rint(hu + noise).astype(np.int16), liver.astype(np.uint8)


def paint(
    image: np.ndarray, labels: np.ndarray, seed: int = 0, **settings: Any
) -> tuple[np.ndarray, np.ndarray]:
    return paint_tumor(image, labels, np.random.default_rng(seed), **{**EVEN, **settings})


@pytest.mark.parametrize("seed", range(20))
def test_a_tumor_is_one_piece_within_the_liver_with_the_contrast_that_was_asked_for(seed: int) -> None:
    image, labels = scan()
    painted, marked = paint(image, labels, seed)
    tumor = marked == 2
    assert ndimage.label(tumor)[1] == 1
    assert (labels[tumor] == 1).all()
    assert ((marked == labels) | tumor).all()
    core = ndimage.binary_erosion(tumor, iterations=2)
    assert painted[0][core].mean() == pytest.approx(LIVER_HU + 40, abs=4)
    beyond = ndimage.binary_dilation(tumor, iterations=4)
    np.testing.assert_array_equal(painted[0][~beyond], image[0][~beyond])


def test_sizes_and_signs_are_those_of_the_ranges() -> None:
    image, labels = scan()
    liver_mm = 2 * np.sqrt(labels.sum() / np.pi)

    def diameters(**settings: Any) -> np.ndarray:
        marked = [paint(image, labels, seed, **settings)[1] == 2 for seed in range(60)]
        return 2 * np.sqrt(np.array([tumor.sum() for tumor in marked]) / np.pi) / liver_mm

    # Stretched and rough, and cut where they meet the edge of the liver.
    assert np.median(diameters(size=(0.2, 0.2))) == pytest.approx(0.2, rel=0.1)
    drawn = diameters(size=(0.1, 0.4))
    assert np.median(drawn) == pytest.approx(0.2, rel=0.25)  # of a logarithmic scale
    assert drawn.min() < 0.14
    assert drawn.max() > 0.3
    painted = [paint(image, labels, seed, bright_share=0.25) for seed in range(200)]
    brighter = [bool(hu[0][marked == 2].mean() > LIVER_HU) for hu, marked in painted]
    assert 0.15 < np.mean(brighter) < 0.35


def test_the_noise_of_the_scan_goes_through() -> None:
    image, labels = scan(noise_hu=NOISE_HU)
    painted, marked = paint(image, labels, size=(0.5, 0.5))
    core = ndimage.binary_erosion(marked == 2, iterations=3)
    fine = [(hu[0] - ndimage.gaussian_filter(hu[0].astype(float), 1.5))[core] for hu in (painted, image)]
    assert fine[0].std() == pytest.approx(fine[1].std(), rel=0.05)
    assert np.corrcoef(*fine)[0, 1] > 0.95


def test_at_the_edge_of_the_liver_nothing_is_brighter_than_the_liver() -> None:
    image, labels = scan()
    for seed in range(40):
        painted, _ = paint(image, labels, seed, size=(0.8, 0.8), bright_share=0.0, contrast_hu=(60, 60))
        rim_of_liver = (labels == 1) & ~ndimage.binary_erosion(labels == 1, iterations=2)
        assert painted[0][rim_of_liver].max() < LIVER_HU + 45  # an enhancing rim, 18 and its unevenness


def test_neighbors_show_other_cuts_of_the_same_tumor() -> None:
    image, labels = scan(slices=5)
    sizes = []
    for seed in range(30):
        share = 0.1 if seed % 2 else 0.3
        painted, marked = paint(image, labels, seed, size=(share, share))
        changed = [np.abs(hu - before) > 20 for hu, before in zip(painted, image, strict=True)]
        assert changed[2].any()
        assert (changed[2] <= ndimage.binary_dilation(marked == 2, iterations=2)).all()
        sizes.append([each.sum() for each in changed])
        for here, there in pairwise(changed):
            smaller, larger = sorted((here, there), key=np.sum)
            assert (smaller & ~larger).sum() <= 1 + 0.03 * smaller.sum()  # one lies within the other
    assert len({tuple(each) for each in sizes}) == 30
    assert min(each[0] for each in sizes) == 0  # it ends within the five slices at times


def test_what_has_no_healthy_liver_stays_as_it_is() -> None:
    image, labels = scan()
    for without in (np.zeros_like(labels), labels * 2, np.eye(128, dtype=np.uint8)[:40].repeat(1, 0)):
        same = np.zeros((128, 128), np.uint8)
        same[: len(without)] = without[:128]
        same[same == 1] = 0
        painted, marked = paint(image, same)
        assert painted is image
        assert marked is same


def test_tumors_that_are_there_are_kept() -> None:
    image, labels = scan()
    labels[60:68, 40:48] = 2
    for seed in range(30):
        _, marked = paint(image, labels, seed, size=(0.6, 0.6))
        assert (marked[labels == 2] == 2).all()
        assert (marked[labels == 0] == 0).all()


def test_the_augmentation_draws_them_by_their_probability_and_changes_no_other_draw() -> None:
    image, labels = scan(noise_hu=NOISE_HU)
    with_tumors = Augmentation(tumor_probability=0.3)
    without, never = Augmentation(), Augmentation(tumor_probability=0.0, tumor_size=(0.2, 0.2))
    n_tumors = 0
    for seed in range(300):
        hu, marked = with_tumors(image, labels, seed=seed)
        again, _ = with_tumors(image, labels, seed=seed)
        np.testing.assert_array_equal(hu, again)
        expected, of_liver = without(image, labels, seed=seed)
        np.testing.assert_array_equal(never(image, labels, seed=seed)[0], expected)
        np.testing.assert_array_equal(marked > 0, of_liver > 0)  # the same flips and rotation
        if (marked == 2).any():
            n_tumors += 1
        else:
            np.testing.assert_array_equal(hu, expected)
    assert 60 < n_tumors < 120


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"tumor_probability": 1.5}, r"tumor_probability: must be a number in \[0, 1\], got 1.5"),
        ({"tumor_size": (0, 0.5)}, r"tumor_size: must be > 0, got \[0, 0.5\]"),
        ({"tumor_size": (0.5, 2)}, r"tumor_size: must be a number in \[0, 1\], got 2"),
        ({"tumor_contrast_hu": (50, 20)}, "tumor_contrast_hu: the lowest value must come first"),
        ({"tumor_bright_share": -1}, r"tumor_bright_share: must be a number in \[0, 1\], got -1"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=f"^{told}"):
        Augmentation(**settings)
