"""Checks of every case of a cohort, several at once."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lts.base import Modality, Progress, VolumeError, in_processes
from lts.cohort.case import Case
from lts.cohort.doctor.anatomy import measure_anatomy
from lts.cohort.doctor.findings import Finding, Severity, found
from lts.cohort.doctor.headers import grid_findings, judge_grid, refusal
from lts.cohort.doctor.intensity import judge_intensity
from lts.cohort.doctor.labels import judge_labels
from lts.cohort.doctor.overlap import Content
from lts.cohort.doctor.placement import MOST_AIR, ODD_HU, measure_placement
from lts.cohort.doctor.repeats import judge_repeats
from lts.volume import (
    Geometry,
    Volume,
    count_values,
    read_geometry,
    read_image,
    read_mask,
    read_mask_geometry,
)

Result = TypeVar("Result")


@dataclass(frozen=True)
class CaseReport:
    """The findings on one case.

    Attributes:
        case: Id of the case.
        findings: The findings.
        content: Identifies its image; None if it could not be read.
    """

    case: str
    findings: tuple[Finding, ...]
    content: Content | None


def examine_cases(cases: Sequence[Case], *, modality: Modality, progress: Progress) -> tuple[CaseReport, ...]:
    """Check cases, on as many processes as there are processors.

    Args:
        cases: The cases.
        modality: Modality of the images; values and anatomy are checked for CT only.
        progress: Called after each case.

    Returns:
        One report per case, in the order of `cases`.
    """
    reports: dict[str, CaseReport] = {}
    for report in in_processes(partial(examine_case, modality=modality), cases):
        reports[report.case] = report
        progress(len(reports), len(cases))
    return tuple(reports[case.id] for case in cases)


def examine_case(case: Case, *, modality: Modality) -> CaseReport:
    """Check one case. Of a defect and its consequences only the defect is reported."""
    findings: list[Finding] = []
    image = _kept(findings, case, lambda: read_image(case.image, modality=modality))
    # the header of an image tells of its mask, even where its voxels cannot be read
    grid = image.geometry if image else _kept([], case, lambda: read_geometry(case.image))
    mask = _read_mask(findings, case, grid) if case.mask else None
    findings += grid_findings(case.id, image.notes if image else (), mask.notes if mask else ())
    wrong_mm = judge_grid(case.id, grid) if grid else []
    counts = count_values(image.voxels) if image and image.voxels.dtype == np.int16 else None
    wrong_hu = judge_intensity(case.id, counts) if counts is not None and modality == "ct" else []
    findings += wrong_mm + wrong_hu
    wrong_labels: list[Finding] = []
    if mask:
        voxel_ml = None if wrong_mm or mask.geometry.unproven else mask.geometry.voxel_volume_ml
        wrong_labels = judge_labels(case.id, mask.voxels, voxel_ml=voxel_ml)
    findings += wrong_labels
    if image and modality == "ct" and not (wrong_mm or wrong_hu):
        findings += judge_repeats(case.id, image.voxels, voxel=image.geometry.voxel)
        if mask and not any(finding.code in ("empty-mask", "no-liver") for finding in wrong_labels):
            findings += _judge_place(case.id, image, mask)
    return CaseReport(case.id, tuple(findings), _content(image, counts) if image else None)


def _kept(findings: list[Finding], case: Case, read: Callable[[], Result]) -> Result | None:
    """The result of a reader; None and a finding if it refused the file."""
    try:
        return read()
    except VolumeError as error:
        findings.append(refusal(case.id, error))
        return None


def _read_mask(findings: list[Finding], case: Case, grid: Geometry | None) -> Volume | None:
    """The mask; without the grid of its image only its header is checked."""
    path = case.mask
    assert path is not None
    if grid:
        return _kept(findings, case, lambda: read_mask(path, image=grid, labels=case.labels))
    _kept(findings, case, lambda: [read_mask_geometry(file) for file in case.mask_files])
    return None


def _judge_place(case: str, image: Volume, mask: Volume) -> list[Finding]:
    """Report a misplaced mask, or else a wrong orientation of the scan."""
    hu, labels, voxel = image.voxels, mask.voxels, image.geometry.voxel
    stays, better = measure_placement(hu, labels, voxel=voxel)
    if better:
        message = (
            f"{stays.odd:.0%} of the liver's label lie over {ODD_HU} HU from its median, {stays.air:.1%} are "
            f"air; where the mask is {better.move}, {better.odd:.1%} and {better.air:.1%}"
        )
        # where the mask that fits shows organs that lie the wrong way round, it is the image that is mirrored
        moved = measure_anatomy(hu, better.move.turned(labels), voxel=voxel)
        of_image = better.move.mirrored_alone in moved.wrong_axes
        return [found("image-misplaced" if of_image else "mask-misplaced", case, message)]
    if stays.air > MOST_AIR:
        message = f"{stays.air:.0%} of the liver's label are air, and no other place is found for the mask"
        return [found("mask-misplaced", case, message, severity="warning")]
    return _judge_anatomy(case, image, mask)


def _judge_anatomy(case: str, image: Volume, mask: Volume) -> list[Finding]:
    """Report a scan whose orientation is not that of its header, or not the assumed one."""
    at = measure_anatomy(image.voxels, mask.voxels, voxel=image.geometry.voxel)
    severity: Severity | None = "warning" if image.geometry.unproven else None
    messages = {
        "mirrored": f"the liver's center lies {at.liver_left_mm:.0f} mm left of the body's middle"
        if at.mirrored
        else "",
        "upside-down": f"the lungs lie {-at.lungs_above_mm:.0f} mm below the liver's center"
        if at.upside_down and at.lungs_above_mm is not None
        else "",
        "back-to-front": f"{at.bone_in_front:.0%} of the bone near the body's middle lies in front"
        if at.back_to_front
        else "",
    }
    return [found(code, case, message, severity=severity) for code, message in messages.items() if message]


def _content(image: Volume, counts: NDArray[np.int64] | None) -> Content:
    """A hash of value counts, which does not depend on the order and direction of axes."""
    values = counts if counts is not None else np.sort(image.voxels, axis=None)
    return Content(voxels=hashlib.sha256(values.tobytes()).hexdigest(), grid=image.geometry.header.hex())
