"""Which lesions were found, missed or falsely seen, what is the likely cause, and what to do about it."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lts.components import Component
from lts.evaluation.appearance import (
    BRIGHT,
    LOW_CONTRAST,
    LOW_CONTRAST_HU,
    OTHER,
    OUTSIDE,
    SMALL,
    SMALL_MM,
    VESSEL,
    Appearance,
    Surroundings,
    cause_of_false_alarm,
    cause_of_miss,
)
from lts.evaluation.lesions import SIZE_GROUPS, LesionMatch, size_group
from lts.volume import Voxel

FOUND, MISSED, FALSE_ALARM = "found", "missed", "false alarm"

# Twice the contrast that is low: such a lesion is plain to see.
_HIGH_CONTRAST_HU = 2 * LOW_CONTRAST_HU

_CAUSES = (LOW_CONTRAST, SMALL, OUTSIDE, VESSEL, BRIGHT, OTHER)
_SIZES = dict(zip(SIZE_GROUPS, ("< 10 mm", "10-20 mm", "> 20 mm"), strict=True))
_CONTRASTS = (
    f"< {LOW_CONTRAST_HU:g} HU",
    f"{LOW_CONTRAST_HU:g}-{_HIGH_CONTRAST_HU:g} HU",
    f"> {_HIGH_CONTRAST_HU:g} HU",
)
_UNKNOWN = "unknown"

# What counts as many: fewer are chance, and a smaller share is not what holds the score down.
_MANY = 3
_MANY_SHARE = 0.25

_ANSWER_TO_MISSES = (
    "train with loss=focal_dice loss.pos_weight=3, or on more slices with tumor (data.region_share=0.7); "
    "both may add false alarms"
)
_ANSWER_TO_ALARMS = (
    "train on fewer slices with tumor (data.region_share=0.3), or with loss=tversky loss.alpha=0.7 "
    "loss.beta=0.3; both may miss more lesions"
)
_ANSWER_TO_BOTH = (
    "to trade one for the other helps neither, so train on hard pixels (loss=focal_dice) and with "
    "neighboring slices (data.context=1)"
)
_ANSWER_TO_VESSELS = "neighboring slices tell a vessel from a lesion (data.context=1)"
_ANSWER_TO_OUTSIDE = (
    "keep tumors within the predicted liver (postprocess.tumor_within_liver=true), "
    "which takes a model of both regions (data.regions=[liver,tumor])"
)


@dataclass(frozen=True)
class LesionFinding:
    """One lesion: a row of `lesions.csv`.

    A lesion that was found is described as the reference draws it.

    Attributes:
        case: Case id.
        outcome: `found` or `missed`, for a lesion of the reference, or `false alarm`, for a predicted one;
            matched one to one at any overlap, so that a second piece of a found lesion is a false alarm.
        iou: With its match; 0 where it has none.
        slice: The axial slice with most of it, counted from 1 as in the overlays.
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
    volume_ml: float
    diameter_mm: float
    mean_hu: float | None
    contrast_hu: float | None
    edge_mm: float | None
    outside_share: float | None
    texture_hu: float | None
    elongation: float
    cause: str | None


def find_failures(
    case: str,
    *,
    match: LesionMatch,
    scan: NDArray[np.generic] | None,
    liver: NDArray[np.bool_] | None,
    voxel: Voxel,
) -> list[LesionFinding]:
    """Describe every lesion of a case.

    Args:
        case: Case id.
        match: Its lesions, matched.
        scan: `(Z, H, W)` Hounsfield units; None where there are none, as for MR.
        liver: `(Z, H, W)` bool, the reference liver with its tumors; None where it is not known.
        voxel: The voxel of their grid.

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
        look = surroundings.look_at(lesion, match.reference_labels)
        partner = match.any.get(lesion.label)
        if partner is None:
            findings.append(_finding(case, MISSED, lesion, look, iou=0.0, cause=cause_of_miss(look)))
        else:
            iou = match.iou[lesion.label, partner]
            findings.append(_finding(case, FOUND, lesion, look, iou=iou, cause=None))
    matched = set(match.any.values())
    for lesion in match.predicted:
        if lesion.label not in matched:
            look = surroundings.look_at(lesion, match.predicted_labels)
            findings.append(
                _finding(case, FALSE_ALARM, lesion, look, iou=0.0, cause=cause_of_false_alarm(look))
            )
    return findings


def _finding(
    case: str, outcome: str, lesion: Component, look: Appearance, *, iou: float, cause: str | None
) -> LesionFinding:
    return LesionFinding(
        case=case,
        outcome=outcome,
        iou=iou,
        slice=look.slice,
        volume_ml=lesion.volume_ml,
        diameter_mm=lesion.diameter_mm,
        mean_hu=look.mean_hu,
        contrast_hu=look.contrast_hu,
        edge_mm=look.edge_mm,
        outside_share=look.outside_share,
        texture_hu=look.texture_hu,
        elongation=look.elongation,
        cause=cause,
    )


def failure_totals(findings: Iterable[LesionFinding]) -> dict[str, list[dict[str, Any]]]:
    """Count lesions by cause, size and contrast.

    Returns:
        Under `cause`, `size` and `contrast` a row a group, empty groups too, with `group`, `found`, `missed`
        and `false_alarms`. `found` is None under `cause`: only a failure has one.
    """
    findings = list(findings)
    by_cause = _totals(findings, _CAUSES, lambda finding: finding.cause)
    return {
        "cause": [row | {"found": None} for row in by_cause],
        "size": _totals(findings, tuple(_SIZES.values()), _size),
        "contrast": _totals(findings, (*_CONTRASTS, _UNKNOWN), _contrast),
    }


def _totals(
    findings: Sequence[LesionFinding],
    groups: Sequence[str],
    group_of: Callable[[LesionFinding], str | None],
) -> list[dict[str, Any]]:
    counts = Counter((group_of(finding), finding.outcome) for finding in findings)
    return [
        {
            "group": group,
            "found": counts[group, FOUND],
            "missed": counts[group, MISSED],
            "false_alarms": counts[group, FALSE_ALARM],
        }
        for group in groups
    ]


def _size(finding: LesionFinding) -> str:
    return _SIZES[size_group(finding.diameter_mm)]


def _contrast(finding: LesionFinding) -> str:
    if finding.contrast_hu is None:
        return _UNKNOWN
    contrast_hu = abs(finding.contrast_hu)
    if contrast_hu < LOW_CONTRAST_HU:
        return _CONTRASTS[0]
    return _CONTRASTS[1] if contrast_hu <= _HIGH_CONTRAST_HU else _CONTRASTS[2]


def advice(findings: Iterable[LesionFinding]) -> list[str]:
    """Name the settings that answer what went wrong most, with the counts that say so.

    Something is said of what happened at least three times and to a quarter of the lesions in question.

    Returns:
        At most three sentences; none where nothing went wrong often.
    """
    counts = Counter((finding.outcome, finding.cause) for finding in findings)
    n_found, n_missed, n_alarms = (
        sum(count for (other, _), count in counts.items() if other == outcome)
        for outcome in (FOUND, MISSED, FALSE_ALARM)
    )
    n_lesions, n_predicted = n_found + n_missed, n_found + n_alarms
    n_hard = counts[MISSED, LOW_CONTRAST] + counts[MISSED, SMALL]
    n_outside, n_vessels = counts[FALSE_ALARM, OUTSIDE], counts[FALSE_ALARM, VESSEL]
    # Those outside the liver are answered at prediction and say nothing against the training.
    n_inside = n_alarms - n_outside
    missed = (
        f"{n_missed} of {n_lesions} lesions were missed, {n_hard} of them for low contrast "
        f"(< {LOW_CONTRAST_HU:g} HU) or small size (< {SMALL_MM:g} mm)"
    )
    left_out = f" ({n_outside} outside the liver not counted)" if n_outside else ""
    alarms = f"{n_inside} of {n_predicted} predicted lesions are false alarms{left_out}"
    sentences = []
    match _are_many(n_hard, of=n_lesions), _are_many(n_inside, of=n_predicted):
        case True, True:
            sentences.append(f"{missed}, and {alarms}: {_ANSWER_TO_BOTH}.")
        case True, False:
            sentences.append(f"{missed}: {_ANSWER_TO_MISSES}.")
        case False, True:
            sentences.append(f"{alarms}: {_ANSWER_TO_ALARMS}.")
    if _are_many(n_vessels, of=n_alarms):
        sentences.append(f"{n_vessels} of {n_alarms} false alarms look like vessels: {_ANSWER_TO_VESSELS}.")
    if _are_many(n_outside, of=n_alarms):
        sentences.append(
            f"{n_outside} of {n_alarms} false alarms lie outside the liver: {_ANSWER_TO_OUTSIDE}."
        )
    return sentences


def _are_many(count: int, *, of: int) -> bool:
    return count >= _MANY and count >= _MANY_SHARE * of
