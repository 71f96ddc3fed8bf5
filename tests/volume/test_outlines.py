"""Outlines of masks: whoever fills them, by whichever rule, finds the pixels that they were drawn around."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.path import Path as Polygon

from lts.volume._outlines import outlines

Mask = npt.NDArray[np.bool_]

SHAPES = {
    "one pixel": ["....", ".#..", "...."],
    "all": ["###", "###"],
    "touching at corners": ["#..", ".#.", "#.#"],
    "a hole": ["####.", "#.##.", "####."],
    "a hole that touches another at a corner": ["#####", "#.###", "##.##", "#####"],
    "holes side by side": ["########", "#.#..#.#", "#.##.#.#", "########"],
    "a hole above another": ["#####", "##..#", "#####", "#..##", "#####"],
    "a piece in a hole": ["#######", "#.....#", "#.###.#", "#.#.#.#", "#.###.#", "#.....#", "#######"],
    "a bay": ["#####", "#...#", "#.#.#", "#.#..", "#####"],
    "a comb": ["#.#.#", "#.#.#", "#####"],
    "a hole beside a bay": [".####", "##.##", "#.#.#", "#####"],
}


def _mask(drawn: list[str]) -> Mask:
    return np.array([[sign == "#" for sign in row] for row in drawn])


def _filled(polygons: list[npt.NDArray[np.float64]], shape: tuple[int, int]) -> npt.NDArray[np.int64]:
    """How many polygons hold the middle of each pixel, told by matplotlib."""
    rows, columns = np.indices(shape)
    middles = np.column_stack([columns.ravel(), rows.ravel()])
    return sum(
        (Polygon(polygon).contains_points(middles).astype(int) for polygon in polygons),
        np.zeros(len(middles), int),
    ).reshape(shape)


def _filled_with_the_line(polygons: list[npt.NDArray[np.float64]], shape: tuple[int, int]) -> Mask:
    """As rt-utils and other readers fill: corners become pixels, and the pixels of the line are inside."""
    drawn = np.zeros(shape, np.uint8)
    cv2.fillPoly(drawn, [np.around(polygon).astype(np.int32) for polygon in polygons], 1)
    return drawn > 0


def _area(polygon: npt.NDArray[np.float64]) -> float:
    """Of a polygon by its corners, negative where it runs the other way around."""
    x, y = polygon.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def _assert_comes_back(mask: Mask) -> None:
    found = outlines(mask)
    np.testing.assert_array_equal(_filled(found, mask.shape), mask)
    np.testing.assert_array_equal(_filled_with_the_line(found, mask.shape), mask)
    length = sum(np.abs(np.diff(polygon, axis=0, append=polygon[:1])).sum() for polygon in found)
    # a polygon that ran twice around something, or backward, would have another area
    assert 0 <= mask.sum() - sum(map(_area, found)) <= 1.01e-3 * length


@pytest.mark.parametrize("name", SHAPES)
def test_a_mask_comes_back_from_its_outlines(name: str) -> None:
    mask = _mask(SHAPES[name])
    for turned in (np.rot90(mask, turns) for turns in range(4)):
        _assert_comes_back(turned)
        _assert_comes_back(turned[::-1])


@pytest.mark.parametrize("share", [0.2, 0.5, 0.65, 0.8, 0.95])
def test_a_mask_of_random_pixels_comes_back_from_its_outlines(share: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        _assert_comes_back(rng.random((11, 14)) < share)


def test_an_outline_runs_along_the_edges_of_its_pixels() -> None:
    mask = np.zeros((4, 6), bool)
    mask[1:3, 4] = True
    (outline,) = outlines(mask)
    expected = [(4.499, 0.501), (4.499, 2.499), (3.501, 2.499), (3.501, 0.501)]  # columns, rows
    np.testing.assert_allclose(outline, expected, atol=1e-9)
    assert outlines(np.zeros((4, 6), bool)) == []


def test_each_piece_has_one_outline_and_no_two_meet() -> None:
    assert len(outlines(_mask(SHAPES["touching at corners"]))) == 4
    assert len(outlines(_mask(SHAPES["a piece in a hole"]))) == 2
    for drawn in SHAPES.values():
        corners = np.concatenate(outlines(_mask(drawn)))
        apart = np.abs(corners[:, None] - corners[None]).max(axis=2)
        assert (apart + np.eye(len(corners)) > 1e-3).all()  # no corner twice, not even in a channel
