"""Pictures of the patients in whom lts did worst, with reference and prediction of every system.

They stay in the folder of the benchmark, since they show patients.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.accuracy.page import Page
from benchmarks.accuracy.parts import Fold
from benchmarks.accuracy.running import masks_of
from benchmarks.accuracy.tables import Results, ours
from lts.cohort import Case
from lts.figures import SliceView, overlay_sheet, save_png
from lts.scores import region_masks
from lts.volume import read_ct, read_geometry, read_mask

_WORST = 10
_LEVEL_HU, _WIDTH_HU = 100, 400  # enhanced livers stay gray


def draw_worst(folder: Path, page: Page, folds: Mapping[str, Sequence[Fold]]) -> list[Path]:
    """Draw the ten cases of each part whose tumor, or liver where tumors are not asked for, lts found worst.

    Each is a row, each system a column; the slice is that with most of the region in the reference.

    Args:
        folder: Folder of the benchmark; the pictures are written into its subfolder `pictures`.
        page: The complete results.
        folds: All folds by part.

    Returns:
        The files, one per part that lts has results and still all masks in.
    """
    drawn = []
    for part, systems in page.parts.items():
        best = ours(systems)
        if best is None or not all(masks_of(record.run, folder).is_dir() for record in page.of_part(part)):
            continue
        cases = {case.id: case for fold in folds[part] for case in fold.test}
        dice = best.dice(best.regions[-1])
        worst = islice(sorted(dice, key=dice.__getitem__), _WORST)
        views = [view for name in worst for view in _row(folder, cases[name], systems)]
        sheet = overlay_sheet(
            views, regions=best.regions, level_hu=_LEVEL_HU, width_hu=_WIDTH_HU, columns=len(systems)
        )
        path = folder / "pictures" / f"{part}.png"
        save_png(path, sheet)
        drawn.append(path)
    return drawn


def _row(folder: Path, case: Case, systems: Sequence[Results]) -> list[SliceView]:
    """The same slice for each system."""
    assert case.mask is not None
    scan = read_ct(case.image)
    regions = systems[0].regions
    reference = region_masks(read_mask(case.mask, image=scan.geometry).voxels, regions)
    z = int(np.count_nonzero(reference[:, -1], axis=(1, 2)).argmax())
    return [
        SliceView(
            image=scan.voxels[z],
            reference=reference[z],
            prediction=region_masks(_predicted(folder, case, one)[z], regions),
            spacing_mm=scan.geometry.spacing_mm[1:],
            title=f"{case.id}, slice {z + 1}: {one.system} {_told(one, case)}",
        )
        for one in systems
    ]


def _predicted(folder: Path, case: Case, results: Results) -> np.ndarray:
    """The mask of the first seed."""
    record = next(one for one in results.records if any(row["case"] == case.id for row in one.cases))
    return read_mask(
        masks_of(record.run, folder) / f"{case.id}.nii.gz", image=read_geometry(case.image)
    ).voxels


def _told(results: Results, case: Case) -> str:
    return ", ".join(f"{region} {results.dice(region)[case.id]:.2f}" for region in results.regions)
