"""From a scan to probabilities on its own grid."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lts.base import ConfigError
from lts.inference.checkpoint import Checkpoint, load_checkpoint
from lts.intensity import apply_with_context
from lts.slices import PlaneFit, fit_plane, lay_on_plane
from lts.volume import Volume


@dataclass(frozen=True, eq=False)
class SlabProbs:
    """Probabilities of some neighboring slices.

    Attributes:
        slices: Which slices of the scan, from the feet up.
        probs: `(N, R, H, W)` float32 on the scan's own grid, on the CPU.
    """

    slices: slice
    probs: Tensor


class Predictor:
    """Runs a checkpoint on scans, some slices at a time, so that memory does not grow with the scan.

    Args:
        checkpoint: The model.
        device: Where it runs.
        batch_size: Slices that run at once.
        temperature: A number > 0 per region that divides its logits, None for 1. Above 1 it makes a network
            less sure of itself; a mask at a threshold of one half stays the same.

    Raises:
        ConfigError: `temperature` breaks its rule.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: torch.device,
        batch_size: int,
        temperature: Sequence[float] | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        factors = [1.0] * len(checkpoint.regions) if temperature is None else list(temperature)
        if len(factors) != len(checkpoint.regions) or not all(0 < factor < math.inf for factor in factors):
            raise ConfigError(
                f"temperature: must be a number > 0 for each of {list(checkpoint.regions)}, got {factors}"
            )
        self._temperature = torch.tensor(factors, device=device).view(-1, 1, 1)
        self._device, self._batch_size = device, batch_size
        self._network = checkpoint.network.to(device).to(memory_format=torch.channels_last)
        self._intensity = checkpoint.intensity.to(device)

    @classmethod
    def from_checkpoint(cls, path: str | Path, *, device: str, batch_size: int) -> "Predictor":
        """Open a checkpoint file.

        Raises:
            CheckpointError: The file cannot be used.
        """
        return cls(load_checkpoint(Path(path)), device=torch.device(device), batch_size=batch_size)

    def slabs(self, scan: Volume) -> Iterator[SlabProbs]:
        """Probabilities of a scan, slab by slab from the feet up.

        Args:
            scan: Voxels `(Z, H, W)` in HU, or in MR's own scale for a model of MR.
        """
        recipe = self.checkpoint.recipe
        depth, height, width = scan.voxels.shape
        plane = fit_plane(
            (height, width),
            scan.geometry.spacing_mm[1:],
            image_size=recipe.image_size,
            pixel_mm=recipe.pixel_mm,
        )
        for start in range(0, depth, self._batch_size):
            stop = min(start + self._batch_size, depth)
            yield SlabProbs(slice(start, stop), self._predict(scan.voxels, plane, start, stop))

    @torch.inference_mode()
    def _predict(self, voxels: np.ndarray, plane: PlaneFit, start: int, stop: int) -> Tensor:
        context = self.checkpoint.context
        first, last = max(start - context, 0), min(stop + context, len(voxels))
        slab = lay_on_plane(voxels[first:last], plane, fill=self.checkpoint.recipe.fill)
        around = torch.arange(start, stop)[:, None] + torch.arange(-context, context + 1)
        hu = slab[(around.clamp(0, len(voxels) - 1) - first)].to(self._device)
        channels = apply_with_context(self._intensity, hu).contiguous(memory_format=torch.channels_last)
        probs = (self._network(channels).float() / self._temperature).sigmoid()
        return plane.invert(probs).cpu()
