"""Orders cases by their scores, and chooses some to look at: the worst, the best, and false alarms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lts.base import REGION_MIN_LABEL, counted
from lts.evaluation.table import DICE


@dataclass(frozen=True)
class ShownCase:
    """A case to look at.

    Attributes:
        case: Case id.
        caption: Why, such as `worst: tumor Dice 0.512`.
    """

    case: str
    caption: str


@dataclass(frozen=True)
class Ranking:
    """Cases to look at.

    Attributes:
        shown: The worst, the best, those between, then false alarms; no case twice.
        remark: How they were ranked, in sentences.
    """

    shown: tuple[ShownCase, ...]
    remark: str


def rank_cases(
    rows: Sequence[Mapping[str, Any]], *, regions: Sequence[str] = tuple(REGION_MIN_LABEL), most: int = 3
) -> Ranking:
    """Choose cases to look at by the Dice of the last region that any reference holds.

    Only cases whose reference holds the region are ranked, as an empty one scores 1 or 0 for any model. Empty
    cases with a prediction are shown as false alarms. No case is both among the
    worst and among the best, and of equal cases (to the three decimals shown) none is either.

    >>> rows = [
    ...     {"case": case, "region": "tumor", "dice": dice, "reference_ml": 2.0, "predicted_ml": 2.0}
    ...     for case, dice in (("a", 0.9), ("b", 0.1), ("c", 0.5))
    ... ]
    >>> [one.caption for one in rank_cases(rows, most=1).shown]
    ['worst: tumor Dice 0.100', 'best: tumor Dice 0.900']

    Args:
        rows: As in `cases.csv`: `case`, `region`, `dice`, `reference_ml`, `predicted_ml`.
        regions: Regions in channel order.
        most: How many of the worst, of the best, and of the false alarms are shown at most, >= 1.
    """
    of_region, region, ranked = _by_dice(rows, regions)
    shown = _ranked(ranked, region=region, most=most)
    known = {one.case for one in shown}
    for last in dict.fromkeys((region, regions[-1])):
        empty = [row for row in of_region[last] if not row["reference_ml"] > 0 and row["case"] not in known]
        alarms = sorted(
            (row for row in empty if row["predicted_ml"] > 0), key=lambda row: -float(row["predicted_ml"])
        )
        shown += [_false_alarm(row, last) for row in alarms[:most]]
        known |= {one.case for one in shown}
    if not shown:
        shown = [
            ShownCase(row["case"], f"no {region} in reference or prediction")
            for row in of_region[region][:most]
        ]
    return Ranking(tuple(shown), _remark(ranked, n_cases=len(of_region[region]), region=region))


def worst_first(
    rows: Sequence[Mapping[str, Any]], *, regions: Sequence[str] = tuple(REGION_MIN_LABEL)
) -> list[str]:
    """All cases in the order in which they are to be looked at.

    Those that `rank_cases` ranks come first, the lowest Dice before; then the others, by how much of the
    region was predicted where there is none.

    >>> rows = [
    ...     {"case": case, "region": "tumor", "dice": dice, "reference_ml": ml, "predicted_ml": 2.0}
    ...     for case, dice, ml in (("a", 0.9, 2.0), ("b", 0.0, 0.0), ("c", 0.5, 2.0))
    ... ]
    >>> worst_first(rows)
    ['c', 'a', 'b']

    Args:
        rows: As in `cases.csv`: `case`, `region`, `dice`, `reference_ml`, `predicted_ml`.
        regions: Regions in channel order.
    """
    of_region, region, ranked = _by_dice(rows, regions)
    empty = [row for row in of_region[region] if not row["reference_ml"] > 0]
    alarms = sorted(empty, key=lambda row: -float(row["predicted_ml"]))
    return [str(row["case"]) for row in (*ranked, *alarms)]


def _by_dice(
    rows: Sequence[Mapping[str, Any]], regions: Sequence[str]
) -> tuple[dict[str, list[Mapping[str, Any]]], str, list[Mapping[str, Any]]]:
    """Rows by region, the last region that any reference holds, and the cases that hold it by their Dice."""
    of_region = {region: [row for row in rows if row["region"] == region] for region in regions}
    held = {region: [row for row in found if row["reference_ml"] > 0] for region, found in of_region.items()}
    region = next((region for region in reversed(regions) if held[region]), regions[-1])
    return of_region, region, sorted(held[region], key=_dice)


def _ranked(ranked: Sequence[Mapping[str, Any]], *, region: str, most: int) -> list[ShownCase]:
    """The worst and best of cases in the order of their Dice; of few cases those between as well."""
    each = min(most, len(ranked) // 2)
    worst, best = list(ranked[:each]), list(ranked[len(ranked) - each :][::-1])
    if each and _dice(worst[-1]) == _dice(best[-1]):
        border = _dice(worst[-1])
        worst = [row for row in worst if _dice(row) < border]
        best = [row for row in best if _dice(row) > border]
    taken = {row["case"] for row in (*worst, *best)}
    others = [row for row in ranked if row["case"] not in taken] if len(ranked) <= 2 * most else []
    chosen = [(row, "worst: ") for row in worst] + [(row, "best: ") for row in best]
    chosen += [(row, "") for row in others]
    if not chosen:  # so many that score alike
        chosen = [(row, "") for row in ranked[:most]]
    return [ShownCase(row["case"], f"{rank}{region} Dice {DICE.format(_dice(row))}") for row, rank in chosen]


def _false_alarm(row: Mapping[str, Any], region: str) -> ShownCase:
    return ShownCase(
        row["case"], f"false alarm: no {region} in the reference, {row['predicted_ml']:.1f} ml seen"
    )


def _remark(ranked: Sequence[Mapping[str, Any]], *, n_cases: int, region: str) -> str:
    n_empty = n_cases - len(ranked)
    empty = f"{counted(n_empty, 'case')} without {region}" if n_empty else ""
    if not ranked:
        return f"No reference holds {region}, so no case is the worst or the best."
    if len(ranked) == 1:
        remark = f"Only one reference holds {region}, so no case is the worst or the best."
    elif _dice(ranked[0]) == _dice(ranked[-1]):
        remark = f"All {len(ranked)} cases with {region} score alike, so none is the worst or the best."
    else:
        remark = f"Ranked by the Dice of {region}, of the {len(ranked)} cases whose reference holds {region}."
    return f"{remark} Not ranked: {empty}." if empty else remark


def _dice(row: Mapping[str, Any]) -> float:
    return round(float(row[DICE.name]), DICE.decimals)
