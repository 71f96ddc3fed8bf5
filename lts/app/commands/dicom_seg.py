"""The DICOM SEG of a predicted scan; a SEG that fails does not affect the mask."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lts.app.run.console import print_line
from lts.app.run.provenance import library_versions
from lts.base import LtsError, StorageError, VolumeError
from lts.cohort import ScanSource
from lts.volume import DicomSegWriter, SegLayout, Volume, format_of


class Segmentation:
    """The mask of a scan as DICOM SEG.

    Made before there is a mask, so that problems are reported before the network runs. A problem does not
    stop the scan, which still gets its mask.

    Args:
        source: The scan.
        regions: Regions in channel order.
        layout: How regions become segments; None where no DICOM SEG is asked for.

    Attributes:
        notes: Attributes of the series that could not be copied unchanged, one sentence each.
    """

    def __init__(self, source: ScanSource, regions: Sequence[str], *, layout: SegLayout | None) -> None:
        self.notes: tuple[str, ...] = ()
        self._case, self._refused = source.case, ""
        self._writer: DicomSegWriter | None = None
        if layout is None:
            return
        try:
            if source.series is None:
                found = format_of(source.path).name
                raise VolumeError(f"{source.path}: dicom_seg=true needs a DICOM series, got {found}")
            version = library_versions()["lts"]
            self._writer = DicomSegWriter(source.series, regions=regions, version=version, layout=layout)
            self.notes = self._writer.notes
        except VolumeError as error:
            self._refuse(error)

    def write(self, folder: Path, mask: NDArray[np.uint8], scan: Volume) -> dict[str, str | None]:
        """Write it where it can be.

        Returns:
            `dicom_seg`, its name, or None with the reason in `dicom_seg_refused`; nothing where none is asked
            for.
        """
        name = f"{self._case}_mask.dcm"
        if self._writer is not None:
            try:
                self._writer.write(folder / name, mask, geometry=scan.geometry)
            except StorageError:  # no fault of the segmentation
                raise
            except LtsError as error:
                self._refuse(error)
        if self._refused:
            return {"dicom_seg": None, "dicom_seg_refused": self._refused}
        return {"dicom_seg": name} if self._writer is not None else {}

    def _refuse(self, error: LtsError) -> None:
        self._refused, self.notes = str(error), ()
        print_line(f"{self._case}: no DICOM SEG: {error}")
