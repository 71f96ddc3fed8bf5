"""Values as numbers of two bytes, and the gray windows that a page opens with."""

import numpy as np
import pytest

from lts.viewer import ValueScale, gray_windows


def test_an_mr_in_fractions_keeps_its_scale() -> None:
    signal = np.random.default_rng(0).gamma(2, 0.3, (3, 4, 5)).astype(np.float32)
    scale = ValueScale.of(signal)
    stored = scale.stored(signal)
    assert np.abs(stored * scale.slope + scale.intercept - signal).max() <= scale.slope
    assert (stored.min(), stored.max()) == (-32768, 32767)
    first = gray_windows(signal, np.zeros(signal.shape, np.uint8), modality="mr")[0]
    low, high = np.percentile(signal, (1, 99))
    assert first["level"] == pytest.approx((low + high) / 2)
    assert first["width"] == pytest.approx(high - low)
    flat = np.full((2, 2, 2), 7.5, np.float32)
    scale = ValueScale.of(flat)
    assert scale.stored(flat)[0, 0, 0] * scale.slope + scale.intercept == pytest.approx(7.5)
    assert gray_windows(flat, np.zeros(flat.shape, np.uint8), modality="mr")[0]["width"] > 0


@pytest.mark.parametrize("median_hu", [55, 113, 187])
def test_the_first_window_shows_the_liver_of_the_scan_in_gray(median_hu: int) -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((8, 64, 64), np.uint8)
    labels[2:6, 10:50, 10:50], labels[3:5, 20:30, 20:30] = 1, 2
    hu = np.full(labels.shape, -1000, np.int16)
    hu[labels == 1] = rng.normal(median_hu, 22, (labels == 1).sum())
    hu[labels == 2] = median_hu - 50
    liver, soft_tissue = gray_windows(hu, labels, modality="ct")
    assert (liver["name"], soft_tissue["width"]) == ("Liver", 400)
    assert liver["level"] == pytest.approx(median_hu, abs=2)
    low, high = (liver["level"] + sign * liver["width"] / 2 for sign in (-1, 1))
    assert np.mean((hu[labels == 1] < low) | (hu[labels == 1] > high)) < 0.005
    assert low < median_hu - 50  # a darker tumor is no black hole
    assert liver["width"] < 200
    labels[:, :10] = 1  # a mask that leaks into the air
    assert gray_windows(hu, labels, modality="ct")[0]["width"] == 300


def test_without_a_liver_the_first_window_is_that_of_any_liver() -> None:
    hu = np.zeros((2, 4, 4), np.int16)
    liver, _ = gray_windows(hu, np.zeros(hu.shape, np.uint8), modality="ct")
    assert liver["level"] - liver["width"] / 2 < 0
    assert liver["level"] + liver["width"] / 2 >= 200
    flat, _ = gray_windows(hu, np.ones(hu.shape, np.uint8), modality="ct")
    assert (flat["level"], flat["width"]) == (0, 150)
