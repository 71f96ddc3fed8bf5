"""Checks by their histogram whether the values of a CT can be Hounsfield units."""

import numpy as np
from numpy.typing import NDArray

from lts.cohort.doctor.findings import Finding, found

UNIT_SPAN = 2
"""From -1 to 1, or 0 to 1: scaled for a network. No scan spans so few Hounsfield units."""

BYTE_MAX = 255
"""If all values are from 0 to this they are gray levels, as air would be at -1000 HU."""

DENSE_HU = 700
"""Liver, muscle and fat lie far below, also with contrast; offset by the usual 1024 they all lie above."""

MOST_DENSE = 0.1
"""Share of the voxels that may be above: bone and metal so dense are 0.3 % of real scans, the body 40 %."""

AIR_HU_BELOW = -500
"""Air and lung lie below, everything else above."""

LEAST_TISSUE = 0.02
"""Share of the voxels that must be above: a body fills 40 % of real scans, a small child in the widest
view 9 %. Where an intercept was applied twice, only bone is left."""


def judge_intensity(case: str, counts: NDArray[np.int64]) -> list[Finding]:
    """Report values that are not Hounsfield units, and their scale; at most one finding.

    Args:
        case: Id of the case.
        counts: What `lts.volume.count_values` returned for its image.
    """
    values = np.flatnonzero(counts) - len(counts) // 2
    low, high = int(values[0]), int(values[-1])
    message = f"values lie from {low} to {high}"
    if high - low <= UNIT_SPAN:
        return [
            found(
                "hu-unit-range",
                case,
                f"{message}: no Hounsfield units, but scaled to 0 to 1, constant, or those of a mask",
            )
        ]
    if low >= 0 and high <= BYTE_MAX:
        return [found("hu-8-bit", case, f"{message}: 8-bit gray levels, no Hounsfield units")]
    dense = _share_above(counts, DENSE_HU)
    if dense > MOST_DENSE:
        return [found("hu-offset", case, f"{dense:.0%} of the voxels are above {DENSE_HU} HU: offset upward")]
    tissue = _share_above(counts, AIR_HU_BELOW)
    if tissue < LEAST_TISSUE:
        message = f"{tissue:.1%} of the voxels are above {AIR_HU_BELOW} HU: offset downward, or all is air"
        return [found("hu-offset", case, message)]
    if low >= AIR_HU_BELOW:
        message = (
            f"{message}, none below {AIR_HU_BELOW} HU as air is: clipped, cropped, or no Hounsfield units"
        )
        return [found("hu-no-air", case, message)]
    return []


def _share_above(counts: NDArray[np.int64], hu: int) -> float:
    return float(counts[hu + len(counts) // 2 + 1 :].sum() / counts.sum())
