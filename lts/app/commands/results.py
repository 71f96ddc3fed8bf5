"""Writes the results of an evaluation: tables, pictures and the report."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from lts.app.commands.mask_pictures import write_contact_sheet
from lts.app.run.console import print_line, print_table
from lts.app.run.provenance import RunRecord
from lts.app.run.records import METRICS_FILE
from lts.base import counted, path_exists, write_csv, write_json
from lts.evaluation import (
    PRINTED,
    ReportData,
    ScoringRules,
    Summary,
    rank_cases,
    worst_first,
    write_report,
)
from lts.figures import lesion_picture, save_roc
from lts.scores import LesionFinding
from lts.scores.findings import FALSE_ALARM, MISSED

CASES_FILE = "cases.csv"

_SHOWN_CASES = 3
SHOWN_LESIONS = 24
"""Missed lesions, and false alarms, in pictures; one takes 50 to 100 KB of the report."""


def write_results(
    summary: Summary,
    rules: ScoringRules,
    *,
    title: str,
    subset: str,
    facts: Mapping[str, Any],
    output_dir: Path,
    level: float,
    record: RunRecord,
    view: Callable[[Summary], Mapping[str, str]] = lambda _: {},
) -> dict[str, Any]:
    """Write all files of an evaluation, and print its table.

    Args:
        summary: What was found.
        rules: By which it was scored.
        title: What the cases are called in the table and the report.
        subset: What they are called in `metrics.json`.
        facts: Go into `metrics.json` too.
        output_dir: Folder that the files are written to.
        level: Of the intervals.
        record: The run, for the report.
        view: Writes pages of cases beside the report; returns their addresses by case.

    Returns:
        What `metrics.json` holds.
    """
    n_cases = len(summary.rows) // len(rules.regions)
    metrics = {"subset": subset, "n_cases": n_cases, **summary.metrics, **facts}
    lesions = [asdict(finding) for finding in summary.findings]
    title = f"{title}, cases: {n_cases}"
    assert rules.overlay_dir is not None
    overlay_dir = rules.overlay_dir
    ranking = rank_cases(summary.rows, regions=rules.regions, most=_SHOWN_CASES)
    write_json(output_dir / METRICS_FILE, metrics)
    write_csv(output_dir / CASES_FILE, summary.rows)
    if "tumor" in rules.regions:
        columns = [field.name for field in fields(LesionFinding)]
        write_csv(output_dir / "lesions.csv", lesions, columns=columns)
    if summary.roc:
        save_roc(output_dir / "roc.png", summary.roc)
    report = ReportData(
        title=title,
        regions=rules.regions,
        metrics=metrics,
        cases=summary.rows,
        lesions=lesions,
        failure_totals=metrics.get("failures", {}),
        advice=metrics.get("advice", []),
        panel=metrics["panel"],
        panel_remarks=metrics["panel_remarks"],
        roc=_curves(summary),
        reliability=summary.reliability,
        pictures=[(one.case, one.caption, overlay_dir / f"{one.case}.png") for one in ranking.shown],
        pictures_remark=ranking.remark,
        lesion_pictures=_lesion_pictures(summary.findings, rules.lesion_dir),
        viewers=view(summary),
        lits=metrics.get("lits"),
        provenance=record.origins(),
        level=level,
    )
    write_report(output_dir / "report.html", report)
    if rules.sheet_dir is not None:
        ordered = worst_first(summary.rows, regions=rules.regions)
        drawn = [rules.sheet_dir / f"{case}.png" for case in ordered]
        if sheet := write_contact_sheet(output_dir, drawn, what="case"):
            print_line(f"{sheet}, the worst first")
    _print_results(title, metrics)
    for line in _sides_without(summary.rows, rules.regions):
        print_line(line)
    return metrics


def _lesion_pictures(findings: Sequence[LesionFinding], folder: Path | None) -> dict[int, Path]:
    """Pictures of the largest missed lesions and of the largest false alarms, by the finding's number."""
    if folder is None:
        return {}
    in_case: Counter[str] = Counter()
    drawn: dict[str, list[tuple[float, int, Path]]] = {MISSED: [], FALSE_ALARM: []}
    for number, finding in enumerate(findings):
        path = lesion_picture(folder, finding.case, in_case[finding.case])
        in_case[finding.case] += 1
        if finding.outcome in drawn and path_exists(path):
            drawn[finding.outcome].append((-finding.diameter_mm, number, path))
    return {number: path for found in drawn.values() for _, number, path in sorted(found)[:SHOWN_LESIONS]}


def _print_results(title: str, metrics: Mapping[str, Any]) -> None:
    rows = [
        {"region": region, **{name: found[name] for name in PRINTED}}
        for region, found in metrics["regions"].items()
    ]
    print_table(f"{title}, on each scan's own grid", rows)
    for remark in (*metrics["panel_remarks"], *metrics.get("advice", ())):
        print_line(remark)


def _sides_without(rows: Sequence[Mapping[str, Any]], regions: Sequence[str]) -> Iterator[str]:
    """Where a region is in no mask of a side, as with a mistyped label or a model that finds nothing."""
    for region in regions:
        of_region = [row for row in rows if row["region"] == region]
        for side, volume in (("reference", "reference_ml"), ("prediction", "predicted_ml")):
            if not any(row[volume] for row in of_region):
                yield f"{region}: in none of {counted(len(of_region), side)}"


def _curves(summary: Summary) -> dict[str, tuple[Sequence[float], Sequence[float], float]] | None:
    """ROC curves as plain types, by region; None where there are no probabilities."""
    if not summary.roc:
        return None
    return {region: (fpr.tolist(), tpr.tolist(), area) for region, (fpr, tpr, area) in summary.roc.items()}
