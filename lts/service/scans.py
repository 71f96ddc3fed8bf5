"""The jobs of scans: checked before they wait, read and segmented in turn."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lts.base import LIVER, REGION_MIN_LABEL, LtsError, VolumeError, listed, printable, shortened
from lts.cohort import ArchiveLimits, ScanSource, find_scans
from lts.inference import (
    Findings,
    Located,
    Predictor,
    measure,
    prediction_warnings,
)
from lts.service.dicom_files import DicomFiles
from lts.service.jobs import Job
from lts.service.planes import LABELS_FILE, VALUES_FILE, write_labels, write_values
from lts.service.refusals import RefusedError, lost, not_the_senders
from lts.service.settings import MIB, Limits
from lts.service.uploads import Upload
from lts.viewer import gray_windows
from lts.volume import MASK_SUFFIX, Volume, write_mask

MASK_FILE = f"mask{MASK_SUFFIX}"

_LONGEST_LINE = 500
_MOST_NAMED = 5
_PATH_CHARACTERS = 60
"""Characters of the beginning of a path that messages keep, however long it is."""


@dataclass(frozen=True)
class Pending:
    """An uploaded scan whose header was checked.

    Attributes:
        upload: The file.
        source: The one scan in it.
        passed_over: Other files in it, a sentence for each kind.
    """

    upload: Upload
    source: ScanSource
    passed_over: tuple[str, ...] = ()


def open_upload(upload: Upload, *, limits: Limits) -> Pending:
    """Find the one scan in an upload, without reading its voxels.

    Raises:
        RefusedError: There is none, or more than one, or it has too many voxels.
    """
    unpack_to = upload.path.with_name("series")
    archive = ArchiveLimits(max_bytes=limits.max_unpacked_mib * MIB, max_files=limits.max_files)
    try:
        found = find_scans(upload.path, unpack_to=unpack_to, limits=archive)
        sources = found.sources
        if len(sources) != 1:
            own = f"{upload.path.stem}_"  # the archive's name before that of its file
            names = listed((source.case.removeprefix(own) for source in sources), most=_MOST_NAMED)
            raise RefusedError(
                422, f"{upload.name}: must hold one scan, got {len(sources)}: {names}; send one a time"
            )
        n_voxels = sources[0].n_voxels()
    except LtsError as error:
        raise refusal_of(error, upload) from error
    if n_voxels > limits.max_voxels:
        raise RefusedError(
            413, f"{upload.name}: a scan must have at most {limits.max_voxels} voxels, got {n_voxels}"
        )
    return Pending(upload, sources[0], passed_over=found.passed_over)


def message_to_sender(error: LtsError, upload: Upload) -> str:
    """The message of an error with the sender's file name in place of paths of this machine."""
    folder = upload.path.parent
    message = str(error)
    for path, name in ((upload.path, upload.name), (folder / "series", upload.name), (folder, "")):
        message = message.replace(printable(path), name)
    # a path that was shortened still begins with our folder
    message = re.sub(re.escape(printable(folder)[:_PATH_CHARACTERS]) + r"\S*", lambda _: upload.name, message)
    return shortened(" ".join(message.split()), most=_LONGEST_LINE)


def refusal_of(error: LtsError, upload: Upload) -> RefusedError:
    """The refusal for an error about an upload: the file's fault, unless this machine caused it."""
    if not upload.path.exists():
        return lost()
    return not_the_senders(error) or RefusedError(422, message_to_sender(error, upload))


def segment(
    pending: Pending, predictor: Predictor, job: Job
) -> tuple[Volume, NDArray[np.uint8], tuple[Located | None, ...]]:
    """The scan, its labels `(Z, H, W)`, and where locators found the liver.

    Raises:
        RefusedError: The scan cannot be read.
        JobDroppedError: The job was given up.
    """
    try:
        scan = pending.source.read(modality=predictor.modality, check=job.check)
    except LtsError as error:
        raise refusal_of(error, pending.upload) from error
    depth = len(scan.voxels)
    job.on_slices(0, depth)
    located = predictor.find_liver(scan, check=job.check)
    labels = predictor.mask(
        scan, on_slab=lambda slab: job.on_slices(slab.slices.stop, depth), located=located
    )
    job.check()
    return scan, labels, located


def mask_of(pending: Pending, predictor: Predictor, job: Job) -> tuple[bytes, list[str]]:
    """A job: the mask of a scan, as the bytes of a file, and notes.

    Raises:
        RefusedError: The scan cannot be read.
        JobDroppedError: The job was given up.
    """
    scan, labels, located = segment(pending, predictor, job)
    path = pending.upload.path.with_name(MASK_FILE)
    write_mask(path, labels, geometry=scan.geometry)
    findings = measure(labels, geometry=scan.geometry, regions=predictor.regions)
    notes = _notes(pending, predictor, findings, scan=scan, labels=labels, located=located)
    return path.read_bytes(), notes


def result_of(
    pending: Pending, predictor: Predictor, job: Job, *, folder: Path, models: Sequence[str]
) -> tuple[dict[str, Any], DicomFiles | None]:
    """A job: the files that the page shows of a scan, the JSON answer, and the DICOM objects of a series.

    Args:
        pending: The scan.
        predictor: Predicts it.
        job: May be dropped.
        folder: Made here for the mask, and values and labels as planes are read from.
        models: What a DICOM report says of the models, a line each.

    Raises:
        RefusedError: The scan cannot be read.
        JobDroppedError: The job was given up.
    """
    start = monotonic()
    scan, labels, located = segment(pending, predictor, job)
    regions = predictor.regions
    findings = measure(labels, geometry=scan.geometry, regions=regions)
    job.check()
    folder.mkdir(mode=0o700)
    write_mask(folder / MASK_FILE, labels, geometry=scan.geometry)
    write_labels(folder / LABELS_FILE, labels)
    scale = write_values(folder / VALUES_FILE, scan.voxels)
    job.check()
    dicom = None
    if pending.source.series is not None:
        dicom = DicomFiles(pending.source, regions, models=models, geometry=scan.geometry, findings=findings)
    answer = {
        "case": pending.upload.case,
        "modality": predictor.modality,
        "regions": list(regions),
        "shape": list(labels.shape),
        "spacing_mm": list(scan.geometry.spacing_mm),
        "affine_ras_mm": scan.geometry.canonical_affine.tolist(),
        "start_zhw": _start(labels, findings),
        **findings.to_dict(),
        "pixels_per_slice": _pixels(labels, regions),
        "value_scale": {"slope": scale.slope, "intercept": scale.intercept},
        "windows": gray_windows(scan.voxels, labels, modality=predictor.modality),
        "notes": [
            *_notes(pending, predictor, findings, scan=scan, labels=labels, located=located),
            *(_dicom_notes(dicom, pending.upload) if dicom else ()),
        ],
        "seconds": round(monotonic() - start, 2),
    }
    return answer, dicom


def _dicom_notes(dicom: DicomFiles, upload: Upload) -> list[str]:
    refused = (
        f"No {' or '.join(names)}: {message_to_sender(VolumeError(reason), upload)}."
        for reason, names in dicom.refused.items()
    )
    return [*dicom.notes, *refused]


def _notes(
    pending: Pending,
    predictor: Predictor,
    findings: Findings,
    *,
    scan: Volume,
    labels: NDArray[np.uint8],
    located: Sequence[Located | None],
) -> list[str]:
    return [
        *(f"Passed over: {line}." for line in pending.passed_over),
        *prediction_warnings(
            findings,
            scan=scan,
            labels_zhw=labels,
            files=pending.source.files,
            modality=predictor.modality,
            checkpoints=predictor.checkpoints,
            located=located,
        ),
    ]


def _pixels(labels: NDArray[np.uint8], regions: tuple[str, ...]) -> dict[str, list[int]]:
    return {
        region: [int(np.count_nonzero(plane >= REGION_MIN_LABEL[region])) for plane in labels]
        for region in regions
    }


def _start(labels: NDArray[np.uint8], findings: Findings) -> list[int]:
    """The voxel to look at first: the center of the largest lesion, else of the liver, else of the scan."""
    if findings.lesions:
        center: Sequence[float] = findings.lesions[0].center_zhw
    else:
        in_liver = labels >= LIVER
        counts = [in_liver.sum(axis=axes) for axes in ((1, 2), (0, 2), (0, 1))]
        center = [
            float(np.average(np.arange(len(count)), weights=count)) if count.any() else len(count) // 2
            for count in counts
        ]
    return [round(index) for index in center]
