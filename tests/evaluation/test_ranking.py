"""Which cases are shown as the worst and the best, and which as neither."""

from collections.abc import Mapping
from typing import Any

import pytest

from lts.evaluation import rank_cases, worst_first


def rows(
    tumor: Mapping[str, float], *, empty: Mapping[str, float] | None = None, liver: float = 0.9
) -> list[dict[str, Any]]:
    """Cases by their Dice of the tumor, then those without one by the ml seen all the same."""
    cases = [(case, dice, 2.0, 1.5) for case, dice in tumor.items()]
    cases += [(case, float(ml == 0), 0.0, ml) for case, ml in (empty or {}).items()]
    return [
        {"case": case, "region": region, "dice": dice, "reference_ml": reference, "predicted_ml": predicted}
        for case, *scores in cases
        for region, (dice, reference, predicted) in (
            ("liver", (liver - len(case) / 100, 1500.0, 1400.0)),
            ("tumor", scores),
        )
    ]


def captions(found: list[dict[str, Any]], *regions: str, most: int = 3) -> list[tuple[str, str]]:
    ranking = rank_cases(found, regions=regions or ("liver", "tumor"), most=most)
    assert len({one.case for one in ranking.shown}) == len(ranking.shown)
    return [(one.case, one.caption) for one in ranking.shown]


def remark(found: list[dict[str, Any]]) -> str:
    return rank_cases(found, regions=("liver", "tumor"), most=3).remark


def test_of_many_cases_three_are_the_worst_and_three_the_best() -> None:
    found = rows({"a": 0.5, "b": 0.1, "c": 0.9, "d": 0.3, "e": 0.7, "f": 0.2, "g": 0.6})
    assert captions(found) == [
        ("b", "worst: tumor Dice 0.100"),
        ("f", "worst: tumor Dice 0.200"),
        ("d", "worst: tumor Dice 0.300"),
        ("c", "best: tumor Dice 0.900"),
        ("e", "best: tumor Dice 0.700"),
        ("g", "best: tumor Dice 0.600"),
    ]
    assert remark(found) == "Ranked by the Dice of tumor, of the 7 cases whose reference holds tumor."


@pytest.mark.parametrize(
    ("dice", "ranks"),
    [
        ([0.2, 0.9], ["worst", "best"]),
        ([0.2, 0.5, 0.9], ["worst", "best", "tumor Dice 0.500"]),
        ([0.2, 0.5, 0.6, 0.9], ["worst", "worst", "best", "best"]),
        ([0.2, 0.4, 0.5, 0.6, 0.9], ["worst", "worst", "best", "best", "tumor Dice 0.500"]),
        ([0.5], ["tumor Dice 0.500"]),
        # equal cases are neither: not to the last digit, but as they are shown
        ([0.5, 0.5004], ["tumor Dice 0.500", "tumor Dice 0.500"]),
        ([0.2, 0.8, 0.8, 0.8], ["worst", "tumor Dice 0.800", "tumor Dice 0.800", "tumor Dice 0.800"]),
        ([0.0, 0.0, 0.0, 0.7], ["best", "tumor Dice 0.000", "tumor Dice 0.000", "tumor Dice 0.000"]),
        ([0.8] * 9, ["tumor Dice 0.800"] * 3),
    ],
)
def test_the_worst_and_the_best_never_overlap(dice: list[float], ranks: list[str]) -> None:
    found = captions(rows({f"case-{index}": value for index, value in enumerate(dice)}))
    assert [caption.split(":")[0] for _, caption in found] == ranks
    worst = [float(caption[-5:]) for _, caption in found if caption.startswith("worst")]
    best = [float(caption[-5:]) for _, caption in found if caption.startswith("best")]
    assert not worst or not best or max(worst) < min(best)


def test_a_case_without_the_region_is_never_ranked() -> None:
    found = rows({"a": 0.5, "b": 0.7}, empty={"right": 0.0, "small": 0.4, "large": 12.0})
    assert captions(found) == [
        ("a", "worst: tumor Dice 0.500"),
        ("b", "best: tumor Dice 0.700"),
        ("large", "false alarm: no tumor in the reference, 12.0 ml seen"),
        ("small", "false alarm: no tumor in the reference, 0.4 ml seen"),
    ]
    assert remark(found) == (
        "Ranked by the Dice of tumor, of the 2 cases whose reference holds tumor. "
        "Not ranked: 3 cases without tumor."
    )


def test_one_case_with_the_region_is_neither() -> None:
    found = rows({"a": 0.5}, empty={"right": 0.0})
    assert captions(found) == [("a", "tumor Dice 0.500")]
    assert remark(found) == (
        "Only one reference holds tumor, so no case is the worst or the best. "
        "Not ranked: 1 case without tumor."
    )


def test_where_no_reference_holds_a_tumor_livers_are_ranked() -> None:
    found = rows({}, empty={"a": 0.0, "bbb": 0.0, "cc": 3.0})
    assert captions(found) == [
        ("bbb", "worst: liver Dice 0.870"),
        ("a", "best: liver Dice 0.890"),
        ("cc", "liver Dice 0.880"),
    ]
    assert remark(found) == "Ranked by the Dice of liver, of the 3 cases whose reference holds liver."


def test_where_no_reference_holds_anything_there_is_something_to_look_at() -> None:
    found = [row for row in rows({}, empty={"a": 0.0, "b": 0.0}) if row["region"] == "tumor"]
    assert captions(found, "tumor", most=1) == [("a", "no tumor in reference or prediction")]
    alarm = [row for row in rows({}, empty={"a": 0.0, "b": 3.0}) if row["region"] == "tumor"]
    assert captions(alarm, "tumor") == [("b", "false alarm: no tumor in the reference, 3.0 ml seen")]
    ranking = rank_cases(alarm, regions=("tumor",), most=3)
    assert ranking.remark == "No reference holds tumor, so no case is the worst or the best."


def test_of_cases_that_score_alike_none_is_ranked() -> None:
    assert remark(rows({"a": 0.8, "b": 0.8})) == (
        "All 2 cases with tumor score alike, so none is the worst or the best."
    )


def test_all_cases_are_ordered_as_they_are_ranked_and_the_empty_ones_by_false_alarms() -> None:
    found = rows({"a": 0.5, "b": 0.1, "c": 0.9}, empty={"right": 0.0, "small": 0.4, "large": 12.0})
    assert worst_first(found) == ["b", "a", "c", "large", "small", "right"]
    # Without any tumor in a reference livers are ranked; a longer name has the lower Dice here.
    assert worst_first(rows({}, empty={"x": 0.0, "longer": 3.0})) == ["longer", "x"]
    assert worst_first(rows({}, empty={"x": 3.0, "longer": 0.0})) == ["longer", "x"]
    assert worst_first(found, regions=("liver",)) == ["right", "small", "large", "a", "b", "c"]
