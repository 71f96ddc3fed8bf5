"""Stored slices as samples for the loader."""

from collections.abc import Callable, Sequence

import numpy as np
from torch.utils.data import Dataset

from lts.base import ConfigError
from lts.data.sampler import SliceDraw
from lts.slices import StoredCase

Sample = dict[str, np.ndarray | np.float32 | int]
Augment = Callable[..., tuple[np.ndarray, np.ndarray]]
"""Called with `(image (N, H, W) int16, labels (H, W) uint8, seed=)`, returns both."""


class SliceDataset(Dataset[Sample]):
    """Every slice of several stored cases, with its neighbors as channels.

    Arrays are opened lazily in the process that reads them, and mapped: workers share their pages. A sample
    is `image` `(2 * context + 1, H, W)` int16, `labels` `(H, W)` uint8 where the case has a mask, `case`
    (index into `cases`), `slice` (index from the feet up) and `pixel_mm`. Beyond the ends the outermost slice
    repeats.

    Args:
        cases: Stored cases.
        context: Neighboring slices on each side.
        augment: Applied to each sample with the seed of its draw; None leaves it as stored.

    Raises:
        ConfigError: `context` is negative.
    """

    def __init__(self, cases: Sequence[StoredCase], *, context: int, augment: Augment | None) -> None:
        if context < 0:
            raise ConfigError(f"data.context: must be 0 or more neighboring slices, got {context}")
        self.cases = tuple(cases)
        self._context, self._augment = context, augment
        depths = [case.shape[0] for case in cases]
        self._case_of = np.repeat(np.arange(len(depths), dtype=np.int32), depths)
        self._first_of = np.cumsum([0, *depths[:-1]])
        self._images: dict[int, np.ndarray] = {}
        self._labels: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._case_of)

    def holds(self, region: str) -> np.ndarray:
        """Which slices hold a region, `(len(self),)` bool."""
        return np.concatenate([case.holds(region) for case in self.cases])

    def __getitem__(self, draw: SliceDraw) -> Sample:
        case = int(self._case_of[draw.position])
        z = int(draw.position - self._first_of[case])
        if case not in self._images:
            self._open(case)
        stack = self._images[case]
        around = np.clip(np.arange(z - self._context, z + self._context + 1), 0, len(stack) - 1)
        image = stack[around]
        sample: Sample = {"case": case, "slice": z, "pixel_mm": np.float32(self.cases[case].pixel_mm)}
        if case in self._labels:
            labels = self._labels[case][z]
            if self._augment:
                image, labels = self._augment(image, labels, seed=draw.seed)
            sample["labels"] = np.array(labels)
        sample["image"] = image
        return sample

    def _open(self, case: int) -> None:
        stored = self.cases[case]
        self._images[case] = stored.open_image()
        if stored.mask:
            self._labels[case] = stored.open_labels()
