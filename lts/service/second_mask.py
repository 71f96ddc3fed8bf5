"""A second mask beside that of a result, such as a reference or an earlier result: read and compared."""

from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from lts.base import LtsError
from lts.scores import CaseCounts, count_overlap, dice, region_masks
from lts.scores.overlap import defined
from lts.service.jobs import Job
from lts.service.planes import read_labels, write_labels
from lts.service.refusals import RefusedError, no_such_result, not_the_senders
from lts.service.results import Result
from lts.service.scans import MASK_FILE, refusal_of
from lts.service.uploads import DICOM_SUFFIX, Upload
from lts.volume import Geometry, match_mask_grid, read_dicom_seg, read_mask, read_mask_geometry

_OTHER_GRID = "grids-differ"


@dataclass(frozen=True)
class PendingMask:
    """An uploaded mask, whose grid was checked unless its file must be read for that.

    Attributes:
        upload: The file.
        result: What it is held against.
        geometry: The grid of both.
    """

    upload: Upload
    result: Result
    geometry: Geometry


def open_mask(upload: Upload, *, result: Result) -> PendingMask:
    """Hold the grid of an uploaded mask against that of a result, without reading a voxel.

    A DICOM SEG tells its grid frame by frame, so it is held against that of the result when it is read.

    Raises:
        RefusedError: It is no mask, or lies on another grid; or the result is no longer kept.
    """
    try:
        geometry = read_mask_geometry(result.folder / MASK_FILE)
    except LtsError as error:
        raise (not_the_senders(error) or no_such_result()) from error
    try:
        if not _is_dicom(upload):
            match_mask_grid(upload.path, read_mask_geometry(upload.path), image=geometry)
    except LtsError as error:
        raise _refusal_of(error, upload) from error
    return PendingMask(upload, result, geometry)


def comparison_of(pending: PendingMask, _: None, job: Job, *, labels: Path) -> dict[str, Any]:
    """A job: read a mask, compare it with that of the result, and write its labels.

    The regions are those of the result: what its model does not look for is not compared. The Dice of a
    region that neither mask has is not defined, None.

    Args:
        pending: The mask.
        job: May be dropped.
        labels: The file to write.

    Returns:
        The JSON answer, without links.

    Raises:
        RefusedError: The mask cannot be read, or the result is no longer kept.
        JobDroppedError: The job was given up.
    """
    upload, result = pending.upload, pending.result
    try:
        mask = (
            read_dicom_seg(upload.path, image=pending.geometry)
            if _is_dicom(upload)
            else read_mask(upload.path, image=pending.geometry)
        )
    except LtsError as error:
        raise _refusal_of(error, upload) from error
    regions, shape = result.answer["regions"], result.answer["shape"]
    slabs, differing = [], []
    try:
        for ours, theirs in zip(read_labels(result.folder, shape=shape), mask.voxels, strict=True):
            job.check()
            own, second = (region_masks(labels_hw, regions) for labels_hw in (ours, theirs))
            slabs.append(count_overlap(own[None], second[None]))
            differing.append(int(np.count_nonzero((own != second).any(axis=0))))
    except FileNotFoundError as error:
        raise no_such_result() from error
    write_labels(labels, mask.voxels)
    counts = CaseCounts.join(upload.case, pending.geometry.voxel_volume_ml, slabs)
    return {
        "name": upload.name,
        "regions": _scores(counts, regions),
        "differing_pixels_per_slice": differing,
        "notes": list(mask.notes),
    }


def _scores(counts: CaseCounts, regions: list[str]) -> list[dict[str, Any]]:
    """By region Dice and volumes; the result's own mask stands where a prediction does."""
    totals = counts.stacked.sum(axis=1).T.tolist()
    return [
        {
            "region": region,
            "dice": defined(dice(tp, fp, fn, empty=nan)),
            "own_ml": (tp + fp) * counts.voxel_volume_ml,
            "second_ml": (tp + fn) * counts.voxel_volume_ml,
            "both_ml": tp * counts.voxel_volume_ml,
        }
        for region, (tp, fp, fn) in zip(regions, totals, strict=True)
    ]


def _is_dicom(upload: Upload) -> bool:
    return upload.path.suffix == DICOM_SUFFIX


def _refusal_of(error: LtsError, upload: Upload) -> RefusedError:
    """As `refusal_of`, with a way on for a mask of another grid."""
    refusal = refusal_of(error, upload)
    if getattr(error, "code", "") == _OTHER_GRID and refusal.status == 422:
        return RefusedError(422, f"{refusal.detail}; resample it to the scan, or send another")
    return refusal
