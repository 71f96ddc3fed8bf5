"""A series that DICOM objects of a mask refer to: its slices in order, and what is taken over of it."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lts.base import VolumeError, written_whole
from lts.volume._dicom_calls import parsing, require
from lts.volume._dicom_files import DicomSeries
from lts.volume._dicom_source import Source, read_source
from lts.volume._dicom_stack import Stack, read_stack
from lts.volume._geometry import Geometry
from lts.volume._write import check_labels


@dataclass(frozen=True)
class ReferredSeries:
    """A series whose headers were read, for all objects that are written of one mask.

    Attributes:
        series: What was read.
        stack: Its slices in order.
        source: The headers that objects refer to.

    Example:
        See `refer_to`.
    """

    series: DicomSeries
    stack: Stack
    source: Source

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the series had to be mended, left empty or left out, one sentence each."""
        return self.source.notes

    def on_slices(
        self, path: Path, labels_zhw: npt.NDArray[np.integer[Any]], *, geometry: Geometry
    ) -> npt.NDArray[np.integer[Any]]:
        """Labels `(slices, rows, columns)`, in the order of the stack.

        Args:
            path: The file that they are for.
            labels_zhw: `(Z, H, W)` integers 0, 1, 2.
            geometry: Their grid.

        Raises:
            VolumeError: The file does not end in .dcm, the shape is not the grid's, a label is not known, or
                the grid is not that of the series.
        """
        check_ending(path)
        check_labels(path, labels_zhw, geometry=geometry)
        return self.numbers_on_slices(path, labels_zhw, geometry=geometry)

    def numbers_on_slices(
        self, path: Path, numbers_zhw: npt.NDArray[np.integer[Any]], *, geometry: Geometry
    ) -> npt.NDArray[np.integer[Any]]:
        """As `on_slices`, of any numbers.

        Raises:
            VolumeError: The shape is not the grid's, or the grid is not that of the series.
        """
        if geometry != self.stack.geometry:
            raise VolumeError(
                f"{path}: the mask's grid must be that of its series: mask {geometry.describe()}; "
                f"series {self.stack.geometry.describe()}"
            )
        # (columns, rows, slices) to (slices, rows, columns): slice i of the stack is frame i
        return geometry.to_disk(numbers_zhw).transpose(2, 1, 0)

    def image_of(self, index: int) -> tuple[Any, int | None]:
        """The header of a slice of the stack, and the number of its frame, from 1, if the file has many."""
        frame = self.stack.slices[index].frame
        headers = self.source.headers
        return (headers[index], None) if frame is None else (headers[0], frame + 1)

    def reference_to(self, index: int) -> Any:
        """An item that refers to the image of a slice of the stack."""
        header, number = self.image_of(index)
        item = require("pydicom").Dataset()
        item.ReferencedSOPClassUID = header.SOPClassUID
        item.ReferencedSOPInstanceUID = header.SOPInstanceUID
        if number is not None:
            item.ReferencedFrameNumber = number
        return item

    def rehearse(self, called: str, make: Callable[[], Any]) -> None:
        """Make an object without writing it, so that whatever stands in the way is known.

        Args:
            called: What it is, as "a report".
            make: Makes it.

        Raises:
            VolumeError: It cannot refer to the series.
        """
        with parsing(self.series.folder, broken=f"{called} cannot refer to it"):
            self._save(make(), BytesIO())

    def write(self, called: str, path: Path, make: Callable[[], Any]) -> Any:
        """Make an object and write it; returns it. The file appears whole or not at all.

        Raises:
            VolumeError: It cannot be made.
            StorageError: The file cannot be written.
        """
        with parsing(path, broken=f"{called} cannot be made"), written_whole(path) as stream:
            made = make()
            self._save(made, stream)
        return made

    def _save(self, made: Any, stream: BinaryIO) -> None:
        if self.source.charset:
            made.SpecificCharacterSet = self.source.charset
        made.save_as(stream)


def check_ending(path: Path) -> None:
    """Check the name of a DICOM file to be written.

    Raises:
        VolumeError: It does not end in .dcm.
    """
    if path.suffix != ".dcm":
        raise VolumeError(f"{path}: must end in .dcm")


def refer_to(series: DicomSeries | ReferredSeries) -> ReferredSeries:
    """Read the headers of a series, once for all objects that refer to it.

    Raises:
        VolumeError: The series makes no volume, or cannot be referred to.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from pydicom import dcmread
        >>> from pydicom.data import get_testdata_file
        >>> from lts.volume import find_dicom
        >>> with TemporaryDirectory() as folder:
        ...     for number in range(2):
        ...         dataset = dcmread(get_testdata_file("CT_small.dcm"))
        ...         dataset.SOPInstanceUID += f".{number}"
        ...         dataset.ImagePositionPatient = [-40, -40, 5 * number]
        ...         dataset.save_as(f"{folder}/{number}.dcm")
        ...     (series,) = find_dicom(Path(folder)).series
        ...     referred = refer_to(series)
        >>> len(referred.source.headers), refer_to(referred) is referred
        (2, True)
    """
    if isinstance(series, ReferredSeries):
        return series
    stack = read_stack(series, modality=series.modality)
    return ReferredSeries(series, stack, read_source(series, stack))
