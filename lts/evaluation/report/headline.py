"""Sections on the scores of the cohort: intervals, cases left out, and the conventions of Dice."""

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET

from lts.base import counted, listed
from lts.evaluation.confidence import MIN_CASES
from lts.evaluation.panel import CONVENTIONS, HONEST_CONVENTION, Convention
from lts.evaluation.quantity import is_defined
from lts.evaluation.report.charts import Bar, bar_chart
from lts.evaluation.report.data import ReportData
from lts.evaluation.report.glossary import shown
from lts.evaluation.report.markup import Cell, Column, Row, element, intro, paragraphs, section, table
from lts.evaluation.table import DICE, TILES, find_score

_NAMED_CASES = 6
_NO_INTERVAL = ", no interval"
"""Ending of a tile's count of too few cases; the section's intro says how many are needed."""


def headline(data: ReportData) -> ET.Element:
    """Large numbers for each region, then all scores in a table, then what was left out."""
    notes = [*data.notes, *left_out(data)]
    return section(
        "scores",
        "Scores",
        intro(f"{_intervals_are(data)} Hover over a dash to see why a score is not defined."),
        *(_tiles_of(data, region) for region in data.regions),
        _all_scores(data),
        element("div", element("h3", "What was left out"), paragraphs(notes, class_="plain"), class_="note")
        if notes
        else None,
    )


def convention_panel(data: ReportData) -> ET.Element:
    """Dice under every convention in use, and why they differ."""
    charts = []
    for region, conventions in data.panel.items():
        bars = []
        for name, value in conventions.items():
            known = CONVENTIONS.get(name, Convention(name, ""))
            drawn = value if is_defined(value) else None
            bars.append(Bar(known.label, drawn, known.meaning, marked=name == HONEST_CONVENTION))
        text = ", ".join(
            f"{bar.label} {'-' if bar.value is None else DICE.format(bar.value)}" for bar in bars
        )
        chart = bar_chart(bars, region=region, label=f"Dice of {region} by convention: {text}")
        charts.append(element("figure", element("figcaption", _region_name(region)), chart))
    return section(
        "conventions",
        "One result, many Dice scores",
        intro(
            "The same masks, averaged in every way found in papers. The colored bar, per case, is the one to "
            "quote and to compare with; the gray ones are here so that nobody is misled by them."
        ),
        element("div", *charts, class_="charts"),
        paragraphs(data.panel_remarks, class_="remarks"),
    )


def left_out(data: ReportData) -> list[str]:
    """Sentences on the scores that some cases lack, and which cases these are."""
    sentences = []
    for region in data.regions:
        rows = data.rows_of(region)
        lacking: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for name in rows[0] if rows else ():
            cases = tuple(str(row["case"]) for row in rows if not is_defined(row[name]))
            score = find_score(name)
            if cases and score.is_of(region):
                lacking.setdefault((score.why_undefined, cases), []).append(score.title)
        for (why, cases), labels in lacking.items():
            verb = "is" if len(labels) == 1 else "are"
            sentences.append(
                f"{_region_name(region)}: {', '.join(labels)} {verb} not defined for {len(cases)} of "
                f"{counted(len(rows), 'case')}, because {why}: {listed(cases, most=_NAMED_CASES)}."
            )
    return sentences


def _intervals_are(data: ReportData) -> str:
    level = "" if data.level is None else f"{100 * data.level:g} % "
    return (
        f"Computed on each scan's own grid. Brackets hold the {level}confidence interval by bootstrap over "
        f"cases. It takes {MIN_CASES} cases or more that have the score and are not all alike: fewer do not "
        "tell how far from them new cases would lie."
    )


def _tiles_of(data: ReportData, region: str) -> ET.Element:
    scores = data.scores_of(region)
    nsd = next((name for name in scores if name.startswith("nsd_")), "")
    names = [nsd if name == "nsd" else name for name in TILES]
    tiles = [_tile(data, region, name) for name in names if name in scores]
    empty = intro("No scores.") if not tiles else None
    return element(
        "div",
        element("h3", _region_name(region), class_="region"),
        empty,
        element("div", *tiles, class_="tiles"),
        data_region=region,
    )


def _tile(data: ReportData, region: str, name: str) -> ET.Element:
    score, value = find_score(name), data.scores_of(region)[name]
    unit = score.unit if is_defined(value) else ""
    interval = _interval_text(data, region, name) or _no_interval_text(data, region, name)
    # where few cases are why there is no interval, they are counted once
    count = "" if interval.endswith(_NO_INTERVAL) else _count_text(data, region, name)
    return element(
        "div",
        element("div", score.label, class_="tile-label"),
        element(
            "div",
            shown(score, value),
            element("span", unit, class_="unit") if unit else None,
            class_="tile-value",
        ),
        *(element("div", text, class_="tile-interval") for text in (interval, count) if text),
        element("div", score.meaning, class_="tile-text"),
        class_="tile leading" if name == TILES[0] else "tile",
    )


def _interval_text(data: ReportData, region: str, name: str) -> str:
    interval: Sequence[Any] | None = data.metrics.get("intervals", {}).get(region, {}).get(name)
    if not interval or not all(map(is_defined, interval)):
        return ""
    low, high = map(find_score(name).format, interval)
    return f"[{low}, {high}]"


def _no_interval_text(data: ReportData, region: str, name: str) -> str:
    """Why a score has no interval; empty if unknown, or if the score is not defined."""
    count: int | None = data.metrics.get("intervals_n", {}).get(region, {}).get(name)
    if count is None or not is_defined(data.scores_of(region)[name]):
        return ""
    if count < MIN_CASES:
        return f"{counted(count, 'case')}{_NO_INTERVAL}"
    return "no interval: all cases are alike"


def _count_text(data: ReportData, region: str, name: str) -> str:
    count = data.scores_of(region).get(f"{name}_n")
    if count is None:
        return ""
    if find_score(name).family == "slices":
        return counted(count, "slice")
    whole = data.n_cases
    return counted(count, "case") if count == whole else f"{count} of {counted(whole, 'case')}"


def _all_scores(data: ReportData) -> ET.Element | None:
    names = dict.fromkeys(
        name
        for region in data.regions
        for name in data.scores_of(region)
        # Lesions have tables of their own.
        if not name.endswith("_n") and find_score(name).family != "lesions"
    )
    if not names:
        return None
    columns = [Column(label="Score")]
    columns += [Column(label=_region_name(region), numeric=True) for region in data.regions]
    rows = [
        Row(
            [
                Cell(find_score(name).title, name),
                *(_score_cell(data, region, name) for region in data.regions),
            ]
        )
        for name in names
    ]
    return table("All scores of the cohort", columns, rows, sortable=False, id_="all-scores")


def _score_cell(data: ReportData, region: str, name: str) -> Cell:
    scores = data.scores_of(region)
    if name not in scores:
        return Cell("", None)
    more = [text for text in (_interval_text(data, region, name), _count_text(data, region, name)) if text]
    detail = element("span", ", ".join(more), class_="detail") if more else None
    return Cell(element("span", shown(find_score(name), scores[name]), detail), None)


def _region_name(region: str) -> str:
    return region.capitalize()
