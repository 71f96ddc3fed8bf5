"""Section on lesions: detection by size, failures and causes, and advice."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from lts.evaluation.quantity import Quantity, is_defined
from lts.evaluation.report.charts import share_bar
from lts.evaluation.report.cohort import CONTOURS, case_link, contour_legend
from lts.evaluation.report.data import ReportData
from lts.evaluation.report.glossary import about, cell, column, shown
from lts.evaluation.report.markup import (
    Cell,
    Child,
    Column,
    Row,
    element,
    intro,
    paragraphs,
    picture,
    scroll_box,
    section,
    table,
)
from lts.scores.findings import FALSE_ALARM, FOUND, MISSED
from lts.scores.lesions import SIZE_GROUPS

_SIZES = {"": "All", **{f"_{group}": label for group, label in SIZE_GROUPS.items()}}
_RULES = {"lesion_": "at IoU > 0.5", "lesion_any_": "at any overlap"}
_DETECTION = {
    "tp": "Found",
    "fn": "Missed",
    "fp": "False alarms",
    "recall": "Recall",
    "precision": "Precision",
    "f1": "F1",
}
_TOTALS = {
    "cause": "By likely cause",
    "size": "By size",
    "contrast": "By contrast to the liver, without its sign",
}
_OUTCOMES = {"found": "Found", "missed": "Missed", "false_alarms": "False alarms"}
_COUNT = Quantity("lesions", "Lesions", why_undefined="it is not counted here", decimals=0)
_PLACE = ("outcome", "row", "column")
_NOT_LISTED = {FOUND: (*_PLACE, "cause"), MISSED: (*_PLACE, "iou"), FALSE_ALARM: (*_PLACE, "iou")}
"""Told by the table that they stand in, or by where its rows lead to."""


def lesions(data: ReportData) -> ET.Element:
    """Everything on lesions, or a line that says why there is nothing."""
    if "tumor" not in data.regions:
        return _section(intro("Lesions are tumors, and the tumor was not scored."))
    if not data.lesions:
        text = "There is no lesion, neither in the references nor in the predictions."
        return _section(intro(text))
    return _section(
        intro(
            "A lesion is a connected component of tumor, its size the diameter of the sphere of equal "
            "volume. The totals and lists below match lesions at any overlap, one to one."
        ),
        _by_size(data.scores_of("tumor")),
        element(
            "ul",
            *(element("li", name, data_outcome=name) for name in map(_plain, _OUTCOMES)),
            class_="legend row",
        ),
        element(
            "div", *(_totals(data, kind) for kind in _TOTALS if kind in data.failure_totals), class_="totals"
        ),
        intro(_in_planes(data)) if data.viewers else None,
        *(
            (
                intro(f"{_to_pictures(data)} {CONTOURS}"),
                contour_legend(data.regions),
            )
            if data.lesion_pictures
            else ()
        ),
        _list(data, MISSED, "Missed lesions, the largest first", "missed-lesions"),
        _list(data, FALSE_ALARM, "False alarms, the largest first", "false-alarms"),
        _list(data, FOUND, "Found lesions, the largest first", "found-lesions"),
        element(
            "div",
            element("h3", "What may help"),
            paragraphs(data.advice, class_="plain"),
            class_="note advice",
        )
        if data.advice
        else None,
    )


def _section(*children: ET.Element | None) -> ET.Element:
    return section("lesions", "Lesions", *children)


def _by_size(scores: dict[str, Any]) -> ET.Element | None:
    """Detection by size under both rules; None where the scores have none."""
    if not any(name.startswith("lesion_") for name in scores):
        return None
    groups = [element("th", "Size", scope="col", rowspan=2)]
    groups += [
        element("th", rule, scope="colgroup", colspan=len(_DETECTION), class_="group")
        for rule in _RULES.values()
    ]
    heads = [
        element("th", label, scope="col", class_="number") for _ in _RULES for label in _DETECTION.values()
    ]
    rows = []
    for suffix, label in _SIZES.items():
        cells = [
            element("td", shown(_detected(name), scores.get(f"{prefix}{name}{suffix}")), class_="number")
            for prefix in _RULES
            for name in _DETECTION
        ]
        rows.append(element("tr", element("th", label, scope="row"), *cells))
    return scroll_box(
        "Detection by size",
        element("thead", element("tr", *groups), element("tr", *heads)),
        element("tbody", *rows),
        id_="detection",
    )


def _detected(kind: str) -> Quantity:
    return replace(about(f"lesion_{kind}"), why_undefined="there is no such lesion")


def _totals(data: ReportData, kind: str) -> ET.Element:
    found_rows = data.failure_totals[kind]
    with_found = any(row["found"] is not None for row in found_rows)
    names = [name for name in _OUTCOMES if with_found or name != "found"]
    columns = [Column(label="Group")]
    columns += [Column(label=_OUTCOMES[name], numeric=True) for name in names]
    columns.append(Column(label="Share"))
    counts = [{_plain(name): row[name] or 0 for name in names} for row in found_rows]
    most = max((sum(count.values()) for count in counts), default=0)
    rows = [
        Row(
            [
                Cell(str(row["group"]), None),
                *(cell(_COUNT, row[name]) for name in names),
                Cell(share_bar(count, most=most), None),
            ]
        )
        for row, count in zip(found_rows, counts, strict=True)
    ]
    return table(_TOTALS[kind], columns, rows, sortable=False, id_=f"totals-{kind}")


def _plain(outcome: str) -> str:
    return outcome.replace("_", " ")


def _list(data: ReportData, outcome: str, caption: str, id_: str) -> ET.Element:
    """A table of the lesions of an outcome, which leads to pages of cases and to the pictures below it."""
    numbers = [number for number, row in enumerate(data.lesions) if row["outcome"] == outcome]
    if not numbers:
        return element("p", f"{caption.partition(',')[0]}: none.", class_="caption")
    numbers.sort(key=lambda number: -_diameter_mm(data.lesions[number]))
    columns = [about(name) for name in data.lesions[0] if name not in _NOT_LISTED[outcome]]
    in_viewers = _in_viewers(data)
    rows = [
        Row(
            [
                Cell(_place(data, number, in_viewers), data.lesions[number]["case"])
                if one.name == "case"
                else cell(one, data.lesions[number][one.name])
                for one in columns
            ]
        )
        for number in numbers
    ]
    return element(
        "div",
        table(f"{caption}: {len(rows)}", list(map(column, columns)), rows, sortable=True, id_=id_),
        _gallery(data, numbers, in_viewers),
    )


def _place(data: ReportData, number: int, in_viewers: Mapping[int, str]) -> Child:
    """The case of a lesion: leads to it in three planes, else to its picture, else to that of the case."""
    case = str(data.lesions[number]["case"])
    if number in in_viewers:
        return element("a", case, href=in_viewers[number])
    if number in data.lesion_pictures:
        return element("a", case, href=f"#lesion-{number + 1}")
    return case_link(data, case)


def _in_viewers(data: ReportData) -> dict[int, str]:
    """By number of a lesion its address in the page of its case, which counts its lesions from 1."""
    before: Counter[str] = Counter()
    addresses = {}
    for number, row in enumerate(data.lesions):
        before[row["case"]] += 1
        if row["case"] in data.viewers:
            addresses[number] = f"{data.viewers[row['case']]}#lesion={before[row['case']]}"
    return addresses


def _in_planes(data: ReportData) -> str:
    whole = len(data.viewers) == data.n_cases
    worst = "" if whole else f", one of the worst {len(data.viewers)},"
    return (
        f"A case{worst} leads to the lesion in three planes: a page beside this one, to scroll through the "
        "scan under the contours of both masks."
    )


def _to_pictures(data: ReportData) -> str:
    if not data.viewers:
        return "A case leads to the picture of the lesion."
    others = "" if len(data.viewers) == data.n_cases else "; other cases lead to the picture"
    return f"So does the caption of a picture{others}."


def _gallery(data: ReportData, numbers: Sequence[int], in_viewers: Mapping[int, str]) -> ET.Element | None:
    """Pictures of these lesions, and which of them have none; None where none was drawn."""
    drawn = [number for number in numbers if number in data.lesion_pictures]
    if not drawn:
        return None
    text = (
        "Each in its slice, framed, and at close range: at the right the same slice, below the coronal and "
        "the sagittal plane through its middle, the head (S) above."
    )
    if len(drawn) < len(numbers):
        text += (
            f" {len(drawn)} of {len(numbers)} are drawn: the largest of each case, of many cases fewer each. "
            "Of the others the table tells the slice, and lesions.csv row and column."
        )
    figures = [
        _figure(data.lesions[number], data.lesion_pictures[number], number, in_viewers.get(number))
        for number in drawn
    ]
    return element(
        "div", element("p", text, class_="detail"), element("div", *figures, class_="lesion-pictures")
    )


def _figure(row: Mapping[str, Any], path: Path, number: int, address: str | None) -> ET.Element:
    size = f"{about('diameter_mm').format(row['diameter_mm'])}\N{NO-BREAK SPACE}mm"
    caption = f"{row['case']}, slice {row['slice']}, {size}, {row['cause']}"
    return element(
        "figure",
        picture(path.read_bytes(), f"{row['outcome']}: {caption}", name=str(path)),
        element("figcaption", element("a", caption, href=address) if address else caption),
        id=f"lesion-{number + 1}",
    )


def _diameter_mm(row: Mapping[str, Any]) -> float:
    return row["diameter_mm"] if is_defined(row.get("diameter_mm")) else 0.0
