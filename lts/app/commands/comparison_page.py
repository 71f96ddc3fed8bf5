"""The page of a comparison: from folders of runs to what it tells and shows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lts.app.commands.comparison_pictures import draw_runs
from lts.app.commands.sources import SOURCES_FILE, Sources
from lts.app.run.console import ShowProgress
from lts.app.run.records import METRICS_FILE, read_run
from lts.base import REGION_MIN_LABEL, counted, path_exists, read_json_object
from lts.evaluation import (
    CasePictures,
    ComparisonData,
    DifferingCase,
    Lack,
    PairedComparison,
    RankedRuns,
    differing_cases,
)
from lts.evaluation.table import DICE

_DRAWN_CASES = 6
_COMMIT_DIGITS = 7

_Rows = Sequence[Mapping[str, Any]]


def comparison_data(
    folders: Mapping[str, Path],
    runs: Mapping[str, _Rows],
    sources: Mapping[str, Sources],
    *,
    pairs: Sequence[PairedComparison] = (),
    ranked: Sequence[RankedRuns] = (),
    lacking: Sequence[Lack] = (),
    left_out: Mapping[str, int],
    level: float,
    provenance: Mapping[str, Any],
) -> ComparisonData:
    """What the page of a comparison tells, with pictures of the cases that differ most.

    Args:
        folders: Of the runs, by name.
        runs: The rows of each run's `cases.csv`.
        sources: Where masks lie, of the runs that tell.
        pairs: What was found of two runs.
        ranked: What was found of more.
        lacking: Which scores some of them lack.
        left_out: How many cases of each run are left out.
        level: Of the intervals.
        provenance: Of the page.

    Raises:
        ConfigError: A record of a run is damaged.
        CohortError: Its `metrics.json` is.
    """
    regions = tuple(dict.fromkeys([one.region for one in pairs] + [one.region for one in ranked]))
    has_dice = all(DICE.name in row for rows in runs.values() for row in rows)
    region = regions[-1] if has_dice else None
    differing = differing_cases(runs, region=region) if region else []
    return ComparisonData(
        runs={
            name: _facts_of(folder, sources.get(name))
            | ({"Left out": counted(left_out[name], "case")} if any(left_out.values()) else {})
            for name, folder in folders.items()
        },
        rows=runs,
        pairs=pairs,
        ranked=ranked,
        lacking=lacking,
        region=region,
        differing=differing,
        pictures=_pictures(differing, sources, folders, regions),
        level=level,
        provenance=provenance,
    )


def _facts_of(folder: Path, sources: Sources | None) -> dict[str, str]:
    """What tells a run, in words; empty where its folder does not tell."""
    record = read_run(folder)
    metrics = read_json_object(folder / METRICS_FILE) if path_exists(folder / METRICS_FILE) else {}
    versions, commit = record.get("versions"), record.get("git_commit")
    version = versions.get("lts", "") if isinstance(versions, dict) else ""
    return {
        "Folder": str(folder),
        "Made by": sources.made_by if sources else "",
        "Scored": str(metrics.get("subset", "")),
        "Started": str(record.get("started", "")),
        "lts": f"{version}{f', commit {str(commit)[:_COMMIT_DIGITS]}' if commit else ''}",
    }


def _pictures(
    differing: Sequence[DifferingCase],
    sources: Mapping[str, Sources],
    folders: Mapping[str, Path],
    regions: Sequence[str],
) -> dict[str, CasePictures]:
    """Of the cases that differ most, at most six."""
    drawn = [one for one in differing if one.spread > 0][:_DRAWN_CASES]
    if silent := [name for name in folders if name not in sources]:
        problem = f"{folders[silent[0]]} has no {SOURCES_FILE}, which tells where its masks lie"
        return {one.case: CasePictures(problem=problem) for one in drawn[:1]}  # told once
    found = {}
    progress = ShowProgress("drawing cases that differ")
    shown = tuple(region for region in REGION_MIN_LABEL if region in regions)
    for number, one in enumerate(drawn, start=1):
        found[one.case] = draw_runs(one, sources, regions=shown, region=regions[-1])
        progress(number, len(drawn))
    return found
