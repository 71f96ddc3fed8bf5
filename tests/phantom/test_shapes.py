"""The geometry under the phantom scans: implicit shapes, their soft edges, smooth fields and noise."""

import numpy as np
import pytest

from lts.phantom.shapes import (
    Grid,
    capsule,
    ellipsoid,
    filled_share,
    join,
    largest_piece,
    meet,
    random_turn,
    smooth_field,
)
from lts.phantom.texture import ct_noise


def cube_grid(*, half_mm: float, spacing_mm: tuple[float, float, float]) -> Grid:
    lines = [np.arange(-half_mm, half_mm + step / 2, step, dtype=np.float32) for step in spacing_mm]
    z, y, x = np.meshgrid(*lines, indexing="ij")
    return Grid(z, y, x, spacing_mm)


def test_share_of_voxels_adds_up_to_the_volume_of_an_ellipsoid() -> None:
    grid = cube_grid(half_mm=30, spacing_mm=(3.0, 1.5, 1.0))
    turn = random_turn(np.random.default_rng(0), most_rad=1.5)
    share = filled_share(ellipsoid(grid, (1, 2, 3), (12, 16, 20), turn=turn), spacing_mm=grid.spacing_mm)
    assert share.dtype == np.float32
    assert share.sum() * 4.5 == pytest.approx(4 / 3 * np.pi * 12 * 16 * 20, rel=0.02)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_edges_are_one_voxel_wide_along_any_axis(axis: int) -> None:
    spacing_mm = [(2.5, 1.0, 1.0), (4.0, 2.5, 1.0), (4.0, 4.0, 2.5)][axis]
    grid = cube_grid(half_mm=20, spacing_mm=spacing_mm)
    coordinate = (grid.z, grid.y, grid.x)[axis]
    share = filled_share(coordinate - 0.25 * 2.5, spacing_mm=(1.0, 1.0, 4.0))
    line = np.moveaxis(share, axis, 0)[:, 0, 0]
    assert sorted({float(value) for value in line.round(3)}) == [0.0, 0.75, 1.0]


def test_sphere_is_measured_in_mm() -> None:
    grid = cube_grid(half_mm=20, spacing_mm=(2.0, 2.0, 2.0))
    sphere = ellipsoid(grid, (0, 0, 0), (8, 8, 8))
    expected = np.sqrt(grid.z**2 + grid.y**2 + grid.x**2) - 8
    np.testing.assert_allclose(sphere, expected, atol=0.01)


def test_turn_carries_the_axes_of_an_ellipsoid_along() -> None:
    grid = cube_grid(half_mm=20, spacing_mm=(2.0, 2.0, 2.0))
    from_x_to_y = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    long_in_x = ellipsoid(grid, (0, 0, 0), (5, 5, 15))
    turned = ellipsoid(grid, (0, 0, 0), (5, 5, 15), turn=from_x_to_y)
    np.testing.assert_allclose(turned, long_in_x.transpose(0, 2, 1), atol=1e-4)
    assert turned[10, 17, 10] < 0 < turned[10, 10, 17]


def test_tapering_tube_is_measured_in_mm() -> None:
    grid = cube_grid(half_mm=20, spacing_mm=(2.0, 2.0, 2.0))
    tube = capsule(grid, (-10, 0, 0), (10, 0, 0), 4, 2)
    assert tube[10, 10, 15] == pytest.approx(10 - 3)
    assert tube[0, 10, 10] == pytest.approx(10 - 4)
    assert tube[20, 10, 10] == pytest.approx(10 - 2)


def test_blended_union_lies_below_and_intersection_above_the_hard_ones() -> None:
    a, b = np.float32([[-3, 1, 0, 20]]), np.float32([[5, 2, 0, 1]])
    np.testing.assert_allclose(join(a, b, blend_mm=4), [[-3, 0.4375, -1, 1]])
    np.testing.assert_allclose(meet(a, b, blend_mm=4), [[5, 2.5625, 1, 20]])


def test_only_the_largest_piece_stays() -> None:
    shape = np.ones((1, 3, 7), np.float32)
    shape[0, 0, 0:2] = shape[0, 2, 3:7] = -1
    kept = largest_piece(shape)
    assert np.argwhere(kept < 0).tolist() == [[0, 2, x] for x in range(3, 7)]
    np.testing.assert_array_equal(largest_piece(kept), kept)


def test_turn_is_a_rotation() -> None:
    turn = random_turn(np.random.default_rng(3), most_rad=1.0)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)


def test_smooth_field_has_unit_variance_and_its_scale() -> None:
    field = smooth_field(np.random.default_rng(0), (120, 120, 120), spacing_mm=(2.0, 1.0, 1.0), scale_mm=5.0)
    assert field.mean() == pytest.approx(0, abs=0.05)
    assert field.std() == pytest.approx(1, abs=0.05)

    def correlation(axis: int, step: int) -> float:
        moved = np.moveaxis(field, axis, 0)
        return float(np.corrcoef(moved[step:].ravel(), moved[:-step].ravel())[0, 1])

    assert correlation(0, 1) == pytest.approx(correlation(2, 2), abs=0.03)
    assert correlation(2, 1) > 0.9
    assert abs(correlation(2, 20)) < 0.05


def test_is_standardized_correlated_in_plane_and_without_low_frequencies() -> None:
    noise = ct_noise(np.random.default_rng(0), (6, 128, 128), grain_voxels=0.6)
    assert noise.std() == pytest.approx(1, abs=0.001)
    neighbors = np.corrcoef(noise[:, :, 1:].ravel(), noise[:, :, :-1].ravel())[0, 1]
    assert 0.2 < neighbors < 0.8
    blocks = noise.reshape(6, 8, 16, 8, 16).mean((2, 4))
    white = np.random.default_rng(0).standard_normal(noise.shape).reshape(6, 8, 16, 8, 16).mean((2, 4))
    assert blocks.std() < 0.6 * white.std()
