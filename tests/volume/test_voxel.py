"""Volumes and distances that follow from the edges of a voxel, straight or sheared."""

import math
import pickle

import numpy as np
import pytest
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from lts.base import VolumeError
from lts.volume import Geometry, Voxel

TURNED = Rotation.from_euler("xyz", (40, -25, 70), degrees=True).as_matrix()
TILTED = np.array([[0, 0, -0.7], [1.2, -0.7, 0], [3, 0, 0]])
"""Columns along z, h, w: slices 3 mm apart whose rows move 1.2 mm from each to the next."""


def test_a_straight_voxel_is_its_spacing() -> None:
    voxel = Voxel.of_spacing((2.5, 0.7, 1.1))
    assert voxel.spacing_mm == voxel.gaps_mm == (2.5, 0.7, 1.1)
    assert voxel.volume_ml == 2.5 * 0.7 * 1.1 / 1000
    assert not voxel.sheared
    assert voxel.positions_mm(np.array([[1, 2, 3]])).tolist() == [[2.5, 1.4, 3 * 1.1]]


@pytest.mark.parametrize("turn", [np.eye(3), TURNED])
def test_a_tilted_voxel_has_the_volume_of_its_planes_and_the_edges_of_its_axes(turn: np.ndarray) -> None:
    voxel = Voxel.of_matrix(turn @ TILTED)
    assert voxel.sheared
    assert voxel.spacing_mm == pytest.approx((math.hypot(3, 1.2), 0.7, 0.7))
    assert voxel.volume_ml == pytest.approx(3 * 0.7 * 0.7 / 1000)
    # planes of rows stand upright no more: they lie nearer to each other than along their own edge
    assert voxel.gaps_mm == pytest.approx((3, 0.7 * 3 / math.hypot(3, 1.2), 0.7))
    assert voxel.largest_cosine == pytest.approx(1.2 / math.hypot(3, 1.2))


@pytest.mark.parametrize("seed", range(3))
def test_volumes_and_distances_are_those_of_the_world(seed: int) -> None:
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3] = rng.normal(size=(3, 4)) + 2 * np.eye(3, 4)
    voxel = Geometry.from_affine(affine, shape=(4, 5, 6)).voxel
    geometry = Geometry.from_affine(affine, shape=(4, 5, 6))
    corners = np.array(list(np.ndindex(2, 2, 2))) @ geometry.canonical_affine[:3, :3].T
    assert voxel.volume_ml == pytest.approx(ConvexHull(corners).volume / 1000)
    index = rng.integers(0, 4, (20, 3))
    world = index @ geometry.canonical_affine[:3, :3].T
    places = voxel.positions_mm(index)
    between = np.linalg.norm(world[:, None] - world, axis=2)
    np.testing.assert_allclose(np.linalg.norm(places[:, None] - places, axis=2), between, atol=1e-9)


@pytest.mark.parametrize(("cosine", "sheared"), [(0.99e-4, False), (1.01e-4, True)])
def test_how_far_an_angle_may_be_from_a_right_one(cosine: float, sheared: bool) -> None:
    matrix = np.diag([3.0, 0.7, 0.7])
    matrix[1, 0] = 3 * cosine
    assert Voxel.of_matrix(TURNED @ matrix).sheared == sheared


def test_a_turned_grid_of_right_angles_has_its_figures_to_the_last_bit() -> None:
    affine = np.eye(4)
    affine[:3, :3] = TURNED * (0.7, 0.7, 2.5)
    voxel = Geometry.from_affine(affine, shape=(4, 5, 6)).voxel
    index = np.array([[3, 1, 2], [0, 5, 7]])
    assert voxel.volume_ml == math.prod(voxel.spacing_mm) / 1000
    assert (voxel.positions_mm(index) == index * voxel.spacing_mm).all()


def test_voxels_are_values() -> None:
    voxel = Voxel.of_matrix(TILTED)
    assert pickle.loads(pickle.dumps(voxel)) == voxel
    assert hash(voxel) == hash(Voxel.of_matrix(TILTED))


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0), (1.0, 0.0, 1.0), (1, 1, math.nan), (math.inf, 1, 1)])
def test_a_spacing_that_is_no_size_is_refused(spacing_mm: tuple[float, ...]) -> None:
    with pytest.raises(VolumeError, match=r"spacing_mm: must be three sizes > 0 mm, got \("):
        Voxel.of_spacing(spacing_mm)


@pytest.mark.parametrize("matrix", [np.ones((3, 3)), np.diag([1, 1, np.nan]), np.diag([1, 0, 1])])
def test_edges_that_span_no_space_are_refused(matrix: np.ndarray) -> None:
    with pytest.raises(VolumeError, match=r"edges_mm: must be finite and span three directions, got \("):
        Voxel.of_matrix(matrix)
