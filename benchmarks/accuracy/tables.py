"""Tables of results: each system alone, and compared with lts patient by patient."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from benchmarks.accuracy.records import Record
from benchmarks.accuracy.scoring import lesion_counts
from lts.evaluation import PairedComparison, compare_cases
from lts.scores import lesion_scores


@dataclass(frozen=True)
class Results:
    """All runs of a system in a part: one per fold and seed.

    Attributes:
        system: Its name.
        records: At least one.
    """

    system: str
    records: Sequence[Record]

    @cached_property
    def regions(self) -> tuple[str, ...]:
        """Regions that were scored."""
        return tuple(self.records[0].cases[0]["rows"])

    def dice(self, region: str) -> dict[str, float]:
        """The Dice of each case, averaged over seeds."""
        return self.mean("dice", region)

    def mean(self, score: str, region: str) -> dict[str, float]:
        """A score of each case, averaged over seeds."""
        found: dict[str, list[float]] = {}
        for record in self.records:
            for case in record.cases:
                found.setdefault(case["case"], []).append(case["rows"][region][score])
        return {case: statistics.fmean(values) for case, values in found.items()}

    @property
    def lesions(self) -> dict[str, float | None]:
        """Scores of the pooled lesions of all cases, named as by `lts.scores.lesion_scores`."""
        counted = [lesion_counts(case["lesions"]) for record in self.records for case in record.cases]
        return lesion_scores(counted)

    @property
    def least_processor_share(self) -> float:
        """Of the run that had to wait most: its processor time as a share of what it could have had."""
        return min(
            record.cpu_s / (record.all_s * record.run.cores) if record.all_s else 1.0
            for record in self.records
        )

    @property
    def slices_seen(self) -> float:
        """Mean over runs."""
        return statistics.fmean(record.slices_seen for record in self.records)

    @property
    def train_minutes(self) -> float:
        """Mean over runs."""
        return statistics.fmean(record.train_s for record in self.records) / 60

    @property
    def all_minutes(self) -> float:
        """Mean over runs, with preparing and predicting."""
        return statistics.fmean(record.all_s for record in self.records) / 60


def compared(reference: Results, other: Results, region: str) -> PairedComparison:
    """Dice of a reference system, such as lts, minus that of another, case by case."""
    sides = [
        [{"case": case, "region": region, "dice": value} for case, value in side.dice(region).items()]
        for side in (other, reference)
    ]
    (found,) = compare_cases(*sides, scores=["dice"])
    return found


def dice_table(systems: Sequence[Results], region: str) -> list[str]:
    """One row per system: Dice of its patients, and the comparison with lts."""
    lines = [
        "| system | patients | mean | median | worst | lts minus system, mean | lts better in | Wilcoxon p |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    reference = ours(systems)
    for one in systems:
        values = one.dice(region)
        least = min(values.values())
        of_least = [case for case, value in values.items() if value == least]
        worst = of_least[0] if len(of_least) == 1 else f"{len(of_least)} cases"
        lines.append(
            f"| {one.system} | {len(values)} | {statistics.fmean(values.values()):.3f} "
            f"| {statistics.median(values.values()):.3f} | {least:.3f} ({worst}) "
            f"| {_against(reference, one, region)} |"
        )
    return lines


def lesion_table(systems: Sequence[Results]) -> list[str]:
    """One row per system: lesion scores, matched at IoU > 0.5 and at any overlap."""
    lines = [
        "| system | recall | precision | F1 < 10 mm | recall, any overlap | precision, any overlap "
        "| F1 < 10 mm, any overlap |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    names = [f"lesion_{rule}{kind}" for rule in ("", "any_") for kind in ("recall", "precision", "f1_lt10mm")]
    for one in systems:
        found = one.lesions
        lines.append(f"| {one.system} | {' | '.join(_number(found[name]) for name in names)} |")
    return lines


def effort_table(systems: Sequence[Results]) -> list[str]:
    """One row per system: slices seen, minutes, and the processor time that it got of them."""
    lines = [
        "| system | slices or patches seen | minutes of training | minutes with preparing and predicting "
        "| share of those computing, least of the runs |",
        "| --- | --- | --- | --- | --- |",
    ]
    return lines + [
        f"| {one.system} | {one.slices_seen:,.0f} | {one.train_minutes:.1f} | {one.all_minutes:.1f} "
        f"| {one.least_processor_share:.0%} |"
        for one in systems
    ]


def patient_table(systems: Sequence[Results], region: str) -> list[str]:
    """One row per case with its volume, and the Dice of every system, told where it predicted nothing."""
    reference_ml = systems[0].mean("reference_ml", region)
    columns = [(one.dice(region), one.mean("predicted_ml", region)) for one in systems]
    lines = [
        f"| case | ml | {' | '.join(one.system for one in systems)} |",
        f"| --- | --- |{' --- |' * len(systems)}",
    ]
    return lines + [
        f"| {case} | {reference_ml[case]:.1f} | "
        + " | ".join(
            f"{dice[case]:.3f}{'' if found_ml[case] else ' (none predicted)'}" for dice, found_ml in columns
        )
        + " |"
        for case in reference_ml
    ]


def ours(systems: Sequence[Results]) -> Results | None:
    """The first results of lts, None if there are none."""
    return next((one for one in systems if one.system.partition(":")[0] == "lts"), None)


def _against(reference: Results | None, other: Results, region: str) -> str:
    if reference is None or reference is other:
        return " | | "
    found = compared(reference, other, region)
    p = f"{found.p_value:.2g}" + (f"; {found.remark}" if found.remark else "")
    return f"{found.mean_difference:+.3f} | {found.wins} of {found.pairs} | {p}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
