"""Stored slices as samples, one by one or a batch at once."""

import resource
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from lts.base import BACKGROUND, IGNORED, ConfigError
from lts.data.augment import Augmentation
from lts.data.lesions import Lesion, collect_lesions
from lts.data.sampler import SliceDraw
from lts.slices import IMAGE_TYPE, LABELS_TYPE, StoredCase, slices_around

Arrays = dict[str, np.ndarray]
Augment = Callable[..., tuple[np.ndarray, np.ndarray]]
"""Called with `(image (N, H, W) int16, labels (H, W) uint8, seed=)`, returns both."""

_SEEDS = 2**32
"""As many as `SliceSampler` draws from."""

_FILES_PER_OPEN_CASE = 8
"""A mapped array keeps its file open; a case has two, and a process other datasets and files."""


class SliceDataset(Dataset[Arrays]):
    """Every slice of several stored cases, with its neighbors as channels; any `DataLoader` takes it.

    A sample is a dict of arrays: `image` `(2 * context + 1, H, W)` int16, `labels` `(H, W)` uint8 where all
    cases have masks, `ignored` `(H, W)` bool where one of these leaves voxels out, `case` (index into
    `cases`), `slice` (index in the scan, from the feet up) and `pixel_mm`. Beyond the ends the outermost
    slice repeats. Files are opened lazily in the process that reads them, and mapped: workers share their
    pages. Beyond an eighth of the files that the system lets a process open (`ulimit -n`), the case that was
    opened first is closed.

    Args:
        cases: Stored cases.
        context: Neighboring slices on each side.
        augment: Applied to each slice, with the seed of its draw where there is one, else with one from
            torch's random numbers; None leaves it as stored. If it copies lesions, they are those of `cases`.
        seed: Chooses the lesions that are kept to be copied.

    Raises:
        ConfigError: `context` is negative, or lesions are to be copied and there are none.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> from lts.cohort import find_cases
        >>> from lts.phantom import make_phantom_cohort
        >>> from lts.slices import Recipe, build_store
        >>> root = make_phantom_cohort("phantoms", cases=2, matrix=32, seed=0)
        >>> cases = find_cases(root, layout="lits").cases
        >>> dataset = SliceDataset(build_store(cases, Recipe(image_size=64), store_dir="store"))
        >>> dataset[0]["image"].shape, dataset[0]["labels"].shape
        ((1, 64, 64), (64, 64))
        >>> next(iter(DataLoader(dataset, batch_size=4, shuffle=True)))["image"].shape
        torch.Size([4, 1, 64, 64])
    """

    def __init__(
        self,
        cases: Sequence[StoredCase],
        *,
        context: int = 0,
        augment: Augment | None = None,
        seed: int = 0,
    ) -> None:
        if context < 0:
            raise ConfigError(f"context: must be 0 or more neighboring slices, got {context}")
        self.cases = tuple(cases)
        self._context, self._augment = context, augment
        depths = [case.shape[0] for case in cases]
        self._case_of = np.repeat(np.arange(len(depths), dtype=np.int64), depths)
        self._first_of = np.cumsum([0, *depths[:-1]])
        self._first_slice = np.array([case.first_slice for case in cases], np.int64)
        self._pixel_mm = np.array([case.pixel_mm for case in cases], np.float32)
        self._has_labels = all(case.mask for case in cases)
        self._has_ignored = any(case.has_ignored for case in cases)
        self._opened: dict[int, tuple[np.ndarray, np.ndarray | None]] = {}
        self._most_opened = most_open_cases()
        self._lesions: tuple[Lesion, ...] | None = None
        if isinstance(augment, Augmentation) and augment.tumor_copied_share and self._has_labels:
            self._lesions = collect_lesions(cases, context=context, seed=seed)
            if not self._lesions:
                raise ConfigError(
                    "tumor_copied_share: must be 0 where no training slice holds a tumor within liver, got "
                    f"{augment.tumor_copied_share}"
                )

    def __len__(self) -> int:
        return len(self._case_of)

    def holds(self, region: str) -> np.ndarray:
        """Which slices hold a region, `(len(self),)` bool."""
        return np.concatenate([case.holds(region) for case in self.cases])

    def __getitem__(self, index: int | SliceDraw) -> Arrays:
        """The sample at a position, or of a draw of `SliceSampler`.

        Raises:
            IndexError: There is no such position.
        """
        if not isinstance(index, SliceDraw):
            seed = int(torch.randint(_SEEDS, ())) if self._augment else 0
            index = SliceDraw(range(len(self))[index], seed)
        return {name: values[0, ...] for name, values in self.read([index]).items()}

    def read(self, draws: Sequence[SliceDraw]) -> Arrays:
        """The samples of several draws, along a first axis: faster than one by one, and stacked."""
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
                given = self._given_to_augment(case)
                images[i], labels[i] = self._augment(around, masks[z], seed=draws[i].seed, **given)
            else:
                images[i], labels[i] = around, masks[z]
        batch = {
            "image": images,
            "case": cases,
            "slice": slices + self._first_slice[cases],
            "pixel_mm": self._pixel_mm[cases],
        }
        if not self._has_labels:
            return batch
        if self._has_ignored:
            batch["ignored"] = labels == IGNORED
            labels[batch["ignored"]] = BACKGROUND
        return {**batch, "labels": labels}

    def _given_to_augment(self, case: int) -> dict[str, Any]:
        """What an augmentation that copies lesions needs beside slice and seed; any other gets nothing."""
        if self._lesions is None:
            return {}
        return {"lesions": self._lesions, "pixel_mm": self.cases[case].pixel_mm}

    def _around(self, z: int, depth: int) -> np.ndarray:
        around: np.ndarray = slices_around([z], context=self._context, depth=depth)[0]
        return around

    def _open(self, case: int) -> tuple[np.ndarray, np.ndarray | None]:
        opened = self._opened.get(case)
        if opened is None:
            if len(self._opened) >= self._most_opened:
                del self._opened[next(iter(self._opened))]
            stored = self.cases[case]
            # As plain arrays: an index into a memmap takes longer than to copy a slice.
            labels = np.asarray(stored.open_labels()) if self._has_labels else None
            opened = self._opened[case] = np.asarray(stored.open_image()), labels
        return opened


def most_open_cases() -> int:
    """How many cases a dataset keeps open, at least 1."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if allowed == resource.RLIM_INFINITY else max(1, allowed // _FILES_PER_OPEN_CASE)
