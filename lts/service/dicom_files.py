"""The DICOM objects of a result, written when one of them is asked for."""

import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from lts.base import StorageError
from lts.cohort import ScanSource
from lts.inference import DICOM_NAMES, DicomChoice, DicomObjects, Findings
from lts.service.planes import read_labels
from lts.service.refusals import RefusedError, lost, not_the_senders
from lts.volume import Geometry

DicomKind = Literal["seg", "rtstruct", "sr"]
"""Of an object, as in addresses and settings."""

DICOM_KINDS: tuple[DicomKind, ...] = get_args(DicomKind)

STEM = "scan"
"""What the names of their files begin with."""


def choice_of(kinds: Collection[DicomKind]) -> DicomChoice:
    """The choice of some kinds.

    Raises:
        ConfigError: There is a report without a SEG.

    Example:
        >>> choice_of(["seg", "sr"]).files("scan")
        {'dicom_seg': 'scan_mask.dcm', 'dicom_sr': 'scan_report.dcm'}
    """
    return DicomChoice(
        dicom_seg="nested" if "seg" in kinds else None,
        dicom_rtstruct="rtstruct" in kinds,
        dicom_sr="sr" in kinds,
    )


_CHOICE = choice_of(DICOM_KINDS)


def file_name(kind: DicomKind, stem: str = STEM) -> str:
    """The name of the file of an object.

    Example:
        >>> file_name("rtstruct", "liver-7")
        'liver-7_rtstruct.dcm'
    """
    return _CHOICE.files(stem)[f"dicom_{kind}"]


def names_by_reason(reasons: Mapping[str, str]) -> dict[str, list[str]]:
    """What objects are called, by what is told of them.

    Example:
        >>> names_by_reason({"dicom_seg": "full", "dicom_rtstruct": "broken", "dicom_sr": "full"})
        {'full': ['DICOM SEG', 'DICOM SR'], 'broken': ['RTSTRUCT']}
    """
    names: dict[str, list[str]] = {}
    for kind, reason in reasons.items():
        names.setdefault(reason, []).append(DICOM_NAMES[kind])
    return names


class DicomFiles:
    """The DICOM objects of the mask of a series.

    They take seconds, and a reader who looks at the scan need not wait for them; the headers that they take
    over stay in memory until then. Several threads may ask.

    Args:
        source: The series, which may be gone once this is made.
        regions: Regions in channel order.
        models: What a report says of the models, a line each.
        geometry: The grid of the scan.
        findings: What was measured of the labels.

    Attributes:
        notes: What of the series could not be taken over, and what readers may not expect.
    """

    def __init__(
        self,
        source: ScanSource,
        regions: Sequence[str],
        *,
        models: Sequence[str],
        geometry: Geometry,
        findings: Findings,
    ) -> None:
        objects = DicomObjects(source, regions, _CHOICE, models=models)
        self.notes = objects.notes
        self._objects: DicomObjects | None = objects
        self._refused = dict(objects.refused)
        self._geometry, self._findings = geometry, findings
        self._lock = threading.Lock()

    @property
    def kinds(self) -> tuple[DicomKind, ...]:
        """Those that there are."""
        return tuple(kind for kind in DICOM_KINDS if f"dicom_{kind}" not in self._refused)

    @property
    def refused(self) -> dict[str, list[str]]:
        """By reason, what cannot be written for it."""
        return names_by_reason(self._refused)

    def read(self, kind: DicomKind, folder: Path) -> bytes:
        """The content of an object.

        Args:
            kind: Which.
            folder: Of the result; the files are written there once.

        Raises:
            RefusedError: There is none, or the memory or the disk is too small.
            FileNotFoundError: The folder has gone.
        """
        with self._lock:
            if self._objects is not None:
                self._write(self._objects, folder)
                self._objects = None
        if (reason := self._refused.get(f"dicom_{kind}")) is not None:
            raise RefusedError(404, f"this scan has no such DICOM object: {reason}")
        return (folder / file_name(kind)).read_bytes()

    def _write(self, objects: DicomObjects, folder: Path) -> None:
        labels = np.empty(self._geometry.canonical_shape, np.uint8)
        for place, one in zip(labels, read_labels(folder, shape=labels.shape), strict=True):
            place[:] = one
        try:
            objects.write(folder, STEM, labels, geometry=self._geometry, findings=self._findings)
        except (MemoryError, StorageError) as error:
            raise (not_the_senders(error) or lost()) from error
        self._refused = {kind: reason.replace(f"{folder}/", "") for kind, reason in objects.refused.items()}
