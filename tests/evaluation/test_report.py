import base64
import hashlib
import math
import re
from dataclasses import fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from html_kit import Node, cells, read_page

from lts.evaluation import score_table
from lts.evaluation.failures import failure_totals
from lts.evaluation.quantity import format_number
from lts.evaluation.report import ReportData, write_report
from lts.evaluation.report.glossary import COLUMNS, about
from lts.evaluation.report.headline import left_out
from lts.evaluation.report.markup import element
from lts.figures import save_png
from lts.figures.charts import _REGION_COLORS
from lts.figures.slices import _COLORS
from lts.scores import LesionFinding
from lts.scores.findings import FALSE_ALARM, FOUND, MISSED

HOSTILE = "</td><script>alert(1)</script>\"'><img src=x onerror=alert(1)>${style}$title&amp;"
SECTIONS = [
    "scores",
    "conventions",
    "spread",
    "cases",
    "pictures",
    "probabilities",
    "lesions",
    "lits",
    "provenance",
    "definitions",
]


def case_row(case: str, region: str, dice: float, hd95_mm: float | None, **more: Any) -> dict[str, Any]:
    return {
        "case": case,
        "region": region,
        "dice": dice,
        "hd95_mm": hd95_mm,
        "nsd_2mm": None if hd95_mm is None else 0.5,
        "volume_error_ml": -0.01,
        "lesion_tp": 1 if region == "tumor" else None,
        **more,
    }


def finding(case: str, outcome: str, diameter_mm: float, **more: Any) -> LesionFinding:
    return LesionFinding(
        **{
            "case": case,
            "outcome": outcome,
            "iou": 0.0,
            "slice": 7,
            "row": 20,
            "column": 30,
            "volume_ml": 0.25,
            "diameter_mm": diameter_mm,
            "mean_hu": 61.2,
            "contrast_hu": -15.4,
            "edge_mm": -3.0,
            "outside_share": 0.0,
            "texture_hu": 12.0,
            "elongation": 1.5,
            "cause": None if outcome == FOUND else "small",
            **more,
        }
    )


FINDINGS = [
    finding("a", FOUND, 25.0),
    finding("a", MISSED, 6.0),
    finding("b", MISSED, 12.0, contrast_hu=None),
    finding("b", FALSE_ALARM, 8.0),
]


@pytest.fixture
def data(tmp_path: Path) -> ReportData:
    picture = tmp_path / "a.png"
    save_png(picture, np.full((4, 6, 3), 90, np.uint8))
    liver = {"dice_per_case": 0.95, "dice_per_case_n": 3, "dice_global": 0.96, "hd95_mm": 4.0, "hd95_mm_n": 3}
    tumor = {
        "dice_per_case": 0.5,
        "dice_per_case_n": 3,
        "hd95_mm": 12.345,
        "hd95_mm_n": 2,
        "dice_global": None,
    }
    lesions = {
        "lesion_recall": 1 / 3,
        "lesion_tp": 1,
        "lesion_recall_lt10mm": None,
        "lesion_any_f1_gt20mm": 0.75,
    }
    return ReportData(
        title="test subset",
        regions=("liver", "tumor"),
        metrics={
            "n_cases": 3,
            "regions": {"liver": liver, "tumor": {**tumor, **lesions}},
            "intervals": {"liver": {"dice_per_case": [0.912, 0.9876]}, "tumor": {"dice_per_case": None}},
        },
        cases=[
            case_row("a", "liver", 0.9, 3.0),
            case_row("a", "tumor", 1 / 3, 10.0),
            case_row("b", "liver", 0.95, 4.0),
            case_row("b", "tumor", 1.0, None),
            case_row("c", "liver", 0.97, 5.0),
            case_row("c", "tumor", 0.2, 30.0),
        ],
        lesions=[vars(found) for found in FINDINGS],
        failure_totals=failure_totals(FINDINGS),
        advice=["Look closer."],
        panel={"tumor": {"per_case": 0.5, "per_slice_with_empty": 0.9, "global": None}},
        panel_remarks=["tumor: they differ."],
        roc={"liver": ([0.0, 0.5, 1.0], [0.0, 1.0, 1.0], 0.75), "tumor": ([], [], math.nan)},
        reliability={
            "tumor": {
                "mean_probability": [0.25, 0.75],
                "observed": [0.0, 1.0],
                "count": [30, 10],
                "ece": 0.25,
                "temperature": 1.5,
            }
        },
        pictures=[("a", "worst: tumor Dice 0.333", picture)],
        lits={"n_cases": 3, "tumor_dice_per_case": 0.5, "liver_rvd": None, "notes": ["By other rules."]},
        provenance={"command": "evaluate", "versions": {"torch": "2.8.0"}, "overrides": ["ckpt=a", "seed=1"]},
        notes=["One case had no mask."],
        level=0.95,
    )


def page(tmp_path: Path, data: ReportData) -> Node:
    write_report(tmp_path / "report.html", data)
    return read_page(tmp_path / "report.html")


def titles(node: Node) -> list[str]:
    return [title.text for title in node.all("title")]


def test_the_sections_come_in_order_and_are_all_linked(tmp_path: Path, data: ReportData) -> None:
    document = page(tmp_path, data)
    assert [section.attrs["id"] for section in document.all("section")] == SECTIONS
    links = [link.attrs["href"] for link in document.one("nav").all("a")]
    assert links == [f"#{name}" for name in SECTIONS]
    assert document.one("h1").text == "test subset"
    ids = [node.attrs["id"] for node in document.all() if "id" in node.attrs]
    assert len(ids) == len(set(ids))
    for node in document.all():
        assert node.attrs.get("aria-labelledby", ids[0]) in ids


def test_a_headline_has_its_interval_its_unit_and_its_number_of_cases(
    tmp_path: Path, data: ReportData
) -> None:
    scores = page(tmp_path, data).one("section", id="scores")
    liver, tumor = (scores.one("div", data_region=region) for region in data.regions)
    assert liver.one("div", class_="tile leading").text.startswith("Dice per case0.950[0.912, 0.988]3 cases")
    assert tumor.one("div", class_="tile leading").text.startswith("Dice per case0.5003 cases")
    texts = [tile.text for tile in tumor.all("div", class_="tile")]
    assert any(text.startswith("HD9512.35mm2 of 3 cases") for text in texts)
    assert any(text.startswith("Lesion recall0.333") for text in texts)
    assert "hold the 95 % confidence interval" in scores.text
    assert "takes 10 cases or more" in scores.text
    unknown = page(tmp_path, replace(data, level=None)).one("section", id="scores")
    assert "hold the confidence interval" in unknown.text


def test_a_score_without_an_interval_says_why(tmp_path: Path, data: ReportData) -> None:
    counts = {"liver": {"dice_per_case": 12}, "tumor": {"dice_per_case": 3, "hd95_mm": 2, "dice_global": 1}}
    metrics = {**data.metrics, "intervals": {}, "intervals_n": counts}
    scores = page(tmp_path, replace(data, metrics=metrics)).one("section", id="scores")
    liver, tumor = (scores.one("div", data_region=region) for region in data.regions)
    assert liver.one("div", class_="tile leading").text.startswith(
        "Dice per case0.950no interval: all cases are alike3 cases"
    )
    assert tumor.one("div", class_="tile leading").text.startswith(
        "Dice per case0.5003 cases, no intervalOverlap"
    )
    texts = [tile.text for tile in tumor.all("div", class_="tile")]
    assert any(text.startswith("HD9512.35mm2 cases, no interval95 %") for text in texts)
    assert not any("1 case, no interval" in text for text in texts)  # dice_global is not defined


def test_one_case_and_one_slice_are_no_plural(tmp_path: Path, data: ReportData) -> None:
    scores = {"dice_per_case": 0.5, "dice_per_case_n": 1, "dice_per_slice": 0.5, "dice_per_slice_n": 1}
    one = replace(
        data,
        metrics={"regions": {"tumor": scores}},
        cases=[case_row("a", "tumor", 0.5, None)],
        regions=("tumor",),
    )
    document = page(tmp_path, one)
    text = document.one("main").text
    assert not re.search(r"\b1 (cases|slices|rows)\b", text)
    assert "0.5001 case" in text
    assert "0.5001 slice" in text
    assert "not defined for 1 of 1 case, because" in text
    assert any("tumor: 1 case" in (chart.attrs.get("aria-label") or "") for chart in document.all("svg"))


def test_the_table_of_all_scores_has_a_column_a_region(tmp_path: Path, data: ReportData) -> None:
    table = page(tmp_path, data).one("table", id="all-scores")
    assert [head.text for head in table.one("thead").all("th")] == ["Score", "Liver", "Tumor"]
    rows = {row[0]: row[1:] for row in cells(table)}
    assert rows["Dice per case"] == ["0.950[0.912, 0.988], 3 cases", "0.5003 cases"]
    assert rows["HD95 (mm)"] == ["4.003 cases", "12.352 of 3 cases"]
    assert rows["Dice, pooled"][1].startswith("\N{EN DASH}not defined: ")
    assert not any(name.startswith(("Lesion", "lesion")) for name in rows)


def test_what_is_not_defined_is_a_dash_that_says_why(tmp_path: Path, data: ReportData) -> None:
    table = page(tmp_path, data).one("table", id="case-table")
    names = [head.text for head in table.one("thead").all("th")]
    row = table.one("tbody").children[3]
    assert isinstance(row, Node)
    cell = row.children[names.index("HD95 (mm)")]
    assert isinstance(cell, Node)
    assert cell.one("span", aria_hidden="true").text == "\N{EN DASH}"
    assert "is empty" in (cell.one("abbr").attrs["title"] or "")
    assert "data-key" not in cell.attrs


def undefined_everywhere(data: ReportData, nothing: float | None) -> ReportData:
    """The same report with no score defined."""
    gone = {
        region: {name: value if name.endswith("_n") else nothing for name, value in scores.items()}
        for region, scores in data.metrics["regions"].items()
    }
    return replace(
        data,
        metrics={
            **data.metrics,
            "regions": gone,
            "intervals": {"liver": {"dice_per_case": [nothing, nothing]}},
        },
        cases=[
            {name: value if name in ("case", "region") else nothing for name, value in row.items()}
            for row in data.cases
        ],
        panel={"tumor": dict.fromkeys(("per_case", "global"), nothing)},
        roc={"liver": ([], [], math.nan)},
        reliability={
            "tumor": {
                "mean_probability": [],
                "observed": [],
                "count": [],
                "ece": nothing,
                "temperature": nothing,
            }
        },
        lits={"liver_rvd": nothing},
    )


@pytest.mark.parametrize("nothing", [None, math.nan])
def test_nothing_undefined_is_written_as_a_number(
    tmp_path: Path, data: ReportData, nothing: float | None
) -> None:
    document = page(tmp_path, undefined_everywhere(data, nothing))
    assert not re.search(r"\b(nan|None|inf)\b", document.one("main").text)
    table = document.one("table", id="case-table")
    assert all(text.startswith("\N{EN DASH}") for row in cells(table) for text in row[2:])
    keyed = [cell for cell in table.one("tbody").all() if "data-key" in cell.attrs]
    assert len(keyed) == 2 * len(data.cases)
    assert all("\N{EN DASH}" in tile.text for tile in document.all("div", class_="tile"))
    assert titles(document.one("section", id="conventions"))[0].startswith("per case: not defined")
    assert not document.one("section", id="spread").all("circle")
    assert "not defined: a class is absent" in document.one("section", id="probabilities").text
    assert document.one("table", id="lits-table").all("abbr")


def test_no_text_of_the_data_can_become_markup(tmp_path: Path, data: ReportData) -> None:
    (_, _, picture) = data.pictures[0]
    hostile = replace(
        data,
        title=HOSTILE,
        cases=[{**row, "case": HOSTILE + row["case"]} for row in data.cases],
        lesions=[{**row, "case": HOSTILE, "cause": HOSTILE} for row in data.lesions],
        failure_totals={"cause": [{"group": HOSTILE, "found": None, "missed": 1, "false_alarms": 2}]},
        advice=[HOSTILE],
        panel={"tumor": {HOSTILE: 0.5}},
        panel_remarks=[HOSTILE],
        pictures=[(HOSTILE, HOSTILE, picture)],
        lits={HOSTILE: HOSTILE, "notes": [HOSTILE]},
        provenance={HOSTILE: {HOSTILE: HOSTILE}},
        notes=[HOSTILE],
    )
    plain, document = page(tmp_path, data), page(tmp_path, hostile)
    for tag in ("script", "img", "style", "meta", "link"):
        assert len(document.all(tag)) == len(plain.all(tag))
    assert not [name for node in document.all() for name in node.attrs if name.startswith("on")]
    assert document.one("h1").text == document.one("head").one("title").text == HOSTILE
    table = document.one("table", id="case-table")
    assert cells(table)[0][0] == HOSTILE + "a"
    assert document.one("img").attrs["alt"] == f"Slices of {HOSTILE} with contours; {HOSTILE}"
    assert f"{HOSTILE}a: 0.900" in titles(document.one("section", id="spread"))
    for name in ("scores", "conventions", "lesions", "lits", "provenance"):
        assert HOSTILE in document.one("section", id=name).text


def test_a_name_that_is_not_utf_8_is_written(tmp_path: Path, data: ReportData) -> None:
    name = b"vol\xff".decode("utf-8", "surrogateescape")
    document = page(tmp_path, replace(data, title=name))
    assert document.one("h1").text == "vol\\udcff"


def test_the_page_refers_to_nothing_outside_of_it(tmp_path: Path, data: ReportData) -> None:
    document = page(tmp_path, data)
    addresses = [
        node.attrs[name] or ""
        for node in document.all()
        for name in ("src", "href", "srcset", "action", "xlink:href")
        if name in node.attrs
    ]
    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)
    text = (tmp_path / "report.html").read_text()
    assert not re.search(r"https?:|//\w|@import|url\(", re.sub(r"base64,[\w+/=]+", "", text))


def test_the_policy_lets_only_the_own_style_and_script_run(tmp_path: Path, data: ReportData) -> None:
    document = page(tmp_path, data)
    policy = document.one("meta", http_equiv="Content-Security-Policy").attrs["content"] or ""
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(document.one(tag).text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not [node for node in document.all() if "style" in node.attrs]


def test_the_same_data_give_the_same_bytes(tmp_path: Path, data: ReportData) -> None:
    write_report(tmp_path / "one.html", data)
    write_report(tmp_path / "deep" / "two.html", data)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "deep" / "two.html").read_bytes()


def test_a_picture_is_in_the_page_as_it_lies_in_its_file(tmp_path: Path, data: ReportData) -> None:
    figure = page(tmp_path, data).one("section", id="pictures").one("figure")
    kind, _, content = (figure.one("img").attrs["src"] or "").partition(";base64,")
    assert kind == "data:image/png"
    assert base64.b64decode(content) == data.pictures[0][2].read_bytes()
    assert figure.one("figcaption").text == "a worst: tumor Dice 0.333"
    remarked = page(tmp_path, replace(data, pictures_remark="Ranked by Dice.")).one("section", id="pictures")
    assert remarked.all("p")[0].text == "Ranked by Dice."


def test_a_jpeg_is_called_one(tmp_path: Path, data: ReportData) -> None:
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8\xff\xe0 and so on")
    document = page(tmp_path, replace(data, pictures=[("b", "best", tmp_path / "b.jpg")]))
    assert (document.one("img").attrs["src"] or "").startswith("data:image/jpeg;base64,")


def test_a_file_that_is_no_picture_is_refused_and_the_old_report_stays(
    tmp_path: Path, data: ReportData
) -> None:
    page(tmp_path, data)
    before = (tmp_path / "report.html").read_bytes()
    (tmp_path / "c.svg").write_text("<svg/>")
    with pytest.raises(ValueError, match=r"c\.svg: a picture must be PNG or JPEG, it starts with b'<svg/>'"):
        write_report(tmp_path / "report.html", replace(data, pictures=[("c", "", tmp_path / "c.svg")]))
    with pytest.raises(OSError, match="absent"):
        write_report(tmp_path / "report.html", replace(data, pictures=[("c", "", tmp_path / "absent.png")]))
    assert (tmp_path / "report.html").read_bytes() == before
    assert not list(tmp_path.glob(".report*"))


def test_a_report_that_cannot_be_put_in_place_leaves_nothing_behind(tmp_path: Path, data: ReportData) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_report(tmp_path / "taken", data)
    assert not list(tmp_path.glob(".taken*"))


def test_bars_are_as_long_as_their_dice_and_the_honest_one_is_marked(
    tmp_path: Path, data: ReportData
) -> None:
    section = page(tmp_path, data).one("section", id="conventions")
    widths = [bar.number("width") for bar in section.all("rect", class_="bar")]
    assert widths == [150.0, 270.0, 0.0]
    marked = section.one("g", class_="marked")
    assert "per case0.500" in marked.text
    assert [text.text for text in section.all("text", class_="value")] == ["0.500", "0.900", "\N{EN DASH}"]
    assert section.one("ul", class_="remarks").text == "tumor: they differ."
    assert (section.one("svg").attrs["aria-label"] or "").endswith(
        "per case 0.500, per slice, with empty 0.900, pooled voxels -"
    )


def test_a_point_stands_for_each_case_where_its_value_lies(tmp_path: Path, data: ReportData) -> None:
    dice, hd95 = page(tmp_path, data).one("section", id="spread").all("svg")
    points = {titles(point)[0]: point.number("cx") for point in dice.all("circle", class_="point")}
    assert len(points) == 6
    # The axis runs from 60 to 506.
    assert points["a: 0.900"] == pytest.approx(60 + 0.9 * 446, abs=0.01)
    assert points["b: 1.000"] == 506
    assert points["a: 0.333"] == pytest.approx(60 + 446 / 3, abs=0.01)
    assert titles(hd95.one("g", data_region="tumor")) == ["a: 10.00", "c: 30.00"]
    # The axis ends at the first round number beyond the largest value.
    assert hd95.all("circle", class_="point")[-1].number("cx") == 506
    assert not dice.all("rect", class_="box")


def test_a_box_has_the_quartiles_of_numpy(tmp_path: Path, data: ReportData) -> None:
    values = [0.05, 0.5, 0.55, 0.6, 0.62, 0.7, 0.71, 0.8]
    rows = [case_row(f"case-{n}", "liver", value, None) for n, value in enumerate(values)]
    dice, hd95 = page(tmp_path, replace(data, cases=rows, regions=("liver",))).all("svg", class_="chart")[1:3]
    first, middle, third = np.percentile(values, [25, 50, 75])
    box = dice.one("rect", class_="box")
    assert box.number("x") == pytest.approx(60 + 446 * first, abs=0.01)
    assert box.number("width") == pytest.approx(446 * (third - first), abs=0.02)
    assert dice.one("line", class_="median").number("x1") == pytest.approx(60 + 446 * middle, abs=0.01)
    # 0.05 lies farther than one and a half boxes below.
    low, high = dice.all("line", class_="whisker")
    assert low.number("x1") == pytest.approx(60 + 446 * 0.5, abs=0.01)
    assert high.number("x2") == pytest.approx(60 + 446 * 0.8, abs=0.01)
    assert titles(dice)[0] == f"median {middle:.3f}, quartiles {first:.3f} and {third:.3f}"
    assert "not defined in any case" in hd95.text


def test_points_of_the_same_value_do_not_cover_each_other(tmp_path: Path, data: ReportData) -> None:
    rows = [case_row(f"case-{n}", "liver", 0.5, None) for n in range(200)]
    dice = page(tmp_path, replace(data, cases=rows, regions=("liver",))).all("svg", class_="chart")[1]
    heights = [point.number("cy") for point in dice.all("circle", class_="point")]
    assert len(set(heights)) == 200
    assert max(heights) < 96


def test_curves_go_through_their_points(tmp_path: Path, data: ReportData) -> None:
    roc, reliability = page(tmp_path, data).one("section", id="probabilities").all("svg")
    # The square reaches from (56, 328) to (376, 8).
    assert (
        roc.one("g", data_region="liver").one("polyline").attrs["points"] == "56.0,328.0 216.0,8.0 376.0,8.0"
    )
    assert roc.one("g", data_region="tumor").one("polyline").attrs["points"] == ""
    assert reliability.one("polyline").attrs["points"] == "136.0,328.0 296.0,8.0"
    assert titles(reliability.one("g", data_region="tumor")) == [
        "tumor: mean probability 0.250, observed 0.000, 30 voxels",
        "tumor: mean probability 0.750, observed 1.000, 10 voxels",
    ]
    told = page(tmp_path, data).one("section", id="probabilities").text
    for text in ("AUROC 0.7500", "a class is absent", "ECE 0.2500, best temperature 1.50"):
        assert text in told


def test_without_probabilities_the_page_says_so(tmp_path: Path, data: ReportData) -> None:
    document = page(tmp_path, replace(data, roc=None, reliability=None))
    assert "Only masks were scored" in document.one("section", id="probabilities").text
    one_of_them = page(tmp_path, replace(data, roc=None)).one("section", id="probabilities")
    assert len(one_of_them.all("svg")) == 1


def test_cases_can_be_sorted_by_their_full_values_and_filtered_by_region(
    tmp_path: Path, data: ReportData
) -> None:
    document = page(tmp_path, data)
    table = document.one("table", id="case-table")
    heads = table.one("thead").all("th")
    assert [head.one("button").text for head in heads] == [about(name).title for name in data.cases[0]]
    assert [head.attrs["data-kind"] for head in heads][:3] == ["text", "text", "number"]
    rows = table.one("tbody").all("tr")
    assert [row.attrs["data-region"] for row in rows] == ["liver", "tumor"] * 3
    assert rows[1].all("td")[1].attrs["data-key"] == repr(1 / 3)
    assert rows[1].all("td")[1].text == "0.333"
    assert [option.attrs["value"] for option in document.one("select").all("option")] == ["", *data.regions]


def test_a_line_tells_what_was_left_out_of_which_score(tmp_path: Path, data: ReportData) -> None:
    told = left_out(data)
    assert told == [
        "Tumor: HD95 (mm), NSD 2\N{NO-BREAK SPACE}mm are not defined for 1 of 3 cases, because prediction or "
        "reference is empty, so there is no surface to measure: b."
    ]
    note = page(tmp_path, data).one("div", class_="note")
    assert [item.text for item in note.all("li")] == ["One case had no mask.", *told]
    many = [case_row(f"case-{n}", "liver", 0.5, None) for n in range(9)]
    assert left_out(replace(data, cases=many))[0].endswith(
        "case-0, case-1, case-2, case-3, case-4, case-5 and 3 more."
    )


def test_lesions_are_counted_by_group_and_rule(tmp_path: Path, data: ReportData) -> None:
    document = page(tmp_path, data)
    detection = {row[0]: row[1:] for row in cells(document.one("table", id="detection"))}
    assert list(detection) == ["All", "< 10 mm", "10-20 mm", "> 20 mm"]
    assert (detection["All"][0], detection["All"][3]) == ("1", "0.333")
    assert detection["< 10 mm"][3].startswith("\N{EN DASH}")
    assert detection["> 20 mm"][11] == "0.750"
    size = document.one("table", id="totals-size")
    assert [row[:4] for row in cells(size)] == [
        ["< 10 mm", "0", "1", "1"],
        ["10-20 mm", "0", "1", "0"],
        ["> 20 mm", "1", "0", "0"],
    ]
    assert titles(size)[:3] == ["found: 0", "missed: 1", "false alarms: 1"]
    widths = [bar.number("width") for bar in size.all("rect")]
    assert widths == [0, 50, 50, 0, 50, 0, 50, 0, 0]
    starts = [bar.number("x") for bar in size.all("rect")]
    assert starts[:3] == [0, 0, 50]
    cause = document.one("table", id="totals-cause")
    assert [head.text for head in cause.one("thead").all("th")] == [
        "Group",
        "Missed",
        "False alarms",
        "Share",
    ]


def test_missed_lesions_and_false_alarms_are_listed_the_largest_first(
    tmp_path: Path, data: ReportData
) -> None:
    document = page(tmp_path, data)
    missed, alarms = (document.one("table", id=name) for name in ("missed-lesions", "false-alarms"))
    heads = [head.text for head in missed.one("thead").all("th")]
    diameters = [row[heads.index("Diameter (mm)")] for row in cells(missed)]
    assert diameters == ["12.0", "6.0"]
    assert cells(missed)[0][heads.index("Contrast (HU)")].startswith("\N{EN DASH}")
    assert cells(missed)[1][heads.index("Contrast (HU)")] == "\N{MINUS SIGN}15"
    assert [row[0] for row in cells(alarms)] == ["b"]
    assert "Look closer." in document.one("div", class_="note advice").text
    none_missed = page(
        tmp_path, replace(data, lesions=[row for row in data.lesions if row["outcome"] != MISSED])
    )
    assert "Missed lesions: none." in none_missed.one("section", id="lesions").text


def test_a_lesion_leads_to_its_picture_or_to_that_of_its_case(tmp_path: Path, data: ReportData) -> None:
    save_png(tmp_path / "lesion.png", np.full((8, 16, 3), 200, np.uint8))
    (number,) = [n for n, row in enumerate(data.lesions) if row["outcome"] == MISSED and row["case"] == "b"]
    shown = replace(data, lesion_pictures={number: tmp_path / "lesion.png"})
    document = page(tmp_path, shown)
    links = {
        row.one("th").text: [link.attrs["href"] for link in row.all("a")]
        for row in document.one("table", id="missed-lesions").one("tbody").children
    }
    of_case = {case: f"#picture-{n}" for n, (case, *_) in enumerate(data.pictures, start=1)}
    assert links == {"b": [f"#lesion-{number + 1}"], "a": [of_case["a"]]}
    figure = document.one("figure", id=f"lesion-{number + 1}")
    assert figure.one("img").attrs["src"].startswith("data:image/png")
    assert figure.one("figcaption").text == "b, slice 7, 12.0\N{NO-BREAK SPACE}mm, small"
    lesions = document.one("section", id="lesions")
    assert "1 of 2 are drawn: the largest" in lesions.text
    assert "tumor, prediction" in lesions.text
    ids = {node.attrs["id"] for node in document.all() if "id" in node.attrs}
    assert {link.attrs["href"].removeprefix("#") for link in document.all("a")} <= ids
    assert not page(tmp_path, data).one("section", id="lesions").all("img")


def test_every_lesion_of_a_case_with_a_page_leads_to_its_place_there(
    tmp_path: Path, data: ReportData
) -> None:
    save_png(tmp_path / "lesion.png", np.full((8, 16, 3), 200, np.uint8))
    of_b = [n for n, row in enumerate(data.lesions) if row["case"] == "b"]
    pictures = {n: tmp_path / "lesion.png" for n, row in enumerate(data.lesions) if row["outcome"] == MISSED}
    viewers = {"b": "viewer/b%20.html"}
    document = page(tmp_path, replace(data, viewers=viewers, lesion_pictures=pictures))
    tables = (document.one("table", id=f"{name}-lesions") for name in ("missed", "found"))
    rows = [row for table in (*tables, document.one("table", id="false-alarms")) for row in table.all("tr")]
    links = {link.attrs["href"] for row in rows for link in row.all("a") if link.text == "b"}
    # The n-th of the case in the order of lesions.csv, whatever the order of the tables.
    assert links == {f"viewer/b%20.html#lesion={n}" for n in range(1, len(of_b) + 1)}
    missed = next(n for n in of_b if data.lesions[n]["outcome"] == MISSED)
    caption = document.one("figure", id=f"lesion-{missed + 1}").one("figcaption")
    assert caption.one("a").attrs["href"] == f"viewer/b%20.html#lesion={of_b.index(missed) + 1}"
    # A case without a page leads to its picture as before.
    assert {link.attrs["href"][0] for row in rows for link in row.all("a") if link.text == "a"} == {"#"}
    assert "A case, one of the worst 1, leads to the lesion in three planes" in document.text


def test_a_cohort_without_tumors_has_a_sensible_page(tmp_path: Path, data: ReportData) -> None:
    without = page(tmp_path, replace(data, lesions=[], failure_totals=failure_totals([]), advice=[]))
    assert "There is no lesion" in without.one("section", id="lesions").text
    liver = replace(data, regions=("liver",), cases=data.rows_of("liver"), lesions=[], failure_totals={})
    assert "the tumor was not scored" in page(tmp_path, liver).one("section", id="lesions").text


def test_a_report_of_nothing_has_all_that_is_always_there(tmp_path: Path) -> None:
    nothing = ReportData(
        title="",
        regions=("tumor",),
        metrics={},
        cases=[],
        lesions=[],
        failure_totals={},
        advice=[],
        panel={},
        panel_remarks=[],
        roc=None,
        reliability=None,
        pictures=[],
        lits=None,
        provenance={},
        notes=[],
    )
    document = page(tmp_path, nothing)
    sections = [section.attrs["id"] for section in document.all("section")]
    assert sections == [name for name in SECTIONS if name not in ("pictures", "lits")]
    assert not document.all("table")
    assert "There is no case." in document.one("section", id="cases").text


def test_the_scores_of_the_challenge_stand_with_their_notes(tmp_path: Path, data: ReportData) -> None:
    section = page(tmp_path, data).one("section", id="lits")
    rows = dict(cells(section.one("table")))
    assert (rows["n cases"], rows["tumor dice per case"]) == ("3", "0.5000")
    assert rows["liver rvd"].startswith("\N{EN DASH}")
    assert "notes" not in rows
    assert section.one("ul").text == "By other rules."


def test_provenance_is_told_one_fact_a_row(tmp_path: Path, data: ReportData) -> None:
    assert dict(cells(page(tmp_path, data).one("table", id="provenance-table"))) == {
        "command": "evaluate",
        "versions: torch": "2.8.0",
        "overrides": "ckpt=a seed=1",
    }


def test_every_score_shown_is_defined_once_at_the_end(tmp_path: Path, data: ReportData) -> None:
    terms = [term.text for term in page(tmp_path, data).one("section", id="definitions").all("dt")]
    assert len(terms) == len(set(terms))
    assert {"Dice per case", "Dice", "HD95 (mm)", "Lesion recall", "Diameter (mm)", "Likely cause"} <= set(
        terms
    )


def test_the_glossary_knows_what_evaluation_writes() -> None:
    listed = {field.name for field in fields(LesionFinding)} - {"outcome"}
    written = {*listed, *(score.name for score in score_table() if score.is_of_cases)}
    assert {"dice", "iou", "precision", "recall", "nsd_2mm", "reference_ml", "predicted_ml"} < written
    assert not [name for name in written - {"case"} if not about(name).meaning]
    assert about("nsd_0.5mm").title == "NSD 0.5\N{NO-BREAK SPACE}mm"
    assert (about("new_score").title, about("new_score").meaning) == ("new score", "")
    assert all(known.meaning.endswith(".") for known in (*COLUMNS, *score_table()) if known.meaning)


@pytest.mark.parametrize(
    ("value", "decimals", "signed", "text"),
    [
        (0.12349, 3, False, "0.123"),
        (-2.5, 1, False, "\N{MINUS SIGN}2.5"),
        (2.5, 1, True, "+2.5"),
        (-0.01, 1, False, "0.0"),
        (0.01, 1, True, "0.0"),
        (3, 0, False, "3"),
    ],
)
def test_numbers_have_a_true_minus_and_no_negative_zero(
    value: float, decimals: int, signed: bool, text: str
) -> None:
    assert format_number(value, decimals=decimals, signed=signed) == text


def test_children_keep_their_order_and_none_is_left_out() -> None:
    made = element(
        "p", "a", "b", element("b", "c"), None, "d", "e", element("i"), "f", class_="x", title=None
    )
    assert (made.text, [(child.tag, child.tail) for child in made], made.attrib) == (
        "ab",
        [("b", "de"), ("i", "f")],
        {"class": "x"},
    )


def test_regions_have_the_colors_of_the_figures() -> None:
    style = files("lts.evaluation.report").joinpath("style.css").read_text("utf-8")
    for region, color in _REGION_COLORS.items():
        assert f'[data-region="{region}"] {{ --region: {color}; }}' in style
    for region, sides in _COLORS.items():
        for side, color in zip(("reference", "prediction"), sides, strict=True):
            assert f'[data-contour="{region} {side}"] {{ --region: {color}; }}' in style
