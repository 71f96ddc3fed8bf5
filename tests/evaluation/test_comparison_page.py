"""The page of a comparison: what it tells of runs, scores and cases, and how large it gets."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from html_kit import Node, cells, read_page

from lts.evaluation import (
    CasePictures,
    ComparisonData,
    compare_cases,
    differing_cases,
    lacking,
    rank_runs,
    write_comparison,
)
from lts.evaluation.report.squares import axis_bottom
from lts.evaluation.table import COMPARED
from lts.figures import to_jpeg

HOSTILE = "</td><script>alert(1)</script>"


def rows_of(n_cases: int, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [
        {"case": f"case-{n}", "region": region, **{name: round(float(rng.random()), 4) for name in COMPARED}}
        for n in range(n_cases)
        for region in ("liver", "tumor")
    ]


def noise(seed: int = 0, side: int = 320) -> bytes:
    return to_jpeg(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8))


def compared(
    n_runs: int, n_cases: int, pictures: Mapping[str, CasePictures] | None = None, **more: Any
) -> ComparisonData:
    rows = {name: rows_of(n_cases, seed) for seed, name in enumerate("abcdefg"[:n_runs])}
    found: dict[str, Any] = (
        {"pairs": compare_cases(*rows.values())}
        if n_runs == 2
        else {"ranked": rank_runs(rows, scores=COMPARED)}
    )
    return ComparisonData(
        runs={name: {"Folder": f"/runs/{name}", "Made by": ""} for name in rows},
        rows=rows,
        region="tumor",
        differing=differing_cases(rows, region="tumor"),
        pictures=pictures or {},
        **{**found, **more},
    )


def page(folder: Path, data: ComparisonData) -> Node:
    write_comparison(folder / "comparison.html", data)
    return read_page(folder / "comparison.html")


def test_its_sections_are_linked_and_the_runs_are_told(tmp_path: Path) -> None:
    document = page(tmp_path, compared(2, 12))
    sections = ["runs", "scores", "case-by-case", "differing", "provenance", "definitions"]
    assert [one.attrs["id"] for one in document.all("section")] == sections
    assert [one.attrs["href"] for one in document.one("nav").all("a")] == [f"#{name}" for name in sections]
    assert document.one("h1").text == "2 runs compared, cases: 12"
    dash = "\N{EN DASH}not defined: the folder does not tell"
    assert cells(document.one("table", id="runs-table")) == [["a", "/runs/a", dash], ["b", "/runs/b", dash]]


def test_two_runs_have_their_means_difference_interval_and_wins(tmp_path: Path) -> None:
    data = compared(2, 12)
    table = page(tmp_path, data).one("table", id="scores-tumor")
    heads = [head.text for head in table.one("thead").all("th")]
    assert heads == [
        "score",
        "pairs",
        "mean a",
        "mean b",
        "b - a",
        "p (Wilcoxon)",
        "b wins",
        "a wins",
        "remark",
    ]
    (dice,) = [one for one in data.pairs if (one.region, one.score) == ("tumor", "dice")]
    assert dice.interval is not None
    signed = [
        f"{x:+.3f}".replace("-", "\N{MINUS SIGN}")
        for x in (dice.mean_difference, *vars(dice.interval).values())
    ]
    shown = [row for row in cells(table) if row[0] == "Dice"]
    assert shown == [
        [
            "Dice",
            "12",
            f"{dice.mean_a:.3f}",
            f"{dice.mean_b:.3f}",
            f"{signed[0]} [{signed[1]}, {signed[2]}]",
            f"{dice.p_value:.4f}",
            str(dice.wins),
            str(dice.losses),
            "",
        ]
    ]
    assert len(cells(table)) == len(COMPARED)


def test_more_runs_have_their_ranks_best_first_and_every_pair_is_told(tmp_path: Path) -> None:
    data = compared(3, 12)
    document = page(tmp_path, data)
    (dice,) = [one for one in data.ranked if (one.region, one.score) == ("liver", "dice")]
    table = cells(document.one("table", id="scores-liver"))[:3]
    assert [row[:4] for row in table] == [
        ["Dice" if n == 0 else "", name, f"{rank:.2f}", f"{dice.means[name]:.3f}"]
        for n, (name, rank) in enumerate(dice.mean_ranks.items())
    ]
    assert [row[5] for row in table] == [f"{dice.p_value:.4f}", "", ""]
    corrected = {
        (pair.a, pair.b): "\N{EN DASH}" if pair.p_corrected is None else f"{pair.p_corrected:.4f}"
        for pair in dice.pairs
    }
    best = table[0][1]
    for row in table[1:]:
        assert row[6] == corrected[min(best, row[1]), max(best, row[1])]
    pairs = cells(document.one("table", id="pairs-liver"))[:3]
    assert [row[1] for row in pairs] == ["b - a", "c - a", "c - b"]
    assert [row[5] for row in pairs] == list(corrected.values())
    wins = dice.pairs[0].compared
    assert pairs[0][6] == f"b {wins.wins}, a {wins.losses}"


def test_what_runs_lack_and_a_region_in_which_no_case_ranks_are_told(tmp_path: Path) -> None:
    rows = {
        name: [
            {"case": str(n), "region": region, "dice": None if (name, region) == ("c", "liver") else 0.5}
            for n in range(2)
            for region in ("liver", "tumor")
        ]
        for name in "abc"
    }
    data = ComparisonData(
        runs={name: {} for name in rows},
        rows=rows,
        ranked=rank_runs(rows, scores=["dice"]),
        lacking=lacking(rows),
        region="tumor",
    )
    scores = page(tmp_path, data).one("section", id="scores")
    assert [line.text for line in scores.one("ul", class_="remarks").all("li")] == [
        "liver: in no case do all runs have dice",
        "c, liver: without dice in 2 cases in which another run has it: 0, 1",
    ]
    assert len(cells(scores.one("table", id="scores-tumor"))) == 3
    assert not scores.all("table", id="scores-liver")
    assert scores.text.count("In no case do all runs have one of the scores that are shown here") == 1


def test_many_runs_have_no_list_of_pairs(tmp_path: Path) -> None:
    document = page(tmp_path, compared(6, 3))
    assert not document.all("table", id="pairs-liver")
    assert "too many pairs" in document.one("section", id="scores").text


def test_a_point_of_two_runs_lies_where_its_scores_are(tmp_path: Path) -> None:
    rows = {
        name: [{"case": str(n), "region": "tumor", "dice": value} for n, value in enumerate(values)]
        for name, values in {"a": (0.0, 0.5, 1.0), "b": (1.0, 0.5, 0.25)}.items()
    }
    data = ComparisonData(
        runs={"a": {}, "b": {}}, rows=rows, pairs=compare_cases(*rows.values()), region="tumor"
    )
    square = page(tmp_path, data).one("section", id="case-by-case").one("figure", class_="square")
    points = {one.attrs["data-case"]: (one.number("cx"), one.number("cy")) for one in square.all("circle")}
    left, right, top, bottom = points["0"][0], points["2"][0], points["0"][1], None
    assert points["1"][0] == pytest.approx((left + right) / 2)
    bottom = top + 2 * (points["1"][1] - top)
    assert points["2"][1] == pytest.approx(top + 0.75 * (bottom - top))
    assert square.one("svg").attrs["aria-label"] == (
        "Dice of b against Dice of a, a point a case: 1 of 3 above the diagonal, 1 below"
    )


@pytest.mark.parametrize(
    ("values", "bottom"),
    [
        ([0.93, 0.97], 0.92),
        ([0.31, 1.0], 0.2),
        ([0.0], 0.0),
        ([1.0], 0.0),
        ([0.99999995, 1.0], 0.999),  # one voxel of a whole liver
    ],
)
def test_an_axis_begins_below_its_lowest_value(values: list[float], bottom: float) -> None:
    assert axis_bottom(values) == bottom <= min(values)


def test_masks_that_are_nearly_alike_have_a_chart(tmp_path: Path) -> None:
    rows = [{"case": "1", "region": "liver", "dice": 0.99999995}]
    runs = {"a": rows, "b": rows}
    data = ComparisonData(runs={"a": {}, "b": {}}, rows=runs, pairs=compare_cases(rows, rows), region="liver")
    square = page(tmp_path, data).one("section", id="case-by-case").one("figure", class_="square")
    ticks = [text.text for text in square.all("text", class_="tick")]
    assert {"0.999", "1"} <= set(ticks)


def test_cases_that_differ_without_a_picture_are_not_said_to_be_alike(tmp_path: Path) -> None:
    text = page(tmp_path, compared(2, 4)).one("section", id="differing").text
    assert "Pictures show 0 of the 4 cases that differ." in text
    same = {name: rows_of(4, 0) for name in "ab"}
    data = replace(compared(2, 4), differing=differing_cases(same, region="tumor"))
    assert "In no case do they differ." in page(tmp_path, data).one("section", id="differing").text


def test_a_case_leads_to_its_pictures_and_what_is_not_drawn_says_why(tmp_path: Path) -> None:
    data = compared(2, 4)
    first, second, *_ = (one.case for one in data.differing)
    drawn = CasePictures(title="slice 3 of 9", pictures=[("reference", noise()), ("a: Dice 0.1", noise(1))])
    pictures = {first: drawn, second: CasePictures(problem="the mask is gone")}
    section = page(tmp_path, compared(2, 4, pictures)).one("section", id="differing")
    assert [row[0] for row in cells(section.one("table"))] == [one.case for one in data.differing]
    (link,) = section.one("table").all("a")
    assert link.text == first
    shown = section.one("div", id=link.attrs["href"].removeprefix("#"))
    assert f"{first} slice 3 of 9" in shown.text
    assert [image.attrs["alt"] for image in shown.all("img")] == [
        f"{first}, reference",
        f"{first}, a: Dice 0.1",
    ]
    assert "No picture: the mask is gone." in section.text
    assert "Pictures show 1 of the 4 cases that differ" in section.text


def test_no_name_can_become_markup(tmp_path: Path) -> None:
    rows = [{"case": HOSTILE, "region": "tumor", "dice": 0.5}]
    data = ComparisonData(
        runs={"a": {HOSTILE: HOSTILE}, "b": {}},
        rows={"a": rows, "b": rows},
        pairs=compare_cases(rows, rows),
        region="tumor",
        differing=differing_cases({"a": rows, "b": rows}, region="tumor"),
        pictures={HOSTILE: CasePictures(title=HOSTILE, problem=HOSTILE)},
        provenance={"path": HOSTILE},
    )
    assert len(page(tmp_path, data).all("script")) == 1


def test_five_runs_of_two_hundred_cases_make_a_page_that_can_be_mailed(tmp_path: Path) -> None:
    data = compared(5, 200)
    picture = noise(side=180)  # noise of this size takes as many bytes as a slice of a CT
    drawn = {
        one.case: CasePictures(title="slice 1", pictures=[(name, picture) for name in "rabcde"])
        for one in data.differing[:6]
    }
    page(tmp_path, compared(5, 200, drawn))
    assert 20_000 < len(picture) < 40_000
    assert (tmp_path / "comparison.html").stat().st_size < 4e6
