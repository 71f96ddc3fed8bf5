"""The DICOM objects of a predicted mask, which refer to the series that it was made from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lts.base import ConfigError, LtsError, StorageError, VolumeError, check_regions
from lts.cohort import ScanSource
from lts.inference.findings import Findings, number_lesions
from lts.volume import (
    DicomReportWriter,
    DicomRtstructWriter,
    DicomSegWriter,
    Geometry,
    ReportedLesion,
    SegLayout,
    WrittenSeg,
    check_dicom_seg,
    format_of,
    refer_to,
)

DICOM_NAMES = {"dicom_seg": "DICOM SEG", "dicom_rtstruct": "RTSTRUCT", "dicom_sr": "DICOM SR"}
"""By kind, what an object is called."""

_ENDINGS = {"dicom_seg": "_mask.dcm", "dicom_rtstruct": "_rtstruct.dcm", "dicom_sr": "_report.dcm"}

T = TypeVar("T")


def model_in_words(file: str, sha256: str) -> str:
    """What a report says of a checkpoint.

    Example:
        >>> model_in_words("best.ckpt", "0a1b")
        'checkpoint best.ckpt, SHA-256 0a1b'
    """
    return f"checkpoint {file}, SHA-256 {sha256}"


@dataclass(frozen=True, kw_only=True)
class DicomChoice:
    """Which DICOM objects are written of a mask.

    Attributes:
        dicom_seg: How regions become segments of a SEG; None for no SEG.
        dicom_rtstruct: Whether an RTSTRUCT is written.
        dicom_sr: Whether a report is written; it refers to the segments of a nested SEG.

    Raises:
        ConfigError: There is no such SEG for the report.

    Example:
        >>> DicomChoice(dicom_seg="nested", dicom_rtstruct=True).files("a")
        {'dicom_seg': 'a_mask.dcm', 'dicom_rtstruct': 'a_rtstruct.dcm'}
        >>> DicomChoice(dicom_sr=True)
        Traceback (most recent call last):
        lts.base...ConfigError: dicom_sr: refers to the segments of a DICOM SEG, and needs dicom_seg=true
    """

    dicom_seg: SegLayout | None = None
    dicom_rtstruct: bool = False
    dicom_sr: bool = False

    def __post_init__(self) -> None:
        if not self.dicom_sr:
            return
        if self.dicom_seg is None:
            raise ConfigError("dicom_sr: refers to the segments of a DICOM SEG, and needs dicom_seg=true")
        if self.dicom_seg != "nested":
            raise ConfigError(
                "dicom_sr: tells the volume of the liver with its tumors, and needs a segment of that, "
                f"dicom_seg_layout=nested, got {self.dicom_seg!r}"
            )

    @property
    def outputs(self) -> dict[str, Any]:
        """What is asked for, by kind."""
        return {kind: getattr(self, kind) for kind in DICOM_NAMES if getattr(self, kind)}

    def files(self, stem: str) -> dict[str, str]:
        """Names of files by kind; `stem` is what they begin with."""
        return {kind: stem + _ENDINGS[kind] for kind in self.outputs}

    def check(self) -> None:
        """Check what does not depend on a scan.

        Raises:
            ConfigError: There is no such layout, or pydicom or highdicom are not installed.
        """
        if self.outputs:
            check_dicom_seg(self.dicom_seg or "nested")


class DicomObjects:
    """The DICOM objects of the mask of one scan.

    Made before there is a mask, so that problems are known before a network runs. A problem stops neither
    the scan nor objects that do not refer to the one that it is about.

    Args:
        source: The scan.
        regions: Regions in channel order.
        choice: Which objects.
        models: What a report says of the models, a line each.

    Attributes:
        refused: By kind, why an object cannot be written.

    Example:
        >>> source = ScanSource("a", Path("a.nii.gz"))
        >>> DicomObjects(source, ["liver"], DicomChoice(dicom_rtstruct=True)).refused
        {'dicom_rtstruct': 'a.nii.gz: dicom_rtstruct=true needs a DICOM series, got NIfTI'}
    """

    def __init__(
        self, source: ScanSource, regions: Sequence[str], choice: DicomChoice, *, models: Sequence[str] = ()
    ) -> None:
        self.refused: dict[str, str] = {}
        self._choice, self._regions = choice, check_regions(regions)
        self._seg: DicomSegWriter | None = None
        self._rtstruct: DicomRtstructWriter | None = None
        self._report: DicomReportWriter | None = None
        kinds = tuple(choice.outputs)
        if not kinds:
            return
        try:
            if source.series is None:
                asked = ", ".join(f"{kind}=true" for kind in kinds)
                need = "needs" if len(kinds) == 1 else "need"
                found = format_of(source.path).name
                raise VolumeError(f"{source.path}: {asked} {need} a DICOM series, got {found}")
            series = refer_to(source.series)
        except VolumeError as error:
            self.refused = dict.fromkeys(kinds, str(error))
            return
        if layout := choice.dicom_seg:
            self._seg = self._tried(
                "dicom_seg", lambda: DicomSegWriter(series, regions=regions, layout=layout)
            )
        if choice.dicom_rtstruct:
            self._rtstruct = self._tried(
                "dicom_rtstruct", lambda: DicomRtstructWriter(series, regions=regions)
            )
        if choice.dicom_sr:
            self._report = self._tried(
                "dicom_sr", lambda: DicomReportWriter(series, regions=regions, models=models)
            )

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the series could not be taken over as it is, and what readers may not expect."""
        writers: dict[str, DicomSegWriter | DicomRtstructWriter | DicomReportWriter | None] = {
            "dicom_seg": self._seg,
            "dicom_rtstruct": self._rtstruct,
            "dicom_sr": self._report,
        }
        notes = (
            note
            for kind, writer in writers.items()
            if writer is not None and kind not in self.refused
            for note in writer.notes
        )
        return tuple(dict.fromkeys(notes))

    def write(
        self,
        folder: Path,
        stem: str,
        labels_zhw: NDArray[np.uint8],
        *,
        geometry: Geometry,
        findings: Findings,
    ) -> dict[str, str]:
        """Write those that can be written; the others are `refused`.

        Args:
            folder: Where they go.
            stem: What the names of their files begin with.
            labels_zhw: `(Z, H, W)` labels 0, 1, 2.
            geometry: The grid of the scan.
            findings: What was measured of the labels.

        Returns:
            Names of files by kind.

        Raises:
            StorageError: A file cannot be written.
        """
        names, segmentation = self._choice.files(stem), None
        if seg := self._seg:
            segmentation = self._tried(
                "dicom_seg", lambda: seg.write(folder / names["dicom_seg"], labels_zhw, geometry=geometry)
            )
        if rtstruct := self._rtstruct:
            self._tried(
                "dicom_rtstruct",
                lambda: rtstruct.write(folder / names["dicom_rtstruct"], labels_zhw, geometry=geometry),
            )
        if self._report and segmentation:
            self._write_report(
                folder / names["dicom_sr"],
                labels_zhw,
                report=self._report,
                segmentation=segmentation,
                geometry=geometry,
                findings=findings,
            )
        return {kind: name for kind, name in names.items() if kind not in self.refused}

    def _write_report(
        self,
        path: Path,
        labels_zhw: NDArray[np.uint8],
        *,
        report: DicomReportWriter,
        segmentation: WrittenSeg,
        geometry: Geometry,
        findings: Findings,
    ) -> None:
        measured = {"liver": findings.liver_ml, "tumor": findings.tumor_ml}
        lesions = [
            ReportedLesion(volume_ml=one.volume_ml, longest_axial_mm=one.longest_axial_mm)
            for one in findings.lesions or ()
        ]
        self._tried(
            "dicom_sr",
            lambda: report.write(
                path,
                segmentation=segmentation,
                region_ml={region: measured[region] or 0.0 for region in self._regions},
                lesions=lesions,
                numbers_zhw=number_lesions(labels_zhw),
                geometry=geometry,
            ),
        )

    def _tried(self, kind: str, make: Callable[[], T]) -> T | None:
        """What is made, or None if that is refused, and with it what refers to it."""
        try:
            return make()
        except StorageError:  # no fault of the object
            raise
        except LtsError as error:
            self.refused[kind] = str(error)
            if kind == "dicom_seg" and self._choice.dicom_sr:
                self.refused["dicom_sr"] = str(error)
            return None
