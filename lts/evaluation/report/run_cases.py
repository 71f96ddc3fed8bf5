"""Sections on the cases of compared runs: their Dice in charts, and where runs differ most in pictures."""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from lts.base import counted
from lts.evaluation.compare import score_of
from lts.evaluation.differing import DifferingCase
from lts.evaluation.quantity import is_defined
from lts.evaluation.report.charts import distribution_chart
from lts.evaluation.report.cohort import CONTOURS, contour_legend
from lts.evaluation.report.data import ComparisonData
from lts.evaluation.report.glossary import cell
from lts.evaluation.report.markup import Cell, Child, Column, Row, element, intro, picture, section, table
from lts.evaluation.report.squares import axis_bottom, paired_chart
from lts.evaluation.table import DICE

_MOST_CHARTS = 4
"""Runs that are drawn against the first one."""


def run_charts(data: ComparisonData) -> list[ET.Element]:
    """The Dice of all cases by region; none where it was not scored."""
    if data.region is None:
        return []
    first, *others = data.runs
    return [
        section(
            "case-by-case",
            "Case by case",
            intro(
                "A point is a case; hover to see its name, and the same case in the other charts. In the "
                f"square charts, {_above(first, others[:_MOST_CHARTS])}."
            ),
            *(_charts_of(data, region) for region in data.regions),
        )
    ]


def _above(first: str, others: Sequence[str]) -> str:
    better = others[0] if len(others) == 1 else "the run at the left"
    return f"points above the diagonal are cases where {better} is better than {first}"


def _charts_of(data: ComparisonData, region: str) -> ET.Element:
    dice = {
        name: {str(row["case"]): score_of(row, DICE.name) for row in rows if row["region"] == region}
        for name, rows in data.rows.items()
    }
    dice = {
        name: {case: one for case, one in found.items() if is_defined(one)} for name, found in dice.items()
    }
    bottom = axis_bottom([one for found in dice.values() for one in found.values()])
    points = {name: list(found.items()) for name, found in dice.items()}
    first, *others = dice
    charts = [distribution_chart(points, score=DICE, top=1.0, bottom=bottom, by="run")]
    for other in others[:_MOST_CHARTS]:
        both = {case: (one, dice[other][case]) for case, one in dice[first].items() if case in dice[other]}
        charts.append(paired_chart(both, names=(first, other), score=DICE, bottom=bottom))
    figures = [element("figure", one, class_="square" if index else None) for index, one in enumerate(charts)]
    return element(
        "div",
        element("h3", region.capitalize(), class_="region"),
        element("div", *figures, class_="charts"),
        data_region=region,
    )


def differing(data: ComparisonData) -> list[ET.Element]:
    """The cases by how much their Dice differs; none where it was not scored."""
    if data.region is None or not data.differing:
        return []
    names = list(data.runs)
    columns = [Column(label="Case"), *(Column(label=f"Dice of {name}", numeric=True) for name in names)]
    columns.append(Column(label="Spread", about="The highest minus the lowest.", numeric=True))
    rows = [
        Row(
            [
                Cell(_linked(one.case, data), one.case),
                *(cell(DICE, one.dice[name]) for name in names),
                cell(DICE, one.spread),
            ]
        )
        for one in data.differing
    ]
    return [
        section(
            "differing",
            "Cases in which the runs differ most",
            intro(
                f"By the Dice of {data.region}: the highest of the runs minus the lowest. "
                + _pictures_are(data)
            ),
            table(
                f"All cases by their Dice of {data.region}",
                columns,
                rows,
                sortable=True,
                id_="differing-table",
            ),
            contour_legend(data.regions) if any(one.pictures for one in data.pictures.values()) else None,
            element(
                "div",
                *(_figure(one, data) for one in data.differing if one.case in data.pictures),
                class_="pictures",
            ),
        )
    ]


def _pictures_are(data: ComparisonData) -> str:
    whole = sum(one.spread > 0 for one in data.differing)
    if not whole:
        return "In no case do they differ."
    drawn = sum(bool(found.pictures) for found in data.pictures.values())
    how = f", each at the slice where the masks of {data.region} differ in most voxels. {CONTOURS}"
    return f"Pictures show {drawn} of the {counted(whole, 'case')} that differ{how if drawn else '.'}"


def _linked(case: str, data: ComparisonData) -> Child:
    found = data.pictures.get(case)
    if found is None or not found.pictures:
        return case
    return element("a", case, href=f"#{_anchor(case, data)}")


def _anchor(case: str, data: ComparisonData) -> str:
    return f"case-{list(data.pictures).index(case) + 1}"


def _figure(one: DifferingCase, data: ComparisonData) -> ET.Element:
    found = data.pictures[one.case]
    parts = [
        element(
            "figure",
            picture(content, f"{one.case}, {caption}", name=one.case),
            element("figcaption", caption),
        )
        for caption, content in found.pictures
    ]
    return element(
        "div",
        element("h3", one.case, element("span", f" {found.title}", class_="detail")),
        element("div", *parts, class_="side-by-side") if parts else intro(f"No picture: {found.problem}."),
        id=_anchor(one.case, data),
    )
