"""What lies in a page comes back as it was, in bounded size, and no lesion vanishes."""

import gzip

import numpy as np
import pytest

from lts.viewer.embedding import box_to_show, pack_labels, pack_values

SHAPE = (5, 17, 23)
MUCH = 10.0**9


def unpacked(content: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers by their definition, pixel by pixel."""
    planes = np.frombuffer(gzip.decompress(content), np.uint8).reshape(shape[0], 2, -1).astype(int)
    numbers = np.zeros(shape, int)
    for z, (low, high) in enumerate(planes):
        for pixel, folded in enumerate(low + 256 * high):
            row, column = divmod(pixel, shape[2])
            step = folded // 2 if folded % 2 == 0 else -(folded + 1) // 2
            before = numbers[z, row, column - 1] if column else 0
            numbers[z, row, column] = (before + step + 32768) % 65536 - 32768
    return numbers


@pytest.mark.parametrize("high", [50, 1000, 32767])
def test_values_come_back_equal(high: int) -> None:
    numbers = np.random.default_rng(high).integers(-high - 1, high + 1, SHAPE).astype(np.int16)
    packed = pack_values(numbers, most_bytes=MUCH)
    assert packed.block == 1
    np.testing.assert_array_equal(unpacked(packed.content, SHAPE), numbers)


def test_a_scan_takes_less_than_its_numbers() -> None:
    smooth = np.cumsum(np.random.default_rng(0).integers(-9, 10, (4, 64, 64)), axis=2).astype(np.int16)
    assert len(pack_values(smooth, most_bytes=MUCH).content) < 0.7 * smooth.nbytes


def test_what_takes_too_much_is_shrunk_to_means_of_squares() -> None:
    numbers = np.random.default_rng(0).integers(-1000, 1000, (3, 30, 41)).astype(np.int16)
    whole = len(pack_values(numbers, most_bytes=MUCH).content)
    packed = pack_values(numbers, most_bytes=whole / 3)
    assert packed.block == 2
    assert len(packed.content) <= whole / 3
    means = unpacked(packed.content, (3, 15, 21))
    assert means[1, 4, 7] == round(numbers[1, 8:10, 14:16].mean())
    assert means[2, 14, 20] == round(numbers[2, 28:30, 40:].mean())  # at the edge, of what is there


def test_a_bound_that_nothing_meets_ends_with_a_pixel_a_slice() -> None:
    numbers = np.random.default_rng(0).integers(-1000, 1000, (6, 9, 4)).astype(np.int16)
    packed = pack_values(numbers, most_bytes=1)
    assert packed.block == 9
    np.testing.assert_array_equal(
        unpacked(packed.content, (6, 1, 1)).ravel(), np.rint(numbers.mean(axis=(1, 2)))
    )


def test_a_scan_that_a_browser_cannot_hold_is_shrunk_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.zeros((2, 20, 20), np.int16)
    monkeypatch.setattr("lts.viewer.embedding._MOST_UNPACKED", numbers.nbytes / 5)
    assert pack_values(numbers, most_bytes=MUCH).block == 3


def test_both_masks_keep_every_voxel() -> None:
    prediction, reference = np.random.default_rng(0).integers(0, 3, (2, *SHAPE)).astype(np.uint8)
    both = np.frombuffer(gzip.decompress(pack_labels(prediction, reference)), np.uint8).reshape(SHAPE)
    np.testing.assert_array_equal(both % 3, prediction)
    np.testing.assert_array_equal(both // 3, reference)


def test_the_box_holds_both_masks_and_ends_with_the_scan() -> None:
    prediction, reference = np.zeros((2, 40, 200, 200), np.uint8)
    prediction[2, 100, 150], reference[20, 90, 30] = 2, 1
    box = box_to_show(prediction, reference, spacing_mm=(5.0, 2.0, 1.0))
    # 25 mm are 5 slices, 13 rows, 25 columns.
    assert box == (slice(0, 26), slice(77, 114), slice(5, 176))
    nothing = np.zeros_like(reference)
    assert box_to_show(nothing, nothing, spacing_mm=(5.0, 2.0, 1.0)) == (
        slice(0, 40),
        slice(0, 200),
        slice(0, 200),
    )
