"""The job of a series from a PACS: its mask as DICOM objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lts.base import StorageError, VolumeError
from lts.inference import DicomChoice, DicomObjects, Predictor, measure
from lts.service.dicom_files import STEM
from lts.service.jobs import Job
from lts.service.refusals import RefusedError, lost, not_the_senders
from lts.service.scans import Pending, message_to_sender, refusal_of, segment


@dataclass(frozen=True)
class SeriesObjects:
    """DICOM objects of the mask of a series.

    Attributes:
        files: By kind, those that are written; a SEG comes before the report that refers to it.
        refused: By kind, why the others are not.
        notes: On attributes; they tell no values.
    """

    files: Mapping[str, Path]
    refused: Mapping[str, str]
    notes: tuple[str, ...]


def objects_of(
    pending: Pending,
    predictor: Predictor,
    job: Job,
    *,
    folder: Path,
    choice: DicomChoice,
    models: Sequence[str],
) -> SeriesObjects:
    """A job: the mask of a DICOM series as DICOM objects.

    What stands in the way of one costs no other, but a report goes with its SEG. Where disk or memory are too
    small for one, those before it are there.

    Args:
        pending: The scan.
        predictor: Predicts it.
        job: May be dropped.
        folder: Where the objects are written.
        choice: Which objects.
        models: What a report says of the models, a line each.

    Raises:
        RefusedError: The scan cannot be read, or none of the objects can be written.
        JobDroppedError: The job was given up.
    """
    names = choice.files(STEM)
    objects = DicomObjects(pending.source, predictor.regions, choice, models=models)
    fault: RefusedError | None = None
    if objects.refused.keys() < names.keys():  # else there is nothing to predict for
        scan, labels, _ = segment(pending, predictor, job)
        findings = measure(labels, geometry=scan.geometry, regions=predictor.regions)
        try:
            objects.write(folder, STEM, labels, geometry=scan.geometry, findings=findings)
        except (MemoryError, StorageError) as error:
            fault = not_the_senders(error) or lost()
    files = {kind: folder / name for kind, name in names.items() if (folder / name).exists()}
    refused = {
        kind: message_to_sender(VolumeError(reason.replace(f"{folder}/", "")), pending.upload)
        for kind, reason in objects.refused.items()
    }
    if fault is not None:
        refused |= {kind: fault.detail for kind in names if kind not in files and kind not in refused}
    if not files:
        reasons = "; ".join(dict.fromkeys(refused.values()))
        raise fault or refusal_of(VolumeError(reasons), pending.upload)
    return SeriesObjects(files, refused, objects.notes)
