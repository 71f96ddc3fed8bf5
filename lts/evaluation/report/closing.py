"""The last sections: the challenge's scores, provenance, and definitions of scores."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from xml.etree import ElementTree as ET

from lts.evaluation.panel import CONVENTIONS
from lts.evaluation.quantity import format_number, is_defined
from lts.evaluation.report.data import ReportData
from lts.evaluation.report.glossary import about
from lts.evaluation.report.markup import (
    Cell,
    Child,
    Column,
    Row,
    element,
    intro,
    paragraphs,
    section,
    table,
    undefined,
)
from lts.evaluation.table import find_score

_NOTES = "notes"
_TERMS = (
    "The prediction is the mask that is scored, the reference the one it is compared with, voxel by voxel of "
    "the scan. The liver includes its tumors."
)


def lits(data: ReportData) -> ET.Element | None:
    """The challenge's scores; None if they were not requested."""
    if data.lits is None:
        return None
    columns = [Column(label="Score"), Column(label="Value", numeric=True)]
    rows = [
        Row([Cell(name.replace("_", " "), None), Cell(_plain(value), None)])
        for name, value in data.lits.items()
        if name != _NOTES
    ]
    return section(
        "lits",
        "By the rules of the LiTS challenge",
        table("Scores of the challenge", columns, rows, sortable=False, id_="lits-table"),
        paragraphs(data.lits.get(_NOTES, []), class_="plain detail"),
    )


def provenance(facts: Mapping[str, Any]) -> ET.Element:
    """Where the results come from, nested facts one a row."""
    columns = [Column(label="Fact"), Column(label="Value")]
    rows = [Row([Cell(name, None), Cell(value, None)]) for name, value in _flat(facts)]
    content = (
        table("The run that wrote this page", columns, rows, sortable=False, id_="provenance-table")
        if rows
        else intro("Not known.")
    )
    return section("provenance", "Where these results come from", content)


def definitions(data: ReportData) -> ET.Element:
    """One line a score that the report shows."""
    names = [
        *(name for region in data.regions for name in data.scores_of(region)),
        *(name for row in (*data.cases[:1], *data.lesions[:1]) for name in row),
    ]
    # The others are scores under the same name, and told above.
    conventions = {
        f"Dice {convention.label}": convention.meaning
        for name, convention in CONVENTIONS.items()
        if not find_score(f"dice_{name}").meaning and any(name in panel for panel in data.panel.values())
    }
    return defined(names, conventions)


def defined(names: Iterable[str], others: Mapping[str, str]) -> ET.Element:
    """Definitions of scores and columns by their names, and of others by their labels."""
    known = {**{quantity.title: quantity.meaning for quantity in map(about, names)}, **others}
    lines = [
        element(*part) for label, text in known.items() if text for part in (("dt", label), ("dd", text))
    ]
    return section(
        "definitions", "What the scores mean", intro(_TERMS), element("dl", *lines, class_="facts")
    )


def _plain(value: Any) -> Child:
    if not is_defined(value):
        return undefined("there is nothing to compute it from")
    return format_number(value, decimals=4) if isinstance(value, float) else str(value)


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        path = f"{prefix}{name.replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}: ")
        elif isinstance(value, list | tuple):
            yield path, " ".join(map(str, value)) or "none"
        else:
            yield path, "none" if value is None else str(value)
