"""From probabilities to the mask, and post-processing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from lts.base import LABELS, MASK_THRESHOLD, REGION_MIN_LABEL, ConfigError
from lts.components import find_components

_SLAB = 32


@dataclass(frozen=True, kw_only=True)
class Postprocess:
    """Post-processing of a mask, in this order; choose it on validation cases.

    Attributes:
        largest_liver: Keep the largest 26-connected piece of liver and tumor together.
        tumor_within_liver: Keep tumor where the model also sees liver, and where that encloses it within the
            slice.
        min_lesion_ml: Remove 26-connected pieces of tumor smaller than this; 0 removes none. What the model
            also sees as liver becomes liver.
        min_lesion_probability: Likewise those without a voxel of this probability of tumor or more.

    Raises:
        ConfigError: `min_lesion_ml` is negative or not finite, `min_lesion_probability` is not in [0, 1].

    Example:
        >>> rules = Postprocess(largest_liver=True, tumor_within_liver=False, min_lesion_ml=0.1)
        >>> rules.check(["liver", "tumor"])
    """

    largest_liver: bool = False
    tumor_within_liver: bool = False
    min_lesion_ml: float = 0
    min_lesion_probability: float = 0

    def __post_init__(self) -> None:
        if not 0 <= self.min_lesion_ml < float("inf"):
            raise ConfigError(f"min_lesion_ml: must be >= 0 ml, got {self.min_lesion_ml}")
        if not 0 <= self.min_lesion_probability <= 1:
            raise ConfigError(
                f"min_lesion_probability: must be from 0 to 1, got {self.min_lesion_probability}"
            )

    def check(self, regions: Sequence[str]) -> None:
        """Check that a model has the regions of the rules.

        Raises:
            ConfigError: A rule is about a region that the model does not have.
        """
        rules = {
            "largest_liver": ("liver",),
            "tumor_within_liver": ("liver", "tumor"),
            "min_lesion_ml": ("tumor",),
            "min_lesion_probability": ("tumor",),
        }
        for name, needed in rules.items():
            if getattr(self, name) and not set(needed) <= set(regions):
                raise ConfigError(f"{name}: needs a model of {list(needed)}, got one of {list(regions)}")


class MaskBuilder:
    """Collects the regions of a scan slab by slab, one byte a voxel, and makes the mask.

    Args:
        regions: Regions in channel order.
        shape: Of the scan, `(Z, H, W)`.
        postprocess: What is done to the mask at the end, None for nothing.

    Example:
        >>> import torch
        >>> builder = MaskBuilder(("liver", "tumor"), (2, 1, 3))
        >>> builder.add(slice(0, 1), torch.tensor([[[[0.1, 0.9, 0.2]], [[0.1, 0.2, 0.8]]]]))
        >>> builder.finish(voxel_ml=0.01).tolist()
        [[[0, 1, 2]], [[0, 0, 0]]]
    """

    def __init__(
        self, regions: Sequence[str], shape: tuple[int, ...], postprocess: Postprocess | None = None
    ) -> None:
        self._bit_of = {region: 1 << channel for channel, region in enumerate(regions)}
        self._sure = 1 << len(regions)
        self._rules = postprocess or Postprocess()
        self._bits: NDArray[np.uint8] = np.zeros(shape, np.uint8)

    def add(self, slices: slice, probs: Tensor) -> None:
        """Add the probabilities `(N, R, H, W)` of some slices; above one half a voxel belongs to a region."""
        for channel, bit in enumerate(self._bit_of.values()):
            self._bits[slices][(probs[:, channel] > MASK_THRESHOLD).numpy()] |= bit
        if least := self._rules.min_lesion_probability:
            tumor = probs[:, -1]
            self._bits[slices][((tumor >= least) & (tumor > MASK_THRESHOLD)).numpy()] |= self._sure

    def finish(self, *, voxel_ml: float) -> NDArray[np.uint8]:
        """Post-process and return the labels `(Z, H, W)`: 2 where tumor, else 1 where liver."""
        rules = self._rules
        if rules.largest_liver:
            self._keep_largest(voxel_ml)
        if rules.tumor_within_liver:
            self._keep_tumor_within_liver()
        if rules.min_lesion_ml or rules.min_lesion_probability:
            self._remove_lesions(voxel_ml)
        label_of_bits = np.zeros(2 * self._sure, np.uint8)
        for region, bit in self._bit_of.items():  # the tumor's bit comes last and wins
            label_of_bits[np.arange(len(label_of_bits)) & bit > 0] = REGION_MIN_LABEL[region]
        assert label_of_bits.max() in LABELS
        labels, self._bits = self._bits, np.zeros(0, np.uint8)
        for plane in labels:
            if plane.any():
                np.take(label_of_bits, plane, out=plane, mode="clip")
        return labels

    def _keep_largest(self, voxel_ml: float) -> None:
        labels, pieces = find_components(self._bits > 0, voxel_ml=voxel_ml)
        if len(pieces) > 1:
            largest = max(pieces, key=lambda piece: piece.voxels).label
            for slab in self._slabs():
                self._bits[slab][labels[slab] != largest] = 0

    def _keep_tumor_within_liver(self) -> None:
        liver, tumor = self._bit_of["liver"], self._bit_of["tumor"]
        for plane in self._bits:
            is_liver, is_tumor = plane & liver > 0, plane & tumor > 0
            if (is_tumor & ~is_liver).any():
                plane[is_tumor & ~ndimage.binary_fill_holes(is_liver)] &= ~np.uint8(tumor | self._sure)

    def _remove_lesions(self, voxel_ml: float) -> None:
        """Remove the lesions that are too small, or of which the model is nowhere sure enough."""
        tumor = np.uint8(self._bit_of["tumor"])
        labels, lesions = find_components(self._bits & tumor > 0, voxel_ml=voxel_ml)
        is_out = np.array([False, *(lesion.volume_ml < self._rules.min_lesion_ml for lesion in lesions)])
        if self._rules.min_lesion_probability:
            is_sure = np.zeros(len(is_out), bool)
            for slab in self._slabs():
                is_sure[labels[slab][self._bits[slab] & self._sure > 0]] = True
            is_out[1:] |= ~is_sure[1:]
        if is_out.any():
            for slab in self._slabs():
                self._bits[slab][is_out[labels[slab]]] &= ~(tumor | np.uint8(self._sure))

    def _slabs(self) -> list[slice]:
        return [slice(start, start + _SLAB) for start in range(0, len(self._bits), _SLAB)]
