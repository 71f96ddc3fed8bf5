"""Every lesion of a case: found, missed or falsely seen, and what may be the cause."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lts.components import Component
from lts.scores.appearance import Appearance, Surroundings, cause_of_false_alarm, cause_of_miss
from lts.scores.lesions import LesionMatch
from lts.volume import Voxel

FOUND, MISSED, FALSE_ALARM = "found", "missed", "false alarm"


@dataclass(frozen=True)
class LesionFinding:
    """One lesion: a row of `lesions.csv`.

    A lesion that was found is described as the reference draws it. `describe_lesions` makes it.

    >>> from lts.scores import match_lesions
    >>> voxel, tumor = Voxel.of_spacing((5.0, 1.0, 1.0)), np.ones((1, 2, 2), bool)
    >>> match = match_lesions(tumor, tumor, voxel=voxel)
    >>> describe_lesions("a", match=match, voxel=voxel)  # doctest: +ELLIPSIS
    [LesionFinding(case='a', outcome='found', iou=1.0, slice=1, row=1, column=1, ...)]

    Attributes:
        case: Case id.
        outcome: `found` or `missed`, for a lesion of the reference, or `false alarm`, for a predicted one;
            matched one to one at any overlap, so that a second piece of a found lesion is a false alarm.
        iou: With its match; 0 where it has none.
        slice: The axial slice with most of it, counted from 1 as in the overlays.
        row: Of its middle in that slice, counted from 1 at the front.
        column: Of its middle there, counted from 1 at the patient's right.
        volume_ml: Volume.
        diameter_mm: Of the sphere of equal volume.
        mean_hu: Mean; None without a scan.
        contrast_hu: Mean minus median of the surrounding liver; None where that is unknown, see `Appearance`.
        edge_mm: Distance to the liver's edge, negative outside; None where the liver is not known.
        outside_share: Share of its voxels outside the reference liver; None where that is not known.
        texture_hu: Standard deviation; None without a scan.
        elongation: Ratio of its two longest axes.
        cause: Likely cause of a miss or a false alarm, see `cause_of_miss` and `cause_of_false_alarm`; None
            for a lesion that was found.
    """

    case: str
    outcome: str
    iou: float
    slice: int
    row: int
    column: int
    volume_ml: float
    diameter_mm: float
    mean_hu: float | None
    contrast_hu: float | None
    edge_mm: float | None
    outside_share: float | None
    texture_hu: float | None
    elongation: float
    cause: str | None


def describe_lesions(
    case: str,
    *,
    match: LesionMatch,
    voxel: Voxel,
    scan: NDArray[np.generic] | None = None,
    liver: NDArray[np.bool_] | None = None,
) -> list[LesionFinding]:
    """Describe every lesion of a case.

    >>> from lts.scores import match_lesions
    >>> voxel, tumor = Voxel.of_spacing((5.0, 1.0, 1.0)), np.zeros((3, 8, 8), bool)
    >>> tumor[1, 2:4, 2:4] = True
    >>> match = match_lesions(np.zeros_like(tumor), tumor, voxel=voxel)
    >>> (finding,) = describe_lesions("a", match=match, voxel=voxel)
    >>> finding.outcome, finding.cause, finding.slice, finding.volume_ml
    ('missed', 'small', 2, 0.02)

    Args:
        case: Case id.
        match: Its lesions, matched.
        voxel: The voxel of their grid.
        scan: `(Z, H, W)` Hounsfield units; None where there are none, as for MR.
        liver: `(Z, H, W)` bool, the reference liver with its tumors; None where it is not known.

    Returns:
        Lesions of the reference, then false alarms, each in the order of their labels. Empty without lesions.

    Raises:
        ValueError: `scan` or `liver` is not as large as the masks, or `liver` is not bool.
    """
    tumor = np.zeros(match.reference_labels.shape, np.bool_)
    for labels, lesions in (
        (match.reference_labels, match.reference),
        (match.predicted_labels, match.predicted),
    ):
        for lesion in lesions:
            tumor[lesion.box] |= labels[lesion.box] > 0
    surroundings = Surroundings(scan=scan, liver=liver, tumor=tumor, voxel=voxel)
    findings = []
    for lesion in match.reference:
        look = surroundings.measure_appearance(lesion, match.reference_labels)
        partner = match.any.get(lesion.label)
        outcome, cause = (MISSED, cause_of_miss(look)) if partner is None else (FOUND, None)
        iou = 0.0 if partner is None else match.iou[lesion.label, partner]
        findings.append(_finding(case, outcome, lesion, look, iou=iou, cause=cause))
    matched = set(match.any.values())
    for lesion in match.predicted:
        if lesion.label not in matched:
            look = surroundings.measure_appearance(lesion, match.predicted_labels)
            cause = cause_of_false_alarm(look)
            findings.append(_finding(case, FALSE_ALARM, lesion, look, iou=0.0, cause=cause))
    return findings


def _finding(
    case: str, outcome: str, lesion: Component, look: Appearance, *, iou: float, cause: str | None
) -> LesionFinding:
    seen = vars(look).copy()
    del seen["liver_texture_hu"]  # of the liver, not of the lesion
    volume_ml = lesion.volume_ml
    return LesionFinding(case=case, outcome=outcome, iou=iou, volume_ml=volume_ml, cause=cause, **seen)
