"""Which scores compared runs lack, by hand."""

from typing import Any

from lts.evaluation import Lack, lacking

Scores = dict[str, dict[str, Any]]


def rows(cases: Scores, region: str = "tumor") -> list[dict[str, Any]]:
    return [{"case": case, "region": region, **scores} for case, scores in cases.items()]


def test_runs_that_have_all_lack_nothing() -> None:
    both = rows({"1": {"dice": "0.5", "hd95_mm": ""}})
    assert lacking({"a": both, "b": both}, scores=["dice", "iou"]) == ()
    # A score that no run has anywhere is no lack of one of them, but no case is compared by it.
    (nowhere,) = lacking({"a": both, "b": both}, scores=["dice", "hd95_mm"])
    assert nowhere == Lack(run=None, region="tumor", scores=("hd95_mm",))


def test_a_column_and_cases_are_told_by_run_and_region() -> None:
    whole = {"dice": 0.5, "hd95_mm": 3.0, "assd_mm": 1.0}
    empty = {"dice": 0.0, "hd95_mm": None, "assd_mm": float("nan")}
    runs = {
        "a": [*rows({"1": whole, "2": whole, "3": whole}), *rows({"1": whole}, "liver")],
        "b": [*rows({"1": empty, "2": whole, "3": empty}), *rows({"1": whole}, "liver")],
        "c": rows({"1": {**whole, "iou": 0.4}, "2": empty, "3": whole}),
    }
    found = lacking(runs, scores=["dice", "iou", "hd95_mm", "assd_mm"])
    assert found == (
        Lack(run="a", region=None, scores=("iou",)),
        Lack(run="b", region=None, scores=("iou",)),
        Lack(run=None, region="tumor", scores=("hd95_mm", "assd_mm")),
        Lack(run="b", region="tumor", scores=("hd95_mm", "assd_mm"), cases=("1", "3")),
        Lack(run="c", region="tumor", scores=("hd95_mm", "assd_mm"), cases=("2",)),
    )
    assert [one.line for one in found[1:4]] == [
        "b: its cases.csv has no iou",
        "tumor: in no case do all runs have hd95_mm, assd_mm",
        "b, tumor: without hd95_mm, assd_mm in 2 cases in which another run has them: 1, 3",
    ]
