"""The DICOM objects of a mask: together, alone, and what one that is refused costs the others."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_kit import find_dicom_series, read_dicom_ct
from pydicom import dcmread

from lts.base import ConfigError, VolumeError
from lts.cohort import ScanSource
from lts.inference import DicomChoice, DicomObjects, measure
from lts.volume import DicomSegWriter

ALL = DicomChoice(dicom_seg="nested", dicom_rtstruct=True, dicom_sr=True)
NAMES = {"dicom_seg": "a_mask.dcm", "dicom_rtstruct": "a_rtstruct.dcm", "dicom_sr": "a_report.dcm"}


def test_all_objects_of_a_mask_tell_of_the_same_voxels(phantoms: Any) -> None:
    shape = (9, 6, 5)
    (series,) = find_dicom_series(phantoms.series(phantoms.stored(shape)))
    scan = read_dicom_ct(series)
    stored = np.zeros(shape, np.uint8)
    stored[1:8, 1:6, 1:4] = 1
    stored[2, 2, 2], stored[5:7, 3:5, 2] = 2, 2
    labels = np.ascontiguousarray(scan.geometry.to_canonical(stored))
    findings = measure(labels, geometry=scan.geometry, regions=("liver", "tumor"))
    objects = DicomObjects(ScanSource("a", series.folder, series), ("liver", "tumor"), ALL)
    told = {"geometry": scan.geometry, "findings": findings}
    assert objects.write(phantoms.folder, "a", labels, **told) == NAMES
    seg, structures, report = (dcmread(phantoms.folder / name) for name in NAMES.values())
    assert (objects.refused, objects.notes) == ({}, ())
    assert len({one.StudyInstanceUID for one in (seg, structures, report)}) == 1
    assert len({one.SeriesInstanceUID for one in (seg, structures, report)}) == 3
    assert [len(roi.ContourSequence) for roi in structures.ROIContourSequence] == [3, 2]
    (measurements,) = (item for item in report.ContentSequence if item.ValueType == "CONTAINER")
    volumes = [
        float(
            next(item for item in group.ContentSequence if item.ValueType == "NUM")
            .MeasuredValueSequence[0]
            .NumericValue
        )
        for group in measurements.ContentSequence
    ]
    voxel_ml = 0.75 * 0.5 * 2.5 / 1000
    assert volumes == pytest.approx([7 * 5 * 3 * voxel_ml, 5 * voxel_ml, 4 * voxel_ml, voxel_ml])


def test_a_report_goes_with_its_segmentation_and_other_objects_do_not(
    phantoms: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (series,) = find_dicom_series(phantoms.series(phantoms.stored()))
    scan = read_dicom_ct(series)
    labels = np.zeros(scan.voxels.shape, np.uint8)
    findings = measure(labels, geometry=scan.geometry, regions=("liver",))
    source = ScanSource("a", series.folder, series)
    objects = DicomObjects(source, ["liver"], ALL)

    def fail(*_: object, **__: object) -> None:
        raise VolumeError("a segmentation cannot be made")

    monkeypatch.setattr(DicomSegWriter, "write", fail)
    told = {"geometry": scan.geometry, "findings": findings}
    written = objects.write(phantoms.folder, "a", labels, **told)
    assert written == {"dicom_rtstruct": "a_rtstruct.dcm"}
    assert objects.refused == dict.fromkeys(["dicom_seg", "dicom_sr"], "a segmentation cannot be made")
    monkeypatch.setattr(DicomSegWriter, "__init__", fail)
    objects = DicomObjects(source, ["liver"], ALL)
    assert objects.refused.keys() == {"dicom_seg", "dicom_sr"}
    assert objects.write(phantoms.folder, "a", labels, **told).keys() == {"dicom_rtstruct"}


@pytest.mark.parametrize("layout", ["disjoint", "labelmap", None])
def test_a_report_needs_segments_of_what_it_tells(layout: Any) -> None:
    with pytest.raises(ConfigError, match=r"^dicom_sr: .* needs .*dicom_seg"):
        DicomChoice(dicom_seg=layout, dicom_sr=True)


def test_without_a_series_all_are_refused_for_one_reason() -> None:
    objects = DicomObjects(ScanSource("a", Path("a.nrrd")), ["liver"], ALL)
    asked = "dicom_seg=true, dicom_rtstruct=true, dicom_sr=true"
    reason = f"a.nrrd: {asked} need a DICOM series, got NRRD"
    assert objects.refused == dict.fromkeys(NAMES, reason)
