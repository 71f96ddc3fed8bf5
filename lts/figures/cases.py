"""The slices of a case that tell most, drawn with the contours of reference and prediction."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lts.base import REGION_MIN_LABEL
from lts.figures.canvas import save_png
from lts.figures.slices import SliceView, gray_range, overlay_sheet
from lts.scores import CaseCounts, CaseMasks, region_masks


@dataclass(frozen=True, kw_only=True)
class CaseOverlays:
    """Draws one picture a case: the slices with most of each region in the reference, and with most errors.

    Attributes:
        folder: Where `<case>.png` is written; made if it is not there.
        regions: Regions in channel order.
        window_hu: Level and width of the gray window, None for percentiles of the drawn slices; of a scan
            that is no CT, it is always the latter.

    Example:
        >>> from lts.scores import CaseMasks, score_case
        >>> from lts.volume import Voxel
        >>> labels = np.zeros((3, 16, 16), np.uint8)
        >>> labels[1, 4:12, 4:12] = 1
        >>> voxel = Voxel.of_spacing((5, 1, 1))
        >>> case = CaseMasks(case="a", prediction=labels, reference=labels, voxel=voxel)
        >>> CaseOverlays(folder=Path("pictures")).draw(case, score_case(case).counts)
        >>> [path.name for path in Path("pictures").iterdir()]
        ['a.png']
    """

    folder: Path
    regions: Sequence[str] = tuple(REGION_MIN_LABEL)
    window_hu: tuple[float, float] | None = None

    def draw(self, masks: CaseMasks, counts: CaseCounts) -> None:
        """Draw a case, on plain gray where its scan is not at hand; patient's right is at the left.

        Args:
            masks: The case.
            counts: Its voxel counts, by which slices are chosen; the middle one where nothing is counted.

        Raises:
            StorageError: The picture cannot be written.
        """
        image = np.zeros_like(masks.reference) if masks.image is None else masks.image
        depth = len(image)
        views = [
            SliceView(
                image=image[z],
                reference=region_masks(masks.reference[z], self.regions),
                prediction=region_masks(masks.prediction[z], self.regions),
                spacing_mm=masks.voxel.spacing_mm[1:],
                title=f"{masks.case}, slice {z + 1}/{depth}: {why}",
            )
            for z, why in (informative_slices(counts, self.regions) or {depth // 2: "the middle"}).items()
        ]
        window_hu = self.window_hu if masks.is_ct else None
        level_hu, width_hu = window_hu or gray_range([view.image for view in views])
        picture = overlay_sheet(views, regions=self.regions, level_hu=level_hu, width_hu=width_hu)
        save_png(self.folder / f"{masks.case}.png", picture)


def informative_slices(counts: CaseCounts, regions: Sequence[str]) -> dict[int, str]:
    """The slices with most of each region and most errors, the lowest of several, and what is most there."""
    errors = (counts.fp + counts.fn).sum(axis=1)
    reasons: dict[int, list[str]] = {}
    for reason, pixels in zip((*regions, "errors"), (*counts.reference.T, errors), strict=True):
        if pixels.any():
            reasons.setdefault(int(pixels.argmax()), []).append(reason)
    return {z: f"most {' and '.join(why)}" for z, why in reasons.items()}
