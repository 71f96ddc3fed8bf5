"""HTML elements, whose texts and attributes the serializer escapes."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

from lts.base import printable

Child = ET.Element | str | None

_KINDS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg"}
"""Pictures by their first bytes."""

DASH = "\N{EN DASH}"


def element(name: str, *children: Child, **attributes: str | float | None) -> ET.Element:
    """An element with its children in order; a child or attribute that is None is left out.

    Args:
        name: Such as `div`.
        children: Elements and texts.
        attributes: `class_` stands for `class`, `aria_label` for `aria-label`.
    """
    made = ET.Element(
        name,
        {
            key.rstrip("_").replace("_", "-"): _printable_lines(str(value))
            for key, value in attributes.items()
            if value is not None
        },
    )
    last: ET.Element | None = None
    for child in children:
        if isinstance(child, str):
            text = _printable_lines(child)
            if last is None:
                made.text = (made.text or "") + text
            else:
                last.tail = (last.tail or "") + text
        elif child is not None:
            made.append(child)
            last = child
    return made


def _printable_lines(text: str) -> str:
    """Text without control characters except line ends, which HTML does not allow."""
    return "\n".join(printable(line) for line in text.split("\n"))


def undefined(reason: str) -> ET.Element:
    """A dash with the reason on hover."""
    return element(
        "abbr",
        element("span", DASH, aria_hidden="true"),
        element("span", f"not defined: {reason}", class_="unseen"),
        class_="undefined",
        title=f"Not defined: {reason}",
    )


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table.

    Attributes:
        label: Its header.
        about: What it means, shown on hover.
        numeric: Whether its values are numbers.
    """

    label: str
    about: str = ""
    numeric: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        shown: What it shows.
        key: What it sorts by, None where its value is not defined.
    """

    shown: Child
    key: Any


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        cells: As many as there are columns; the first one names the row.
        region: What a filter of regions goes by, None where there is no filter.
    """

    cells: Sequence[Cell]
    region: str | None = None


def table(
    caption: str, columns: Sequence[Column], rows: Sequence[Row], *, sortable: bool, id_: str
) -> ET.Element:
    """A table in a box that scrolls where the page is too narrow or the table too long."""
    heads = [
        element(
            "th",
            element("button", column.label, type="button", title=column.about or None)
            if sortable
            else element("span", column.label, title=column.about or None),
            scope="col",
            class_="number" if column.numeric else None,
            data_kind=("number" if column.numeric else "text") if sortable else None,
        )
        for column in columns
    ]
    return scroll_box(
        caption,
        element("thead", element("tr", *heads)),
        element("tbody", *(_row(row, columns, sortable=sortable) for row in rows)),
        class_="sortable" if sortable else None,
        id_=id_,
    )


def scroll_box(caption: str, *parts: ET.Element, class_: str | None = None, id_: str) -> ET.Element:
    """A table of ready parts in its box, which the keyboard can reach and scroll."""
    label = f"{id_}-caption"
    return element(
        "div",
        element("p", caption, class_="caption", id=label),
        element(
            "div",
            element("table", *parts, class_=class_, id=id_, aria_labelledby=label),
            class_="scrolls",
            tabindex="0",
            role="region",
            aria_labelledby=label,
        ),
        class_="table",
    )


def _row(row: Row, columns: Sequence[Column], *, sortable: bool) -> ET.Element:
    cells = [
        element(
            "td" if index else "th",
            cell.shown,
            scope=None if index else "row",
            class_="number" if column.numeric else None,
            data_key=str(cell.key) if sortable and cell.key is not None else None,
        )
        for index, (cell, column) in enumerate(zip(row.cells, columns, strict=True))
    ]
    return element("tr", *cells, data_region=row.region)


def section(id_: str, heading: str, *children: Child, class_: str | None = None) -> ET.Element:
    """A section under a heading of the second level."""
    label = f"{id_}-heading"
    return element(
        "section", element("h2", heading, id=label), *children, id=id_, class_=class_, aria_labelledby=label
    )


def intro(text: str) -> ET.Element:
    """The sentences under a heading."""
    return element("p", text, class_="intro")


def paragraphs(texts: Sequence[str], *, class_: str) -> ET.Element | None:
    """A list of sentences, None where there is none."""
    if not texts:
        return None
    return element("ul", *(element("li", text) for text in texts), class_=class_)


def picture(content: bytes, alt: str, *, name: str) -> ET.Element:
    """A picture that is in the page itself.

    Args:
        content: Of a PNG or JPEG file.
        alt: What it shows.
        name: Of the file, for messages.

    Raises:
        ValueError: It is neither.
    """
    for start, kind in _KINDS.items():
        if content.startswith(start):
            source = f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
            return element("img", src=source, alt=alt, decoding="async")
    raise ValueError(f"{name}: a picture must be PNG or JPEG, it starts with {content[:8]!r}")
