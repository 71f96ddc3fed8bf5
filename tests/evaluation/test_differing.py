"""Which cases runs differ in, by hand."""

from typing import Any

from lts.evaluation import differing_cases


def rows(dice: dict[str, Any], region: str = "tumor") -> list[dict[str, Any]]:
    return [{"case": case, "region": region, "dice": value} for case, value in dice.items()]


def test_the_widest_spread_comes_first_and_equal_ones_keep_their_order() -> None:
    runs = {
        "a": rows({"1": "0.5", "2": "0.9", "3": "0.1", "4": "0.2"}),
        "b": rows({"1": "0.6", "2": "0.9", "3": "0.2", "4": "1.0"}),
        "c": rows({"1": "0.55", "2": "0.9", "3": "0.15", "4": "0.3"}),
    }
    found = differing_cases(runs, region="tumor")
    assert [(one.case, one.spread) for one in found] == [("4", 0.8), ("1", 0.1), ("3", 0.1), ("2", 0.0)]
    assert found[0].dice == {"a": 0.2, "b": 1.0, "c": 0.3}


def test_a_case_without_a_dice_and_another_region_are_left_out() -> None:
    runs = {
        "a": rows({"1": 0.5, "2": None}) + rows({"1": 0.0}, "liver"),
        "b": rows({"1": 0.6, "2": 0.9}) + rows({"1": 1.0}, "liver"),
    }
    assert [(one.case, one.spread) for one in differing_cases(runs, region="tumor")] == [("1", 0.1)]
