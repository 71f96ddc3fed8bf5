"""The page: sections in their order, one file that needs no other; pages of cases may lie beside it."""

import base64
import hashlib
import html
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from xml.etree import ElementTree as ET

from lts.base import printable, write_utf8
from lts.evaluation.report.closing import definitions, lits, provenance
from lts.evaluation.report.cohort import case_table, pictures, probabilities, spread
from lts.evaluation.report.data import ReportData
from lts.evaluation.report.headline import convention_panel, headline
from lts.evaluation.report.lesions import lesions
from lts.evaluation.report.markup import element

_SECTIONS: tuple[Callable[[ReportData], ET.Element | None], ...] = (
    headline,
    convention_panel,
    spread,
    case_table,
    pictures,
    probabilities,
    lesions,
    lits,
    lambda data: provenance(data.provenance),
    definitions,
)


def write_report(path: Path, data: ReportData) -> None:
    """Write a report; a reader of `path` finds the old file or the whole new one.

    The file holds everything it shows, and its policy forbids the browser to load or run anything else. The
    same data give the same bytes. Nothing undefined is shown as a number. No case, score or picture is
    needed.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_report(Path(folder) / "report.html", ReportData(title="nothing yet"))
    ...     "nothing yet" in (Path(folder) / "report.html").read_text()
    True

    Args:
        path: The HTML file to write or replace; its folder is made if it is not there.
        data: What it tells.

    Raises:
        ValueError: A picture is neither PNG nor JPEG.
        OSError: A picture cannot be read.
        StorageError: The page cannot be written.
    """
    facts = [f"regions: {', '.join(data.regions)}"]
    if started := data.provenance.get("started"):
        facts.append(f"started {started}")
    sections = [made for make in _SECTIONS if (made := make(data)) is not None]
    write_page(path, kind="evaluation", title=data.title, facts=facts, sections=sections)


def write_page(
    path: Path, *, kind: str, title: str, facts: Sequence[str], sections: Sequence[ET.Element]
) -> None:
    """Write a page of sections under a head that links to each.

    Args:
        path: As in `write_report`.
        kind: What the page is, such as `evaluation`.
        title: Its heading.
        facts: Stand under it.
        sections: What `section` made.

    Raises:
        StorageError: The page cannot be written.
    """
    style, script, page = (_resource(name) for name in ("style.css", "script.js", "page.html"))
    links = [element("li", element("a", made.findtext("h2"), href=f"#{made.get('id')}")) for made in sections]
    head = element(
        "header",
        element("p", f"Liver tumor segmentation: {kind}", class_="over"),
        element("h1", title),
        element("p", " \N{MIDDLE DOT} ".join(facts), class_="facts-line"),
        element("nav", element("ul", *links), aria_label="Sections"),
    )
    content = Template(page).substitute(
        title=html.escape(printable(title)),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        body="".join(
            ET.tostring(part, encoding="unicode", method="html")
            for part in (head, element("main", *sections))
        ),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_utf8(path, content)


def _resource(name: str) -> str:
    return files("lts.evaluation.report").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
