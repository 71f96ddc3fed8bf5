"""Whether the labels of a mask can be a liver and its tumors."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lts.base import LABELS, LIVER, TUMOR
from lts.cohort.doctor.findings import Finding, found

LIVER_ML = (500.0, 4000.0)
"""A liver of adults has 0.8 to 2.2 l by Vauthey et al. (Liver Transpl 8:233-240, 2002): -794 + 1267 ml per m2
of body surface, here of 1.3 to 2.4 m2. Resection and childhood go below, disease above; look at others."""

MOST_BURDEN = 0.75
"""Share of the liver that may be tumor: hardly anybody lives with less than a quarter of healthy liver (the
least that surgeons leave is 20 to 25 %). More means mostly that the labels 1 and 2 are swapped."""

_EVERYWHERE = np.ones((3, 3, 3), np.bool_)

_Labels = NDArray[np.uint8]


def judge_labels(case: str, labels: _Labels, *, voxel_ml: float | None) -> list[Finding]:
    """Report what a mask lacks, and implausible content.

    Args:
        case: Id of the case.
        labels: `(Z, H, W)`, 0, 1, 2.
        voxel_ml: Volume of a voxel; None if it is not reliable, so that volumes are not checked.
    """
    counts = np.bincount(labels.ravel(), minlength=len(LABELS))
    liver, tumor = int(counts[LIVER:].sum()), int(counts[TUMOR])
    if not liver:
        return [found("empty-mask", case, "the mask labels neither liver nor tumor")]
    if liver == tumor:
        return [found("no-liver", case, f"the mask labels {tumor} voxels as tumor, none as liver")]
    findings = [] if tumor else [found("no-tumor", case, "the mask labels no tumor")]
    if voxel_ml is not None:
        findings += judge_volume(case, labels, liver * voxel_ml)
    burden = tumor / liver
    if burden > MOST_BURDEN:
        message = f"{burden:.0%} of the liver is labeled as tumor, more than {MOST_BURDEN:.0%}"
        findings.append(found("tumor-burden", case, message))
    return findings + _judge_place(case, labels)


def judge_volume(case: str | None, labels: _Labels, liver_ml: float) -> list[Finding]:
    """Report a liver of an implausible volume.

    Args:
        case: Id of the case.
        labels: `(Z, H, W)`; a liver that the scan cuts off may have any smaller volume.
        liver_ml: Volume of the liver with its tumors.
    """
    least_ml, most_ml = LIVER_ML
    if liver_ml > most_ml or (liver_ml < least_ml and not _reaches_border(labels)):
        message = f"the liver has {liver_ml:.0f} ml, of adults {least_ml:.0f} to {most_ml:.0f} ml are likely"
        return [found("liver-volume", case, message)]
    return []


def _reaches_border(labels: _Labels) -> bool:
    """Whether the liver reaches the border of the scan."""
    return any(bool(labels.take((0, -1), axis).any()) for axis in range(3))


def _judge_place(case: str, labels: _Labels) -> list[Finding]:
    """Report components of tumor that do not touch label 1, not even at a corner.

    By convention a tumor is part of the liver, so only its surroundings show whether it lies there.
    """
    boxes = ndimage.find_objects((labels == TUMOR).view(np.uint8))
    if not boxes:
        return []
    around = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in boxes[0])
    pieces, count = ndimage.label(labels[around] == TUMOR, structure=_EVERYWHERE)
    beside_liver = ndimage.binary_dilation(labels[around] == LIVER, structure=_EVERYWHERE)
    touching = np.unique(pieces[beside_liver])
    stray = np.setdiff1d(np.arange(1, count + 1), touching)
    if not stray.size:
        return []
    voxels = int(np.isin(pieces, stray).sum())
    message = f"{stray.size} of {count} pieces of tumor ({voxels} voxels) touch no voxel of liver"
    return [found("tumor-outside-liver", case, message)]
