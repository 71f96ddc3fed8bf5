"""What is taken away from a mask, on masks small enough to be drawn."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from lts.base import ConfigError
from lts.inference import MaskBuilder, Postprocess

REGIONS = ("liver", "tumor")
OFF = {"largest_liver": False, "tumor_within_liver": False, "min_lesion_ml": 0, "min_lesion_probability": 0}


def probs_of(rows: list[str]) -> torch.Tensor:
    """One slice, a sign a voxel: `.` nothing, `L` liver, `T` tumor in liver, `t` tumor without liver."""
    signs = np.array([list(row) for row in rows])
    return torch.from_numpy(np.stack([np.isin(signs, ["L", "T"]), np.isin(signs, ["T", "t"])]))[None].float()


def drawn(labels: np.ndarray) -> list[str]:
    return ["".join(".12"[label] for label in row) for row in labels]


def mask_of(*slices: list[str], voxel_ml: float = 1.0, **rules: object) -> list[list[str]]:
    probs = torch.cat([probs_of(rows) for rows in slices])
    builder = MaskBuilder(REGIONS, (len(slices), *probs.shape[2:]), Postprocess(**{**OFF, **rules}))
    builder.add(slice(0, len(slices)), probs)
    labels = builder.finish(voxel_ml=voxel_ml)
    assert labels.dtype == np.uint8
    return [drawn(plane) for plane in labels]


def test_tumor_wins_over_liver_and_stands_alone() -> None:
    assert mask_of(["L.Tt"]) == [["1.22"]]


def test_a_probability_of_one_half_is_background() -> None:
    builder = MaskBuilder(REGIONS, (1, 1, 3))
    builder.add(slice(0, 1), torch.tensor([0.5, 0.5001, 0.0]).expand(1, 2, 1, 3))
    assert builder.finish(voxel_ml=1).tolist() == [[[0, 2, 0]]]


@pytest.mark.parametrize("size", [1, 3, 50])
def test_the_size_of_slabs_changes_nothing(size: int) -> None:
    probs = torch.rand((40, 2, 5, 6), generator=torch.Generator().manual_seed(1))
    builder = MaskBuilder(REGIONS, (40, 5, 6))
    for start in range(0, 40, size):
        builder.add(slice(start, min(start + size, 40)), probs[start : start + size])
    expected = np.where(probs[:, 1] > 0.5, 2, np.where(probs[:, 0] > 0.5, 1, 0))
    assert np.array_equal(builder.finish(voxel_ml=1), expected)


@pytest.mark.parametrize(("regions", "labels"), [(("liver",), [0, 1]), (("tumor",), [0, 2])])
def test_a_model_of_one_region_writes_its_label_alone(regions: tuple[str, ...], labels: list[int]) -> None:
    builder = MaskBuilder(regions, (1, 1, 2))
    builder.add(slice(0, 1), torch.tensor([0.0, 1.0]).view(1, 1, 1, 2))
    assert builder.finish(voxel_ml=1).ravel().tolist() == labels


def test_only_the_largest_piece_of_liver_stays_with_its_tumors() -> None:
    rows = ["LL..T", "LT..T", "..L.T"]  # the third row touches at a corner
    assert mask_of(rows) == [["11..2", "12..2", "..1.2"]]
    assert mask_of(rows, largest_liver=True) == [["11...", "12...", "..1.."]]


def test_pieces_reach_through_slices_and_beyond_a_slab() -> None:
    column = [["L...."]] * 70
    apart = [["L..LL"], *column[1:]]
    kept = mask_of(*apart, largest_liver=True)
    assert kept == [["1...."]] * 70


def test_the_largest_piece_is_that_of_scipy() -> None:
    noise = np.random.default_rng(0).random((70, 12, 12)) < 0.1
    probs = torch.from_numpy(np.stack([noise, np.zeros_like(noise)], axis=1)).float()
    builder = MaskBuilder(REGIONS, noise.shape, Postprocess(**{**OFF, "largest_liver": True}))
    builder.add(slice(0, 70), probs)
    found = builder.finish(voxel_ml=1)
    numbers, _ = ndimage.label(noise, np.ones((3, 3, 3)))
    sizes = np.bincount(numbers.ravel())[1:]
    assert (sizes == sizes.max()).sum() == 1
    assert np.array_equal(found > 0, numbers == sizes.argmax() + 1)


def test_tumor_outside_of_the_liver_goes_and_enclosed_tumor_stays() -> None:
    rows = ["LLL.t", "LtL.t", "LLT.."]
    assert mask_of(rows, tumor_within_liver=True) == [["111..", "121..", "112.."]]


def test_tumor_enclosed_through_the_slices_alone_is_not_within() -> None:
    open_slice, closed = ["LL.", "Lt.", "LL."], ["LLL", "LLL", "LLL"]
    assert mask_of(closed, open_slice, closed, tumor_within_liver=True)[1] == ["11.", "1..", "11."]


def test_small_tumors_become_liver_where_the_model_sees_some() -> None:
    rows = ["LTL.t", "LLL..", "TTL.."]
    assert mask_of(rows, min_lesion_ml=2, voxel_ml=1.0) == [["111..", "111..", "221.."]]
    assert mask_of(rows, min_lesion_ml=2, voxel_ml=2.0) == [["121.2", "111..", "221.."]]
    assert mask_of(rows, min_lesion_ml=4.001, voxel_ml=2.0) == [["111..", "111..", "111.."]]


def test_small_tumors_go_beyond_the_first_slab() -> None:
    slices = [["LLLL"]] * 69 + [["LTLL"]]
    assert mask_of(*slices, min_lesion_ml=2) == [["1111"]] * 70


def test_lesions_of_which_the_model_is_nowhere_sure_become_liver() -> None:
    liver = torch.ones(1, 1, 1, 9)
    tumor = torch.tensor([0.6, 0.9, 0.0, 0.89, 0.7, 0.0, 0.95, 0.0, 0.4]).view(1, 1, 1, 9)
    found = {}
    for least in (0, 0.3, 0.9, 0.96):
        rules = Postprocess(**{**OFF, "min_lesion_probability": least})
        builder = MaskBuilder(REGIONS, (1, 1, 9), rules)
        builder.add(slice(0, 1), torch.cat([liver, tumor], dim=1))
        found[least] = drawn(builder.finish(voxel_ml=1)[0])[0]
    assert found == {0: "221221211", 0.3: "221221211", 0.9: "221111211", 0.96: "111111111"}


def test_a_lesion_goes_that_is_too_small_or_not_sure() -> None:
    tumor = torch.tensor([0.95, 0.95, 0.0, 0.95, 0.0, 0.6, 0.6]).view(1, 1, 1, 7)
    rules = Postprocess(**{**OFF, "min_lesion_ml": 2, "min_lesion_probability": 0.9})
    builder = MaskBuilder(("tumor",), (1, 1, 7), rules)
    builder.add(slice(0, 1), tumor)
    assert drawn(builder.finish(voxel_ml=1)[0]) == ["22....."]


def test_the_rules_are_applied_in_their_order() -> None:
    # The piece at the right is the tumor's own: with it gone, the lesion at the left is too small.
    rows = ["LT....", "......", "...tTL"]
    assert mask_of(rows, largest_liver=True) == [["......", "......", "...221"]]
    assert mask_of(rows, largest_liver=True, tumor_within_liver=True) == [["......", "......", "....21"]]
    assert mask_of(rows, largest_liver=True, tumor_within_liver=True, min_lesion_ml=2) == [
        ["......", "......", "....11"]
    ]


def test_an_empty_mask_stays_empty() -> None:
    everything = {"largest_liver": True, "tumor_within_liver": True, "min_lesion_ml": 1}
    assert mask_of(["..."], **everything) == [["..."]]


@pytest.mark.parametrize("value", [-0.1, float("inf"), float("nan")])
def test_a_volume_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match="^min_lesion_ml: must be >= 0 ml, got "):
        Postprocess(**{**OFF, "min_lesion_ml": value})


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_probability_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match="^min_lesion_probability: must be from 0 to 1, got "):
        Postprocess(**{**OFF, "min_lesion_probability": value})


@pytest.mark.parametrize(
    ("rule", "regions"),
    [
        ("largest_liver", ("tumor",)),
        ("tumor_within_liver", ("tumor",)),
        ("tumor_within_liver", ("liver",)),
        ("min_lesion_ml", ("liver",)),
        ("min_lesion_probability", ("liver",)),
    ],
)
def test_a_rule_about_a_region_that_the_model_lacks_is_refused(rule: str, regions: tuple[str, ...]) -> None:
    Postprocess(**OFF).check(regions)
    with pytest.raises(ConfigError, match=rf"^{rule}: needs a model of .*, got one of "):
        Postprocess(**{**OFF, rule: 1}).check(regions)
