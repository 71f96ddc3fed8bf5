"""The slices of a case that tell most, drawn with the contours of reference and prediction."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lts.evaluation.counts import count_voxels
from lts.figures import SliceView, gray_range, overlay_sheet, save_png


@dataclass(frozen=True, eq=False)
class _Candidate:
    amount: int
    z: int
    reference: np.ndarray
    prediction: np.ndarray


class CaseViews:
    """Keeps, slab by slab, the slices with most of each region in the reference, and with most errors.

    Args:
        regions: Regions in channel order.
    """

    def __init__(self, regions: Sequence[str]) -> None:
        self._regions = tuple(regions)
        self._kept: dict[str, _Candidate] = {}

    def offer(self, first: int, *, prediction: Tensor, reference: Tensor) -> None:
        """Look at some neighboring slices.

        Args:
            first: Index of the first of them.
            prediction: `(N, R, H, W)` bool.
            reference: `(N, R, H, W)` bool.
        """
        shown = {name: reference[:, channel] for channel, name in enumerate(self._regions)}
        shown["errors"] = prediction ^ reference
        for reason, mask in shown.items():
            pixels = count_voxels(mask) if mask.ndim == 3 else count_voxels(mask).sum(1)  # of all regions
            best = int(pixels.argmax())
            amount = int(pixels[best])
            if amount > (self._kept[reason].amount if reason in self._kept else 0):
                masks = (reference[best].numpy(), prediction[best].numpy())
                self._kept[reason] = _Candidate(amount, first + best, *masks)

    def draw(
        self,
        path: Path,
        *,
        case: str,
        image: NDArray[np.generic],
        spacing_mm: tuple[float, float],
        window_hu: tuple[float, float] | None,
    ) -> None:
        """Draw what was kept, the middle slice where nothing was; patient's right is at the left.

        Args:
            path: The PNG file.
            case: Case id, for the titles.
            image: The scan, `(Z, H, W)`.
            spacing_mm: Pixel size along H and W.
            window_hu: Level and width of the gray window, None for percentiles of the drawn slices.
        """
        depth, *shape_hw = image.shape
        reasons: dict[int, list[str]] = {}
        for reason in (*self._regions, "errors"):
            if reason in self._kept:
                reasons.setdefault(self._kept[reason].z, []).append(reason)
        shown = [(f"most {' and '.join(why)}", self._kept[why[0]]) for why in reasons.values()]
        nothing = np.zeros((len(self._regions), *shape_hw), bool)
        views = [
            SliceView(
                image=image[candidate.z],
                reference=candidate.reference,
                prediction=candidate.prediction,
                spacing_mm=spacing_mm,
                title=f"{case}, slice {candidate.z + 1}/{depth}: {why}",
            )
            for why, candidate in shown or [("the middle", _Candidate(0, depth // 2, nothing, nothing))]
        ]
        level_hu, width_hu = window_hu or gray_range([view.image for view in views])
        save_png(path, overlay_sheet(views, regions=self._regions, level_hu=level_hu, width_hu=width_hu))
