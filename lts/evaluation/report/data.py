"""What a report tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportData:
    """Plain data of one evaluation. Everywhere None and NaN stand for a score that is not defined.

    Attributes:
        title: Such as `test subset, cases: 12`.
        regions: Regions in channel order.
        metrics: As in `metrics.json`: under `regions` the scores of each region, a mean with its `<score>_n`,
            under `intervals` by region and score `[low, high]` or None, under `intervals_n` how many cases
            each rests on, and `n_cases`. All may be absent.
        cases: Rows of `cases.csv`, all with the same keys, `case` and `region` among them.
        lesions: Rows of `lesions.csv`, all with the same keys, `case` and `outcome` among them.
        failure_totals: Under `cause`, `size` and `contrast` rows with `group`, `found`, `missed`,
            `false_alarms`; `found` may be None.
        advice: What to do about the failures.
        panel: Dice by region and convention.
        panel_remarks: Where the conventions differ.
        roc: By region false-positive rates, true-positive rates and the area; None without probabilities.
        reliability: By region `mean_probability`, `observed`, `count`, `ece`, `temperature`; None without
            probabilities.
        pictures: Case, caption and a PNG or JPEG file, in the order they are shown in.
        lits: The challenge's scores, with sentences under `notes`; None where they were not asked for.
        provenance: Where the results come from; may be nested.
        notes: What was left out or is not defined.
        level: Confidence level of the intervals, in (0, 1); None where it is not known.
        pictures_remark: How the cases of the pictures were chosen, in sentences.
    """

    title: str
    regions: tuple[str, ...]
    metrics: dict[str, Any]
    cases: list[dict[str, Any]]
    lesions: list[dict[str, Any]]
    failure_totals: dict[str, list[dict[str, Any]]]
    advice: list[str]
    panel: dict[str, dict[str, float | None]]
    panel_remarks: list[str]
    roc: dict[str, tuple[Sequence[float], Sequence[float], float]] | None
    reliability: dict[str, dict[str, Any]] | None
    pictures: list[tuple[str, str, Path]]
    lits: dict[str, Any] | None
    provenance: dict[str, Any]
    notes: list[str]
    level: float | None = None
    pictures_remark: str = ""

    @property
    def n_cases(self) -> int:
        """Number of cases."""
        return len({row["case"] for row in self.cases})

    def rows_of(self, region: str) -> list[dict[str, Any]]:
        """The rows of `cases` of one region."""
        return [row for row in self.cases if row["region"] == region]

    def scores_of(self, region: str) -> dict[str, Any]:
        """The cohort's scores of one region; empty where there are none."""
        scores: dict[str, Any] = self.metrics.get("regions", {}).get(region, {})
        return scores
