"""Scores cases on several processes."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lts.base import REGION_MIN_LABEL, WorkerPool
from lts.evaluation.calibration import CalibrationCounts
from lts.evaluation.rules import ScoringRules
from lts.metrics import BinnedAUROC
from lts.scores import CaseMasks, CaseScores, region_masks


class Slab(Protocol):
    """Probabilities `(N, R, H, W)` of some neighboring slices of a scan."""

    @property
    def slices(self) -> slice: ...

    @property
    def probs(self) -> Tensor: ...


class ProbabilityScores:
    """Scores of probabilities, pooled over the voxels of all cases, in constant memory.

    >>> from types import SimpleNamespace
    >>> labels = np.array([[[0, 1], [1, 2]]], np.uint8)
    >>> probs = torch.tensor([[[[0.1, 0.8], [0.9, 0.9]], [[0.1, 0.3], [0.2, 0.2]]]])
    >>> scores = ProbabilityScores()
    >>> scores.add(labels, SimpleNamespace(slices=slice(0, 1), probs=probs))
    >>> {region: round(area, 3) for region, area in scores.areas().items()}
    {'liver': 1.0, 'tumor': 0.5}

    Args:
        regions: Regions in channel order.
    """

    def __init__(self, regions: Sequence[str] = tuple(REGION_MIN_LABEL)) -> None:
        self.auroc = BinnedAUROC(regions=regions)
        self.calibration = CalibrationCounts(regions)

    def add(
        self, reference: NDArray[np.uint8], slab: Slab, *, ignored: NDArray[np.bool_] | None = None
    ) -> None:
        """Count some slices of a case.

        Args:
            reference: `(Z, H, W)` labels of the whole case, on the scan's grid.
            slab: Probabilities; each slice of a case is to come once.
            ignored: `(Z, H, W)`, voxels of the case that do not count; None for none.
        """
        referred = torch.from_numpy(region_masks(reference[slab.slices], self.auroc.regions))
        probs = slab.probs.contiguous()
        left_out = None if ignored is None else torch.from_numpy(ignored[slab.slices])
        self.auroc.update(probs, referred, ignored=left_out)
        self.calibration.update(probs, referred, ignored=left_out)

    def areas(self) -> dict[str, float]:
        """By region the area under the ROC curve, NaN where a class is absent."""
        areas = self.auroc.compute()
        return {region: float(areas[f"{region}/auroc"]) for region in self.auroc.regions}


class CaseScorer:
    """Scores cases, several at once; holds voxel counts and lists of lesions, never more than a few volumes.

    >>> from lts.volume import Voxel
    >>> labels = np.ones((2, 8, 8), np.uint8)
    >>> with CaseScorer() as scorer:
    ...     scorer.add(
    ...         CaseMasks(
    ...             case="a", prediction=labels, reference=labels, voxel=Voxel.of_spacing((5, 1, 1))
    ...         )
    ...     )
    ...     scored = scorer.result()
    >>> scored[0].surfaces[0]["assd_mm"]
    0.0

    Args:
        rules: What is scored; None for the defaults.
        workers: Processes; 1 scores in this one.
        on_scored: Called with the number of cases that are done.
    """

    def __init__(
        self,
        rules: ScoringRules | None = None,
        *,
        workers: int = 1,
        on_scored: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._score_case = (rules or ScoringRules()).score_case
        self._workers, self._on_scored = workers, on_scored
        self._pool: WorkerPool | None = None
        self._pending: deque[Future[CaseScores]] = deque()
        self._done: list[CaseScores] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        """End the processes; waiting cases are dropped, and running ones too if the run is stopped."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            pool.__exit__(*error)

    def add(self, masks: CaseMasks) -> None:
        """Queue a case for scoring; blocks while too many others wait."""
        if self._workers <= 1:
            self._keep(self._score_case(masks))
            return
        if self._pool is None:
            self._pool = WorkerPool(self._workers)
        self._pending.append(self._pool.submit(self._score_case, masks))
        while len(self._pending) > self._workers or (self._pending and self._pending[0].done()):
            self._keep(self._pending.popleft().result())

    def result(self) -> list[CaseScores]:
        """All cases, in the order they were added."""
        while self._pending:
            self._keep(self._pending.popleft().result())
        return self._done

    def _keep(self, scores: CaseScores) -> None:
        self._done.append(scores)
        self._on_scored(len(self._done))
