"""The DICOM objects of a predicted mask, which refer to the series that it was made from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lts.base import LtsError, StorageError, VolumeError
from lts.cohort import ScanSource
from lts.volume import (
    DicomRtstructWriter,
    DicomSegWriter,
    Geometry,
    SegLayout,
    check_dicom_seg,
    format_of,
    refer_to,
)

DICOM_NAMES = {"dicom_seg": "DICOM SEG", "dicom_rtstruct": "RTSTRUCT"}
"""By kind, what an object is called."""

_ENDINGS = {"dicom_seg": "_mask.dcm", "dicom_rtstruct": "_rtstruct.dcm"}

_Writer = DicomSegWriter | DicomRtstructWriter


@dataclass(frozen=True, kw_only=True)
class DicomChoice:
    """Which DICOM objects are written of a mask.

    Attributes:
        dicom_seg: How regions become segments of a SEG; None for no SEG.
        dicom_rtstruct: Whether an RTSTRUCT is written.

    Example:
        >>> DicomChoice(dicom_seg="nested", dicom_rtstruct=True).files("a")
        {'dicom_seg': 'a_mask.dcm', 'dicom_rtstruct': 'a_rtstruct.dcm'}
    """

    dicom_seg: SegLayout | None = None
    dicom_rtstruct: bool = False

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
    the scan nor the other objects.

    Args:
        source: The scan.
        regions: Regions in channel order.
        choice: Which objects.

    Attributes:
        refused: By kind, why an object cannot be written.

    Example:
        >>> source = ScanSource("a", Path("a.nii.gz"))
        >>> DicomObjects(source, ["liver"], DicomChoice(dicom_rtstruct=True)).refused
        {'dicom_rtstruct': 'a.nii.gz: dicom_rtstruct=true needs a DICOM series, got NIfTI'}
    """

    def __init__(self, source: ScanSource, regions: Sequence[str], choice: DicomChoice) -> None:
        self.refused: dict[str, str] = {}
        self._choice = choice
        self._writers: dict[str, _Writer] = {}
        kinds = tuple(choice.outputs)
        if not kinds:
            return
        try:
            if source.series is None:
                asked = ", ".join(f"{kind}=true" for kind in kinds)
                need = "needs" if len(kinds) == 1 else "need"
                found = format_of(source.path).name
                raise VolumeError(f"{source.path}: {asked} {need} a DICOM series, got {found}")
            referred = refer_to(source.series)
        except VolumeError as error:
            self.refused = dict.fromkeys(kinds, str(error))
            return
        makers: dict[str, Callable[..., _Writer]] = {
            "dicom_seg": partial(DicomSegWriter, layout=choice.dicom_seg or "nested"),
            "dicom_rtstruct": DicomRtstructWriter,
        }
        for kind in kinds:
            try:
                self._writers[kind] = makers[kind](referred, regions=regions)
            except VolumeError as error:
                self.refused[kind] = str(error)

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the series could not be taken over as it is, and what readers may not expect."""
        writers = (writer for kind, writer in self._writers.items() if kind not in self.refused)
        return tuple(dict.fromkeys(note for writer in writers for note in writer.notes))

    def write(
        self, folder: Path, stem: str, labels_zhw: NDArray[np.uint8], *, geometry: Geometry
    ) -> dict[str, str]:
        """Write those that can be written; the others are `refused`.

        Args:
            folder: Where they go.
            stem: What the names of their files begin with.
            labels_zhw: `(Z, H, W)` labels 0, 1, 2.
            geometry: The grid of the scan.

        Returns:
            Names of files by kind.

        Raises:
            StorageError: A file cannot be written.
        """
        written = {}
        for kind, name in self._choice.files(stem).items():
            if kind in self.refused:
                continue
            try:
                self._writers[kind].write(folder / name, labels_zhw, geometry=geometry)
            except StorageError:  # no fault of the object
                raise
            except LtsError as error:
                self.refused[kind] = str(error)
            else:
                written[kind] = name
        return written
