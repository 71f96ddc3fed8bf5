"""Scores that compared runs lack where others have them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lts.base import counted, name_some
from lts.evaluation.compare import score_of
from lts.evaluation.table import COMPARED

_MOST_NAMED = 5

_Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Lack:
    """Scores by which runs are not compared, wholly or in some cases. `lacking` finds them.

    >>> Lack(run="b", region="tumor", scores=("hd95_mm",), cases=("7",)).line
    'b, tumor: without hd95_mm in 1 case in which another run has it: 7'

    Attributes:
        run: The run that lacks them; None where each case lacks them in one run or another.
        region: Where; None where the run has no such column.
        scores: Their names.
        cases: In which cases another run has them; empty where that does not depend on the case.
    """

    run: str | None
    region: str | None
    scores: tuple[str, ...]
    cases: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """It in words."""
        scores = ", ".join(self.scores)
        if self.run is None:
            return f"{self.region}: in no case do all runs have {scores}"
        if self.region is None:
            return f"{self.run}: its cases.csv has no {scores}"
        named = name_some(self.cases, most=_MOST_NAMED)
        it = "it" if len(self.scores) == 1 else "them"
        return (
            f"{self.run}, {self.region}: without {scores} in {counted(len(self.cases), 'case')} in which "
            f"another run has {it}: {named}"
        )


def lacking(runs: Mapping[str, _Rows], *, scores: Sequence[str] = COMPARED) -> tuple[Lack, ...]:
    """Find the scores that a run lacks where another has them, or that no case has in all runs.

    >>> rows = [{"case": "1", "region": "liver", "dice": 0.5}]
    >>> [one.line for one in lacking({"a": rows, "b": [{"case": "1", "region": "liver"}]})]
    ['b: its cases.csv has no dice']

    Args:
        runs: Rows of each run's `cases.csv`, of the same cases, as `compare_cases` takes and checks them.
        scores: Names of the scores to look at.

    Returns:
        Missing columns first, then region by region of those that all runs have.

    Raises:
        CohortError: A score is not a finite number.
    """
    of_run = {name: [one for one in scores if any(one in row for row in rows)] for name, rows in runs.items()}
    of_some = [one for one in scores if any(one in found for found in of_run.values())]
    of_all = [one for one in of_some if all(one in found for found in of_run.values())]
    found = [
        Lack(run=name, region=None, scores=missing)
        for name, own in of_run.items()
        if (missing := tuple(one for one in of_some if one not in own))
    ]
    regions = {name: dict.fromkeys(str(row["region"]) for row in rows) for name, rows in runs.items()}
    for region in next(iter(regions.values()), {}):
        if all(region in own for own in regions.values()):
            found += _in_region(runs, region, of_all)
    return tuple(found)


def _in_region(runs: Mapping[str, _Rows], region: str, scores: Sequence[str]) -> list[Lack]:
    defined: dict[str, dict[str, dict[str, None]]] = {
        score: {
            name: {
                str(row["case"]): None
                for row in rows
                if row["region"] == region and not math.isnan(score_of(row, score, run=name))
            }
            for name, rows in runs.items()
        }
        for score in scores
    }
    nowhere = [score for score in scores if not set.intersection(*map(set, defined[score].values()))]
    found = [Lack(run=None, region=region, scores=tuple(nowhere))] if nowhere else []
    for name in runs:
        alike: dict[tuple[str, ...], list[str]] = {}
        for score in scores:
            of_any = dict.fromkeys(case for cases in defined[score].values() for case in cases)
            if missing := tuple(case for case in of_any if case not in defined[score][name]):
                alike.setdefault(missing, []).append(score)
        found += [
            Lack(run=name, region=region, scores=tuple(some), cases=cases) for cases, some in alike.items()
        ]
    return found
