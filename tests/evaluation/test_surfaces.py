"""Surface distances against hand-made cases, brute force, MONAI and SimpleITK."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice
from scipy.spatial.distance import cdist

from lts.evaluation import surface_distances
from lts.volume import read_geometry, read_mask

SPACING_MM = (2.5, 0.7, 0.9)
EDGES = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]


def voxels(*places: Sequence[int], shape: Sequence[int] = (6, 7, 8)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for place in places:
        mask[tuple(place)] = True
    return mask


def blobs(seed: int, shape: Sequence[int] = (9, 14, 13)) -> tuple[np.ndarray, np.ndarray]:
    """Two random masks that share some shape, ragged and in several pieces."""
    rng = np.random.default_rng(seed)
    smooth = rng.normal(size=shape)
    for axis in range(3):
        smooth += np.roll(smooth, 1, axis)
    return smooth > 2, smooth + rng.normal(size=shape) > 2


def plain_surface(mask: np.ndarray) -> np.ndarray:
    """Voxel indices with a face on the background or on the border, found one by one."""
    inside = set(map(tuple, np.argwhere(mask)))
    found = [v for v in inside if any((v[0] + z, v[1] + y, v[2] + x) not in inside for z, y, x in EDGES)]
    return np.array(sorted(found))


def test_two_voxels_apart_measure_two_spacings() -> None:
    for axis, spacing_mm in enumerate(SPACING_MM):
        other = [2, 2, 2]
        other[axis] += 2
        found = surface_distances(voxels((2, 2, 2)), voxels(other), spacing_mm=SPACING_MM)
        assert found.assd_mm == found.hd95_mm == found.msd_mm == pytest.approx(2 * spacing_mm)
        assert found.nsd(2 * spacing_mm) == 1
        assert found.nsd(1.99 * spacing_mm) == 0


def test_equal_masks_are_at_no_distance() -> None:
    mask, _ = blobs(0)
    found = surface_distances(mask, mask, spacing_mm=SPACING_MM)
    assert (found.assd_mm, found.hd95_mm, found.msd_mm, found.nsd(0)) == (0, 0, 0, 1)


def test_an_empty_side_has_no_surface() -> None:
    mask, nothing = voxels((1, 1, 1)), voxels()
    for pair in ((mask, nothing), (nothing, mask), (nothing, nothing)):
        assert surface_distances(*pair, spacing_mm=SPACING_MM) is None


def test_a_voxel_within_is_no_surface() -> None:
    cube, shell = voxels(shape=(5, 5, 5)), voxels(shape=(5, 5, 5))
    cube[1:4, 1:4, 1:4] = shell[1:4, 1:4, 1:4] = True
    shell[2, 2, 2] = False
    found = surface_distances(cube, shell, spacing_mm=(1, 1, 1))
    assert (len(found.from_prediction), len(found.from_reference)) == (26, 26)
    assert found.msd_mm == 0


def test_the_border_of_the_image_counts_as_outside() -> None:
    filled = np.ones((3, 4, 5), bool)
    found = surface_distances(filled, filled, spacing_mm=(1, 1, 1))
    assert len(found.from_prediction) == 3 * 4 * 5 - 1 * 2 * 3


def test_directions_are_not_averaged_but_pooled_and_the_larger_percentile_counts() -> None:
    row = voxels(*[(0, 0, x) for x in range(10)], shape=(1, 1, 10))
    end = voxels((0, 0, 0), shape=(1, 1, 10))
    found = surface_distances(end, row, spacing_mm=(1, 1, 1))
    assert found.from_prediction.tolist() == [0]
    assert found.from_reference.tolist() == list(range(10))
    assert found.assd_mm == 45 / 11
    assert found.hd95_mm == pytest.approx(0.95 * 9)
    assert found.nsd(2) == 4 / 11


def test_rounding_does_not_push_a_surface_over_the_tolerance() -> None:
    row = voxels((0, 0, 0), shape=(1, 1, 30)), voxels((0, 0, 3), shape=(1, 1, 30))
    found = surface_distances(*row, spacing_mm=(1, 1, 0.1))
    assert found.msd_mm != 0.3  # 3 * 0.1 is 0.30000000000000004
    assert found.nsd(0.3) == 1


def test_masks_must_be_volumes_of_one_shape() -> None:
    with pytest.raises(ValueError, match="must be \\(Z, H, W\\) of one shape"):
        surface_distances(voxels(), voxels(shape=(6, 7, 9)), spacing_mm=SPACING_MM)
    with pytest.raises(ValueError, match="must be \\(Z, H, W\\) of one shape"):
        surface_distances(voxels()[0], voxels()[0], spacing_mm=SPACING_MM)


@pytest.mark.parametrize("seed", range(5))
def test_distances_are_those_of_brute_force(seed: int) -> None:
    prediction, reference = blobs(seed)
    found = surface_distances(prediction, reference, spacing_mm=SPACING_MM)
    ours, theirs = (plain_surface(mask) * SPACING_MM for mask in (prediction, reference))
    every = cdist(ours, theirs)
    assert np.sort(found.from_prediction) == pytest.approx(np.sort(every.min(1)), abs=1e-9)
    assert np.sort(found.from_reference) == pytest.approx(np.sort(every.min(0)), abs=1e-9)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_monai(seed: int) -> None:
    # MONAI erodes as we do; at the border of the image it does not, so masks keep off it.
    prediction, reference = (np.pad(mask, 1) for mask in blobs(seed))
    found = surface_distances(prediction, reference, spacing_mm=SPACING_MM)
    batch = [torch.from_numpy(mask)[None, None] for mask in (prediction, reference)]
    settings = {"include_background": True, "spacing": SPACING_MM}
    # Its symmetric average pools both directions, its 95th percentile is the larger of the two, as ours.
    average = compute_average_surface_distance(*batch, symmetric=True, **settings).item()
    assert found.assd_mm == pytest.approx(average, rel=1e-6)
    assert found.msd_mm == pytest.approx(compute_hausdorff_distance(*batch, **settings).item(), rel=1e-6)
    hd95 = compute_hausdorff_distance(*batch, percentile=95, **settings).item()
    assert found.hd95_mm == pytest.approx(hd95, rel=1e-6)
    for tolerance in (0.5, 0.9, 2.0):
        dice = compute_surface_dice(*batch, class_thresholds=[tolerance], **settings).item()
        assert found.nsd(tolerance) == pytest.approx(dice, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_largest_distance_is_that_of_simpleitk_between_surfaces(seed: int) -> None:
    # SimpleITK's filter measures between masks; handed the surfaces alone, it is the same distance.
    prediction, reference = blobs(seed)
    images = []
    for mask in (prediction, reference):
        surface = np.zeros(mask.shape, np.uint8)
        surface[tuple(plain_surface(mask).T)] = 1
        image = SimpleITK.GetImageFromArray(surface)
        image.SetSpacing(SPACING_MM[::-1])
        images.append(image)
    hausdorff = SimpleITK.HausdorffDistanceImageFilter()
    hausdorff.Execute(*images)
    found = surface_distances(prediction, reference, spacing_mm=SPACING_MM)
    assert found.msd_mm == pytest.approx(hausdorff.GetHausdorffDistance(), rel=1e-6)


def test_a_real_liver_moved_by_one_voxel_is_off_by_at_most_one_spacing(real_data: Path) -> None:
    path = next((real_data / "full_size").glob("segmentation*"))
    geometry = read_geometry(path)
    liver = read_mask(path, image=geometry).voxels >= 1
    for axis, spacing_mm in enumerate(geometry.spacing_mm):
        found = surface_distances(np.roll(liver, 1, axis), liver, spacing_mm=geometry.spacing_mm)
        assert found.msd_mm == pytest.approx(spacing_mm, rel=1e-6)
        assert found.nsd(spacing_mm) == 1
        assert 0 < found.assd_mm < spacing_mm
