"""From a scan to probabilities and a mask on its own grid."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lts.base import CheckpointError, ConfigError, Modality, check_regions
from lts.inference.checkpoint import Checkpoint, load_checkpoint
from lts.inference.device import find_device
from lts.inference.locating import Located, find_liver
from lts.inference.masks import MaskBuilder, Postprocess
from lts.inference.model import Model
from lts.inference.precision import Precision, find_dtype
from lts.inference.running import Axes, probs_on_square
from lts.intensity import Intensity
from lts.slices import Recipe, View, view_of
from lts.volume import Geometry, Volume

Flip = Literal["left_right", "front_back"]

_AXIS_OF_FLIP: dict[Flip, int] = {"left_right": -1, "front_back": -2}


@dataclass(frozen=True, eq=False)
class SlabProbs:
    """Probabilities of some neighboring slices.

    Attributes:
        slices: Which slices of the scan, from the feet up.
        probs: `(N, R, H, W)` float32 on the scan's own grid, on the CPU.

    Example:
        >>> slab = SlabProbs(slices=slice(16, 24), probs=torch.zeros(8, 2, 512, 512))
        >>> tumor = slab.probs[:, 1]
    """

    slices: slice
    probs: Tensor


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction of a scan, on its own grid.

    Attributes:
        regions: The R regions, in channel order.
        probs: `(R, Z, H, W)` float32 probabilities, before any post-processing.
        mask: `(Z, H, W)` uint8 labels: 2 where tumor, else 1 where liver, after post-processing.
        geometry: The scan's grid, on which `lts.volume.write_mask` writes the mask.
        located: As `Predictor.find_liver`.

    Example:
        See `Predictor`.

        >>> list(Prediction.__dataclass_fields__)
        ['regions', 'probs', 'mask', 'geometry', 'located']
    """

    regions: tuple[str, ...]
    probs: Tensor
    mask: NDArray[np.uint8]
    geometry: Geometry
    located: tuple[Located | None, ...] = ()


class Predictor:
    """Runs models on scans, some slices at a time, so that memory does not grow with the scan.

    Several models, and flips of each slice, give the mean of their probabilities. A model with a locator runs
    where its own locator finds the liver, and adds 0 elsewhere.

    Args:
        models: Checkpoints or other models, of the same regions and modality; each keeps its own way of
            making slices.
        device: Where they run.
        batch_size: Slices that run at once, >= 1; None takes what the first model was trained with.
        flips: Slices are also predicted mirrored so; with both flips, each slice is predicted four times.
        temperature: A number > 0 per region that divides the logit of the mean probability, None for 1. Above
            1 it makes a model less sure of itself; a mask changes by `min_lesion_probability` alone.
        postprocess: What becomes of the mask; None leaves it as the probabilities say.
        precision: What networks compute in: `float32`; `bfloat16`, which is faster where a processor has
            instructions for it; or `auto`, bfloat16 there if a probe of each model agrees.

    Raises:
        ConfigError: A setting breaks its rule.
        CheckpointError: There is no model, or they differ in regions or modality.

    Example:
        >>> from lts.intensity import Window
        >>> from lts.networks import UNet
        >>> from lts.volume import Volume
        >>> predictor = Predictor.from_network(
        ...     UNet(in_channels=1, out_channels=2, width=4),
        ...     intensity=Window(level_hu=40, width_hu=400),
        ...     regions=("liver", "tumor"),
        ...     recipe=Recipe(image_size=64, pixel_mm=None, modality="ct"),
        ... )
        >>> geometry = Geometry.from_affine(np.diag([-1.5, -1.5, 4, 1]), shape=(60, 80, 3))
        >>> scan = Volume(np.zeros((3, 80, 60), np.int16), geometry)
        >>> prediction = predictor(scan)
        >>> prediction.probs.shape, prediction.mask.shape
        (torch.Size([2, 3, 80, 60]), (3, 80, 60))
    """

    def __init__(
        self,
        models: Sequence[Model],
        *,
        device: torch.device,
        batch_size: int | None = None,
        flips: Sequence[Flip] = (),
        temperature: Sequence[float] | None = None,
        postprocess: Postprocess | None = None,
        precision: Precision = "auto",
    ) -> None:
        self.models = tuple(models)
        self.regions, self.modality = _common_task(self.models)
        if batch_size is None:
            batch_size = self.models[0].batch_size
        if batch_size < 1:
            raise ConfigError(f"batch_size: must be >= 1, got {batch_size}")
        self.batch_size, self.device = batch_size, device
        self._flips = _mirrored_axes(flips)
        self._temperature = _checked_temperature(temperature, self.regions)
        self._postprocess = postprocess
        if postprocess is not None:
            postprocess.check(self.regions)
        networks = (*self.models, *(model.locator for model in self.models if model.locator))
        for model in networks:
            model.network.to(device).to(memory_format=torch.channels_last)
            model.intensity.to(device)
        self._dtype = find_dtype(precision, networks, device)

    @property
    def precision(self) -> str:
        """What networks compute in, `float32` or `bfloat16`."""
        return str(self._dtype).removeprefix("torch.")

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Those of the models that come from files."""
        return tuple(model for model in self.models if isinstance(model, Checkpoint))

    @classmethod
    def from_checkpoint(
        cls,
        *paths: str | Path,
        device: str = "auto",
        batch_size: int | None = None,
        flips: Sequence[Flip] = (),
        temperature: Sequence[float] | None = None,
        postprocess: Postprocess | None = None,
        precision: Precision = "auto",
        trusted_modules: Sequence[str] = (),
    ) -> Self:
        """Open one checkpoint file, or several for the mean of their probabilities.

        Args:
            paths: The files.
            device: `cpu`, `cuda`, `cuda:N`, or `auto`: CUDA where there is some, else the CPU.
            batch_size: As the class, as are the rest.
            trusted_modules: As `load_checkpoint`.

        Raises:
            CheckpointError: A file cannot be used, or they do not fit together.
            ConfigError: A setting breaks its rule.
        """
        return cls(
            [load_checkpoint(path, trusted_modules=trusted_modules) for path in paths],
            device=find_device(device),
            batch_size=batch_size,
            flips=flips,
            temperature=temperature,
            postprocess=postprocess,
            precision=precision,
        )

    @classmethod
    def from_network(
        cls,
        network: nn.Module,
        *,
        intensity: Intensity,
        regions: Sequence[str],
        recipe: Recipe,
        context: int = 0,
        locator: Model | None = None,
        device: str = "auto",
        batch_size: int | None = None,
        flips: Sequence[Flip] = (),
        temperature: Sequence[float] | None = None,
        postprocess: Postprocess | None = None,
        precision: Precision = "auto",
    ) -> Self:
        """Take a network as it is, of any class; no file is needed.

        Args:
            network: Maps `(B, C, H, W)` channels in [0, 1] to `(B, R, H, W)` logits; is moved to the device
                and put into evaluation mode.
            intensity: HU to channels, fitted; likewise.
            regions: The R regions, in channel order.
            recipe: How volumes become slices.
            context: Neighboring slices on each side; C is `intensity.channels * (2 * context + 1)`.
            locator: Finds the liver, for a recipe with a focus.
            device: As `from_checkpoint`.
            batch_size: As the class, as are the rest.

        Raises:
            ConfigError: A setting breaks its rule.

        Example:
            >>> from lts.phantom import make_phantom
            >>> from lts.intensity import Window
            >>> from lts.networks import UNet
            >>> predictor = Predictor.from_network(
            ...     UNet(in_channels=1, out_channels=2, width=4),
            ...     intensity=Window(level_hu=40, width_hu=400),
            ...     regions=("liver", "tumor"),
            ...     recipe=Recipe(image_size=64, pixel_mm=None, modality="ct"),
            ... )
        """
        model = Model(
            network=network.eval(),
            intensity=intensity.eval(),
            regions=check_regions(regions),
            recipe=recipe,
            context=context,
            locator=locator,
        )
        return cls(
            [model],
            device=find_device(device),
            batch_size=batch_size,
            flips=flips,
            temperature=temperature,
            postprocess=postprocess,
            precision=precision,
        )

    def __call__(self, scan: Volume) -> Prediction:
        """Predict a whole scan; `mask` does so without holding probabilities, 4 bytes a voxel and region.

        Args:
            scan: Voxels `(Z, H, W)` in HU, or in MR's own scale for a model of MR.
        """
        probs = torch.empty(len(self.regions), *scan.voxels.shape)

        def keep(slab: SlabProbs) -> None:
            probs[:, slab.slices] = slab.probs.movedim(1, 0)

        located = self.find_liver(scan)
        mask = self.mask(scan, on_slab=keep, located=located)
        return Prediction(
            regions=self.regions, probs=probs, mask=mask, geometry=scan.geometry, located=located
        )

    def find_liver(
        self, scan: Volume, *, check: Callable[[], None] = lambda: None
    ) -> tuple[Located | None, ...]:
        """Where the locator of each model finds the liver; None for a model without one.

        Args:
            scan: As `__call__`.
            check: Called after each slab; what it raises ends it all.
        """
        return tuple(
            find_liver(
                model.locator,
                scan,
                device=self.device,
                batch_size=self.batch_size,
                dtype=self._dtype,
                check=check,
            )
            if model.locator
            else None
            for model in self.models
        )

    def mask(
        self,
        scan: Volume,
        *,
        on_slab: Callable[[SlabProbs], None] | None = None,
        located: Sequence[Located | None] | None = None,
    ) -> NDArray[np.uint8]:
        """Labels of a scan: 2 where tumor, else 1 where liver.

        Args:
            scan: As `__call__`.
            on_slab: Called with the probabilities of each slab, from the feet up; what it raises ends it all.
            located: What `find_liver` found in this scan; None asks it.

        Returns:
            `(Z, H, W)` uint8, after post-processing.
        """
        builder = MaskBuilder(self.regions, scan.voxels.shape, self._postprocess)
        for slab in self.slabs(scan, located=located):
            builder.add(slab.slices, slab.probs)
            if on_slab is not None:
                on_slab(slab)
        return builder.finish(voxel_ml=scan.geometry.voxel_volume_ml)

    def slabs(self, scan: Volume, *, located: Sequence[Located | None] | None = None) -> Iterator[SlabProbs]:
        """Probabilities of a scan, slab by slab from the feet up; 0 where no model looks.

        Args:
            scan: As `__call__`.
            located: As `mask`.
        """
        found = self.find_liver(scan) if located is None else located
        views = [self._view(model, scan, one) for model, one in zip(self.models, found, strict=True)]
        depth = len(scan.voxels)
        for start in range(0, depth, self.batch_size):
            slices = slice(start, min(start + self.batch_size, depth))
            yield SlabProbs(slices, self._mean_probs(scan.voxels, views, slices))

    @staticmethod
    def _view(model: Model, scan: Volume, located: Located | None) -> View | None:
        """What a model sees of a scan, None for nothing."""
        if located is not None and located.box is None:
            return None
        box = None if located is None else located.box
        return view_of(scan.voxels.shape, scan.geometry.spacing_mm, model.recipe, box=box)

    @torch.inference_mode()
    def _mean_probs(self, voxels: NDArray[np.generic], views: Sequence[View | None], slices: slice) -> Tensor:
        members = zip(self.models, views, strict=True)
        probs, *others = (self._probs(model, voxels, view, slices) for model, view in members)
        for other in others:
            probs += other
        probs = probs.div_(len(self.models)).cpu()
        if self._temperature is None:
            return probs
        return (probs.logit() / self._temperature).sigmoid()

    def _probs(self, model: Model, voxels: NDArray[np.generic], view: View | None, slices: slice) -> Tensor:
        """Probabilities `(N, R, H, W)` of one model; 0 on what it does not see."""
        first = max(slices.start, view.first) if view else slices.stop
        stop = min(slices.stop, view.stop) if view else slices.stop
        if first == slices.start and stop == slices.stop:
            return self._seen(model, voxels, view, slices)
        size = (slices.stop - slices.start, len(self.regions), *voxels.shape[1:])
        probs = torch.zeros(size, device=self.device)
        if first < stop:
            probs[first - slices.start : stop - slices.start] = self._seen(
                model, voxels, view, slice(first, stop)
            )
        return probs

    def _seen(self, model: Model, voxels: NDArray[np.generic], view: View | None, slices: slice) -> Tensor:
        assert view is not None
        numbers = range(slices.start, slices.stop)
        on_square = probs_on_square(
            model, voxels, view, numbers, device=self.device, dtype=self._dtype, mirrored=self._flips
        )
        return view.plane.invert(on_square)


def _common_task(models: Sequence[Model]) -> tuple[tuple[str, ...], Modality]:
    if not models:
        raise CheckpointError("ckpt: must name one checkpoint or several, got none")
    first, *others = models
    for other in others:
        for what, one, another in (
            ("regions", list(first.regions), list(other.regions)),
            ("modality", first.recipe.modality, other.recipe.modality),
        ):
            if one != another:
                raise CheckpointError(
                    f"{other.name}: {what} must be those of {first.name}, {one}, got {another}"
                )
    return first.regions, first.recipe.modality


def _mirrored_axes(flips: Sequence[Flip]) -> tuple[Axes, ...]:
    """The axes to mirror at each pass: none first, then every combination of the flips."""
    if len(set(flips)) != len(flips) or not set(flips) <= set(_AXIS_OF_FLIP):
        raise ConfigError(f"flips: must be among {list(_AXIS_OF_FLIP)}, each once, got {list(flips)}")
    axes = [_AXIS_OF_FLIP[flip] for flip in flips]
    return tuple(chain.from_iterable(combinations(axes, n) for n in range(len(axes) + 1)))


def _checked_temperature(temperature: Sequence[float] | None, regions: Sequence[str]) -> Tensor | None:
    if temperature is None:
        return None
    factors = list(temperature)
    if len(factors) != len(regions) or not all(0 < factor < math.inf for factor in factors):
        raise ConfigError(f"temperature: must be a number > 0 for each of {list(regions)}, got {factors}")
    return torch.tensor(factors).view(-1, 1, 1)
