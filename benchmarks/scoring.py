"""Surface and lesion scores of one case beside MONAI's surface scores alone."""

import sys
from pathlib import Path

import numpy as np
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.measuring import Figure, Report, in_turns, middle, ratios
from benchmarks.profiling import profile_of
from benchmarks.scans import full_size_case
from lts.base import region_min_labels
from lts.evaluation import ScoringRules
from lts.scores import CaseMasks, CaseScores
from lts.volume import read_geometry, read_mask

REGIONS = ("liver", "tumor")
TOLERANCE_MM, REPEATS = 2.0, 3
SAME_MM = 0.05
RULES = ScoringRules(regions=REGIONS, nsd_mm=(TOLERANCE_MM,))


def main(result: Path, scratch: Path) -> None:
    """Measure and write the figures."""
    case = full_size_case(scratch)
    assert case.mask is not None
    geometry = read_geometry(case.image)
    reference = read_mask(case.mask, image=geometry).voxels
    masks = CaseMasks(
        case=case.id,
        prediction=_prediction(reference),
        reference=reference,
        image=None,
        is_ct=True,
        voxel=geometry.voxel,
    )
    found: dict[str, CaseScores] = {}
    expected: dict[str, list[dict[str, float]]] = {}

    def ours() -> None:
        found["ours"] = RULES.score_case(masks)

    def theirs() -> None:
        expected["theirs"] = [_monai(masks, label) for label in region_min_labels(REGIONS)]

    times = in_turns({"ours": ours, "theirs": theirs}, repeats=REPEATS, warm_up=0)
    off = _disagreement(found["ours"], expected["theirs"])
    assert off < SAME_MM, off
    report = Report()
    report.figures.append(
        Figure(
            what="surface, overlap and lesion scores, 512x512x129",
            against="MONAI surface dice, ASSD and Hausdorff distances",
            values=ratios(times["theirs"], times["ours"]),
            unit="x",
            goal=5,
            better="more",
            detail=f"{middle(times['ours']):.2f} s against {middle(times['theirs']):.1f} s, liver and tumor",
            same_work=f"The scores that both give differ by {off:.3g} mm at most",
            profile=profile_of(ours),
        )
    )
    report.save(result)


def _prediction(reference: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What a model might say: the reference moved a little, with one lesion less."""
    moved = np.roll(reference, (1, 3, -2), axis=(0, 1, 2))
    lesions, count = ndimage.label(moved == 2)
    moved[lesions == count] = 1
    return moved


def _monai(masks: CaseMasks, min_label: int) -> dict[str, float]:
    # Its tensors are (batch, channel, ...), and it wants the distances of one foreground channel.
    prediction, reference = (
        torch.from_numpy(labels >= min_label)[None, None] for labels in (masks.prediction, masks.reference)
    )
    settings = {"include_background": True, "spacing": list(masks.voxel.spacing_mm)}
    return {
        "assd_mm": float(compute_average_surface_distance(prediction, reference, symmetric=True, **settings)),
        "hd95_mm": float(compute_hausdorff_distance(prediction, reference, percentile=95, **settings)),
        "msd_mm": float(compute_hausdorff_distance(prediction, reference, **settings)),
        "nsd_2mm": float(
            compute_surface_dice(prediction, reference, class_thresholds=[TOLERANCE_MM], **settings)
        ),
    }


def _disagreement(ours: CaseScores, theirs: list[dict[str, float]]) -> float:
    return max(
        abs(mine[name] - value)
        for mine, region in zip(ours.surfaces, theirs, strict=True)
        if mine is not None
        for name, value in region.items()
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
