"""Two evaluations of the same cases, compared case by case."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lts.app.commands.results import CASES_FILE
from lts.app.commands.scoring import bootstrap_of, check_scoring
from lts.app.config.settings import ScoringSettings
from lts.app.run.console import print_table
from lts.app.run.provenance import RunRecord
from lts.base import CohortError, printable, read_csv_rows, write_csv, write_json
from lts.evaluation import COMPARED, MIN_CASES, PairedComparison, compare_cases


def compare_runs(
    first: Path,
    second: Path,
    *,
    settings: ScoringSettings,
    output_dir: Path,
    begin: Callable[[], RunRecord],
) -> dict[str, Any]:
    """Compare the `cases.csv` of two folders; write `comparison.json` and `differences.csv`.

    Args:
        first: Folder of an evaluation or a training.
        second: The other, of the same cases.
        settings: Level, resamples and seed of the intervals.
        output_dir: Folder that the files are written to.
        begin: Called once the input is known to be right.

    Returns:
        What `comparison.json` holds.

    Raises:
        CohortError: A folder has no scores, or the cases differ.
    """
    check_scoring(settings)
    rows = [_read(folder / CASES_FILE) for folder in (first, second)]
    found = compare_cases(*rows, bootstrap=bootstrap_of(settings))
    record = begin()
    comparison = {
        "a": str(first),
        "b": str(second),
        "intervals_min_cases": MIN_CASES,
        "comparisons": [_without_cases(one) for one in found],
    }
    write_json(output_dir / "comparison.json", comparison)
    differences = [
        {"region": one.region, "score": one.score, "case": case, "b - a": difference}
        for one in found
        for case, difference in one.differences.items()
    ]
    write_csv(output_dir / "differences.csv", differences, columns=("region", "score", "case", "b - a"))
    table = [
        {
            "region": one.region,
            "score": one.score,
            "pairs": one.pairs,
            "mean a": one.mean_a,
            "mean b": one.mean_b,
            "b - a": one.mean_difference,
            "p (Wilcoxon)": one.p_value,
            "b wins": one.wins,
            "a wins": one.losses,
            "remark": one.remark or "",
        }
        for one in found
        if one.score in COMPARED and one.pairs
    ]
    print_table(f"a: {printable(first)}\nb: {printable(second)}", table)
    record.finish(a=str(first), b=str(second))
    return comparison


def _without_cases(comparison: PairedComparison) -> dict[str, Any]:
    return {name: value for name, value in asdict(comparison).items() if name != "differences"}


def _read(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise CohortError(f"compare: {path.parent} holds no {path.name}: it is no finished evaluation")
    rows = [row for _, row in read_csv_rows(path, columns=("case", "region"))]
    if not rows:
        raise CohortError(f"{path}: must have a row for each case and region, has none")
    return rows
