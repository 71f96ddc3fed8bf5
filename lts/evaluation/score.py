"""The definition of a score: its texts and functions, with their inputs and results."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from lts.evaluation.quantity import Quantity
from lts.scores import CaseScores, SurfaceDistances, lesion_scores
from lts.scores.overlap import defined

Value = float | None
"""None for an undefined score."""

Best = Literal["high", "low", "zero"]

Family = Literal["overlap", "surfaces", "volumes", "slices", "lesions", "probabilities"]
FAMILIES: tuple[Family, ...] = get_args(Family)
"""Families of scores, in the order of the columns of `cases.csv`."""

_Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CaseRegion:
    """One region of a case.

    >>> from lts.scores import CaseCounts
    >>> counts = CaseCounts("a", 0.5, *(np.array([[n], [0]]) for n in (6, 2, 4)))
    >>> CaseRegion(CaseScores(counts, surfaces=(None,)), "liver", 0).overlap
    (6, 2, 4)

    Attributes:
        case: The case.
        region: Its region.
        channel: The channel of the region.
    """

    case: CaseScores
    region: str
    channel: int

    @cached_property
    def slices(self) -> _Counts:
        """tp, fp and fn by slice, `(3, Z)`."""
        return self.case.counts.stacked[..., self.channel]

    @cached_property
    def overlap(self) -> tuple[int, int, int]:
        """tp, fp and fn."""
        tp, fp, fn = self.slices.sum(axis=1).tolist()
        return tp, fp, fn

    @property
    def voxels(self) -> tuple[int, int]:
        """Voxels of the prediction and of the reference."""
        counts = self.case.counts
        predicted, reference = (side[:, self.channel].sum() for side in (counts.predicted, counts.reference))
        return int(predicted), int(reference)

    @property
    def volumes_ml(self) -> tuple[np.float32, np.float32]:
        """Volumes of the prediction and of the reference, in single precision as files have them."""
        voxel_ml = np.float32(self.case.counts.voxel_volume_ml)
        predicted, reference = (np.float32(voxels) * voxel_ml for voxels in self.voxels)
        return predicted, reference


@dataclass(frozen=True, eq=False)
class CohortRegion:
    """One region of all cases.

    >>> from lts.scores import CaseCounts
    >>> counts = CaseCounts("a", 0.5, *(np.array([[n], [0]]) for n in (6, 2, 4)))
    >>> cases = [CaseScores(counts, surfaces=(None,))] * 2
    >>> CohortRegion(cases, [], "liver", 0).by_case.tolist()
    [[6, 6], [2, 2], [4, 4]]

    Attributes:
        cases: At least one case.
        rows: Their rows of `cases.csv`, of all regions.
        region: The region.
        channel: Its channel.
        auroc: Of the pooled voxels; None where only masks were scored.
    """

    cases: Sequence[CaseScores]
    rows: Sequence[Mapping[str, Any]]
    region: str
    channel: int
    auroc: Value = None

    @cached_property
    def counts(self) -> _Counts:
        """tp, fp and fn of the cases, of all regions, `(3, cases, R)`."""
        return np.stack([case.counts.stacked.sum(axis=1) for case in self.cases], axis=1)

    @property
    def by_case(self) -> _Counts:
        """tp, fp and fn of the cases, `(3, cases)`."""
        return self.counts[..., self.channel]

    @cached_property
    def by_slice(self) -> _Counts:
        """tp, fp and fn of all slices, `(3, slices)`."""
        return np.concatenate([case.counts.stacked[..., self.channel] for case in self.cases], axis=1)

    @cached_property
    def lesion_scores(self) -> dict[str, Value]:
        """Of the lesions of all cases."""
        return lesion_scores([case.lesions for case in self.cases if case.lesions is not None])

    def column(self, name: str) -> list[Value]:
        """A score of the cases."""
        return [row[name] for row in self.rows if row["region"] == self.region]


@dataclass(frozen=True, eq=False)
class CohortScore:
    """A score of a cohort.

    >>> CohortScore.of_column([0.5, None, 1.0]).value, CohortScore.of_column([0.5, None, 1.0]).n
    (0.75, 2)
    >>> CohortScore.of_sums(np.array([1, 2]), np.array([2, 2])).value
    0.75

    Attributes:
        value: None where it is not defined.
        n: How many cases or slices it is the mean of; None for what is no mean.
        terms: By case, the numbers whose sums it is the ratio of; None where it has no interval.
    """

    value: Value
    n: int | None = None
    terms: tuple[NDArray[Any], NDArray[Any]] | None = None

    @classmethod
    def of_column(cls, values: Sequence[Value]) -> "CohortScore":
        """The mean over the cases where a score is defined."""
        kept = [value for value in values if value is not None]
        return cls(sum(kept) / len(kept) if kept else None, len(kept), (np.array(kept), np.ones(len(kept))))

    @classmethod
    def of_cases(cls, values: NDArray[np.float64]) -> "CohortScore":
        """The mean over all cases, `(cases,)`."""
        return cls(mean(values), len(values), (values, np.ones_like(values)))

    @classmethod
    def of_slices(cls, values: NDArray[np.float64]) -> "CohortScore":
        """The mean over slices, `(slices,)`."""
        return cls(mean(values), len(values))

    @classmethod
    def of_sums(cls, above: _Counts, below: _Counts) -> "CohortScore":
        """The ratio of sums over cases, each `(cases,)`."""
        whole = int(below.sum())
        return cls(int(above.sum()) / whole if whole else None, terms=(above, below))


@dataclass(frozen=True)
class Score(Quantity):
    """A score of cases, of a cohort, or of both; one function is enough.

    >>> fp_ml = Score(
    ...     "fp_ml",
    ...     "False volume",
    ...     "Volume that was wrongly predicted.",
    ...     unit="ml",
    ...     family="volumes",
    ...     best="low",
    ...     of_case=lambda region: region.overlap[1] * region.case.counts.voxel_volume_ml,
    ... )
    >>> fp_ml.title, fp_ml.is_of_cases, fp_ml.of_cohort
    ('False volume (ml)', True, 'mean')

    Attributes:
        family: What it is made of.
        best: Which values are the best; None where it is neither good nor bad, such as a volume.
        bounds: The lowest and the highest value that it can have, for scores that are read from a file.
        regions: Whose it is; None for all.
        of_case: Gives it for a case; None and NaN say that it is not defined.
        of_surfaces: The same from distances of surfaces, where neither is empty. It is sent to other
            processes, so it must be one that can be imported there.
        of_cohort: Gives it for a cohort; "mean" is the mean over the cases where it is defined, None leaves
            it to cases.
    """

    family: Family = "overlap"
    best: Best | None = "high"
    bounds: tuple[float, float] = (-math.inf, math.inf)
    regions: tuple[str, ...] | None = None
    of_case: Callable[[CaseRegion], Value] | None = None
    of_surfaces: Callable[[SurfaceDistances], float] | None = None
    of_cohort: Callable[[CohortRegion], CohortScore] | Literal["mean"] | None = "mean"

    @property
    def is_of_cases(self) -> bool:
        """Whether it is a column of `cases.csv`."""
        return self.of_case is not None or self.of_surfaces is not None

    def is_of(self, region: str) -> bool:
        """Whether a region has it."""
        return self.regions is None or region in self.regions

    def in_case(self, case: CaseRegion) -> Value:
        """What it is for a region of a case."""
        if not self.is_of(case.region):
            return None
        if self.of_case is None:
            return (case.case.surfaces[case.channel] or {}).get(self.name)
        value = self.of_case(case)
        return value if value is None or isinstance(value, int) else defined(value)

    def in_cohort(self, cohort: CohortRegion) -> CohortScore:
        """What it is for a region of a cohort."""
        assert self.of_cohort is not None
        if self.of_cohort == "mean":
            return CohortScore.of_column(cohort.column(self.name))
        return self.of_cohort(cohort)


def mean(values: NDArray[np.float64]) -> Value:
    """The mean of `(N,)` numbers, None of none."""
    # By torch, which adds up in another order than NumPy: figures stay the same to the last digit.
    return defined(torch.from_numpy(values).mean().item())
