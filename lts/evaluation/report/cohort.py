"""Sections on cases: spread of scores, the table of all cases, pictures, and probabilities."""

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET

from lts.evaluation.quantity import format_number, is_defined
from lts.evaluation.report.charts import distribution_chart
from lts.evaluation.report.data import ReportData
from lts.evaluation.report.glossary import about, cell, column
from lts.evaluation.report.markup import Cell, Child, Row, element, intro, picture, section, table
from lts.evaluation.report.squares import Curve, unit_chart

CONTOURS = (
    "Solid contours are the reference, dashed ones the prediction. R, L, A and P mark the patient's right, "
    "left, front and back."
)
_SPREADS: tuple[tuple[str, float | None], ...] = (("dice", 1.0), ("hd95_mm", None))


def spread(data: ReportData) -> ET.Element:
    """Box plots by region, a point a case."""
    charts = []
    for name, top in _SPREADS:
        points = {
            region: [
                (str(row["case"]), float(row[name]))
                for row in data.rows_of(region)
                if is_defined(row.get(name))
            ]
            for region in data.regions
        }
        charts.append(element("figure", distribution_chart(points, score=about(name), top=top)))
    return section(
        "spread",
        "How cases differ",
        intro(
            "A point is a case; hover to see its name. The Dice of a case that is empty on both sides is 1, "
            "on one side 0. Of five cases or more, the box spans the middle half with the median as a line, "
            "and the whiskers reach the farthest case within one and a half box lengths."
        ),
        element("div", *charts, class_="charts"),
    )


def case_table(data: ReportData) -> ET.Element:
    """All cases; sorts and filters in the browser."""
    columns = [about(name) for name in (data.cases[0] if data.cases else ())]
    rows = [
        Row(
            [
                Cell(case_link(data, row["case"]), row["case"])
                if one.name == "case"
                else cell(one, row[one.name])
                for one in columns
            ],
            region=str(row["region"]),
        )
        for row in data.cases
    ]
    options = [element("option", region.capitalize(), value=region) for region in data.regions]
    chooser = element(
        "p",
        element(
            "label",
            "Region ",
            element("select", element("option", "All", value=""), *options, id="region-filter"),
        ),
        " ",
        element("output", f"rows: {len(rows)} of {len(rows)}", for_="region-filter"),
        class_="controls",
    )
    return section(
        "cases",
        "All cases",
        element("p", "Click a header to sort by it, and again to turn the order.", class_="intro screen"),
        chooser if rows else intro("There is no case."),
        table(
            "Scores by case and region",
            list(map(column, columns)),
            rows,
            sortable=True,
            id_="case-table",
        )
        if rows
        else None,
        class_="wide",
    )


def pictures(data: ReportData) -> ET.Element | None:
    """The overlays of the cases to look at; None where none was drawn.

    Raises:
        ValueError: A file is neither a PNG nor a JPEG picture.
        OSError: A file cannot be read.
    """
    if not data.pictures:
        return None
    figures = [
        element(
            "figure",
            element("figcaption", element("strong", _viewer_link(data, case)), " ", caption),
            picture(path.read_bytes(), f"Slices of {case} with contours; {caption}", name=str(path)),
            id=f"picture-{number}",
        )
        for number, (case, caption, path) in enumerate(data.pictures, start=1)
    ]
    return section(
        "pictures",
        "Cases in pictures",
        intro(data.pictures_remark) if data.pictures_remark else None,
        intro(CONTOURS),
        intro("The name above a picture leads to all of the case, in three planes.")
        if data.viewers
        else None,
        element("div", *figures, class_="pictures"),
    )


def case_link(data: ReportData, case: str) -> Child:
    """The name of a case, which leads to its picture where there is one, else to the page of the case."""
    number = next((n for n, (shown, *_) in enumerate(data.pictures, start=1) if shown == case), None)
    return _viewer_link(data, case) if number is None else element("a", case, href=f"#picture-{number}")


def _viewer_link(data: ReportData, case: str) -> Child:
    """The name of a case, which leads to its page where there is one."""
    return element("a", case, href=data.viewers[case]) if case in data.viewers else case


def contour_legend(regions: Sequence[str]) -> ET.Element:
    """The colors of the contours, for pictures that do not tell them."""
    entries = [
        element("li", f"{region}, {side}", data_contour=f"{region} {side}")
        for region in regions
        for side in ("reference", "prediction")
    ]
    return element("ul", *entries, class_="legend row")


def probabilities(data: ReportData) -> ET.Element:
    """ROC and reliability curves."""
    charts = [
        _roc(data.roc) if data.roc else None,
        _reliability(data.reliability) if data.reliability else None,
    ]
    if not any(chart is not None for chart in charts):
        text = intro("Only masks were scored, so there are no probabilities to judge.")
        return section("probabilities", "Probabilities", text)
    return section("probabilities", "Probabilities", element("div", *charts, class_="charts"))


def _roc(roc: dict[str, Any]) -> ET.Element:
    curves, legend = [], []
    for region, (fpr, tpr, area) in roc.items():
        known = is_defined(area)
        curves.append(Curve(region, list(fpr) if known else [], list(tpr) if known else []))
        text = f"AUROC {area:.4f}" if known else "not defined: a class is absent"
        legend.append((region, text))
    chart = unit_chart(
        curves,
        xlabel="false-positive rate",
        ylabel="true-positive rate",
        diagonal="chance",
        label="ROC curves of the pooled voxels: " + _legend_text(legend),
    )
    return _figure(
        "ROC, pooled voxels",
        chart,
        legend,
        "Nearly all voxels are background that any model tells apart, so areas close to 1 are the rule.",
    )


def _reliability(reliability: dict[str, dict[str, Any]]) -> ET.Element:
    curves, legend = [], []
    for region, found in reliability.items():
        predicted, observed, counts = (list(found[key]) for key in ("mean_probability", "observed", "count"))
        about = [
            f"{region}: mean probability {p:.3f}, observed {o:.3f}, {n} voxels"
            for p, o, n in zip(predicted, observed, counts, strict=True)
        ]
        curves.append(Curve(region, predicted, observed, about))
        text = f"ECE {found['ece']:.4f}" if is_defined(found.get("ece")) else "ECE not defined"
        if is_defined(found.get("ece_uncertain")):
            text += f", {found['ece_uncertain']:.3f} where uncertain"
        if is_defined(found.get("temperature")):
            text += f", best temperature {format_number(found['temperature'], decimals=2)}"
        legend.append((region, text))
    chart = unit_chart(
        curves,
        xlabel="mean probability",
        ylabel="share observed",
        diagonal="perfect calibration",
        label="Reliability curves: " + _legend_text(legend),
    )
    return _figure(
        "Reliability",
        chart,
        legend,
        "Below the diagonal the model is too sure. ECE, the expected calibration error, is the mean distance "
        "to it, weighed by voxels. A best temperature above 1 says that the model is too sure on the whole.",
    )


def _legend_text(legend: list[tuple[str, str]]) -> str:
    return "; ".join(f"{region} {text}" for region, text in legend)


def _figure(title: str, chart: ET.Element, legend: list[tuple[str, str]], about: str) -> ET.Element:
    entries = [
        element("li", element("strong", region.capitalize()), element("span", text), data_region=region)
        for region, text in legend
    ]
    return element(
        "figure",
        element("figcaption", title),
        chart,
        element("ul", *entries, class_="legend"),
        element("p", about, class_="detail"),
    )
