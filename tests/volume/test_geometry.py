"""The axes of a grid on disk, in memory and in the patient."""

import pickle
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lts.base import VolumeError
from lts.volume import Geometry, read_ct, read_geometry

# An asymmetric body: its corner (z, h, w) = (0, 0, 0) is at the feet, the front and the patient's right.
SHAPE_ZHW = (7, 6, 5)
SPACING_ZHW = (2.5, 0.75, 0.5)
CORNER_RAS = (10.0, 20.0, -30.0)
BODY = np.arange(np.prod(SHAPE_ZHW), dtype=np.int16).reshape(SHAPE_ZHW)
CANONICAL_AFFINE = np.array([[0, 0, -0.5, 10], [0, -0.75, 0, 20], [2.5, 0, 0, -30], [0, 0, 0, 1]])

ORIENTATIONS = [
    "".join(codes) for axes in permutations(["RL", "AP", "SI"]) for codes in product(*axes)
]  # fmt: skip


def _on_disk(codes: str) -> tuple[np.ndarray, np.ndarray]:
    """The body as a file of these axes stores it, voxel by voxel, with its affine."""
    affine = np.eye(4)
    affine[:3, 3] = CORNER_RAS
    shape = []
    for column, code in enumerate(codes):
        world = next(axis for axis, pair in enumerate(("RL", "AP", "SI")) if code in pair)
        memory = 2 - world
        step = SPACING_ZHW[memory] * (1 if code in "RAS" else -1)
        affine[:3, column] = 0
        affine[world, column] = step
        shape.append(SHAPE_ZHW[memory])
        if code in "RAI":  # against the axis in memory: the file starts at its far end
            affine[world, 3] -= step * (SHAPE_ZHW[memory] - 1)
    disk = np.empty(shape, dtype=np.int16)
    for index in np.ndindex(*shape):
        x, y, z, _ = affine @ (*index, 1)
        disk[index] = BODY[round((z + 30) / 2.5), round((20 - y) / 0.75), round((10 - x) / 0.5)]
    return disk, affine


def _oblique(angles_deg: tuple[float, float, float], codes: str = "LPS") -> np.ndarray:
    affine = _on_disk(codes)[1]
    rotation = np.eye(4)
    rotation[:3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    return rotation @ affine


def _linear(*rows: list[float]) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = rows
    return affine


def test_there_are_48_axis_orders() -> None:
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_the_same_body_is_in_memory_for_every_axis_order(codes: str) -> None:
    disk, affine = _on_disk(codes)
    geometry = Geometry.from_affine(affine, shape=disk.shape)

    assert geometry.axes == codes
    assert geometry.canonical_shape == SHAPE_ZHW
    assert geometry.spacing_mm == pytest.approx(SPACING_ZHW)
    np.testing.assert_allclose(geometry.canonical_affine, CANONICAL_AFFINE, atol=1e-5)
    np.testing.assert_array_equal(geometry.to_canonical(disk), BODY)
    np.testing.assert_array_equal(geometry.to_disk(BODY), disk)
    assert np.shares_memory(geometry.to_canonical(disk), disk)
    assert np.shares_memory(geometry.to_disk(BODY), BODY)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_nibabel_and_simpleitk_see_the_same_body(codes: str, tmp_path: Path) -> None:
    disk, affine = _on_disk(codes)
    path = tmp_path / "body.nii"
    nib.save(nib.Nifti1Image(disk, affine), path)
    volume = read_ct(path)
    assert volume.voxels.flags.c_contiguous

    ras = np.asanyarray(nib.as_closest_canonical(nib.load(path)).dataobj)
    np.testing.assert_array_equal(volume.voxels, ras[::-1, ::-1].transpose(2, 1, 0))
    lps = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(path)), "LPS")
    np.testing.assert_array_equal(volume.voxels, SimpleITK.GetArrayFromImage(lps))
    for z, h, w in [(0, 0, 0), (6, 5, 4), (3, 1, 2)]:
        x, y, up = lps.TransformIndexToPhysicalPoint((w, h, z))
        seen = volume.geometry.canonical_affine @ (z, h, w, 1)
        np.testing.assert_allclose(seen[:3], (-x, -y, up), atol=1e-4)


@pytest.mark.parametrize("codes", ["LPS", "RAS", "AIL", "SRP"])
def test_right_front_and_head_lie_at_small_w_small_h_and_large_z(codes: str) -> None:
    disk, affine = _on_disk(codes)
    right_front_head = np.array([10.0, 20.0, -15.0, 1.0])
    index = tuple(np.rint(np.linalg.solve(affine, right_front_head)).astype(int)[:3])
    marked = np.zeros_like(disk)
    marked[index] = 1
    seen = Geometry.from_affine(affine, shape=disk.shape).to_canonical(marked)
    assert np.argwhere(seen).tolist() == [[6, 0, 0]]


@given(
    angles_deg=st.tuples(*[st.floats(-180, 180)] * 3),
    codes=st.sampled_from(ORIENTATIONS),
)
@settings(max_examples=60)
def test_oblique_grids_keep_every_voxel_at_its_place(
    angles_deg: tuple[float, float, float], codes: str
) -> None:
    shape = _on_disk(codes)[0].shape
    affine = _oblique(angles_deg, codes)
    geometry = Geometry.from_affine(affine, shape=shape)
    disk = np.arange(np.prod(shape)).reshape(shape)
    memory = geometry.to_canonical(disk)

    np.testing.assert_array_equal(geometry.to_disk(memory), disk)
    for index in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (4, 3, 2)]:
        zhw = np.argwhere(memory == disk[index])[0]
        np.testing.assert_allclose(geometry.canonical_affine @ (*zhw, 1), affine @ (*index, 1), atol=1e-3)
    ras = nib.as_closest_canonical(nib.Nifti1Image(disk.astype(np.int32), geometry.affine))
    np.testing.assert_array_equal(memory, np.asanyarray(ras.dataobj)[::-1, ::-1].transpose(2, 1, 0))


def test_a_tilted_axis_takes_the_direction_it_is_nearest_to() -> None:
    geometry = Geometry.from_affine(_oblique((30, 0, 0)), shape=(5, 6, 7))
    assert geometry.axes == "LPS"
    assert Geometry.from_affine(_oblique((60, 0, 0)), shape=(5, 6, 7)).axes == "LIP"


def test_the_volume_of_a_sheared_voxel_is_not_the_product_of_its_edges() -> None:
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[1, 2] = 4.0  # a gantry tilt: the edge is 5 mm long, the slices lie 3 mm apart
    geometry = Geometry.from_affine(affine, shape=(2, 2, 2))
    assert geometry.spacing_mm == pytest.approx((5, 2, 1))
    assert geometry.voxel_volume_ml == pytest.approx(0.006)


@pytest.mark.parametrize(
    ("unit", "to_mm"), [("meter", 1000.0), ("mm", 1.0), ("micron", 0.001), ("unknown", 1.0)]
)
def test_units_of_the_header_are_turned_into_mm(unit: str, to_mm: float, tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.diag([-0.5, -0.75, 2.5, 1]))
    image.header.set_xyzt_units(unit, "sec")
    nib.save(image, tmp_path / "a.nii")
    spacing = read_geometry(tmp_path / "a.nii").spacing_mm
    assert spacing == pytest.approx((2.5 * to_mm, 0.75 * to_mm, 0.5 * to_mm))
    assert spacing == pytest.approx(SimpleITK.ReadImage(str(tmp_path / "a.nii")).GetSpacing()[::-1])


def test_the_qform_counts_where_no_sform_is_stated(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((5, 6, 7), np.int16), None)
    image.header.set_qform(_oblique((20, -10, 5), "RAI"), code=1)
    assert image.header["pixdim"][0] == -1  # left-handed, which the quaternion alone cannot say
    nib.save(image, tmp_path / "a.nii")
    np.testing.assert_allclose(
        read_geometry(tmp_path / "a.nii").affine, _oblique((20, -10, 5), "RAI"), atol=1e-5
    )


def test_grids_are_compared_and_kept_by_value() -> None:
    one, same = (Geometry.from_affine(np.diag([-1, -2, 3, 1]), shape=(2, 3, 4)) for _ in range(2))
    assert one.axes == "LPS"
    assert (one, hash(one)) == (same, hash(same))
    assert one == pickle.loads(pickle.dumps(one))
    assert one != Geometry.from_affine(np.diag([-1, -2, 3.5, 1]), shape=(2, 3, 4))
    assert one != Geometry.from_affine(np.diag([-1, -2, 3, 1]), shape=(2, 3, 5))
    with pytest.raises(ValueError, match="read-only"):
        one.affine[0, 0] = 5


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (np.eye(3), r"affine must be 4x4, got shape \(3, 3\)"),
        (np.diag([np.nan, 1, 1, 1]), "affine must be finite"),
        (np.diag([np.inf, 1, 1, 1]), "affine must be finite"),
        (np.diag([1e300, 1, 1, 1]), "affine must be finite"),
        (np.diag([1.0, 0, 1, 1]), "affine must span three directions"),
        (np.diag([1.0, 1e-300, 1, 1]), "affine must span three directions"),
        (_linear([1, 1, 0], [1, 1, 0], [0, 0, 1]), "affine must span three directions"),
        (_linear([1, 0, 1], [0, 1, 1], [0, 0, 1e-6]), "affine must span three directions"),
    ],
)
def test_degenerate_affines_are_refused(affine: np.ndarray, message: str) -> None:
    with pytest.raises(VolumeError, match=message):
        Geometry.from_affine(affine, shape=(2, 3, 4))


@pytest.mark.parametrize("shape", [(0, 2, 2), (2, 2, 32768)])
def test_shapes_beyond_the_format_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(VolumeError, match=r"shape must be 1 to 32767 along each axis, got \("):
        Geometry.from_affine(np.eye(4), shape=shape)


def test_arrays_of_another_shape_are_refused() -> None:
    geometry = Geometry.from_affine(np.eye(4), shape=(2, 3, 4))
    with pytest.raises(VolumeError, match=r"grid's shape \(2, 3, 4\), got \(4, 3, 2\)"):
        geometry.to_canonical(np.zeros((4, 3, 2)))
    with pytest.raises(VolumeError, match=r"grid's shape \(4, 3, 2\), got \(2, 3, 4\)"):
        geometry.to_disk(np.zeros((2, 3, 4)))
