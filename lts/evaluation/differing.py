"""The cases in which runs differ most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lts.evaluation.compare import score_of
from lts.evaluation.quantity import is_defined
from lts.evaluation.table import DICE

_Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class DifferingCase:
    """A case by its Dice in several runs. `differing_cases` makes it.

    >>> DifferingCase("1", {"a": 0.5, "b": 0.75, "c": 0.625}).spread
    0.25

    Attributes:
        case: Case id.
        dice: By run.
    """

    case: str
    dice: dict[str, float]

    @property
    def spread(self) -> float:
        """The highest Dice minus the lowest, to the decimals that are shown."""
        return round(max(self.dice.values()) - min(self.dice.values()), DICE.decimals)


def differing_cases(runs: Mapping[str, _Rows], *, region: str) -> list[DifferingCase]:
    """All cases by how much their Dice differs, most first; of equal ones in the order of the first run.

    >>> values = {"a": (0.5, 0.5), "b": (0.6, 0.9)}
    >>> runs = {
    ...     name: [{"case": case, "region": "tumor", "dice": dice} for case, dice in zip("12", found)]
    ...     for name, found in values.items()
    ... }
    >>> [(one.case, one.spread) for one in differing_cases(runs, region="tumor")]
    [('2', 0.4), ('1', 0.1)]

    Args:
        runs: Rows of each run's `cases.csv`, of the same cases, as `compare_cases` takes and checks them.
        region: The region; a case without its Dice in a run is left out.
    """
    found = [
        {str(row["case"]): score_of(row, DICE.name) for row in rows if row["region"] == region}
        for rows in runs.values()
    ]
    cases = [
        DifferingCase(case, dict(zip(runs, values, strict=True)))
        for case in found[0]
        if all(map(is_defined, values := [run[case] for run in found]))
    ]
    return sorted(cases, key=lambda one: -one.spread)
