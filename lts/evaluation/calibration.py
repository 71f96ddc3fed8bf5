"""Calibration of probabilities and the best temperature, in constant memory.

Voxels are counted by class in cells of a 64th of a logit, with the sum of their probabilities. All scores
here are computed from these counts; voxels are not kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from torch import Tensor

from lts.base import ConfigError
from lts.metrics.checks import check_batch, check_channels, check_ignored, outside_unit_interval

RELIABILITY_BINS = 15
"""Bins of equal width in probability that a reliability curve has."""

CERTAIN = 0.01
"""A voxel whose probability is nearer than this to 0 or 1 is taken as certain."""

# Below, float32 has no normal numbers; above, it has none between a probability and 1.
_LOWEST_LOGIT, _HIGHEST_LOGIT = -88, 17
_CELLS_PER_LOGIT = 64
_LAST_CELL = (_HIGHEST_LOGIT - _LOWEST_LOGIT) * _CELLS_PER_LOGIT - 1
# A float32 of 1 stands for a logit of at least this.
_LOGIT_OF_ONE = 25 * float(np.log(2))

# The edges of the bins and of certainty cut [0, 1] into intervals; no cell reaches over one of these edges.
_EDGES = torch.tensor(
    [CERTAIN, *(k / RELIABILITY_BINS for k in range(1, RELIABILITY_BINS)), 1 - CERTAIN], dtype=torch.float32
)
_N_CELLS = _LAST_CELL + 1 + len(_EDGES)
# The first and the last interval are certain. With them, the outer two of each side make a bin.
_BIN_STARTS = [0, *range(2, RELIABILITY_BINS + 1)]

_TEMPERATURES = (0.05, 20.0)


class CalibrationCounts:
    """Voxels of each region by probability and class, in 220 kB a region whatever their number.

    >>> counts = CalibrationCounts(["kidney"])
    >>> probs = torch.tensor([0.25, 0.25, 0.25, 0.25]).reshape(4, 1, 1, 1)
    >>> counts.update(probs, torch.tensor([True, False, False, False]).reshape(4, 1, 1, 1))
    >>> expected_calibration_error(reliability(counts, "kidney", uncertain=False))
    0.0

    Attributes:
        regions: Names of the channels, each once.
        voxels: Number of voxels, `(R, 2, cells)` int64: background, foreground.
        prob_sums: Sum of their probabilities, `(R, 2, cells)` float64.

    Args:
        regions: As the attribute.

    Raises:
        ConfigError: `regions` breaks its rule.
    """

    def __init__(self, regions: Sequence[str]) -> None:
        self.regions = check_channels(regions)
        self.voxels: NDArray[np.int64] = np.zeros((len(self.regions), 2, _N_CELLS), np.int64)
        self.prob_sums: NDArray[np.float64] = np.zeros((len(self.regions), 2, _N_CELLS))

    def update(self, probs: Tensor, reference: Tensor, *, ignored: Tensor | None = None) -> None:
        """Count some slices.

        Args:
            probs: `(N, R, ...)` probabilities in [0, 1], taken as float32.
            reference: `(N, R, ...)` bool, on the same device.
            ignored: `(N, ...)` bool, voxels that do not count; None for none.

        Raises:
            ValueError: A shape, dtype or device is wrong, or a probability lies outside [0, 1].
        """
        check_batch(probs, reference, regions=self.regions)
        check_ignored(ignored, probs)
        if outside_unit_interval(probs):
            raise ValueError("probs: must lie in [0, 1], got other values or NaN")
        probs = probs.detach().to("cpu", torch.float32)
        reference = reference.cpu()
        # A slice at a time stays within the cache.
        for number, (slice_probs, slice_reference) in enumerate(zip(probs, reference, strict=True)):
            known = None if ignored is None else ~ignored[number].cpu()
            for channel, (values, inside) in enumerate(zip(slice_probs, slice_reference, strict=True)):
                if known is not None:
                    values, inside = values[known], inside[known]  # noqa: PLW2901
                # Classes apart, one block of cells after the other.
                cells = _cell(values).add_(inside, alpha=_N_CELLS).flatten().numpy()
                weights = values.flatten().numpy()
                self.voxels[channel] += np.bincount(cells, minlength=2 * _N_CELLS).reshape(2, -1)
                self.prob_sums[channel] += np.bincount(
                    cells, weights=weights, minlength=2 * _N_CELLS
                ).reshape(2, -1)

    def merge(self, other: "CalibrationCounts") -> None:
        """Add the counts of another one.

        Raises:
            ValueError: It counts other regions.
        """
        if other.regions != self.regions:
            raise ValueError(f"other: must count {list(self.regions)}, got {list(other.regions)}")
        self.voxels += other.voxels
        self.prob_sums += other.prob_sums

    def of(self, region: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """`voxels` and `prob_sums` of one region, each `(2, cells)`.

        Raises:
            ValueError: The region is not counted.
        """
        if region not in self.regions:
            raise ValueError(f"region: must be one of {list(self.regions)}, got {region!r}")
        channel = self.regions.index(region)
        return self.voxels[channel], self.prob_sums[channel]


@dataclass(frozen=True)
class ReliabilityCurve:
    """Probabilities against what was observed, by bins that hold a voxel; all tuples empty where none does.

    Attributes:
        mean_probability: Mean probability of the voxels of a bin, rising.
        observed: Share of these voxels that lie in the region.
        count: Their number.
    """

    mean_probability: tuple[float, ...]
    observed: tuple[float, ...]
    count: tuple[int, ...]


def reliability(counts: CalibrationCounts, region: str, *, uncertain: bool) -> ReliabilityCurve:
    """The reliability curve of a region over 15 bins of equal width, closed below, the last on both sides.

    Nearly all of a CT is background that any model calls background with a probability near 0; over all
    voxels, these drown what happens elsewhere. `uncertain` leaves the certain voxels out. It is the
    probability alone that decides: a choice that looks at the reference, such as voxels where prediction or
    reference is foreground, makes a model with perfect calibration look wrong.

    Args:
        counts: The counted voxels.
        region: One of its regions.
        uncertain: Only voxels whose probability is at least 0.01 and less than 0.99.

    Raises:
        ValueError: The region is not counted.
    """
    voxels, prob_sums = (_by_bin(cells, uncertain=uncertain) for cells in counts.of(region))
    total = voxels.sum(0)
    held = total > 0
    total = total[held]
    return ReliabilityCurve(
        mean_probability=tuple((prob_sums.sum(0)[held] / total).tolist()),
        observed=tuple((voxels[1][held] / total).tolist()),
        count=tuple(total.tolist()),
    )


def expected_calibration_error(curve: ReliabilityCurve) -> float | None:
    """Mean over voxels of |mean probability - observed share| of their bin; None without voxels."""
    if not curve.count:
        return None
    gaps = np.abs(np.subtract(curve.mean_probability, curve.observed))
    return float(np.average(gaps, weights=curve.count))


def brier_score(counts: CalibrationCounts, region: str) -> float | None:
    """Mean squared difference of probability and reference (0 or 1), within 2e-6; None without voxels.

    Raises:
        ValueError: The region is not counted.
    """
    voxels, prob_sums = counts.of(region)
    if not voxels.any():
        return None
    errors = np.abs(_mean_probs(voxels, prob_sums) - [[0], [1]])
    return float(np.average(errors**2, weights=voxels))


def negative_log_likelihood(counts: CalibrationCounts, region: str, *, temperature: float) -> float | None:
    """Mean of -log(probability given to the true class) once logits are divided by the temperature, in nats.

    A probability of 0 is taken as a logit of -88, of 1 as 17.3: float32 knows nothing beyond.

    Returns:
        None without voxels.

    Raises:
        ValueError: The region is not counted.
        ConfigError: The temperature is not a finite number > 0.
    """
    _check_temperature(temperature)
    voxels, prob_sums = counts.of(region)
    if not voxels.any():
        return None
    against = _logits(voxels, prob_sums) * [[1], [-1]] / temperature
    return float(np.average(np.logaddexp(0, against), weights=voxels))


def fit_temperature(counts: CalibrationCounts, region: str) -> float | None:
    """The divisor of the logits with the highest likelihood; above 1, the model is overconfident.

    The likelihood has one optimum, where its slope is zero.

    Returns:
        None if no temperature between 0.05 and 20 is optimal: without voxels, if all of them are on the right
        side of 0.5, so that lower is always better, or if probabilities carry no information.

    Raises:
        ValueError: The region is not counted.
    """
    voxels, prob_sums = counts.of(region)
    logits = _logits(voxels, prob_sums) * [[1], [-1]]

    def slope(log_temperature: float) -> float:
        # Of the negative log-likelihood, against 1 / temperature: it only rises with that.
        return float(np.sum(voxels * logits * expit(logits / np.exp(log_temperature))))

    bounds = np.log(_TEMPERATURES)
    if not slope(bounds[0]) > 0 > slope(bounds[1]):
        return None
    return float(np.exp(brentq(slope, *bounds)))


def _check_temperature(temperature: float) -> None:
    if not 0 < temperature < float("inf"):
        raise ConfigError(f"temperature: must be a finite number > 0, got {temperature}")


def _cell(probs: Tensor) -> Tensor:
    """The cell of each probability, int32, never falling as the probability rises."""
    cells = torch.logit(probs).sub_(_LOWEST_LOGIT).mul_(_CELLS_PER_LOGIT).clamp_(0, _LAST_CELL)
    return cells.to(torch.int32).add_(torch.bucketize(probs, _EDGES, right=True, out_int32=True))


_INTERVAL_STARTS = [0, *_cell(_EDGES).tolist()]


def _by_bin(cells: NDArray[np.generic], *, uncertain: bool) -> NDArray[np.generic]:
    """Sums over the cells of each bin, `(2, cells)` to `(2, 15)`."""
    intervals = np.add.reduceat(cells, _INTERVAL_STARTS, axis=-1)
    return intervals[:, 1:-1] if uncertain else np.add.reduceat(intervals, _BIN_STARTS, axis=-1)


def _mean_probs(voxels: NDArray[np.int64], prob_sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean probability of each cell, 0 where it is empty."""
    return prob_sums / np.maximum(voxels, 1)


def _logits(voxels: NDArray[np.int64], prob_sums: NDArray[np.float64]) -> NDArray[np.float64]:
    logits: NDArray[np.float64] = logit(_mean_probs(voxels, prob_sums))
    return np.clip(logits, _LOWEST_LOGIT, _LOGIT_OF_ONE)
