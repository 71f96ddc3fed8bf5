import math
from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK
import torch
from monai.metrics import (
    compute_average_surface_distance,
    compute_hausdorff_distance,
    compute_surface_dice,
)
from scipy import ndimage
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from lts.scores.surfaces import SurfaceDistances, surface_distances
from lts.volume import Voxel, read_geometry, read_mask

SPACING_MM = (2.5, 0.7, 1.1)
# MONAI warns of an argument that it passes to itself.
QUIET_MONAI = pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
Pair = tuple[np.ndarray, np.ndarray]


def points(*indices: tuple[int, int, int], shape: tuple[int, int, int] = (4, 5, 6)) -> np.ndarray:
    """True at the voxels named."""
    mask = np.zeros(shape, bool)
    mask[tuple(np.array(indices).T)] = True
    return mask


def measured(prediction: np.ndarray, reference: np.ndarray, spacing_mm=SPACING_MM) -> SurfaceDistances:
    distances = surface_distances(prediction, reference, voxel=Voxel.of_spacing(spacing_mm))
    assert distances is not None
    return distances


def blobs(seed: int, shape: tuple[int, int, int], *, coverage: float, smooth: float) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=shape)
    if smooth:
        noise = ndimage.gaussian_filter(noise, smooth, mode="wrap")
    return noise > np.quantile(noise, 1 - coverage)


def specks(seed: int, shape: tuple[int, int, int], count: int) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask.flat[np.random.default_rng(seed).choice(mask.size, count, replace=False)] = True
    return mask


# Where a mask fills much of the box its surface is dense in it, and distances are found in another way.
PAIRS: dict[str, Callable[[], Pair]] = {
    "noise": lambda: (
        blobs(0, (7, 9, 8), coverage=0.5, smooth=0),
        blobs(1, (7, 9, 8), coverage=0.3, smooth=0),
    ),
    "bodies on the border": lambda: (
        blobs(2, (10, 14, 12), coverage=0.4, smooth=2),
        blobs(3, (10, 14, 12), coverage=0.5, smooth=2),
    ),
    "specks": lambda: (specks(4, (20, 30, 25), 40), specks(5, (20, 30, 25), 60)),
    "noise and a speck": lambda: (
        blobs(6, (9, 12, 10), coverage=0.4, smooth=0),
        points((4, 10, 3), shape=(9, 12, 10)),
    ),
    "far apart": lambda: (
        np.pad(blobs(7, (5, 6, 5), coverage=0.6, smooth=0), ((20, 0), (0, 35), (1, 30))),
        np.pad(blobs(8, (5, 6, 5), coverage=0.6, smooth=0), ((0, 20), (35, 0), (30, 1))),
    ),
    "one inside the other": lambda: (
        np.pad(np.ones((3, 3, 3), bool), 8),
        np.pad(np.ones((17, 17, 17), bool), 1),
    ),
}


@pytest.fixture(params=PAIRS)
def pair(request: pytest.FixtureRequest) -> Pair:
    return PAIRS[request.param]()


def plain_surface(mask: np.ndarray) -> np.ndarray:
    """Voxels with one of six neighbors outside the mask or the image, one by one."""

    def is_set(index: tuple[int, ...]) -> bool:
        inside = all(0 <= n < side for n, side in zip(index, mask.shape, strict=True))
        return inside and bool(mask[index])

    steps = [np.eye(3, dtype=int)[axis] * sign for axis in range(3) for sign in (1, -1)]
    return np.array(
        [
            voxel
            for voxel in np.argwhere(mask).tolist()
            if not all(is_set(tuple((voxel + step).tolist())) for step in steps)
        ]
    )


def test_distances_are_those_of_all_pairs_of_surface_voxels(pair: Pair) -> None:
    prediction, reference = (plain_surface(mask) * SPACING_MM for mask in pair)
    table = cdist(prediction, reference)
    found = measured(*pair)
    assert found.from_prediction == pytest.approx(table.min(axis=1), abs=1e-12)
    assert found.from_reference == pytest.approx(table.min(axis=0), abs=1e-12)
    both = np.concatenate([table.min(axis=1), table.min(axis=0)])
    assert found.assd_mm == pytest.approx(both.mean(), abs=1e-12)
    assert found.msd_mm == pytest.approx(both.max(), abs=1e-12)
    assert found.nsd(2.0) == pytest.approx((both <= 2.0).mean(), abs=1e-12)


def test_a_liver_in_a_large_field_of_view_is_measured_to_all_pairs() -> None:
    # Surfaces thin in their box, as real ones are.
    z, y, x = np.ogrid[:24, :60, :60]
    ball = ((z - 11) * 2.5) ** 2 + ((y - 29) * 0.7) ** 2 + ((x - 28) * 1.1) ** 2 < 19**2
    other = np.roll(ball, (1, 4, -3), axis=(0, 1, 2)) & (x < 40)
    table = cdist(plain_surface(ball) * SPACING_MM, plain_surface(other) * SPACING_MM)
    found = measured(ball, other)
    assert found.from_prediction == pytest.approx(table.min(axis=1), abs=1e-12)
    assert found.from_reference == pytest.approx(table.min(axis=0), abs=1e-12)


EDGES_MM = Rotation.from_euler("xyz", (20, 30, 40), degrees=True).as_matrix() @ [
    [2.5, 0.0, 0.0],
    [1.6, 0.7, 0.0],
    [-0.9, 0.5, 1.1],
]


def test_on_a_sheared_grid_distances_are_those_of_all_pairs_in_the_world(pair: Pair) -> None:
    # dense ones too: a distance transform would take the axes for straight
    table = cdist(*(plain_surface(mask) @ EDGES_MM.T for mask in pair))
    found = surface_distances(*pair, voxel=Voxel.of_matrix(EDGES_MM))
    assert found.from_prediction == pytest.approx(table.min(axis=1), abs=1e-12)
    assert found.from_reference == pytest.approx(table.min(axis=0), abs=1e-12)
    straight = measured(*pair, Voxel.of_matrix(EDGES_MM).spacing_mm)
    assert found.assd_mm != pytest.approx(straight.assd_mm, rel=1e-3)


def test_a_plane_of_a_tilted_scan_lies_3_mm_above_the_one_below_it() -> None:
    # 30 degrees: the edge from slice to slice is 3.46 mm long, and the next voxel above lies 0.27 mm aside
    voxel = Voxel.of_matrix([[0, 0, 1], [-math.tan(math.radians(30)) * 3, 1, 0], [3, 0, 0]])
    slab = np.zeros((4, 30, 30), bool)
    slab[1, 5:25, 5:25] = True
    found = surface_distances(slab, np.roll(slab, 1, axis=0), voxel=voxel)
    assert found.from_reference.min() == pytest.approx(math.hypot(3, 3 * math.tan(math.radians(30)) - 2))
    assert found.msd_mm == pytest.approx(math.hypot(3, 3 * math.tan(math.radians(30))))


def of_monai(prediction: np.ndarray, reference: np.ndarray, spacing_mm, tolerance_mm: float) -> list[float]:
    """ASSD, HD95, maximum and NSD.

    With `symmetric=True` MONAI pools both directions, erodes with 6 neighbors and pads the image, as here.
    It stores distances as float32.
    """
    sides = [torch.from_numpy(mask)[None, None] for mask in (prediction, reference)]
    rules = {"include_background": True, "spacing": spacing_mm}
    found = (
        compute_average_surface_distance(*sides, symmetric=True, **rules),
        compute_hausdorff_distance(*sides, percentile=95, **rules),
        compute_hausdorff_distance(*sides, **rules),
        compute_surface_dice(*sides, class_thresholds=[tolerance_mm], **rules),
    )
    return [float(value) for value in found]


@QUIET_MONAI
def test_scores_are_those_of_monai(pair: Pair) -> None:
    found = measured(*pair)
    # No distance lies near this tolerance, where float32 could decide.
    ours = [found.assd_mm, found.hd95_mm, found.msd_mm, found.nsd(2.05)]
    assert ours == pytest.approx(of_monai(*pair, SPACING_MM, 2.05), rel=1e-6)


def of_simpleitk(mask: np.ndarray, other: np.ndarray, spacing_mm) -> np.ndarray:
    """Distances from one surface to the other, float32.

    Its contour leaves the border of the image out, so the masks are padded. Its distance map is negative
    within thick parts of a surface, where a surface voxel has distance 0.
    """

    def contour(side: np.ndarray) -> SimpleITK.Image:
        image = SimpleITK.GetImageFromArray(np.pad(side, 1).astype(np.uint8))
        image.SetSpacing(spacing_mm[::-1])
        return SimpleITK.BinaryContour(image, fullyConnected=False)

    far = SimpleITK.SignedMaurerDistanceMap(contour(other), squaredDistance=False, useImageSpacing=True)
    at = SimpleITK.GetArrayFromImage(contour(mask)) > 0
    return np.maximum(SimpleITK.GetArrayFromImage(far)[at], 0)


def test_distances_are_those_of_simpleitk(pair: Pair) -> None:
    found = measured(*pair)
    assert found.from_prediction == pytest.approx(of_simpleitk(*pair, SPACING_MM), rel=1e-6, abs=1e-6)
    assert found.from_reference == pytest.approx(of_simpleitk(*pair[::-1], SPACING_MM), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("axis", range(3))
def test_two_voxels_apart_measure_two_spacings(axis: int) -> None:
    start, end = [1, 1, 1], [1, 1, 1]
    end[axis] += 2
    found = measured(points(tuple(start)), points(tuple(end)))
    assert found.from_prediction.tolist() == [2 * SPACING_MM[axis]]
    assert found.from_reference.tolist() == [2 * SPACING_MM[axis]]
    assert found.assd_mm == found.hd95_mm == found.msd_mm == 2 * SPACING_MM[axis]


def test_one_voxel_each_measure_their_diagonal() -> None:
    found = measured(points((0, 0, 0)), points((1, 2, 3)))
    assert found.msd_mm == pytest.approx(math.hypot(2.5, 2 * 0.7, 3 * 1.1))


def test_the_nearest_voxel_is_the_one_nearest_in_mm() -> None:
    # Three columns are 3.3 mm; one slice is 2.5.
    found = measured(points((1, 1, 1)), points((2, 1, 1), (1, 1, 4)))
    assert found.from_prediction.tolist() == [2.5]
    assert found.from_reference == pytest.approx([3.3, 2.5])  # in the order of the array: slice 1 comes first


def test_directions_are_pooled_and_not_averaged() -> None:
    # From one voxel 1 mm; back from three voxels 1, 2 and 3 mm.
    row = (1, 8, 1)
    found = measured(
        points((0, 3, 0), shape=row),
        points((0, 4, 0), (0, 5, 0), (0, 6, 0), shape=row),
        spacing_mm=(1.0, 1.0, 1.0),
    )
    assert found.from_prediction.tolist() == [1]
    assert found.from_reference.tolist() == [1, 2, 3]
    assert found.assd_mm == pytest.approx(7 / 4)
    assert found.msd_mm == 3
    assert found.hd95_mm == pytest.approx(2.9)
    assert [found.nsd(mm) for mm in (0, 0.99, 1, 2, 3)] == [0, 0, 1 / 2, 3 / 4, 1]


def test_the_percentile_is_the_larger_of_two_and_not_that_of_the_pool() -> None:
    found = SurfaceDistances(
        from_prediction=np.arange(21, dtype=np.float64), from_reference=np.full(979, 0.5)
    )
    assert found.hd95_mm == pytest.approx(19)
    swapped = SurfaceDistances(found.from_reference, found.from_prediction)
    assert swapped.hd95_mm == pytest.approx(19)
    assert swapped.msd_mm == found.msd_mm == 20


def test_a_box_moved_by_one_voxel() -> None:
    box = np.zeros((8, 12, 12), bool)
    box[2:6, 3:8, 3:8] = True
    moved = np.roll(box, 1, axis=2)
    found = measured(box, moved)
    assert len(found.from_prediction) == 4 * 5 * 5 - 2 * 3 * 3
    # Not on both surfaces are the outer face, 20 voxels one column away, and the middle of the inner face:
    # 4 of its voxels lie one row from the side, 2 are nearer to the face they left.
    for side in (found.from_prediction, found.from_reference):
        lengths, counts = np.unique(side.round(9), return_counts=True)
        assert dict(zip(lengths.tolist(), counts.tolist(), strict=True)) == {0.0: 56, 0.7: 4, 1.1: 22}
    assert found.assd_mm == pytest.approx((4 * 0.7 + 22 * 1.1) / 82)
    assert found.hd95_mm == found.msd_mm == pytest.approx(1.1)
    assert [found.nsd(mm) for mm in (0.6, 0.7, 1.1)] == pytest.approx([56 / 82, 60 / 82, 1])


def test_the_border_of_the_image_is_outside() -> None:
    full = np.ones((3, 4, 5), bool)
    found = measured(full, full)
    assert len(found.from_prediction) == 3 * 4 * 5 - 1 * 2 * 3
    # Its surface is the border, so the middle is a voxel away from it on the shortest way.
    assert measured(points((1, 1, 2), shape=full.shape), full).from_prediction == pytest.approx([0.7])


def test_the_surface_is_what_six_neighbors_make_of_it() -> None:
    # The center of a cube that lacks a corner has all six neighbors: it is inside.
    cube = np.ones((3, 3, 3), bool)
    cube[0, 0, 0] = False
    assert len(measured(cube, cube).from_prediction) == 25
    cube[0, 1, 1] = False
    assert len(measured(cube, cube).from_prediction) == 25  # one less voxel, one more of them on the surface


def test_a_mask_has_no_distance_to_itself(pair: Pair) -> None:
    found = measured(pair[0], pair[0])
    assert found.assd_mm == found.hd95_mm == found.msd_mm == 0
    assert found.nsd(0.0) == 1


def test_exchanging_the_masks_exchanges_the_directions(pair: Pair) -> None:
    found, swapped = measured(*pair), measured(*pair[::-1])
    assert np.array_equal(found.from_prediction, swapped.from_reference)
    assert found.assd_mm == pytest.approx(swapped.assd_mm)
    assert (found.hd95_mm, found.msd_mm, found.nsd(2.0)) == (
        swapped.hd95_mm,
        swapped.msd_mm,
        swapped.nsd(2.0),
    )


def test_empty_fields_around_the_masks_change_nothing(pair: Pair) -> None:
    found = measured(*pair)
    padded = measured(*(np.pad(mask, ((3, 1), (0, 7), (2, 5))) for mask in pair))
    assert np.array_equal(found.from_prediction, padded.from_prediction)
    assert np.array_equal(found.from_reference, padded.from_reference)


def test_views_of_other_memory_layouts_are_measured_the_same(pair: Pair) -> None:
    found = measured(*pair)
    turned = measured(*(np.asfortranarray(mask)[:, ::-1] for mask in pair))
    assert turned.assd_mm == pytest.approx(found.assd_mm)
    assert turned.msd_mm == pytest.approx(found.msd_mm)


@pytest.mark.parametrize(
    ("spacing_mm", "steps"),
    [
        (0.1 * 20, 1),
        (0.1, 20),
        (2 / 3, 3),
        (float(np.float32(2 / 3)), 3),
        (float(np.float32(0.4)), 5),
        (float(np.float32(0.1)), 20),
    ],
)
def test_voxels_2_mm_apart_are_within_2_mm_however_their_spacing_is_rounded(
    spacing_mm: float, steps: int
) -> None:
    shape = (1, 1, 80)
    for start in (0, 7, 50):
        found = measured(
            points((0, 0, start), shape=shape),
            points((0, 0, start + steps), shape=shape),
            spacing_mm=(1.0, 1.0, spacing_mm),
        )
        assert found.nsd(2.0) == 1


def test_more_than_rounding_is_not_within_the_tolerance() -> None:
    found = measured(points((0, 0, 0)), points((0, 0, 1)), spacing_mm=(1.0, 1.0, 2.0001))
    assert found.nsd(2.0) == 0


@pytest.mark.parametrize(("predicted", "expected"), [(True, False), (False, True), (False, False)])
def test_an_empty_side_has_no_distances(predicted: bool, expected: bool) -> None:
    prediction, reference = np.zeros((3, 4, 5), bool), np.zeros((3, 4, 5), bool)
    prediction[1, 1, 1], reference[1, 1, 1] = predicted, expected
    assert surface_distances(prediction, reference, voxel=Voxel.of_spacing(SPACING_MM)) is None


BOX = np.ones((2, 3, 4), bool)


@pytest.mark.parametrize(
    ("prediction", "reference", "rule"),
    [
        (BOX, BOX[:1], r"one shape, got \(2, 3, 4\) and \(1, 3, 4\)"),
        (BOX[0], BOX[0], r"must be \(Z, H, W\).*got \(3, 4\)"),
        (BOX, BOX.astype(np.uint8), "must be bool, got bool and uint8"),
        (BOX.astype(float), BOX, "must be bool, got float64 and bool"),
    ],
)
def test_what_breaks_a_rule_is_named(prediction, reference, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        surface_distances(prediction, reference, voxel=Voxel.of_spacing(SPACING_MM))


@pytest.mark.slow
@QUIET_MONAI
@pytest.mark.parametrize("axis", range(3))
def test_a_real_liver_moved_by_one_voxel_measures_what_monai_finds(axis: int, real_data) -> None:
    folder = real_data / "full_size"
    mask = read_mask(folder / "segmentation-1.nii.gz", image=read_geometry(folder / "volume-1.nii.gz"))
    spacing_mm = mask.geometry.spacing_mm
    liver = mask.voxels >= 1
    moved = np.roll(liver, 1, axis=axis)
    assert not moved.take(0, axis=axis).any()
    found = measured(moved, liver, spacing_mm)
    assert len(found.from_prediction) == len(found.from_reference) > 100_000
    assert found.msd_mm == pytest.approx(spacing_mm[axis], rel=1e-12)
    assert found.nsd(spacing_mm[axis]) == 1
    ours = [found.assd_mm, found.hd95_mm, found.msd_mm, found.nsd(1.0)]
    assert ours == pytest.approx(of_monai(moved, liver, spacing_mm, 1.0), rel=1e-5)
