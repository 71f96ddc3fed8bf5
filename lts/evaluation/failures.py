"""The most frequent failures by cause, size and contrast, and advice."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lts.scores.appearance import (
    BRIGHT,
    LOW_CONTRAST,
    LOW_CONTRAST_HU,
    OTHER,
    OUTSIDE,
    SMALL,
    SMALL_MM,
    VESSEL,
)
from lts.scores.findings import FALSE_ALARM, FOUND, MISSED, LesionFinding
from lts.scores.lesions import SIZE_GROUPS, size_group

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
    """Advise settings against the most frequent failures, with the counts.

    A failure counts if it happened at least three times and to a quarter of the lesions in question.

    Returns:
        At most three sentences; none without frequent failures.
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
