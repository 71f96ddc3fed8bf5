"""Scores cases one after the other, on as many processes as asked for."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from lts.base import region_min_labels
from lts.cohort import WorkerPool
from lts.evaluation.calibration import CalibrationCounts
from lts.evaluation.case import CaseMasks, CaseScores, ScoringRules, score_case
from lts.metrics import BinnedAUROC
from lts.volume import Volume


class Slab(Protocol):
    """Probabilities `(N, R, H, W)` of some neighboring slices of a scan."""

    @property
    def slices(self) -> slice: ...

    @property
    def probs(self) -> Tensor: ...


class ProbabilityScores:
    """What only probabilities tell, pooled over the voxels of all cases, in constant memory.

    Args:
        regions: Regions in channel order.
    """

    def __init__(self, regions: tuple[str, ...]) -> None:
        self._min_labels = torch.tensor(region_min_labels(regions), dtype=torch.uint8)
        self.auroc = BinnedAUROC(regions=regions)
        self.calibration = CalibrationCounts(regions)

    def add(self, reference: Volume, slab: Slab) -> None:
        """Count some slices of a case.

        Args:
            reference: Labels of the whole case, on the scan's grid.
            slab: Probabilities; each slice of a case is to come once.
        """
        referred = torch.from_numpy(reference.voxels[slab.slices])[:, None]
        referred = referred >= self._min_labels[:, None, None]
        probs = slab.probs.contiguous()
        self.auroc.update(probs, referred)
        self.calibration.update(probs, referred)


class CaseScorer:
    """Scores cases, several at once; holds voxel counts and lists of lesions, never more than a few volumes.

    Args:
        rules: What is scored.
        workers: Processes; 1 scores in this one.
        on_scored: Called with the number of cases that are done.
    """

    def __init__(self, rules: ScoringRules, *, workers: int, on_scored: Callable[[int], None]) -> None:
        self._rules, self._workers, self._on_scored = rules, workers, on_scored
        self._pool: WorkerPool | None = None
        self._pending: deque[Future[CaseScores]] = deque()
        self._done: list[CaseScores] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        """End the processes; cases that wait are dropped, as are those in hand where the run is stopped."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            pool.__exit__(*error)

    def add(self, masks: CaseMasks) -> None:
        """Score a case, now or soon; waits while too many others wait."""
        if self._workers <= 1:
            self._keep(score_case(masks, self._rules))
            return
        if self._pool is None:
            self._pool = WorkerPool(self._workers, start=partial(torch.set_num_threads, 1))
        self._pending.append(self._pool.submit(score_case, masks, self._rules))
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
