"""Data of the pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lts.base import REGION_MIN_LABEL
from lts.evaluation.compare import PairedComparison
from lts.evaluation.compare_many import RankedRuns
from lts.evaluation.differing import DifferingCase
from lts.evaluation.missing_scores import Lack
from lts.evaluation.table import COMPARED


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportData:
    """Plain data of one evaluation. None and NaN are undefined scores.

    >>> row = {"case": "a", "region": "liver", "dice": 0.9}
    >>> ReportData(title="one case", cases=[row]).rows_of("liver")
    [{'case': 'a', 'region': 'liver', 'dice': 0.9}]

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
        lesion_pictures: By the number of a row of `lesions`, from 0, its PNG or JPEG file.
        pictures_remark: How the cases of the pictures were chosen, in sentences.
        viewers: By case, the address of a page that shows it in three planes, relative to the report's.
    """

    title: str
    regions: tuple[str, ...] = tuple(REGION_MIN_LABEL)
    metrics: dict[str, Any] = field(default_factory=dict)
    cases: list[dict[str, Any]] = field(default_factory=list)
    lesions: list[dict[str, Any]] = field(default_factory=list)
    failure_totals: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    advice: list[str] = field(default_factory=list)
    panel: dict[str, dict[str, float | None]] = field(default_factory=dict)
    panel_remarks: list[str] = field(default_factory=list)
    roc: dict[str, tuple[Sequence[float], Sequence[float], float]] | None = None
    reliability: dict[str, dict[str, Any]] | None = None
    pictures: list[tuple[str, str, Path]] = field(default_factory=list)
    lits: dict[str, Any] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    level: float | None = None
    lesion_pictures: dict[int, Path] = field(default_factory=dict)
    pictures_remark: str = ""
    viewers: Mapping[str, str] = field(default_factory=dict)

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


@dataclass(frozen=True, kw_only=True, eq=False)
class CasePictures:
    """One slice of a case under the masks of each run.

    >>> CasePictures(problem="the mask is gone").pictures
    ()

    Attributes:
        title: Which slice, and why this one.
        pictures: What each shows, and the content of a PNG or JPEG file.
        problem: Why there is none; empty if there are pictures.
    """

    title: str = ""
    pictures: Sequence[tuple[str, bytes]] = ()
    problem: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class ComparisonData:
    """Plain data of a comparison.

    >>> rows = [{"case": "1", "region": "liver", "dice": 0.5}]
    >>> ComparisonData(runs={"a": {}, "b": {}}, rows={"a": rows, "b": rows}).n_cases
    1

    Attributes:
        runs: By name, facts that tell the run, each with the same labels.
        rows: By name, rows of its `cases.csv`; of the same cases.
        pairs: Of two runs, what `compare_cases` found.
        ranked: Of more runs, what `rank_runs` found.
        lacking: What `lacking` found.
        region: Whose Dice tells where runs differ; None where Dice was not scored.
        differing: What `differing_cases` found of it.
        pictures: By case, pictures of those that differ most.
        level: Confidence level of the intervals.
        provenance: Where the page comes from; may be nested.
    """

    runs: Mapping[str, Mapping[str, str]]
    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    pairs: Sequence[PairedComparison] = ()
    ranked: Sequence[RankedRuns] = ()
    lacking: Sequence[Lack] = ()
    region: str | None = None
    differing: Sequence[DifferingCase] = ()
    pictures: Mapping[str, CasePictures] = field(default_factory=dict)
    level: float = 0.95
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_cases(self) -> int:
        """Number of cases."""
        return len({row["case"] for rows in self.rows.values() for row in rows})

    @property
    def regions(self) -> list[str]:
        """Regions that are compared."""
        return list(dict.fromkeys([one.region for one in self.pairs] + [one.region for one in self.ranked]))

    @property
    def scores(self) -> list[str]:
        """Names of the scores that are told."""
        found = [one.score for one in self.pairs] + [one.score for one in self.ranked]
        return [name for name in dict.fromkeys(found) if name in COMPARED]
