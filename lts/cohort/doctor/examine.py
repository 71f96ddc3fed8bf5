"""Every case of a cohort read and judged, several at once."""

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
from lts.cohort.doctor.intensity import count_values, judge_intensity
from lts.cohort.doctor.labels import judge_labels
from lts.cohort.doctor.overlap import Content
from lts.cohort.doctor.placement import MOST_AIR, ODD_HU, measure_placement
from lts.cohort.doctor.repeats import judge_repeats
from lts.volume import Geometry, Volume, read_geometry, read_image, read_mask, read_mask_geometry

Result = TypeVar("Result")


@dataclass(frozen=True)
class CaseReport:
    """What was found of one case.

    Attributes:
        case: Id of the case.
        findings: What was found.
        content: What tells its image from others; None where it could not be read.
    """

    case: str
    findings: tuple[Finding, ...]
    content: Content | None


def examine_cases(cases: Sequence[Case], *, modality: Modality, progress: Progress) -> tuple[CaseReport, ...]:
    """Read and judge cases, on as many processes as there are processors.

    Args:
        cases: The cases.
        modality: What made the images; only of CT the values and the anatomy can be judged.
        progress: Told after each case.

    Returns:
        A report a case, in the order of `cases`.
    """
    reports: dict[str, CaseReport] = {}
    for report in in_processes(partial(examine_case, modality=modality), cases):
        reports[report.case] = report
        progress(len(reports), len(cases))
    return tuple(reports[case.id] for case in cases)


def examine_case(case: Case, *, modality: Modality) -> CaseReport:
    """Read and judge one case. Of a defect and what follows from it, only the defect is told."""
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
    """What was read; None and a finding where the reader refused it."""
    try:
        return read()
    except VolumeError as error:
        findings.append(refusal(case.id, error))
        return None


def _read_mask(findings: list[Finding], case: Case, grid: Geometry | None) -> Volume | None:
    """The mask; without a grid of its image no more than its header can be proven."""
    path = case.mask
    assert path is not None
    if grid:
        return _kept(findings, case, lambda: read_mask(path, image=grid))
    _kept(findings, case, lambda: read_mask_geometry(path))
    return None


def _judge_place(case: str, image: Volume, mask: Volume) -> list[Finding]:
    """Tell a mask that does not lie on its image, or where it does, a scan that does not lie as is said."""
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
    """Tell a scan that does not lie as its header says, or where the header says nothing, as is assumed."""
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
    """How often each value occurs: the same however the axes of a scan are turned, and not of two scans."""
    values = counts if counts is not None else np.sort(image.voxels, axis=None)
    return Content(voxels=hashlib.sha256(values.tobytes()).hexdigest(), grid=image.geometry.header.hex())
