"""DICOM structure sets: read by pydicom and matplotlib alone, contours give back the voxels of the mask."""

import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from dicom_kit import find_dicom_series, read_dicom_ct, read_dicom_mr
from matplotlib.path import Path as Polygon
from pydicom import Dataset, dcmread

from lts.base import ConfigError, VolumeError
from lts.volume import DicomRtstructWriter, DicomSeries, Volume, _dicom_rtstruct

DIRECTIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "axial, feet first and face down": (-1, 0, 0, 0, -1, 0),
    "axial, rows from front to back": (0, 1, 0, -1, 0, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "oblique": (0.8, 0.6, 0, -0.36, 0.48, 0.8),
}
SHAPE = (9, 6, 5)  # columns, rows, slices
NOT_AXIAL = "RTSTRUCT: its planes are not axial, and many readers expect that they are."

Masks = dict[str, npt.NDArray[np.bool_]]


def _only(folder: Path) -> DicomSeries:
    (series,) = find_dicom_series(folder)
    return series


def _labels(volume: Volume) -> npt.NDArray[np.uint8]:
    """Labels without any symmetry, in many pieces and with holes; none in the first slice."""
    labels = np.random.default_rng(0).integers(0, 3, volume.geometry.shape).astype(np.uint8)
    labels[..., 0] = 0
    labels[:, :, 2] = np.maximum(labels[:, :, 2], 1)
    return np.ascontiguousarray(volume.geometry.to_canonical(labels))


def _write(series: DicomSeries, volume: Volume, labels: npt.NDArray[np.uint8], **more: Any) -> Dataset:
    path = series.folder.parent / "rtstruct.dcm"
    DicomRtstructWriter(series, version="1.2.3", **more).write(path, labels, geometry=volume.geometry)
    return dcmread(path)


def _planes(header: Dataset) -> dict[int | None, tuple[Any, Any, Any]]:
    """Position, orientation and spacing of each frame of a file, by its number; of a single one by None."""
    if "PerFrameFunctionalGroupsSequence" not in header:
        return {None: (header.ImagePositionPatient, header.ImageOrientationPatient, header.PixelSpacing)}
    shared = header.SharedFunctionalGroupsSequence[0]
    planes: dict[int | None, tuple[Any, Any, Any]] = {}
    for number, group in enumerate(header.PerFrameFunctionalGroupsSequence, start=1):
        (orientation,) = (group if "PlaneOrientationSequence" in group else shared).PlaneOrientationSequence
        (measures,) = (group if "PixelMeasuresSequence" in group else shared).PixelMeasuresSequence
        position = group.PlanePositionSequence[0].ImagePositionPatient
        planes[number] = (position, orientation.ImageOrientationPatient, measures.PixelSpacing)
    return planes


def _inside(structures: Dataset, label: str, folder: Path) -> Masks:
    """The `(rows, columns)` pixels of an ROI by the position of their plane, as any reader finds them."""
    headers = {h.SOPInstanceUID: h for h in (dcmread(path) for path in folder.rglob("*.dcm"))}
    (number,) = [roi.ROINumber for roi in structures.StructureSetROISequence if roi.ROIName == label]
    (contours,) = [
        roi.get("ContourSequence", [])
        for roi in structures.ROIContourSequence
        if roi.ReferencedROINumber == number
    ]
    found: Masks = {}
    for contour in contours:
        (image,) = contour.ContourImageSequence
        header = headers[image.ReferencedSOPInstanceUID]
        assert header.SOPClassUID == image.ReferencedSOPClassUID
        position, orientation, spacing = _planes(header)[image.get("ReferencedFrameNumber")]
        points = np.array(contour.ContourData, float).reshape(-1, 3) - np.array(position, float)
        assert contour.ContourGeometricType == "CLOSED_PLANAR"
        assert len(points) == contour.NumberOfContourPoints
        row, column = np.array(orientation, float).reshape(2, 3)
        np.testing.assert_allclose(points @ np.cross(row, column), 0, atol=1e-6)  # in the plane of its image
        pixels = np.column_stack([points @ row / float(spacing[1]), points @ column / float(spacing[0])])
        rows, columns = np.indices((header.Rows, header.Columns))
        middles = np.column_stack([columns.ravel(), rows.ravel()])
        inside = Polygon(pixels).contains_points(middles).reshape(rows.shape)
        before = found.get(tuple(map(float, position)), np.zeros_like(inside))
        assert not (before & inside).any()  # so the union is the same as the exclusive one
        found[tuple(map(float, position))] = before | inside
    return found


def _expected(on_truth: npt.NDArray[Any], truth: npt.NDArray[Any], smallest: int) -> Masks:
    """The same of labels `(columns, rows, slices)` whose places are known."""
    # transposed, labels are (slices, rows, columns)
    masks = {
        tuple(map(float, truth[0, 0, index])): plane
        for index, plane in enumerate(np.transpose(on_truth) >= smallest)
    }
    return {place: mask for place, mask in masks.items() if mask.any()}


def _assert_same(found: Masks, expected: Masks) -> None:
    places = np.array(list(expected)).reshape(-1, 3)
    assert len(found) == len(expected)
    for place, mask in found.items():
        nearest = int(np.linalg.norm(places - place, axis=1).argmin())
        np.testing.assert_allclose(places[nearest], place, atol=1e-3)
        np.testing.assert_array_equal(mask, list(expected.values())[nearest])


@pytest.mark.parametrize("along", [1.0, -1.0])
@pytest.mark.parametrize("name", DIRECTIONS)
def test_contours_give_back_the_voxels_where_the_scan_has_them(
    name: str, along: float, phantoms: Any
) -> None:
    directions = DIRECTIONS[name]
    folder = phantoms.series(phantoms.stored(SHAPE), directions=directions, along=along)
    series = _only(folder)
    volume = read_dicom_ct(series)
    labels = _labels(volume)
    structures = _write(series, volume, labels)

    # where each label lies follows from the scan's headers alone, and not from any reader of lts
    truth = phantoms.lps(SHAPE, directions=directions, along=along)
    on_truth = phantoms.at(truth, labels, volume.geometry.canonical_affine)
    _assert_same(_inside(structures, "Liver", folder), _expected(on_truth, truth, 1))
    _assert_same(_inside(structures, "Tumor", folder), _expected(on_truth, truth, 2))
    notes = DicomRtstructWriter(series).notes
    assert notes == (() if name.startswith("axial") else (NOT_AXIAL,))


def test_a_voxel_and_a_hole_keep_their_place_and_size(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored(SHAPE))
    series = _only(folder)
    volume = read_dicom_ct(series)
    stored = np.zeros(SHAPE, np.uint8)
    stored[1:8, 1:6, 3] = 1
    stored[4, 3, 3] = 0  # a hole
    stored[6, 2, 3] = 2  # a tumor of one voxel
    labels = np.ascontiguousarray(volume.geometry.to_canonical(stored))
    structures = _write(series, volume, labels)
    liver, tumor = (roi.ContourSequence for roi in structures.ROIContourSequence)
    assert (len(liver), len(tumor)) == (1, 1)
    points = np.array(tumor[0].ContourData, float).reshape(-1, 3)
    truth = phantoms.lps(SHAPE)
    np.testing.assert_allclose(points.mean(axis=0), truth[6, 2, 3], atol=1e-6)
    np.testing.assert_allclose(np.ptp(points, axis=0), [0.998 * 0.5, 0.998 * 0.75, 0], atol=1e-6)
    _assert_same(_inside(structures, "Liver", folder), _expected(stored, truth, 1))


def test_frames_of_one_file_are_referred_to_by_their_numbers(phantoms: Any) -> None:
    folder = phantoms.enhanced(phantoms.stored(SHAPE), modality="MR")
    series = _only(folder)
    volume = read_dicom_mr(series)
    labels = _labels(volume)
    structures = _write(series, volume, labels)
    truth = phantoms.lps(SHAPE)
    on_truth = phantoms.at(truth, labels, volume.geometry.canonical_affine)
    _assert_same(_inside(structures, "Liver", folder), _expected(on_truth, truth, 1))
    _assert_same(_inside(structures, "Tumor", folder), _expected(on_truth, truth, 2))


def test_each_region_is_an_roi_that_says_what_it_is_and_what_made_it(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored(SHAPE))
    series = _only(folder)
    volume = read_dicom_ct(series)
    structures = _write(series, volume, np.minimum(_labels(volume), 1))
    source = dcmread(series.files[0])
    assert (structures.Modality, structures.ApprovalStatus) == ("RTSTRUCT", "UNAPPROVED")
    assert (structures.PatientID, structures.PatientName) == ("P1", "Phantom")
    assert structures.StudyInstanceUID == source.StudyInstanceUID
    assert structures.SeriesInstanceUID != source.SeriesInstanceUID
    rois = [
        (roi.ROINumber, roi.ROIName, roi.ROIGenerationAlgorithm, roi.ROIGenerationDescription)
        for roi in structures.StructureSetROISequence
    ]
    assert rois == [(1, "Liver", "AUTOMATIC", "lts 1.2.3"), (2, "Tumor", "AUTOMATIC", "lts 1.2.3")]
    for roi in structures.StructureSetROISequence:
        assert roi.ReferencedFrameOfReferenceUID == source.FrameOfReferenceUID
    shown = [
        (
            item.ReferencedROINumber,
            item.RTROIInterpretedType,
            item.RTROIIdentificationCodeSequence[0].CodeValue,
        )
        for item in structures.RTROIObservationsSequence
    ]
    assert shown == [(1, "ORGAN", "10200004"), (2, "GTV", "108369006")]
    colors = [tuple(roi.ROIDisplayColor) for roi in structures.ROIContourSequence]
    assert colors == [(240, 228, 66), (255, 106, 19)]
    # a tumor that was sought and not found has an ROI, and no contour
    assert ["ContourSequence" in roi for roi in structures.ROIContourSequence] == [True, False]
    (frame,) = structures.ReferencedFrameOfReferenceSequence
    (study,) = frame.RTReferencedStudySequence
    (referred,) = study.RTReferencedSeriesSequence
    assert frame.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert study.ReferencedSOPInstanceUID == source.StudyInstanceUID
    assert referred.SeriesInstanceUID == series.uid
    images = {image.ReferencedSOPInstanceUID for image in referred.ContourImageSequence}
    assert images == set(phantoms.sop_uids(folder).values())


@pytest.mark.parametrize(
    ("regions", "labels"), [(["tumor"], ["Tumor"]), (["tumor", "liver"], ["Liver", "Tumor"])]
)
def test_only_the_regions_of_the_model_are_written(
    regions: list[str], labels: list[str], phantoms: Any
) -> None:
    series = _only(phantoms.series(phantoms.stored(SHAPE)))
    volume = read_dicom_ct(series)
    structures = _write(series, volume, _labels(volume), regions=regions)
    assert [roi.ROIName for roi in structures.StructureSetROISequence] == labels


def test_a_contour_longer_than_64_kib_is_whole(phantoms: Any) -> None:
    shape = (1600, 3, 2)
    folder = phantoms.series(phantoms.stored(shape))
    series = _only(folder)
    volume = read_dicom_ct(series)
    stored = np.zeros(shape, np.uint8)
    stored[:, 2, 1], stored[::2, 1, 1] = 1, 1  # a comb
    structures = _write(series, volume, np.ascontiguousarray(volume.geometry.to_canonical(stored)))
    (contour,) = structures.ROIContourSequence[0].ContourSequence
    assert contour.NumberOfContourPoints == 3202
    assert len("\\".join(map(str, contour.ContourData))) > 2**16
    _assert_same(_inside(structures, "Liver", folder), _expected(stored, phantoms.lps(shape), 1))


def test_a_mask_of_noise_is_refused_before_it_takes_all_memory(
    phantoms: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_dicom_rtstruct, "_MOST_CONTOURS", 10)
    series = _only(phantoms.series(phantoms.stored(SHAPE)))
    volume = read_dicom_ct(series)
    told = r"rtstruct\.dcm: contours of tumor must be at most 10 of 5000000 corners, got more: it lies in too"
    with pytest.raises(VolumeError, match=told):
        _write(series, volume, _labels(volume), regions=["tumor"])
    assert not (phantoms.folder / "rtstruct.dcm").exists()


def test_what_cannot_be_written_is_refused(phantoms: Any) -> None:
    series = _only(phantoms.series(phantoms.stored(SHAPE)))
    volume = read_dicom_ct(series)
    labels, path = _labels(volume), phantoms.folder / "rtstruct.dcm"
    writer = DicomRtstructWriter(series)
    with pytest.raises(VolumeError, match=r"rtstruct\.nii: must end in \.dcm"):
        writer.write(path.with_suffix(".nii"), labels, geometry=volume.geometry)
    with pytest.raises(VolumeError, match=r"rtstruct\.dcm: labels must be among \[0, 1, 2\], got 0 to 4"):
        writer.write(path, labels * 2, geometry=volume.geometry)
    with pytest.raises(ConfigError, match=r"^regions: must name one or more"):
        DicomRtstructWriter(series, regions=["spleen"])
    other = read_dicom_ct(_only(phantoms.series(phantoms.stored(SHAPE), name="other", along=-1.0)))
    with pytest.raises(VolumeError, match=r"rtstruct\.dcm: the mask's grid must be that of its series"):
        writer.write(path, labels, geometry=other.geometry)
    assert not path.exists()


def test_dciodvfy_finds_no_error(phantoms: Any) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed: apt-get install dicom3tools")
    series = _only(phantoms.series(phantoms.stored(SHAPE)))
    volume = read_dicom_ct(series)
    for labels in (_labels(volume), np.zeros_like(_labels(volume))):
        _write(series, volume, labels)
        path = phantoms.folder / "rtstruct.dcm"
        done = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False)
        assert "RTStructureSet" in done.stderr  # the kind of object it took it for
        assert [line for line in done.stderr.splitlines() if "Error" in line] == []


@pytest.mark.parametrize("name", ["dicom/small_ct", "odd"])
def test_a_real_series_has_contours_where_it_lies(name: str, real_data: Path, tmp_path: Path) -> None:
    series = _only(real_data / name)
    volume = (read_dicom_ct if series.modality == "CT" else read_dicom_mr)(series)
    labels = np.zeros(volume.voxels.shape, np.uint8)
    labels[1:4, 20:35, 10:30] = 1  # toward the foot, the front, the right
    labels[2, 25, 15] = 0
    labels[2, 22:24, 11:19] = 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        DicomRtstructWriter(series).write(tmp_path / "a.dcm", labels, geometry=volume.geometry)
        structures = dcmread(tmp_path / "a.dcm")
        found = {label: _inside(structures, label, real_data / name) for label in ("Liver", "Tumor")}
    stored = volume.geometry.to_disk(labels)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.geometry.affine
    places = np.moveaxis(np.indices(stored.shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    for label, smallest in (("Liver", 1), ("Tumor", 2)):
        _assert_same(found[label], _expected(stored, places, smallest))
