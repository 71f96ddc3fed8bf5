"""All scores of one case, from two label volumes on one grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lts.base import LIVER, REGION_MIN_LABEL, TUMOR, ConfigError, region_min_labels
from lts.evaluation.counts import CaseCounts, count_slab
from lts.evaluation.failures import LesionFinding, find_failures
from lts.evaluation.lesions import LesionCounts, count_lesions, match_lesions
from lts.evaluation.lits import LitsCase, lits_case
from lts.evaluation.pictures import CaseViews
from lts.evaluation.surfaces import surface_distances
from lts.volume import Voxel

_SLAB = 32


@dataclass(frozen=True, kw_only=True)
class ScoringRules:
    """What is scored.

    Attributes:
        regions: Regions in channel order.
        nsd_mm: Tolerances of the surface Dice, each >= 0.
        lits: Whether to score by the rules of the LiTS challenge, too.
        overlay_dir: Where a picture of each case is drawn, None for none.
        window_hu: Level and width of the pictures, None for percentiles of each scan.

    Raises:
        ConfigError: A tolerance is negative, or the challenge's rules lack a region.
    """

    regions: tuple[str, ...]
    nsd_mm: tuple[float, ...]
    lits: bool
    overlay_dir: Path | None
    window_hu: tuple[float, float] | None

    def __post_init__(self) -> None:
        if not all(tolerance >= 0 for tolerance in self.nsd_mm):
            raise ConfigError(f"scoring.nsd_mm: tolerances must be >= 0, got {list(self.nsd_mm)}")
        if self.lits and set(self.regions) != set(REGION_MIN_LABEL):
            raise ConfigError(
                f"scoring.lits: needs the regions {list(REGION_MIN_LABEL)}, got {list(self.regions)}"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class CaseMasks:
    """A case to score.

    Attributes:
        case: Case id.
        prediction: `(Z, H, W)` uint8 labels 0, 1, 2.
        reference: The same of the reference.
        image: The scan, `(Z, H, W)`, None where it is not at hand.
        is_ct: Whether the image is in Hounsfield units.
        voxel: The voxel of their grid.
    """

    case: str
    prediction: NDArray[np.uint8]
    reference: NDArray[np.uint8]
    image: NDArray[np.generic] | None
    is_ct: bool
    voxel: Voxel


@dataclass(frozen=True, eq=False)
class CaseScores:
    """What one case adds to the scores of a cohort; holds no volume.

    Attributes:
        counts: Voxel counts by slice and region.
        surfaces: By region the scores of surfaces, None where a side is empty.
        lesions: Counts of lesions; None without the region tumor.
        findings: Every lesion found, missed or falsely seen.
        lits: What the challenge's rules need, None where they were not asked for.
    """

    counts: CaseCounts
    surfaces: tuple[dict[str, float] | None, ...]
    lesions: LesionCounts | None
    findings: tuple[LesionFinding, ...]
    lits: LitsCase | None


def score_case(masks: CaseMasks, rules: ScoringRules) -> CaseScores:
    """Score one case and draw its picture."""
    counts, views = _count(masks, rules.regions)
    surfaces = tuple(
        _surface_scores(masks, min_label=label, nsd_mm=rules.nsd_mm)
        for label in region_min_labels(rules.regions)
    )
    lesions: LesionCounts | None = None
    findings: tuple[LesionFinding, ...] = ()
    if "tumor" in rules.regions:
        lesions, findings = _score_lesions(masks, with_liver="liver" in rules.regions)
    if rules.overlay_dir:
        views.draw(
            rules.overlay_dir / f"{masks.case}.png",
            case=masks.case,
            image=np.zeros_like(masks.reference) if masks.image is None else masks.image,
            spacing_mm=masks.voxel.spacing_mm[1:],
            window_hu=rules.window_hu if masks.is_ct else None,
        )
    lits = None
    if rules.lits:
        lits = lits_case(masks.prediction, masks.reference, voxel=masks.voxel)
    return CaseScores(counts, surfaces, lesions, findings, lits)


def _count(masks: CaseMasks, regions: Sequence[str]) -> tuple[CaseCounts, CaseViews]:
    min_labels = np.array(region_min_labels(regions), np.uint8)[:, None, None]
    views, slabs = CaseViews(regions), []
    for start in range(0, len(masks.reference), _SLAB):
        prediction, reference = (
            torch.from_numpy(labels[start : start + _SLAB, None] >= min_labels)
            for labels in (masks.prediction, masks.reference)
        )
        slabs.append(count_slab(prediction, reference))
        views.offer(start, prediction=prediction, reference=reference)
    return CaseCounts.join(masks.case, masks.voxel.volume_ml, slabs), views


def _surface_scores(masks: CaseMasks, *, min_label: int, nsd_mm: Sequence[float]) -> dict[str, float] | None:
    distances = surface_distances(
        masks.prediction >= min_label, masks.reference >= min_label, voxel=masks.voxel
    )
    if distances is None:
        return None
    return {
        "assd_mm": distances.assd_mm,
        "hd95_mm": distances.hd95_mm,
        "msd_mm": distances.msd_mm,
        **{nsd_name(tolerance): distances.nsd(tolerance) for tolerance in nsd_mm},
    }


def nsd_name(tolerance_mm: float) -> str:
    """Name of the surface Dice at a tolerance: `nsd_2mm`, `nsd_0.5mm`."""
    return f"nsd_{tolerance_mm:g}mm"


def _score_lesions(masks: CaseMasks, *, with_liver: bool) -> tuple[LesionCounts, tuple[LesionFinding, ...]]:
    prediction, reference = masks.prediction == TUMOR, masks.reference == TUMOR
    match = match_lesions(prediction, reference, voxel=masks.voxel)
    findings = find_failures(
        masks.case,
        match=match,
        scan=masks.image if masks.is_ct else None,
        liver=masks.reference >= LIVER if with_liver else None,
        voxel=masks.voxel,
    )
    return count_lesions(match), tuple(findings)
