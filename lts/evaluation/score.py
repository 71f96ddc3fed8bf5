"""Scores a model on cases, slab by slab on each scan's own grid."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from lts.base import MASK_THRESHOLD, region_min_labels
from lts.evaluation.counts import CaseCounts, count_slab
from lts.evaluation.pictures import CaseViews
from lts.evaluation.scores import Score, case_rows, cohort_scores
from lts.metrics import BinnedAUROC
from lts.volume import Volume


class Slab(Protocol):
    """Probabilities `(N, R, H, W)` of some neighboring slices of a scan."""

    @property
    def slices(self) -> slice: ...

    @property
    def probs(self) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class CohortScores:
    """What scoring found.

    Attributes:
        regions: Regions in channel order.
        cohort: Scores per region.
        cases: One row a case and region.
        roc: Per region false-positive rates, true-positive rates and the area, NaN where undefined.
    """

    regions: tuple[str, ...]
    cohort: dict[str, dict[str, Score]]
    cases: list[dict[str, Any]]
    roc: dict[str, tuple[Tensor, Tensor, float]]


class CohortScorer:
    """Takes cases one after the other; holds voxel counts and a histogram, never a volume.

    Args:
        regions: Regions in channel order.
        overlay_dir: Where a picture of each case is drawn, None for none.
        window_hu: Level and width of the pictures, None for percentiles of each scan.
    """

    def __init__(
        self,
        *,
        regions: Sequence[str],
        overlay_dir: Path | None,
        window_hu: tuple[float, float] | None,
    ) -> None:
        self._regions, self._overlay_dir, self._window_hu = tuple(regions), overlay_dir, window_hu
        self._min_labels = torch.tensor(region_min_labels(regions), dtype=torch.uint8)
        self._auroc = BinnedAUROC(regions=regions)
        self._cases: list[CaseCounts] = []

    def add(self, case: str, *, scan: Volume, mask: Volume, slabs: Iterable[Slab]) -> CaseCounts:
        """Score one case.

        Args:
            case: Case id.
            scan: The scan.
            mask: Its reference labels on the same grid.
            slabs: Probabilities from the feet up, all slices once.
        """
        counts: list[tuple[Tensor, Tensor, Tensor]] = []
        views = CaseViews(self._regions)
        for slab in slabs:
            labels = torch.from_numpy(mask.voxels[slab.slices])
            reference = labels[:, None] >= self._min_labels[:, None, None]
            predicted = slab.probs > MASK_THRESHOLD
            counts.append(count_slab(predicted, reference))
            self._auroc.update(slab.probs, reference)
            views.offer(slab.slices.start, prediction=predicted, reference=reference)
        scored = CaseCounts.join(case, scan.geometry.voxel_volume_ml, counts)
        self._cases.append(scored)
        if self._overlay_dir:
            views.draw(self._overlay_dir / f"{case}.png", case=case, scan=scan, window_hu=self._window_hu)
        return scored

    def result(self) -> CohortScores:
        """Scores of all cases so far."""
        auroc = self._auroc.compute()
        cohort = cohort_scores(self._cases, regions=self._regions, auroc=auroc)
        roc = {
            region: (*self._auroc.roc(region), float(auroc[f"{region}/auroc"])) for region in self._regions
        }
        return CohortScores(self._regions, cohort, case_rows(self._cases, regions=self._regions), roc)
