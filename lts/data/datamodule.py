"""The data of a run: store, loaders, and the intensity that turns HU into channels on the device."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_convert

from lts.base import ConfigError, Modality, Progress, region_min_labels, usable_processors
from lts.cohort import Case
from lts.data.dataset import Arrays, Augment, SliceDataset
from lts.data.sampler import SliceDraw, SliceSampler
from lts.intensity import Channels, Intensity, MRPercentiles, apply_with_context
from lts.slices import (
    CaseFingerprint,
    Recipe,
    StoredCase,
    build_store,
    fingerprint_cases,
    hu_counts_of,
    region_hu_counts_of,
)

Subset = Literal["train", "val", "test", "predict"]
Batch = dict[str, Tensor]

MOST_NEIGHBORS, MOST_WORKERS, MOST_SLICES = 64, 256, 10_000_000
"""Beyond these, a run would end for want of memory, hours later or with the machine."""

_SUBSETS_OF_STAGE: dict[str, tuple[Subset, ...]] = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("predict",),
}


def check_loading(
    *,
    context: int = 0,
    batch_size: int = 16,
    num_workers: int = 2,
    region_share: float = 0.5,
    slices_per_epoch: int | None = None,
) -> None:
    """Check how slices are drawn and loaded, as far as that can be told without the slices.

    Args:
        context: As `SliceDataModule`, as are the others.

    Raises:
        ConfigError: One breaks its rule.

    Example:
        >>> check_loading(batch_size=0)
        Traceback (most recent call last):
        lts.base...ConfigError: batch_size: must be at least 1, got 0
    """
    for key, number, least, most in (
        ("context", context, 0, MOST_NEIGHBORS),
        ("num_workers", num_workers, 0, MOST_WORKERS),
        ("slices_per_epoch", slices_per_epoch, 1, MOST_SLICES),
    ):
        if number is not None and not least <= number <= most:
            raise ConfigError(f"{key}: must be from {least} to {most}, got {number}")
    if batch_size < 1:
        raise ConfigError(f"batch_size: must be at least 1, got {batch_size}")
    if not 0 <= region_share <= 1:
        raise ConfigError(f"region_share: must lie in [0, 1], got {region_share}")


def check_intensity(intensity: Intensity, *, modality: Modality) -> None:
    """Check that an intensity can be fitted to scans of a modality.

    Raises:
        ConfigError: It is fitted to Hounsfield units within regions, and MR has none.

    Example:
        >>> from lts.intensity import FittedWindow
        >>> check_intensity(Channels([FittedWindow()]), modality="mr")
        Traceback (most recent call last):
        lts.base...ConfigError: intensity: must not be fitted to Hounsfield units of the liver in MR, got ...
    """
    if modality == "mr" and intensity.reads_regions:
        raise ConfigError(
            "intensity: must not be fitted to Hounsfield units of the liver in MR, got "
            f"{type(intensity).__name__}; intensity=mri scales each slice by itself"
        )


def fit_intensity(intensity: Intensity, *, hu_counts: Tensor, cases: Sequence[CaseFingerprint]) -> None:
    """Fit an intensity to training cases.

    Args:
        intensity: The intensity.
        hu_counts: `(4096,)` int64, their voxels at each HU, see `lts.base.HU_BINS`.
        cases: Their fingerprints; looked at if the intensity reads regions.

    Raises:
        ConfigError: The cases do not hold what it is fitted to.

    Example:
        >>> from lts.intensity import HistogramEqualization
        >>> equalization = HistogramEqualization()
        >>> fit_intensity(equalization, hu_counts=torch.ones(4096, dtype=torch.int64), cases=())
        >>> equalization.curve[-1]
        tensor(1.)
    """
    try:
        if intensity.reads_regions:
            counts = region_hu_counts_of(cases)
            intensity.fit(hu_counts, {name: torch.from_numpy(each) for name, each in counts.items()})
        else:
            intensity.fit(hu_counts)
    except ConfigError as error:
        raise ConfigError(f"intensity: {error}") from error


class SliceDataModule(LightningDataModule):
    """Loaders of stored slices; raw HU crosses to the device as int16 and becomes channels there.

    Args:
        cases: Cases of each subset.
        store_dir: Folder of all stores.
        recipe: How volumes become slices.
        intensity: HU to channels; fitted here on the training cases alone. None for `Channels()`, of MR for
            `MRPercentiles()`.
        intensity_is_fitted: Whether it has its state already, as from a checkpoint, and is to keep it.
        augment: Augmentation of training slices, as `Augmentation()`; None for none.
        regions: Regions in channel order.
        context: Neighboring slices on each side.
        batch_size: Slices of a batch, on each device.
        num_workers: Processes that load; the store is built by as many as there are processors, if more.
        region_share: Share of training slices that hold the last region; 0 takes slices as found.
        slices_per_epoch: Length of an epoch; None is one pass over the training slices.
        seed: Seed of sampling and augmentation, and of the lesions to copy.
        progress: Told of the store's progress: cases that are stored, and all cases.

    Raises:
        ConfigError: As `check_loading` and `check_intensity`.

    Example:
        >>> from lts.cohort import find_cases
        >>> from lts.phantom import make_phantom_cohort
        >>> root = make_phantom_cohort("phantoms", cases=2, matrix=32, seed=0)
        >>> cases = find_cases(root, layout="lits").cases
        >>> data = SliceDataModule(cases={"train": cases}, store_dir="store", num_workers=0)
        >>> data.setup("fit")
        >>> batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
        >>> batch["image"].shape, batch["mask"].shape  # three channels of HU, two regions
        (torch.Size([16, 3, 256, 256]), torch.Size([16, 2, 256, 256]))
    """

    def __init__(
        self,
        *,
        cases: Mapping[Subset, Sequence[Case]],
        store_dir: str | Path,
        recipe: Recipe = Recipe(),
        intensity: Intensity | None = None,
        intensity_is_fitted: bool = False,
        augment: Augment | None = None,
        regions: Sequence[str] = ("liver", "tumor"),
        context: int = 0,
        batch_size: int = 16,
        num_workers: int = 2,
        region_share: float = 0.5,
        slices_per_epoch: int | None = None,
        seed: int = 0,
        progress: Progress = lambda _done, _total: None,
    ) -> None:
        super().__init__()
        check_loading(
            context=context,
            batch_size=batch_size,
            num_workers=num_workers,
            region_share=region_share,
            slices_per_epoch=slices_per_epoch,
        )
        if intensity is None:
            intensity = MRPercentiles() if recipe.modality == "mr" else Channels()
        check_intensity(intensity, modality=recipe.modality)
        self.intensity, self._intensity_is_fitted = intensity, intensity_is_fitted
        self._cases, self._recipe, self._store_dir = cases, recipe, Path(store_dir)
        self._augment, self._regions, self._context = augment, tuple(regions), context
        self._batch_size, self._num_workers = batch_size, num_workers
        self._region_share, self._slices_per_epoch, self._seed = region_share, slices_per_epoch, seed
        self._progress = progress
        self._min_labels = torch.tensor(region_min_labels(regions), dtype=torch.uint8)
        self._datasets: dict[Subset, SliceDataset] = {}

    @property
    def channels(self) -> int:
        """Channels of an image: those of the intensity for the slice and each of its neighbors."""
        return self.intensity.channels * (2 * self._context + 1)

    def stored(self, subset: Subset) -> tuple[StoredCase, ...]:
        """The stored cases of a subset that was set up."""
        return self._datasets[subset].cases

    def holders(self, subset: Subset, region: str) -> int:
        """How many stored cases of a subset hold a region, on slices as the network sees them."""
        return sum(bool(case.holds(region).any()) for case in self.stored(subset))

    def setup(self, stage: str) -> None:
        """Build or open the slices of a stage; fit the intensity before training."""
        subsets = [subset for subset in _SUBSETS_OF_STAGE[stage] if subset not in self._datasets]
        cases = {case.id: case for subset in subsets for case in self._cases.get(subset, ())}
        built = build_store(
            list(cases.values()),
            self._recipe,
            store_dir=self._store_dir,
            workers=max(self._num_workers, usable_processors()),
            progress=self._progress,
        )
        stored = dict(zip(cases, built, strict=True))
        for subset in subsets:
            self._datasets[subset] = SliceDataset(
                [stored[case.id] for case in self._cases.get(subset, ())],
                context=self._context,
                augment=self._augment if subset == "train" else None,
                seed=self._seed,
            )
        if stage == "fit" and not self._intensity_is_fitted:
            self._fit_intensity()

    def _fit_intensity(self) -> None:
        fingerprints: Sequence[CaseFingerprint] = ()
        if self.intensity.reads_regions:
            fingerprints = fingerprint_cases(
                self._cases.get("train", ()), modality=self._recipe.modality, store_dir=self._store_dir
            )
        hu_counts = torch.from_numpy(hu_counts_of(self.stored("train")))
        fit_intensity(self.intensity, hu_counts=hu_counts, cases=fingerprints)

    def train_dataloader(self) -> DataLoader[Arrays]:
        """Shuffled and augmented slices of the training cases."""
        dataset = self._datasets["train"]
        rank, world_size = self._ranks()
        sampler = SliceSampler(
            dataset.holds(self._regions[-1]),
            region=self._regions[-1],
            region_share=self._region_share,
            slices_per_epoch=self._slices_per_epoch,
            seed=self._seed,
            rank=rank,
            world_size=world_size,
        )
        # A resumed trainer starts its workers before it tells the sampler of the epoch.
        if self.trainer:
            progress = self.trainer.fit_loop.epoch_progress.current
            sampler.set_epoch(progress.processed)  # type: ignore[attr-defined]  # typed as its base class
        return self._loader(dataset, sampler, drop_last=len(sampler) > self._batch_size)

    def val_dataloader(self) -> DataLoader[Arrays]:
        """Slices of the validation cases in order."""
        return self._loader_in_order("val")

    def test_dataloader(self) -> DataLoader[Arrays]:
        """Slices of the test cases in order."""
        return self._loader_in_order("test")

    def predict_dataloader(self) -> DataLoader[Arrays]:
        """Slices of the cases to predict in order; they need no mask."""
        return self._loader_in_order("predict")

    def on_after_batch_transfer(self, batch: dict[str, Tensor], dataloader_idx: int) -> Batch:  # noqa: ARG002
        """Turn HU into channels and labels into regions, on the device.

        Returns:
            `image` `(B, C, H, W)` float32 in [0, 1], `mask` `(B, R, H, W)` bool where there are labels,
            `ignored` `(B, H, W)` bool where masks leave voxels out, `hu` `(B, H, W)` int16 (the slice
            itself), `case`, `slice` and `pixel_mm` `(B,)`.
        """
        hu = batch["image"]
        intensity = self.intensity.to(hu.device)
        ready: Batch = {
            "image": apply_with_context(intensity, hu),
            "hu": hu[:, self._context],
            "case": batch["case"],
            "slice": batch["slice"],
            "pixel_mm": batch["pixel_mm"],
        }
        if "labels" in batch:
            ready["mask"] = batch["labels"][:, None] >= self._min_labels.to(hu.device)[:, None, None]
        if "ignored" in batch:
            ready["ignored"] = batch["ignored"]
        return ready

    def _loader_in_order(self, subset: Subset) -> DataLoader[Arrays]:
        dataset = self._datasets[subset]
        rank, world_size = self._ranks()
        return self._loader(dataset, _InOrder(range(rank, len(dataset), world_size)), drop_last=False)

    def _loader(
        self, dataset: SliceDataset, sampler: Sampler[SliceDraw], *, drop_last: bool
    ) -> DataLoader[Any]:
        return DataLoader(
            _Batches(dataset),
            batch_size=self._batch_size,
            sampler=sampler,
            drop_last=drop_last,
            collate_fn=default_convert,  # the dataset makes whole batches
            num_workers=self._num_workers,
            persistent_workers=self._num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_use_one_thread,
        )

    def _ranks(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)


class _Batches(Dataset[Arrays]):
    """Has a loader read each batch at once."""

    def __init__(self, dataset: SliceDataset) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitems__(self, draws: Sequence[SliceDraw]) -> Arrays:
        return self._dataset.read(draws)


class _InOrder(Sampler[SliceDraw]):
    """Slices as they lie, with no random draw."""

    def __init__(self, indices: range) -> None:
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[SliceDraw]:
        return (SliceDraw(index, 0) for index in self._indices)


def _use_one_thread(_worker: int) -> None:
    """OpenCV would start a thread per core in every worker."""
    cv2.setNumThreads(0)
