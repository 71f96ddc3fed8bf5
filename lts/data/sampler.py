"""Which slices an epoch shows, in what order, and with which random draw."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from lts.base import ConfigError

_ADVICE = {"tumor": "; to train without tumors leave them out of the regions"}


class SliceDraw(NamedTuple):
    """A slice to load, and the seed of its augmentation.

    Attributes:
        position: Position in the dataset.
        seed: Draws every random choice made for this slice in this epoch.

    Example:
        >>> SliceDraw(position=4, seed=0)
        SliceDraw(position=4, seed=0)
    """

    position: int
    seed: int


class SliceSampler(Sampler[SliceDraw]):
    """Shuffled slices of an epoch, with a settable share that holds the region looked for.

    What is drawn depends on seed, epoch and slice alone, not on the number of workers. Each rank takes
    every `world_size`-th draw.

    Args:
        holds_region: Per slice of the dataset, whether it holds the region, `(N,)` bool.
        region: Its name.
        region_share: Share of the epoch's slices that hold it, 0 to 1; 0 takes slices as found.
        slices_per_epoch: Length of an epoch over all ranks; None is one pass over the dataset.
        seed: Seed of the run.
        rank: This process among `world_size`.
        world_size: Processes that share an epoch.

    Raises:
        ConfigError: A share outside [0, 1], an epoch without slices, or a share of slices that do not exist.

    Example:
        >>> holds_tumor = np.arange(100) < 10
        >>> drawn = [draw.position for draw in SliceSampler(holds_tumor, region_share=0.3)]
        >>> len(drawn), int(holds_tumor[drawn].sum())
        (100, 30)
    """

    def __init__(
        self,
        holds_region: np.ndarray,
        *,
        region: str = "tumor",
        region_share: float = 0.5,
        slices_per_epoch: int | None = None,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if not 0 <= region_share <= 1:
            raise ConfigError(f"region_share: must lie in [0, 1], got {region_share}")
        if slices_per_epoch is not None and slices_per_epoch < world_size:
            raise ConfigError(f"slices_per_epoch: must be at least {world_size}, got {slices_per_epoch}")
        if region_share and not holds_region.any():
            raise ConfigError(
                f"region_share: must be 0 where no training slice holds {region}, got {region_share}"
                f"{_ADVICE.get(region, '')}"
            )
        self._with_region = np.flatnonzero(holds_region)
        self._without = np.flatnonzero(~holds_region)
        self._region_share = region_share if len(self._without) or not region_share else 1.0
        self._length = slices_per_epoch or len(holds_region)
        self._seed, self._rank, self._world_size = seed, rank, world_size
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose slices the next pass yields; the trainer calls this."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._length // self._world_size

    def __iter__(self) -> Iterator[SliceDraw]:
        order = self._order(np.random.default_rng((self._seed, self._epoch)))
        repeats = _occurrence(order)
        for position in range(self._rank, len(self) * self._world_size, self._world_size):
            index, repeat = int(order[position]), int(repeats[position])
            entropy = np.random.SeedSequence((self._seed, self._epoch, index, repeat))
            yield SliceDraw(index, int(entropy.generate_state(1)[0]))

    def _order(self, rng: np.random.Generator) -> np.ndarray:
        if not self._region_share:
            everything = np.concatenate([self._with_region, self._without])
            return _cycle(np.sort(everything), self._length, rng)
        n_region = round(self._region_share * self._length)
        chosen = [
            _cycle(self._with_region, n_region, rng),
            _cycle(self._without, self._length - n_region, rng),
        ]
        return rng.permutation(np.concatenate(chosen))


def _cycle(indices: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """Shuffled passes over all indices, one after the other, cut to a length."""
    if not length:
        return indices[:0]
    passes = -(-length // len(indices))
    return np.concatenate([rng.permutation(indices) for _ in range(passes)])[:length]


def _occurrence(order: np.ndarray) -> np.ndarray:
    """How many times each element stood in `order` before."""
    by_value = np.argsort(order, kind="stable")
    ordered = order[by_value]
    is_first = np.r_[True, ordered[1:] != ordered[:-1]]
    group_start = np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))
    occurrence = np.empty(len(order), np.int64)
    occurrence[by_value] = np.arange(len(order)) - group_start
    return occurrence
