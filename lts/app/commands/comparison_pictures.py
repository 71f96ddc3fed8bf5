"""Draws a case under the masks of compared runs, at the slice where they differ most."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lts.app.commands.mask_pairs import MaskPair
from lts.app.commands.sources import Sources
from lts.base import REGION_MIN_LABEL, CohortError, LtsError, path_exists, printable
from lts.components import bounding_box
from lts.evaluation import CasePictures, DifferingCase, find_score
from lts.figures import Cut, SliceView, closeups, gray_range, to_jpeg
from lts.scores import count_overlap, dice, region_masks
from lts.volume import Geometry, Volume, read_image, read_mask, read_mask_geometry

_HEIGHT_PX = 320
_MARGIN_MM = 12.0
_SAME_DICE = 1e-6

_Labels = NDArray[np.uint8]


def draw_runs(
    case: DifferingCase, sources: Mapping[str, Sources], *, regions: tuple[str, ...], region: str
) -> CasePictures:
    """Draw the reference of a case, and each run's mask over it.

    Volumes are read one after the other, so that memory does not grow with the runs.

    Args:
        case: The case, with its Dice in each run.
        sources: By run, where its masks lie.
        regions: Regions that are drawn, in channel order.
        region: The one by whose masks the slice is chosen, and whose Dice the case has.

    Returns:
        The pictures; none, and why, where a file is missing, damaged or no longer the one that was scored.
    """
    try:
        return _draw_runs(case, sources, regions, region)
    except (LtsError, OSError) as error:
        return CasePictures(problem=printable(error))


def _draw_runs(
    case: DifferingCase, sources: Mapping[str, Sources], regions: tuple[str, ...], region: str
) -> CasePictures:
    pairs = {run: _pair(case.case, run, found) for run, found in sources.items()}
    first, shown = next(iter(pairs.values())), next(iter(sources.values()))
    image = next((pair.image for pair in pairs.values() if pair.image and path_exists(pair.image)), None)
    scan = read_image(image, modality=shown.modality) if image else None
    grid = scan.geometry if scan else read_mask_geometry(first.reference_files[0])
    held = read_mask(first.reference, image=grid, labels=first.reference_labels)
    reference: _Labels = held.voxels
    z = _slice_that_differs(case, pairs, held, grid, region)
    slices = {run: _predicted(pair, held, grid)[z].copy() for run, pair in pairs.items()}

    pixels = np.zeros(reference.shape[1:], np.int16) if scan is None else scan.voxels[z]
    spacing_mm = grid.voxel.spacing_mm[1:]
    level_hu, width_hu = (shown.window_hu if shown.modality == "ct" else None) or gray_range([pixels])
    label = REGION_MIN_LABEL[region]
    cut = _cut(np.any([reference[z] > 0, *(one >= label for one in slices.values())], axis=0), spacing_mm)
    referred = region_masks(reference[z], regions)
    pictures = []
    for name, labels in {"reference": None, **slices}.items():
        view = SliceView(
            image=pixels,
            reference=referred,
            prediction=None if labels is None else region_masks(labels, regions),
            spacing_mm=spacing_mm,
            cut=cut,
        )
        drawn = closeups([view], regions=regions, level_hu=level_hu, width_hu=width_hu, height_px=_HEIGHT_PX)
        caption = name if labels is None else f"{name}: Dice {find_score('dice').format(case.dice[name])}"
        pictures.append((caption, to_jpeg(drawn)))
    ground = "" if scan is not None else ", the scan is not at hand"
    return CasePictures(title=f"slice {z + 1} of {len(reference)}{ground}", pictures=pictures)


def _pair(case: str, run: str, sources: Sources) -> MaskPair:
    if case not in sources.pairs:
        raise CohortError(f"run {run} does not tell where its mask lies")
    return sources.pairs[case]


def _predicted(pair: MaskPair, reference: Volume, grid: Geometry) -> _Labels:
    """The prediction as it was scored."""
    mask = read_mask(pair.prediction, image=grid, labels=pair.prediction_labels)
    return reference.where_known(mask.voxels)


def _slice_that_differs(
    case: DifferingCase, pairs: Mapping[str, MaskPair], reference: Volume, grid: Geometry, region: str
) -> int:
    """The slice with most voxels that some runs have in the region and others have not.

    Raises:
        CohortError: A mask is not the one that was scored.
    """
    label = REGION_MIN_LABEL[region]
    referred = reference.voxels >= label
    in_any, in_all = np.zeros_like(referred), np.ones_like(referred)
    for run, pair in pairs.items():
        mask = _predicted(pair, reference, grid) >= label
        now = float(dice(*(int(count.sum()) for count in count_overlap(mask, referred))))
        if abs(now - case.dice[run]) > _SAME_DICE:
            raise CohortError(
                f"{pair.prediction}: it or its reference has changed since run {run} scored it: Dice of "
                f"{region} was {case.dice[run]:.6f}, is {now:.6f}"
            )
        in_any |= mask
        in_all &= mask
    return int(np.count_nonzero(in_any & ~in_all, axis=(1, 2)).argmax())


def _cut(shown: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> Cut | None:
    """Rows and columns around a mask `(H, W)`; None for an empty one."""
    box = bounding_box(shown[None])
    if box is None:
        return None
    margins = (round(_MARGIN_MM / mm) for mm in spacing_mm)
    rows, columns = (
        slice(max(0, side.start - margin), min(length, side.stop + margin))
        for side, length, margin in zip(box[1:], shown.shape, margins, strict=True)
    )
    return rows, columns
