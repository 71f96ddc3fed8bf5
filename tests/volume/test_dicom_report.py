"""DICOM reports, read by pydicom alone: what was measured, of which segment, and where each lesion lies."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from dicom_kit import find_dicom_series, read_dicom_ct, read_dicom_mr
from matplotlib.path import Path as Polygon
from pydicom import Dataset, dcmread

from lts.base import VolumeError
from lts.volume import (
    DicomReportWriter,
    DicomSegWriter,
    DicomSeries,
    ReportedLesion,
    Volume,
    _dicom_report,
    refer_to,
)

SHAPE = (9, 6, 5)  # columns, rows, slices
OBLIQUE = (0.8, 0.6, 0, -0.36, 0.48, 0.8)
MODELS = ("checkpoint bäst.ckpt, SHA-256 0a1b",)
REGION_ML = {"liver": 1500.25, "tumor": 3.125}
LESIONS = (ReportedLesion(3.0, 21.5), ReportedLesion(0.125, 1.25))


def _only(folder: Path) -> DicomSeries:
    (series,) = find_dicom_series(folder)
    return series


def _numbers() -> npt.NDArray[np.int32]:
    """Two lesions `(columns, rows, slices)`: one in two slices with a hole, one of a single voxel."""
    numbers = np.zeros(SHAPE, np.int32)
    numbers[2:7, 1:5, 2:4] = 1
    numbers[4, 2, 3] = 0
    numbers[8, 5, 1] = 2
    return numbers


def _write(
    series: DicomSeries, volume: Volume, numbers: npt.NDArray[np.int32], **more: Any
) -> tuple[Dataset, Dataset]:
    """The report and the segmentation."""
    told: dict[str, Any] = {"region_ml": REGION_ML, "lesions": LESIONS} | more
    seg, report = (series.folder.parent / name for name in ("seg.dcm", "report.dcm"))
    numbers = np.ascontiguousarray(volume.geometry.to_canonical(numbers))
    labels = np.where(numbers > 0, 2, 1).astype(np.uint8)
    referred = refer_to(series)
    segmentation = DicomSegWriter(referred).write(seg, labels, geometry=volume.geometry)
    DicomReportWriter(referred, models=MODELS, version="1.2.3").write(
        report, segmentation=segmentation, numbers_zhw=numbers, geometry=volume.geometry, **told
    )
    return dcmread(report), dcmread(seg)


def _named(item: Dataset, meaning: str) -> list[Dataset]:
    """The parts of a content item that are called so."""
    return [part for part in item.ContentSequence if part.ConceptNameCodeSequence[0].CodeMeaning == meaning]


def _groups(report: Dataset) -> dict[str, Dataset]:
    """Groups of measurements by their tracking identifiers."""
    (measurements,) = _named(report, "Imaging Measurements")
    groups = _named(measurements, "Measurement Group")
    return {_named(group, "Tracking Identifier")[0].TextValue: group for group in groups}


def _values(group: Dataset) -> dict[tuple[str, str], tuple[float, str]]:
    """Values and UCUM units of a group, by code and meaning."""
    found = {}
    for item in group.ContentSequence:
        if item.ValueType == "NUM":
            (name,), (value,) = item.ConceptNameCodeSequence, item.MeasuredValueSequence
            (unit,) = value.MeasurementUnitsCodeSequence
            assert unit.CodingSchemeDesignator == "UCUM"
            assert float(value.NumericValue) == pytest.approx(value.FloatingPointValue)
            found[name.CodeValue, name.CodeMeaning] = (float(value.NumericValue), unit.CodeValue)
    return found


def _drawn(group: Dataset, shape: tuple[int, int]) -> dict[tuple[str, int | None], npt.NDArray[np.bool_]]:
    """The `(rows, columns)` pixels of a lesion by the image, and its frame, that they are drawn on."""
    rows, columns = np.indices(shape)
    middles = np.column_stack([columns.ravel(), rows.ravel()]) + 0.5  # the first pixel begins at 0
    found: dict[tuple[str, int | None], npt.NDArray[np.bool_]] = {}
    for region in _named(group, "Image Region"):
        points = np.array(region.GraphicData, float).reshape(-1, 2)
        assert (region.ValueType, region.GraphicType) == ("SCOORD", "POLYLINE")
        assert (points[0] == points[-1]).all()
        (image,) = (part.ReferencedSOPSequence[0] for part in region.ContentSequence)
        key = (image.ReferencedSOPInstanceUID, image.get("ReferencedFrameNumber"))
        inside = Polygon(points).contains_points(middles).reshape(shape)
        found[key] = found.get(key, np.zeros_like(inside)) | inside
    return found


def test_what_was_measured_is_told_of_each_segment_and_lesion(phantoms: Any) -> None:
    series = _only(phantoms.series(phantoms.stored(SHAPE)))
    report, seg = _write(series, read_dicom_ct(series), _numbers())
    assert (report.Modality, report.CompletionFlag, report.VerificationFlag) == (
        "SR",
        "COMPLETE",
        "UNVERIFIED",
    )
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert (report.PatientID, report.StudyInstanceUID) == ("P1", seg.StudyInstanceUID)
    groups = _groups(report)
    assert list(groups) == ["Liver", "Tumor", "Lesion 1", "Lesion 2"]
    volume, longest = ("118565006", "Volume"), ("103339001", "Long axis")
    assert _values(groups["Liver"]) == {volume: (1500.25, "cm3")}
    assert _values(groups["Tumor"]) == {volume: (3.125, "cm3")}
    assert _values(groups["Lesion 1"]) == {volume: (3.0, "cm3"), longest: (21.5, "mm")}
    assert _values(groups["Lesion 2"]) == {volume: (0.125, "cm3"), longest: (1.25, "mm")}
    for name, kind in (("Liver", "10200004"), ("Tumor", "108369006"), ("Lesion 2", "108369006")):
        (finding,) = _named(groups[name], "Finding")
        assert finding.ConceptCodeSequence[0].CodeValue == kind
    (site,) = _named(groups["Lesion 1"], "Finding Site")
    assert site.ConceptCodeSequence[0].CodeValue == "10200004"
    for group in groups.values():
        assert [
            _named(group, f"Algorithm {what}")[0].TextValue for what in ("Name", "Version", "Parameters")
        ] == [
            "lts",
            "1.2.3",
            "checkpoint b?st.ckpt, SHA-256 0a1b",
        ]


def test_groups_of_regions_refer_to_their_segments_and_the_series(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored(SHAPE))
    series = _only(folder)
    report, seg = _write(series, read_dicom_ct(series), _numbers())
    labels = {part.SegmentLabel: part.SegmentNumber for part in seg.SegmentSequence}
    for name in ("Liver", "Tumor"):
        (item,) = _named(_groups(report)[name], "Referenced Segment")
        (referred,) = item.ReferencedSOPSequence
        assert referred.ReferencedSOPInstanceUID == seg.SOPInstanceUID
        assert referred.ReferencedSOPClassUID == seg.SOPClassUID
        assert referred.ReferencedSegmentNumber == labels[name]
        (source,) = _named(_groups(report)[name], "Source Series for Segmentation")
        assert source["UID"].value == series.uid
    evidence = {
        image.ReferencedSOPInstanceUID: referred.SeriesInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for referred in study.ReferencedSeriesSequence
        for image in referred.ReferencedSOPSequence
    }
    images = dict.fromkeys(phantoms.sop_uids(folder).values(), series.uid)
    assert evidence == {**images, seg.SOPInstanceUID: seg.SeriesInstanceUID}


@pytest.mark.parametrize("along", [1.0, -1.0])
def test_lesions_are_drawn_on_the_slices_that_they_lie_on(along: float, phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored(SHAPE), directions=OBLIQUE, along=along)
    series = _only(folder)
    volume = read_dicom_ct(series)
    numbers = _numbers()
    report, _ = _write(series, volume, numbers)
    canonical = np.ascontiguousarray(volume.geometry.to_canonical(numbers))
    truth = phantoms.lps(SHAPE, directions=OBLIQUE, along=along)
    on_truth = phantoms.at(truth, canonical, volume.geometry.canonical_affine)
    uids = phantoms.sop_uids(folder)
    groups = _groups(report)
    for number in (1, 2):
        drawn = _drawn(groups[f"Lesion {number}"], (SHAPE[1], SHAPE[0]))
        expected = {
            uids[tuple(map(float, truth[0, 0, index]))]: (on_truth[..., index] == number).T
            for index in range(SHAPE[2])
            if (on_truth[..., index] == number).any()
        }
        assert {uid for uid, _ in drawn} == set(expected)
        for (uid, _), inside in drawn.items():
            np.testing.assert_array_equal(inside, expected[uid])


def test_lesions_are_drawn_on_frames_by_their_numbers(phantoms: Any) -> None:
    folder = phantoms.enhanced(phantoms.stored(SHAPE), modality="MR")
    series = _only(folder)
    report, _ = _write(series, read_dicom_mr(series), _numbers())
    source, truth = dcmread(series.files[0]), phantoms.lps(SHAPE)
    for number in (1, 2):
        drawn = _drawn(_groups(report)[f"Lesion {number}"], (SHAPE[1], SHAPE[0]))
        found = {}
        for (uid, frame), inside in drawn.items():
            assert uid == source.SOPInstanceUID
            group = source.PerFrameFunctionalGroupsSequence[frame - 1]
            place = group.PlanePositionSequence[0].ImagePositionPatient
            index = int(np.linalg.norm(truth[0, 0] - np.array(place, float), axis=1).argmin())
            found[index] = inside
        lesion = _numbers() == number
        assert set(found) == set(np.flatnonzero(lesion.any(axis=(0, 1))).tolist())
        for index, inside in found.items():
            np.testing.assert_array_equal(inside, lesion[..., index].T)


def test_a_scan_without_a_tumor_has_a_tumor_of_no_volume_and_no_lesion(phantoms: Any) -> None:
    series = _only(phantoms.series(phantoms.stored(SHAPE)))
    report, _ = _write(
        series,
        read_dicom_ct(series),
        np.zeros(SHAPE, np.int32),
        region_ml={"liver": 1500.0, "tumor": 0.0},
        lesions=(),
    )
    groups = _groups(report)
    assert list(groups) == ["Liver", "Tumor"]
    assert [*_values(groups["Tumor"]).values()] == [(0.0, "cm3")]


def test_a_report_that_cannot_be_written_is_refused(phantoms: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    series = _only(phantoms.series(phantoms.stored(SHAPE)))
    volume = read_dicom_ct(series)
    other = read_dicom_ct(_only(phantoms.series(phantoms.stored(SHAPE), name="other", along=-1.0)))
    numbers = np.ascontiguousarray(volume.geometry.to_canonical(_numbers()))
    referred = refer_to(series)
    seg = DicomSegWriter(referred).write(
        phantoms.folder / "seg.dcm", np.zeros(numbers.shape, np.uint8), geometry=volume.geometry
    )
    told: dict[str, Any] = {"segmentation": seg, "region_ml": REGION_ML, "lesions": LESIONS}
    writer, path = DicomReportWriter(referred), phantoms.folder / "report.dcm"
    with pytest.raises(VolumeError, match=r"report\.xml: must end in \.dcm"):
        writer.write(path.with_suffix(".xml"), numbers_zhw=numbers, geometry=volume.geometry, **told)
    with pytest.raises(VolumeError, match=r"report\.dcm: the mask's grid must be that of its series"):
        writer.write(path, numbers_zhw=numbers, geometry=other.geometry, **told)
    many = {**told, "lesions": LESIONS * 501}
    with pytest.raises(VolumeError, match=r"report\.dcm: a report must have at most 1000 lesions, got 1002"):
        writer.write(path, numbers_zhw=numbers, geometry=volume.geometry, **many)
    monkeypatch.setattr(_dicom_report, "_MOST_OUTLINES", 2)
    with pytest.raises(VolumeError, match=r"outlines of lesions on slices must be at most 2, got 3"):
        writer.write(path, numbers_zhw=numbers, geometry=volume.geometry, **told)
    assert not path.exists()


def test_dciodvfy_finds_no_error(phantoms: Any) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed: apt-get install dicom3tools")
    series = _only(phantoms.series(phantoms.stored(SHAPE)))
    _write(series, read_dicom_ct(series), _numbers())
    path = phantoms.folder / "report.dcm"
    done = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False)
    assert "ComprehensiveSR" in done.stderr  # the kind of object it took it for
    assert [line for line in done.stderr.splitlines() if "Error" in line] == []
