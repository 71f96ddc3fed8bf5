"""Stored slices as samples for the loader."""

from collections.abc import Callable, Sequence

import numpy as np
from torch.utils.data import Dataset

from lts.base import ConfigError
from lts.data.sampler import SliceDraw
from lts.slices import IMAGE_TYPE, LABELS_TYPE, StoredCase, slices_around

Arrays = dict[str, np.ndarray]
Augment = Callable[..., tuple[np.ndarray, np.ndarray]]
"""Called with `(image (N, H, W) int16, labels (H, W) uint8, seed=)`, returns both."""


class SliceDataset(Dataset[Arrays]):
    """Every slice of several stored cases, with its neighbors as channels, read a batch at a time.

    Arrays are opened lazily in the process that reads them, and mapped: workers share their pages. A batch
    is `image` `(B, 2 * context + 1, H, W)` int16, `labels` `(B, H, W)` uint8 where all cases have masks,
    `case` (index into `cases`), `slice` (index from the feet up) and `pixel_mm`, each `(B,)`. Beyond the ends
    the outermost slice repeats.

    Args:
        cases: Stored cases.
        context: Neighboring slices on each side.
        augment: Applied to each slice with the seed of its draw; None leaves it as stored.

    Raises:
        ConfigError: `context` is negative.
    """

    def __init__(self, cases: Sequence[StoredCase], *, context: int, augment: Augment | None) -> None:
        if context < 0:
            raise ConfigError(f"data.context: must be 0 or more neighboring slices, got {context}")
        self.cases = tuple(cases)
        self._context, self._augment = context, augment
        depths = [case.shape[0] for case in cases]
        self._case_of = np.repeat(np.arange(len(depths), dtype=np.int64), depths)
        self._first_of = np.cumsum([0, *depths[:-1]])
        self._pixel_mm = np.array([case.pixel_mm for case in cases], np.float32)
        self._has_labels = all(case.mask for case in cases)
        self._opened: dict[int, tuple[np.ndarray, np.ndarray | None]] = {}

    def __len__(self) -> int:
        return len(self._case_of)

    def holds(self, region: str) -> np.ndarray:
        """Which slices hold a region, `(len(self),)` bool."""
        return np.concatenate([case.holds(region) for case in self.cases])

    def __getitems__(self, draws: Sequence[SliceDraw]) -> Arrays:
        """The slices of several draws, which all loaders ask for at once."""
        positions = np.array([draw.position for draw in draws])
        cases = self._case_of[positions]
        slices = positions - self._first_of[cases]
        size = self.cases[0].shape[1:]
        images = np.empty((len(draws), 2 * self._context + 1, *size), IMAGE_TYPE)
        labels = np.empty((len(draws), *size), LABELS_TYPE)
        for i, (case, z) in enumerate(zip(cases.tolist(), slices.tolist(), strict=True)):
            stack, masks = self._open(case)
            around = stack[z : z + 1] if not self._context else stack[self._around(z, len(stack))]
            if not self._has_labels:
                images[i] = around
                continue
            assert masks is not None
            if self._augment:
                images[i], labels[i] = self._augment(around, masks[z], seed=draws[i].seed)
            else:
                images[i], labels[i] = around, masks[z]
        batch = {"image": images, "case": cases, "slice": slices, "pixel_mm": self._pixel_mm[cases]}
        return {**batch, "labels": labels} if self._has_labels else batch

    def _around(self, z: int, depth: int) -> np.ndarray:
        around: np.ndarray = slices_around([z], context=self._context, depth=depth)[0]
        return around

    def _open(self, case: int) -> tuple[np.ndarray, np.ndarray | None]:
        if case not in self._opened:
            stored = self.cases[case]
            # As plain arrays: an index into a memmap takes longer than to copy a slice.
            labels = np.asarray(stored.open_labels()) if self._has_labels else None
            self._opened[case] = np.asarray(stored.open_image()), labels
        return self._opened[case]
