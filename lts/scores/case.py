"""All that is measured of one case, from two label volumes on one grid."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from lts.base import LIVER, REGION_MIN_LABEL, TUMOR, region_min_labels
from lts.scores.counts import CaseCounts, count_overlap
from lts.scores.findings import LesionFinding, describe_lesions
from lts.scores.lesions import LesionCounts, count_lesions, match_lesions
from lts.scores.lits import LitsCase, lits_case
from lts.scores.regions import region_masks
from lts.scores.surfaces import SurfaceDistances, surface_distances
from lts.volume import Voxel

_SLAB = 32

SurfaceScores = Mapping[str, Callable[[SurfaceDistances], float]]
"""By name, what is measured of surfaces."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CaseMasks:
    """A case to score.

    >>> labels = np.zeros((2, 8, 8), np.uint8)
    >>> CaseMasks(case="a", prediction=labels, reference=labels, voxel=Voxel.of_spacing((5, 1, 1))).is_ct
    True

    Attributes:
        case: Case id.
        prediction: `(Z, H, W)` uint8 labels 0, 1, 2.
        reference: The same of the reference.
        voxel: The voxel of their grid.
        image: The scan, `(Z, H, W)`, None where it is not at hand.
        is_ct: Whether the image is in Hounsfield units.
    """

    case: str
    prediction: NDArray[np.uint8]
    reference: NDArray[np.uint8]
    voxel: Voxel
    image: NDArray[np.generic] | None = None
    is_ct: bool = True


@dataclass(frozen=True, eq=False)
class CaseScores:
    """What one case adds to the scores of a cohort; holds no volume. `score_case` makes it.

    >>> nothing = np.zeros((3, 2), np.int64)
    >>> CaseScores(CaseCounts("a", 0.005, nothing, nothing, nothing), surfaces=(None, None)).findings
    ()

    Attributes:
        counts: Voxel counts by slice and region.
        surfaces: By region the scores of surfaces, None where a side is empty.
        lesions: Counts of lesions; None without the region tumor.
        findings: Every lesion found, missed or falsely seen.
        lits: What the challenge's rules need, None where they were not asked for.
    """

    counts: CaseCounts
    surfaces: tuple[dict[str, float] | None, ...]
    lesions: LesionCounts | None = None
    findings: tuple[LesionFinding, ...] = ()
    lits: LitsCase | None = None


def score_case(
    masks: CaseMasks,
    *,
    regions: Sequence[str] = tuple(REGION_MIN_LABEL),
    surfaces: SurfaceScores = MappingProxyType({}),
    lits: bool = False,
    draw: Callable[[CaseMasks, CaseCounts, Sequence[LesionFinding]], object] | None = None,
) -> CaseScores:
    """Measure one case.

    A process that does it imports neither torch nor anything that draws, unless `draw` brings it.

    >>> labels = np.zeros((4, 16, 16), np.uint8)
    >>> labels[1:3, 4:12, 4:12], labels[2, 6:9, 6:9] = 1, 2
    >>> masks = CaseMasks(case="a", prediction=labels, reference=labels, voxel=Voxel.of_spacing((5, 1, 1)))
    >>> found = score_case(masks)
    >>> found.counts.tp.sum(axis=0).tolist(), found.lesions.tp
    ([128, 9], 1)

    Args:
        masks: The case.
        regions: Regions in channel order.
        surfaces: What is measured of their surfaces, by name.
        lits: Whether to measure by the rules of the LiTS challenge, too.
        draw: Called with the case, its counts and its lesions, to draw pictures.

    Raises:
        ConfigError: `regions` are not known ones in channel order.
        ValueError: The volumes are not as large as each other.
    """
    counts = _count(masks, regions)
    measured = tuple(_surface_scores(masks, label, surfaces) for label in region_min_labels(regions))
    lesions, findings = _score_lesions(masks, regions)
    if draw is not None:
        draw(masks, counts, findings)
    by_challenge = lits_case(masks.prediction, masks.reference, voxel=masks.voxel) if lits else None
    return CaseScores(counts, measured, lesions, findings, by_challenge)


def _count(masks: CaseMasks, regions: Sequence[str]) -> CaseCounts:
    sides = (masks.prediction, masks.reference)
    slabs = [
        count_overlap(*(region_masks(labels[start : start + _SLAB], regions) for labels in sides))
        for start in range(0, len(masks.reference), _SLAB)
    ]
    return CaseCounts.join(masks.case, masks.voxel.volume_ml, slabs)


def _surface_scores(masks: CaseMasks, min_label: int, scores: SurfaceScores) -> dict[str, float] | None:
    if not scores:
        return None
    distances = surface_distances(
        masks.prediction >= min_label, masks.reference >= min_label, voxel=masks.voxel
    )
    return None if distances is None else {name: measure(distances) for name, measure in scores.items()}


def _score_lesions(
    masks: CaseMasks, regions: Sequence[str]
) -> tuple[LesionCounts | None, tuple[LesionFinding, ...]]:
    if "tumor" not in regions:
        return None, ()
    prediction, reference = masks.prediction == TUMOR, masks.reference == TUMOR
    match = match_lesions(prediction, reference, voxel=masks.voxel)
    findings = describe_lesions(
        masks.case,
        match=match,
        scan=masks.image if masks.is_ct else None,
        liver=masks.reference >= LIVER if "liver" in regions else None,
        voxel=masks.voxel,
    )
    return count_lesions(match), tuple(findings)
