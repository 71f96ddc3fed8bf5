"""Checks of the headers of a case, without voxels."""

from lts.base import VolumeError
from lts.cohort.case import Case
from lts.cohort.doctor.findings import CHECKS, Finding, found
from lts.volume import Geometry, Note, grid_notes, match_mask_grid, read_geometry, read_mask_geometry

SPACING_MM = (0.2, 20.0)
"""The finest CT detectors resolve 0.2 mm, and a liver of 150 mm cannot be outlined in voxels above 20 mm.
Spacing in cm or m for mm, or the other way round, lies outside."""

MOST_ACROSS_MM = 1000.0
"""No scanner has so wide a bore: most have 0.7 m, and none shows more than 0.85 m."""

MOST_ALONG_MM = 2500.0
"""From head to foot, of slices: nobody is so long."""

_UNITS = {1000.0: "meter", 0.001: "micron"}


def refusal(case: str, error: VolumeError) -> Finding:
    """A reader's error as a finding."""
    return found(error.code if error.code in CHECKS else "refused", case, str(error))


def grid_findings(case: str, image: tuple[str, ...], mask: tuple[str, ...]) -> list[Finding]:
    """The notes of image and mask as findings; what applies to both is reported once."""
    of_image = [found(note.code, case, note) for note in image if isinstance(note, Note)]
    of_mask = [note for note in mask if isinstance(note, Note) and note not in image]
    return of_image + [found(note.code, case, f"of the mask: {note}") for note in of_mask]


def judge_grid(case: str | None, geometry: Geometry) -> list[Finding]:
    """Report a grid that is implausible by unit, spacing or size; at most one finding."""
    spacing_mm, gaps_mm = geometry.spacing_mm, geometry.voxel.gaps_mm
    if not _plausible(*spacing_mm, *gaps_mm):
        least_mm, most_mm = SPACING_MM
        message = f"spacing is {_by(spacing_mm)} mm (slices, rows, columns)"
        unit = _UNITS.get(geometry.mm_per_unit)
        as_mm = [edge / geometry.mm_per_unit for edge in spacing_mm]
        if unit and _plausible(*as_mm):
            message = (
                f"{message}, as the header counts in the {unit}; counted in mm it would be {_by(as_mm)} mm"
            )
            return [found("unit-implausible", case, message)]
        return [found("spacing-implausible", case, f"{message}, must be {least_mm:g} to {most_mm:g} mm")]
    extent_mm = [n * gap for n, gap in zip(geometry.canonical_shape, gaps_mm, strict=True)]
    if extent_mm[0] > MOST_ALONG_MM or max(extent_mm[1:]) > MOST_ACROSS_MM:
        message = f"the scan is {_by(extent_mm)} mm large (head to foot, front to back, right to left)"
        message = f"{message}, must be at most {MOST_ALONG_MM:g} mm long and {MOST_ACROSS_MM:g} mm wide"
        return [found("field-of-view", case, message)]
    return []


def check_headers(case: Case) -> tuple[Finding, ...]:
    """Errors and warnings of a case by its headers alone; notes are left out."""
    try:
        image = read_geometry(case.image)
    except VolumeError as error:
        return (refusal(case.id, error),)
    findings = judge_grid(case.id, image)
    of_mask: dict[str, None] = {}
    for file in case.mask_files:
        try:
            _, notes = match_mask_grid(file, read_mask_geometry(file), image=image)
            of_mask |= dict.fromkeys(notes)
        except VolumeError as error:
            findings.append(refusal(case.id, error))
    findings += grid_findings(case.id, grid_notes(image), tuple(of_mask))
    return tuple(finding for finding in findings if finding.severity != "note")


def _plausible(*edges_mm: float) -> bool:
    least_mm, most_mm = SPACING_MM
    return least_mm <= min(edges_mm) <= max(edges_mm) <= most_mm


def _by(edges_mm: tuple[float, ...] | list[float]) -> str:
    return " x ".join(f"{edge:.4g}" for edge in edges_mm)
