"""Measurements of a mask as a DICOM report, which refers to its segments and to the slices of its series."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lts import __version__
from lts.base import REGION_MIN_LABEL, VolumeError, check_regions
from lts.volume._dicom_calls import require
from lts.volume._dicom_files import DicomSeries
from lts.volume._dicom_referred import ReferredSeries, check_ending, refer_to
from lts.volume._dicom_seg import WrittenSeg
from lts.volume._dicom_terms import REPORT_SERIES, TERMS, code, head
from lts.volume._geometry import FloatArray, Geometry
from lts.volume._outlines import outlines

_CALLED = "a report"
_DESCRIPTION = "Liver tumor measurements by lts"
_MOST_LESIONS, _MOST_OUTLINES = 1000, 20_000
"""More are noise, of which nobody reads a report; each takes 0.1 MiB of memory."""

_SEG_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"


@dataclass(frozen=True)
class ReportedLesion:
    """What is reported of a lesion.

    Attributes:
        volume_ml: Its volume.
        longest_axial_mm: The greatest distance within it in one axial slice.

    Example:
        >>> ReportedLesion(volume_ml=0.5, longest_axial_mm=12.1).volume_ml
        0.5
    """

    volume_ml: float
    longest_axial_mm: float


@dataclass(frozen=True)
class _Outline:
    """An outline of a lesion on a slice.

    Attributes:
        index: Of the slice in the stack.
        corners: `(N, 2)`, as `outlines` gives them.
    """

    index: int
    corners: FloatArray


class DicomReportWriter:
    """Writes measurements as a DICOM SR, an Imaging Measurement Report by template TID 1500.

    Each region is a group of measurements that refers to its segment, each lesion one that has outlines of
    its own on the slices of the series, since a segment holds all lesions.

    To be made before there are measurements, as a report without a lesion is tried.

    Args:
        series: As of `DicomSegWriter`.
        regions: Which regions are reported; the liver with its tumors.
        models: What is said of the models, a line each.
        version: Of lts.

    Attributes:
        notes: What of the series had to be mended, left empty or left out, one sentence each.

    Raises:
        VolumeError: The series makes no volume, or cannot be referred to.
        ConfigError: No region or an unknown one, or highdicom is not installed.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from pydicom import dcmread
        >>> from pydicom.data import get_testdata_file
        >>> from lts.volume import DicomSegWriter, find_dicom, read_dicom, refer_to
        >>> with TemporaryDirectory() as folder:
        ...     for number in range(3):
        ...         dataset = dcmread(get_testdata_file("CT_small.dcm"))
        ...         dataset.SOPInstanceUID += f".{number}"
        ...         dataset.ImagePositionPatient = [-40, -40, 5 * number]
        ...         dataset.save_as(f"{folder}/{number}.dcm")
        ...     (series,) = find_dicom(Path(folder)).series
        ...     scan, referred = read_dicom(series), refer_to(series)
        ...     labels = np.ones(scan.voxels.shape, np.uint8)
        ...     seg = DicomSegWriter(referred, regions=["liver"]).write(
        ...         f"{folder}/seg.dcm", labels, geometry=scan.geometry
        ...     )
        ...     DicomReportWriter(referred, regions=["liver"]).write(
        ...         f"{folder}/report.dcm",
        ...         segmentation=seg,
        ...         region_ml={"liver": 1500.0},
        ...         lesions=(),
        ...         numbers_zhw=np.zeros(labels.shape, np.int32),
        ...         geometry=scan.geometry,
        ...     )
        ...     report = dcmread(f"{folder}/report.dcm")
        >>> report.ConceptNameCodeSequence[0].CodeMeaning, report.VerificationFlag
        ('Imaging Measurement Report', 'UNVERIFIED')
    """

    def __init__(
        self,
        series: DicomSeries | ReferredSeries,
        *,
        regions: Sequence[str] = tuple(REGION_MIN_LABEL),
        models: Sequence[str] = (),
        version: str = __version__,
    ) -> None:
        highdicom = require("highdicom")
        require("highdicom.sr")
        self._regions, self._version = check_regions(regions), version
        # the text of a report has the character set of its series
        self._models = [line.encode("ascii", "replace").decode() for line in models]
        self._referred = refer_to(series)
        self.notes = self._referred.notes
        numbers = {region: number for number, region in enumerate(self._regions, start=1)}
        seg = WrittenSeg(_SEG_STORAGE, highdicom.UID(), highdicom.UID(), numbers)
        nothing = dict.fromkeys(self._regions, 0.0)
        self._referred.rehearse(_CALLED, lambda: self._report(seg, nothing, (), ()))

    def write(
        self,
        path: str | os.PathLike[str],
        *,
        segmentation: WrittenSeg,
        region_ml: Mapping[str, float],
        lesions: Sequence[ReportedLesion],
        numbers_zhw: npt.NDArray[np.integer[Any]],
        geometry: Geometry,
    ) -> None:
        """Write a report. The file appears whole or not at all.

        Args:
            path: Ends in .dcm; an existing file is replaced.
            segmentation: Of the same regions, the liver's segment with its tumors.
            region_ml: The volume of each region.
            lesions: What was measured of each lesion.
            numbers_zhw: `(Z, H, W)` integers: n where the n-th of the lesions is, from 1.
            geometry: The grid of the series, as its reader gave it.

        Raises:
            VolumeError: The shape is not the grid's, the grid is not that of the series, or there are too
                many lesions, or pieces of them on slices.
            StorageError: The file cannot be written.
        """
        path = Path(path)
        check_ending(path)
        numbers = self._referred.numbers_on_slices(path, numbers_zhw, geometry=geometry)
        if len(lesions) > _MOST_LESIONS:
            raise VolumeError(
                f"{path}: a report must have at most {_MOST_LESIONS} lesions, got {len(lesions)}"
            )
        drawn = list(_outlines(numbers)) if lesions else []
        assert len(drawn) == len(lesions)
        if (n_outlines := sum(map(len, drawn))) > _MOST_OUTLINES:
            raise VolumeError(
                f"{path}: outlines of lesions on slices must be at most {_MOST_OUTLINES}, got {n_outlines}"
            )
        self._referred.write(_CALLED, path, lambda: self._report(segmentation, region_ml, lesions, drawn))

    def _report(
        self,
        segmentation: WrittenSeg,
        region_ml: Mapping[str, float],
        lesions: Sequence[ReportedLesion],
        drawn: Sequence[Sequence[_Outline]],
    ) -> Any:
        """A report of regions, and of lesions and their outlines."""
        sr = require("highdicom.sr")
        dcm = require("pydicom.sr.codedict").codes.DCM
        device = sr.DeviceObserverIdentifyingAttributes(
            uid=require("pydicom.uid").generate_uid(entropy_srcs=["lts", self._version]),
            name="lts",
            manufacturer_name="lts",
            model_name="lts",
            serial_number=self._version,
        )
        content = sr.MeasurementReport(
            observation_context=sr.ObservationContext(
                observer_device_context=sr.ObserverContext(dcm.Device, device)
            ),
            procedure_reported=code("ImagingProcedure"),
            imaging_measurements=[
                *(self._of_region(region, segmentation, region_ml[region]) for region in self._regions),
                *(
                    self._of_lesion(number, lesion, outlined)
                    for number, (lesion, outlined) in enumerate(zip(lesions, drawn, strict=True), start=1)
                ),
            ],
        )
        return sr.ComprehensiveSR(
            evidence=[*self._referred.source.headers, self._evidence(segmentation)],
            content=content[0],
            is_complete=True,
            # implicit, as explicit ones have no room for the length of a long outline
            transfer_syntax_uid=require("pydicom.uid").ImplicitVRLittleEndian,
            **head(REPORT_SERIES, _DESCRIPTION, version=self._version),
        )

    def _evidence(self, segmentation: WrittenSeg) -> Any:
        """The segmentation, as highdicom is told of what a report refers to."""
        item = require("pydicom").Dataset()
        item.StudyInstanceUID = self._referred.source.headers[0].StudyInstanceUID
        item.SeriesInstanceUID = segmentation.series_uid
        item.SOPClassUID = segmentation.sop_class_uid
        item.SOPInstanceUID = segmentation.sop_instance_uid
        return item

    def _of_region(self, region: str, segmentation: WrittenSeg, volume_ml: float) -> Any:
        sr = require("highdicom.sr")
        segment = sr.ReferencedSegment(
            sop_class_uid=segmentation.sop_class_uid,
            sop_instance_uid=segmentation.sop_instance_uid,
            segment_number=segmentation.segments[region],
            source_series=sr.SourceSeriesForSegmentation(self._referred.source.headers[0].SeriesInstanceUID),
        )
        return self._group(region, TERMS[region].label, [_volume(volume_ml)], referenced_segment=segment)

    def _of_lesion(self, number: int, lesion: ReportedLesion, drawn: Sequence[_Outline]) -> Any:
        measured = [_volume(lesion.volume_ml), _longest(lesion.longest_axial_mm)]
        regions = [self._image_region(outline) for outline in drawn]
        return self._group("tumor", f"Lesion {number}", measured, referenced_regions=regions)

    def _group(self, region: str, name: str, measured: Sequence[Any], **where: Any) -> Any:
        """A group of measurements of one finding."""
        sr, terms = require("highdicom.sr"), TERMS[region]
        return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(uid=require("highdicom").UID(), identifier=name),
            finding_category=code(terms.category),
            finding_type=code(terms.kind),
            finding_sites=None if region == "liver" else [sr.FindingSite(code("Liver"))],
            algorithm_id=sr.AlgorithmIdentification(
                name="lts", version=self._version, parameters=self._models or None
            ),
            measurements=measured,
            **where,
        )

    def _image_region(self, outline: _Outline) -> Any:
        """An outline in the coordinates of its image, whose first pixel begins at (0, 0) (PS3.3 C.18.6.1)."""
        sr = require("highdicom.sr")
        header, number = self._referred.image_of(outline.index)
        image = sr.SourceImageForRegion(
            header.SOPClassUID, header.SOPInstanceUID, None if number is None else [number]
        )
        closed = np.concatenate([outline.corners, outline.corners[:1]]) + 0.5
        return sr.ImageRegion(sr.GraphicTypeValues.POLYLINE, closed, image)


def _outlines(numbers: npt.NDArray[np.integer[Any]]) -> Iterator[list[_Outline]]:
    """The outlines of each lesion in `(slices, rows, columns)`, in the order of their numbers."""
    from scipy import ndimage  # slow to import, and needed for reports alone

    for number, box in enumerate(ndimage.find_objects(numbers), start=1):
        assert box is not None
        first, offset = box[0].start, np.array([box[2].start, box[1].start])
        yield [
            _Outline(first + index, corners + offset)
            for index, plane in enumerate(numbers[box] == number)
            for corners in outlines(plane)
        ]


def _volume(volume_ml: float) -> Any:
    units = require("pydicom.sr.codedict").codes.UCUM
    return require("highdicom.sr").Measurement(
        name=code("Volume"), value=float(volume_ml), unit=units.CubicCentimeter
    )


def _longest(longest_mm: float) -> Any:
    units = require("pydicom.sr.codedict").codes.UCUM
    return require("highdicom.sr").Measurement(
        name=code("LongAxis"), value=float(longest_mm), unit=units.Millimeter, derivation=code("Maximum")
    )
