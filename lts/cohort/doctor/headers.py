"""What the headers of a case tell, without a voxel of it."""

from lts.base import VolumeError
from lts.cohort.case import Case
from lts.cohort.doctor.findings import CHECKS, Finding, found
from lts.volume import Geometry, match_mask_grid, read_geometry

SPACING_MM = (0.2, 20.0)
"""The finest detectors of CT resolve 0.2 mm, and a liver of 150 mm is not told in voxels of more than 20 mm.
Spacing in cm or m for mm, or the other way round, lies outside."""


def refusal(case: str, error: VolumeError) -> Finding:
    """The finding that a reader's error is."""
    return found(error.code if error.code in CHECKS else "refused", case, str(error))


def judge_spacing(case: str, geometry: Geometry) -> list[Finding]:
    """Tell a spacing that no CT or MR of an abdomen has."""
    least_mm, most_mm = SPACING_MM
    spacing_mm = geometry.spacing_mm
    if least_mm <= min(spacing_mm) <= max(spacing_mm) <= most_mm:
        return []
    told = " x ".join(f"{edge:.4g}" for edge in spacing_mm)
    message = f"spacing is {told} mm (slices, rows, columns), must be {least_mm:g} to {most_mm:g} mm"
    return [found("spacing-implausible", case, message)]


def check_headers(case: Case) -> tuple[Finding, ...]:
    """Tell of a case what costs no more than to open its files: errors and warnings, notes left out."""
    try:
        image = read_geometry(case.image)
    except VolumeError as error:
        return (refusal(case.id, error),)
    findings = judge_spacing(case.id, image)
    if case.mask:
        try:
            match_mask_grid(case.mask, read_geometry(case.mask), image=image)
        except VolumeError as error:
            findings.append(refusal(case.id, error))
    return tuple(findings)
