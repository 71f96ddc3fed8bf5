"""The page of a comparison: which runs, their scores, case by case, and where they differ most."""

from pathlib import Path
from xml.etree import ElementTree as ET

from lts.base import counted
from lts.evaluation.report.closing import defined, provenance
from lts.evaluation.report.data import ComparisonData
from lts.evaluation.report.markup import Cell, Child, Column, Row, intro, section, table, undefined
from lts.evaluation.report.page import write_page
from lts.evaluation.report.run_cases import differing, run_charts
from lts.evaluation.report.run_scores import pair_scores, rank_scores


def write_comparison(path: Path, data: ComparisonData) -> None:
    """Write the page of a comparison, one file as `write_report` writes it.

    >>> from tempfile import TemporaryDirectory
    >>> rows = [{"case": "1", "region": "liver", "dice": 0.5}]
    >>> with TemporaryDirectory() as folder:
    ...     page = Path(folder) / "comparison.html"
    ...     write_comparison(page, ComparisonData(runs={"a": {}, "b": {}}, rows={"a": rows, "b": rows}))
    ...     "2 runs compared, cases: 1" in page.read_text()
    True

    Args:
        path: The HTML file to write or replace.
        data: What it tells.

    Raises:
        ValueError: A picture is neither PNG nor JPEG.
        StorageError: The page cannot be written.
    """
    sections = [_runs(data), pair_scores(data) if data.pairs else rank_scores(data), *run_charts(data)]
    sections += [*differing(data), provenance(data.provenance)]
    sections.append(defined(data.scores, {}))
    title = f"{counted(len(data.runs), 'run')} compared, cases: {data.n_cases}"
    facts = [f"regions: {', '.join(data.regions)}"] if data.regions else []
    write_page(path, kind="comparison", title=title, facts=facts, sections=sections)


def _runs(data: ComparisonData) -> ET.Element:
    labels = dict.fromkeys(label for facts in data.runs.values() for label in facts)
    rows = [
        Row([Cell(name, None), *(Cell(_fact(facts.get(label, "")), None) for label in labels)])
        for name, facts in data.runs.items()
    ]
    columns = [Column(label=label) for label in ("Run", *labels)]
    return section(
        "runs",
        "Runs",
        intro("Below, the runs go by their letters."),
        table("The runs", columns, rows, sortable=False, id_="runs-table"),
    )


def _fact(text: str) -> Child:
    return text or undefined("the folder does not tell")
