"""Two or more evaluations of the same cases, compared case by case."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from lts.app.commands.comparison_page import comparison_data
from lts.app.commands.results import CASES_FILE
from lts.app.commands.scoring import bootstrap_of, check_scoring
from lts.app.commands.sources import SOURCES_FILE, read_sources
from lts.app.config.settings import ScoringSettings
from lts.app.run.console import print_line, print_table
from lts.app.run.provenance import RunRecord
from lts.base import (
    CohortError,
    ConfigError,
    counted,
    path_exists,
    printable,
    read_csv_rows,
    write_csv,
    write_json,
)
from lts.evaluation import (
    COMPARED,
    MIN_CASES,
    Bootstrap,
    PairedComparison,
    RankedRuns,
    check_scores,
    common_cases,
    compare_cases,
    lacking,
    rank_runs,
    write_comparison,
)

_Rows = Sequence[Mapping[str, Any]]
_DIFFERENCES = ("region", "score", "case", "b - a")
_RANKS = (
    "region",
    "score",
    "run",
    "mean rank",
    "mean",
    "cases",
    "p (Friedman)",
    "p against the first (Holm)",
    "remark",
)


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What came of a comparison.

    Attributes:
        facts: For `comparison.json`.
        file: Name of a CSV file,
        columns: its columns,
        rows: and its rows.
        table: The printed rows.
        pairs: What was found of two runs.
        ranked: What was found of more.
    """

    facts: Mapping[str, Any]
    file: str
    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    table: Sequence[Mapping[str, Any]]
    pairs: Sequence[PairedComparison] = ()
    ranked: Sequence[RankedRuns] = ()


def compare_runs(
    folders: Sequence[Path],
    *,
    settings: ScoringSettings,
    allow_unpaired: bool,
    output_dir: Path,
    begin: Callable[[], RunRecord],
) -> dict[str, Any]:
    """Compare the `cases.csv` of folders; write what was found as a page, JSON and a table.

    These are `comparison.html`, `comparison.json`, and `differences.csv` of two folders, `ranks.csv` of more.

    Args:
        folders: Of evaluations or trainings, of the same cases; they are called a, b and so on. Three or more
            are ranked.
        settings: Level, resamples and seed of the intervals.
        allow_unpaired: Whether cases that not all of them have are left out.
        output_dir: Folder that the files are written to.
        begin: Called once the input is known to be right.

    Returns:
        What `comparison.json` holds.

    Raises:
        CohortError: A folder has no or impossible scores, or a damaged `sources.json`, or the cases differ.
        ConfigError: There are fewer than two folders, or more than letters.
    """
    check_scoring(settings)
    if not 2 <= len(folders) <= len(ascii_lowercase):
        raise ConfigError(f"compare: must be 2 to {len(ascii_lowercase)} folders, got {len(folders)}")
    named = dict(zip(ascii_lowercase, folders, strict=False))
    runs: dict[str, _Rows] = {name: _read(folder / CASES_FILE) for name, folder in named.items()}
    left_out: dict[str, int] = {}
    if allow_unpaired:
        common, left_out = common_cases(runs)
        runs = {**common}
    found = (_pair if len(runs) == 2 else _ranks)(runs, bootstrap_of(settings))
    lacks = lacking(runs)
    sources = {
        name: read_sources(folder) for name, folder in named.items() if path_exists(folder / SOURCES_FILE)
    }
    record = begin()
    paths = {name: str(folder) for name, folder in named.items()}
    of_common = {"left_out": left_out} if allow_unpaired else {}
    comparison = {
        **paths,
        **of_common,
        "intervals_min_cases": MIN_CASES,
        "lacking": [asdict(one) for one in lacks],
        **found.facts,
    }
    write_json(output_dir / "comparison.json", comparison)
    write_csv(output_dir / found.file, found.rows, columns=found.columns)
    page = comparison_data(
        named,
        runs,
        sources,
        pairs=found.pairs,
        ranked=found.ranked,
        lacking=lacks,
        left_out=left_out,
        level=settings.level,
        provenance=record.origins(),
    )
    write_comparison(output_dir / "comparison.html", page)
    titles = _titles(paths, left_out)
    if found.table:
        print_table("\n".join(titles), found.table)
    for line in (*([] if found.table else titles), *(one.line for one in lacks)):
        print_line(line)
    record.finish(**paths)
    return comparison


def _titles(paths: Mapping[str, str], left_out: Mapping[str, int]) -> list[str]:
    return [
        f"{name}: {printable(path)}"
        + (f", without {counted(left_out[name], 'case')} that others lack" if left_out.get(name) else "")
        for name, path in paths.items()
    ]


def _pair(runs: Mapping[str, _Rows], bootstrap: Bootstrap) -> _Found:
    first, second = runs.values()
    found = compare_cases(first, second, bootstrap=bootstrap)
    return _Found(
        facts={"comparisons": [_without_cases(one) for one in found]},
        file="differences.csv",
        columns=_DIFFERENCES,
        rows=[
            dict(zip(_DIFFERENCES, (one.region, one.score, case, difference), strict=True))
            for one in found
            for case, difference in one.differences.items()
        ],
        table=[
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
        ],
        pairs=found,
    )


def _ranks(runs: Mapping[str, _Rows], bootstrap: Bootstrap) -> _Found:
    scores = [name for name in COMPARED if all(name in rows[0] for rows in runs.values())]
    found = rank_runs(runs, scores=scores, bootstrap=bootstrap)
    table = [dict(zip(_RANKS, cells, strict=True)) for one in found for cells in _rank_rows(one)]
    facts = [
        {
            **{name: value for name, value in vars(one).items() if name != "pairs"},
            "pairs": [
                {"a": pair.a, "b": pair.b, **_without_cases(pair.compared), "p_corrected": pair.p_corrected}
                for pair in one.pairs
            ],
        }
        for one in found
    ]
    return _Found(
        facts={"ranked": facts}, file="ranks.csv", columns=_RANKS, rows=table, table=table, ranked=found
    )


def _rank_rows(one: RankedRuns) -> Iterator[tuple[Any, ...]]:
    """The cells of each run, best first; none where no case can be ranked."""
    for name, rank in one.mean_ranks.items():
        pair = one.against_best.get(name)
        ranked = (one.region, one.score, name, rank, one.means[name], one.cases)
        if pair is None:
            yield (*ranked, one.p_value, None, one.remark or "")
        else:
            yield (*ranked, None, pair.p_corrected, pair.compared.remark or "")


def _without_cases(comparison: PairedComparison) -> dict[str, Any]:
    return {name: value for name, value in asdict(comparison).items() if name != "differences"}


def _read(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise CohortError(f"compare: {path.parent} holds no {path.name}: it is no finished evaluation")
    rows = [row for _, row in read_csv_rows(path, columns=("case", "region"))]
    if not rows:
        raise CohortError(f"{path}: must have a row for each case and region, has none")
    check_scores(rows, file=path)
    return rows
