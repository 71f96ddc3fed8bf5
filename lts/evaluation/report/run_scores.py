"""Sections on the scores of compared runs: of two, or of more by their ranks."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from xml.etree import ElementTree as ET

from lts.evaluation.compare import PairedComparison
from lts.evaluation.compare_many import RankedRuns
from lts.evaluation.confidence import MIN_CASES
from lts.evaluation.quantity import format_number
from lts.evaluation.report.data import ComparisonData
from lts.evaluation.report.glossary import shown
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
from lts.evaluation.table import COMPARED, find_score

_MOST_PAIRS = 10
"""Of runs, for each score: all pairs of five."""
_NO_PAIR = "no case has the score in both runs"
_SHOWN = ", ".join(find_score(name).title for name in COMPARED)


def pair_scores(data: ComparisonData) -> ET.Element:
    """The scores of two runs, and their differences."""
    a, b = data.runs
    labels = ("pairs", f"mean {a}", f"mean {b}", f"{b} - {a}", "p (Wilcoxon)", f"{b} wins", f"{a} wins")
    rows = {
        region: [
            [
                find_score(one.score).title,
                str(one.pairs),
                *(shown(find_score(one.score), mean) for mean in (one.mean_a, one.mean_b)),
                _difference(one),
                _p(one.p_value, _NO_PAIR),
                *(str(count) for count in (one.wins, one.losses)),
                one.remark or "",
            ]
            for one in data.pairs
            if one.region == region and one.score in COMPARED
        ]
        for region in data.regions
    }
    return section(
        "scores",
        "Scores",
        intro(
            f"Means over the cases where both runs have the score. {_intervals_are(data)} "
            "P is of Wilcoxon's signed-rank test, not corrected for the number of scores."
        ),
        _lacks(data),
        *_tables(rows, labels, texts=("score",), last="remark", caption="Scores of both runs", id_="scores"),
    )


def rank_scores(data: ComparisonData) -> ET.Element:
    """The ranks of three or more runs, and every pair of them."""
    labels = ("mean rank", "mean", "cases", "p (Friedman)", "p against the first (Holm)")
    rows = {
        region: [cells for one in data.ranked if one.region == region for cells in _rank_rows(one)]
        for region in data.regions
    }
    return section(
        "scores",
        "Scores",
        intro(
            "Rank 1 is the best run of a case; runs that are alike share the mean of their ranks. Ranks and "
            "means are over the cases where every run has the score. Friedman's p is that all rank alike; "
            "the p of each run against the first of its score is Wilcoxon's, corrected by Holm for all pairs."
        ),
        _lacks(data),
        *_tables(
            rows,
            labels,
            texts=("score", "run"),
            last="remark",
            caption="Runs by score, the best first",
            id_="scores",
        ),
        *_all_pairs(data),
    )


def _lacks(data: ComparisonData) -> ET.Element | None:
    """Which scores are not compared, wholly or in some cases."""
    return paragraphs([one.line for one in data.lacking], class_="remarks")


def _rank_rows(one: RankedRuns) -> Iterator[list[Child]]:
    """The cells of each run, the best first, which alone names the score."""
    against, score = one.against_best, find_score(one.score)
    for name, rank in one.mean_ranks.items():
        pair = against.get(name)
        remark = pair.compared.remark if pair else one.remark
        yield [
            "" if pair else score.title,
            name,
            format_number(rank, decimals=2),
            shown(score, one.means[name]),
            str(one.cases),
            "" if pair else _p(one.p_value, "it takes two cases"),
            _p(pair.p_corrected, _NO_PAIR) if pair else "",
            remark or "",
        ]


def _all_pairs(data: ComparisonData) -> Iterator[ET.Element]:
    yield element("h3", "Every pair of runs")
    if any(len(one.pairs) > _MOST_PAIRS for one in data.ranked):
        yield intro("There are too many pairs to list them here: comparison.json holds each.")
        return
    yield intro(f"Over the cases where both have the score. {_intervals_are(data)}")
    rows = {
        region: [
            [
                find_score(one.score).title if pair is one.pairs[0] else "",
                f"{pair.b} - {pair.a}",
                str(pair.compared.pairs),
                _difference(pair.compared),
                _p(pair.compared.p_value, _NO_PAIR),
                _p(pair.p_corrected, _NO_PAIR),
                f"{pair.b} {pair.compared.wins}, {pair.a} {pair.compared.losses}",
            ]
            for one in data.ranked
            if one.region == region
            for pair in one.pairs
        ]
        for region in data.regions
    }
    labels = ("pairs", "mean difference", "p (Wilcoxon)", "p corrected (Holm)")
    yield from _tables(
        rows,
        labels,
        texts=("score", "runs"),
        last="wins",
        caption="Differences of two runs",
        id_="pairs",
        headed=False,
    )


def _tables(
    rows: Mapping[str, Sequence[Sequence[Child]]],
    numbers: Sequence[str],
    *,
    texts: Sequence[str],
    last: str,
    caption: str,
    id_: str,
    headed: bool = True,
) -> Iterator[ET.Element]:
    """A table a region, or a line for no row: columns of text, of numbers, and the last one of text again."""
    columns = [
        *(Column(label=label) for label in texts),
        *(Column(label=label, numeric=True) for label in numbers),
        Column(label=last),
    ]
    for region, found in rows.items():
        made = [Row([Cell(each, None) for each in cells]) for cells in found]
        yield element(
            "div",
            element("h3", region.capitalize(), class_="region") if headed else None,
            table(f"{caption}, {region}", columns, made, sortable=False, id_=f"{id_}-{region}")
            if made
            else intro(f"In no case do all runs have one of the scores that are shown here: {_SHOWN}."),
            data_region=region,
        )


def _intervals_are(data: ComparisonData) -> str:
    return (
        f"Brackets hold the {100 * data.level:g} % confidence interval of the mean difference by bootstrap "
        f"over cases, which takes {MIN_CASES} cases that are not all alike."
    )


def _difference(one: PairedComparison) -> Child:
    score = find_score(one.score)
    if one.mean_difference is None:
        return undefined(_NO_PAIR)
    signed = partial(format_number, decimals=score.decimals, signed=True)
    if one.interval is None:
        return signed(one.mean_difference)
    low, high = signed(one.interval.low), signed(one.interval.high)
    return element("span", signed(one.mean_difference), element("span", f" [{low}, {high}]", class_="detail"))


def _p(value: float | None, why_undefined: str) -> Child:
    if value is None:
        return undefined(why_undefined)
    return f"{value:.4f}" if value >= 1e-4 else "< 0.0001"
