import numpy as np
import pytest

from lts.base import ConfigError
from lts.data import SliceSampler

HOLDS = np.array([True] * 10 + [False] * 90)


def sampler(holds: np.ndarray = HOLDS, **changes) -> SliceSampler:
    settings = {"region_share": 0.5, "slices_per_epoch": None, "seed": 0, "rank": 0, "world_size": 1}
    return SliceSampler(holds, **{"region": "tumor", **settings, **changes})


def test_the_share_of_slices_with_the_region_is_met() -> None:
    for share in (0.1, 0.5, 0.8, 1.0):
        drawn = np.array([draw.position for draw in sampler(region_share=share)])
        assert len(drawn) == 100
        assert HOLDS[drawn].sum() == round(share * 100)


def test_slices_as_found_are_all_shown_once() -> None:
    drawn = [draw.position for draw in sampler(region_share=0)]
    assert sorted(drawn) == list(range(100))
    assert drawn != sorted(drawn)


def test_no_slice_repeats_before_all_of_its_kind_were_shown() -> None:
    drawn = [draw.position for draw in sampler(region_share=0.5)]
    times = np.bincount(drawn, minlength=100)
    assert (times[:10] == 5).all()
    assert (times[10:] <= 1).all()


def test_epochs_differ_and_come_again_the_same() -> None:
    one, other = sampler(), sampler()
    first = list(one)
    one.set_epoch(1)
    second = list(one)
    assert [draw.position for draw in first] != [draw.position for draw in second]
    assert {draw.seed for draw in first}.isdisjoint(draw.seed for draw in second)
    assert list(other) == first
    other.set_epoch(1)
    assert list(other) == second


def test_seeds_differ() -> None:
    assert list(sampler(seed=0)) != list(sampler(seed=1))


def test_a_slice_drawn_twice_is_augmented_in_two_ways() -> None:
    draws = list(sampler(region_share=1.0))
    assert len({draw.seed for draw in draws}) == 100


def test_the_seed_of_a_slice_does_not_depend_on_its_place_in_the_order() -> None:
    # The same epoch, once alone and once divided among two ranks.
    alone = set(sampler(region_share=0))
    divided = [set(sampler(region_share=0, rank=rank, world_size=2)) for rank in (0, 1)]
    assert divided[0] | divided[1] == alone
    assert not divided[0] & divided[1]


def test_the_length_of_an_epoch_can_be_set() -> None:
    assert len(list(sampler(slices_per_epoch=37))) == len(sampler(slices_per_epoch=37)) == 37
    assert len(list(sampler(slices_per_epoch=250))) == 250
    assert len(list(sampler(slices_per_epoch=37, rank=1, world_size=2))) == 18


def test_a_cohort_where_every_slice_holds_the_region_needs_no_others() -> None:
    assert len(list(sampler(np.ones(8, bool), region_share=0.5))) == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"region_share": 1.5}, r"^region_share: must lie in \[0, 1\], got 1.5"),
        ({"region_share": -0.1}, "^region_share"),
        ({"slices_per_epoch": 0}, "^slices_per_epoch: must be at least 1, got 0"),
        ({"slices_per_epoch": 1, "world_size": 2}, "^slices_per_epoch: must be at least 2, got 1"),
        (
            {"holds": np.zeros(5, bool)},
            "^region_share: must be 0 where no training slice holds tumor, got 0.5; .* out of the regions$",
        ),
        ({"holds": np.zeros(5, bool), "region": "liver"}, "no training slice holds liver, got 0.5$"),
    ],
)
def test_impossible_settings_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sampler(**changes)
