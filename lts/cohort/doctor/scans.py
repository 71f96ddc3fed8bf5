"""Warnings on a predicted scan: the checks of cohorts that need no reference."""

import numpy as np
from numpy.typing import NDArray

from lts.base import Modality
from lts.cohort.doctor.findings import Finding
from lts.cohort.doctor.headers import judge_grid
from lts.cohort.doctor.labels import judge_volume
from lts.cohort.doctor.repeats import judge_repeats
from lts.volume import Volume


def scan_warnings(
    scan: Volume, labels: NDArray[np.uint8], *, modality: Modality, liver_ml: float | None
) -> list[str]:
    """Warnings on an implausible scan, and on an implausible liver predicted in it.

    Of a defect and its consequences only the defect is reported: with a wrong grid not the volume.

    Args:
        scan: The scan.
        labels: `(Z, H, W)`, predicted.
        modality: Modality of the scan.
        liver_ml: Volume of the predicted liver; None if the model has no liver, 0 if none was found.

    Returns:
        Sentences.
    """
    doubts = judge_grid(None, scan.geometry)
    if modality == "ct" and not doubts:
        doubts = judge_repeats(None, scan.voxels, voxel=scan.geometry.voxel)
    if liver_ml and not doubts and not scan.geometry.unproven:
        doubts = judge_volume(None, labels, liver_ml)
    return [_sentence(doubt) for doubt in doubts]


def _sentence(doubt: Finding) -> str:
    return f"{doubt.message[0].upper()}{doubt.message[1:]}."
