"""Masks from memory into DICOM structure sets: contours on the slices of the series they were made from."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lts import __version__
from lts.base import REGION_MIN_LABEL, VolumeError, check_regions
from lts.volume._dicom_calls import require
from lts.volume._dicom_files import DicomSeries
from lts.volume._dicom_referred import ReferredSeries, refer_to
from lts.volume._dicom_slices import Slice
from lts.volume._dicom_stack import DIRECTION_TOLERANCE
from lts.volume._dicom_terms import RTSTRUCT_SERIES, SERIES_DESCRIPTION, TERMS, algorithm, code, head
from lts.volume._geometry import FloatArray, Geometry
from lts.volume._outlines import outlines

_CALLED = "a structure set"
_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"
_STUDY = "1.2.840.10008.3.1.2.3.1"
"""Retired, and what a structure set still calls a study by."""

_MOST_CONTOURS, _MOST_CORNERS = 50_000, 5_000_000
"""Of a region: some ten times those of the largest livers. Masks of noise would take all memory."""

_NOT_AXIAL = "RTSTRUCT: its planes are not axial, and many readers expect that they are."


@dataclass(frozen=True)
class _Contour:
    """A closed contour.

    Attributes:
        index: Of its slice in the stack.
        points_mm: `(N, 3)`, LPS; the first point is not repeated.
    """

    index: int
    points_mm: FloatArray


class DicomRtstructWriter:
    """Writes labels as a DICOM RTSTRUCT: an ROI for each region, of contours on the slices of a series.

    The liver's ROI holds its tumors. The contours of a region on a slice run around its pixels as `outlines`
    has them, a hole joined to the outside by a channel, and each refers to its slice. Reading them by the
    middles of pixels gives back the mask.

    To be made before there are labels, as a structure set without a contour is tried.

    Args:
        series: As of `DicomSegWriter`.
        regions: Which regions the labels tell; others are not written.
        version: Of lts.

    Attributes:
        notes: What of the series had to be mended, left empty or left out, and what readers may not expect,
            one sentence each.

    Raises:
        VolumeError: The series makes no volume, or cannot be referred to.
        ConfigError: No region or an unknown one, or highdicom is not installed.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from pydicom import dcmread
        >>> from pydicom.data import get_testdata_file
        >>> from lts.volume import find_dicom, read_dicom
        >>> with TemporaryDirectory() as folder:
        ...     for number in range(3):
        ...         dataset = dcmread(get_testdata_file("CT_small.dcm"))
        ...         dataset.SOPInstanceUID += f".{number}"
        ...         dataset.ImagePositionPatient = [-40, -40, 5 * number]
        ...         dataset.save_as(f"{folder}/{number}.dcm")
        ...     (series,) = find_dicom(Path(folder)).series
        ...     scan = read_dicom(series)
        ...     labels = np.zeros(scan.voxels.shape, np.uint8)
        ...     labels[1, 50:60, 50:60] = 1
        ...     DicomRtstructWriter(series).write(f"{folder}/rt.dcm", labels, geometry=scan.geometry)
        ...     structures = dcmread(f"{folder}/rt.dcm")
        >>> [roi.ROIName for roi in structures.StructureSetROISequence]
        ['Liver', 'Tumor']
        >>> [len(roi.get("ContourSequence", ())) for roi in structures.ROIContourSequence]
        [1, 0]
    """

    def __init__(
        self,
        series: DicomSeries | ReferredSeries,
        *,
        regions: Sequence[str] = tuple(REGION_MIN_LABEL),
        version: str = __version__,
    ) -> None:
        require("highdicom")
        self._regions, self._version = check_regions(regions), version
        self._referred = refer_to(series)
        is_axial = _is_axial(self._referred.stack.slices[0])
        self.notes = (*self._referred.notes, *(() if is_axial else (_NOT_AXIAL,)))
        self._referred.rehearse(
            _CALLED, lambda: self._structure_set({region: [] for region in self._regions})
        )

    def write(
        self,
        path: str | os.PathLike[str],
        labels_zhw: npt.NDArray[np.integer[Any]],
        *,
        geometry: Geometry,
    ) -> None:
        """Write a structure set. The file appears whole or not at all.

        The ROI of a region without a voxel is described and has no contour: it was sought and not found.

        Args:
            path: Ends in .dcm; an existing file is replaced.
            labels_zhw: `(Z, H, W)` integers 0, 1, 2.
            geometry: The grid of the series, as its reader gave it.

        Raises:
            VolumeError: The shape is not the grid's, a label is not known, the grid is not that of the
                series, or a region lies in too many pieces.
            StorageError: The file cannot be written.
        """
        path = Path(path)
        labels = self._referred.on_slices(path, labels_zhw, geometry=geometry)
        contours = {
            region: self._contours(path, region, labels >= REGION_MIN_LABEL[region])
            for region in self._regions
        }
        self._referred.write(_CALLED, path, lambda: self._structure_set(contours))

    def _contours(self, path: Path, region: str, mask: npt.NDArray[np.bool_]) -> list[_Contour]:
        """The contours of a mask `(slices, rows, columns)`, from one end of the stack to the other.

        Raises:
            VolumeError: They are too many.
        """
        found: list[_Contour] = []
        n_corners = 0
        for index in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
            for outline in outlines(mask[index]):
                n_corners += len(outline)
                found.append(_Contour(index, _in_patient(outline, self._referred.stack.slices[index])))
            if len(found) > _MOST_CONTOURS or n_corners > _MOST_CORNERS:
                raise VolumeError(
                    f"{path}: contours of {region} must be at most {_MOST_CONTOURS} of {_MOST_CORNERS} "
                    "corners, got more: it lies in too many pieces"
                )
        return found

    def _structure_set(self, contours: dict[str, list[_Contour]]) -> Any:
        """A structure set of the contours of each region."""
        first = self._referred.source.headers[0]
        made = require("highdicom").SOPClass(
            study_instance_uid=first.StudyInstanceUID,
            sop_class_uid=_STORAGE,
            modality="RTSTRUCT",
            # implicit, as explicit ones have no room for the length of a long contour
            transfer_syntax_uid=require("pydicom.uid").ImplicitVRLittleEndian,
            **head(RTSTRUCT_SERIES, SERIES_DESCRIPTION, version=self._version),
        )
        made.copy_patient_and_study_information(first)
        made.OperatorsName = ""
        made.FrameOfReferenceUID = first.FrameOfReferenceUID
        made.PositionReferenceIndicator = first.get("PositionReferenceIndicator", "")
        made.StructureSetLabel = "LTS"
        made.StructureSetDate, made.StructureSetTime = made.InstanceCreationDate, made.InstanceCreationTime
        made.ReferencedFrameOfReferenceSequence = [self._frame_of_reference()]
        made.StructureSetROISequence = [self._roi(region) for region in self._regions]
        made.ROIContourSequence = [self._roi_contour(region, contours[region]) for region in self._regions]
        made.RTROIObservationsSequence = [self._observation(region) for region in self._regions]
        made.ApprovalStatus = "UNAPPROVED"
        return made

    def _number(self, region: str) -> int:
        return self._regions.index(region) + 1

    def _frame_of_reference(self) -> Any:
        """The space of the contours, and all images of the series."""
        new, first = require("pydicom").Dataset, self._referred.source.headers[0]
        series, study, frame = new(), new(), new()
        series.SeriesInstanceUID = first.SeriesInstanceUID
        series.ContourImageSequence = []
        for header in self._referred.source.headers:
            image = new()
            image.ReferencedSOPClassUID = header.SOPClassUID
            image.ReferencedSOPInstanceUID = header.SOPInstanceUID
            series.ContourImageSequence.append(image)
        study.ReferencedSOPClassUID = _STUDY
        study.ReferencedSOPInstanceUID = first.StudyInstanceUID
        study.RTReferencedSeriesSequence = [series]
        frame.FrameOfReferenceUID = first.FrameOfReferenceUID
        frame.RTReferencedStudySequence = [study]
        return frame

    def _roi(self, region: str) -> Any:
        """What an ROI is, and what made it."""
        item = require("pydicom").Dataset()
        item.ROINumber = self._number(region)
        item.ReferencedFrameOfReferenceUID = self._referred.source.headers[0].FrameOfReferenceUID
        item.ROIName = TERMS[region].label
        item.ROIGenerationAlgorithm = "AUTOMATIC"
        item.ROIGenerationDescription = f"lts {self._version}"
        item.ROIDerivationAlgorithmIdentificationSequence = algorithm(self._version)
        return item

    def _roi_contour(self, region: str, contours: Sequence[_Contour]) -> Any:
        """The contours of an ROI."""
        new = require("pydicom").Dataset
        roi = new()
        roi.ROIDisplayColor = list(TERMS[region].color)
        roi.ReferencedROINumber = self._number(region)
        items = []
        for number, contour in enumerate(contours, start=1):
            item = new()
            item.ContourImageSequence = [self._referred.reference_to(contour.index)]
            item.ContourGeometricType = "CLOSED_PLANAR"
            item.NumberOfContourPoints = len(contour.points_mm)
            item.ContourNumber = number
            # one text, as a file of implicit kinds holds it, since each number would be an object of Python
            item.add_new("ContourData", "UT", _decimals(contour.points_mm))
            items.append(item)
        if items:
            roi.ContourSequence = items
        return roi

    def _observation(self, region: str) -> Any:
        """What an ROI shows."""
        new, coded = require("pydicom").Dataset, require("highdicom.sr").CodedConcept.from_code
        terms, item = TERMS[region], new()
        item.ObservationNumber = item.ReferencedROINumber = self._number(region)
        item.SegmentedPropertyCategoryCodeSequence = [coded(code(terms.category))]
        item.RTROIIdentificationCodeSequence = [coded(code(terms.kind))]
        item.RTROIInterpretedType = terms.interpreted
        item.ROIInterpreter = ""
        return item


def _is_axial(each: Slice) -> bool:
    """Whether all of a slice lies at one height."""
    return max(abs(each.directions[2]), abs(each.directions[5])) <= DIRECTION_TOLERANCE


def _in_patient(outline: FloatArray, each: Slice) -> FloatArray:
    """Columns and rows of an image as `(N, 3)` LPS mm (PS3.3 C.7.6.2.1.1)."""
    row, column = np.array(each.directions).reshape(2, 3)
    between_rows, between_columns = each.spacing_mm
    along = outline[:, :1] * between_columns * row + outline[:, 1:] * between_rows * column
    places: FloatArray = np.array(each.position_mm) + along
    return places


def _decimals(points_mm: FloatArray) -> str:
    """Numbers of ten digits, which 16 characters always hold: of a thousandth of a pixel some remain."""
    return "\\".join(f"{number:.10g}" for number in (points_mm.round(9) + 0.0).ravel().tolist())
