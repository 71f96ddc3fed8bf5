"""DICOM segmentations: each voxel where the scan has it, told by pydicom alone and by highdicom."""

import sys
import warnings
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import numpy.typing as npt
import pytest
from dicom_kit import find_dicom_series, read_dicom_ct, read_dicom_mr
from pydicom import Dataset, dcmread

from lts.base import ConfigError, StorageError, VolumeError
from lts.volume import DicomSegWriter, DicomSeries, Volume, check_dicom_seg

DIRECTIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "axial, feet first and face down": (-1, 0, 0, 0, -1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "oblique": (0.8, 0.6, 0, -0.36, 0.48, 0.8),
}
SHAPE = (7, 5, 6)  # an odd number of pixels a frame: bits of frames share bytes


def _only(folder: Path) -> DicomSeries:
    (series,) = find_dicom_series(folder)
    return series


def _labels(volume: Volume, *, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Labels without any symmetry, with no voxel in the first and last slice and no tumor in the second."""
    labels = np.random.default_rng(seed).integers(0, 3, volume.geometry.shape).astype(np.uint8)
    labels[..., [0, -1]] = 0
    labels[..., 1] = np.minimum(labels[..., 1], 1)
    return np.ascontiguousarray(volume.geometry.to_canonical(labels))


def _write(
    path: Path, labels: npt.NDArray[np.uint8], series: DicomSeries, volume: Volume, **more: Any
) -> Dataset:
    settings = {"regions": ("liver", "tumor"), "version": "1.2.3"} | more
    DicomSegWriter(series, **settings).write(path, labels, geometry=volume.geometry)
    return dcmread(path)


def _inside(seg: Dataset, label: str) -> dict[tuple[float, float, float], set[tuple[int, int]]]:
    """By pydicom alone: the `(column, row)` pixels of a segment in the plane at each LPS position."""
    (number,) = [s.SegmentNumber for s in seg.SegmentSequence if s.SegmentLabel == label]
    n_pixels = seg.Rows * seg.Columns
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    shared, planes = seg.SharedFunctionalGroupsSequence[0], {}
    for index, group in enumerate(seg.PerFrameFunctionalGroupsSequence):
        (segment,) = (
            group if "SegmentIdentificationSequence" in group else shared
        ).SegmentIdentificationSequence
        if segment.ReferencedSegmentNumber == number:
            position = tuple(float(x) for x in group.PlanePositionSequence[0].ImagePositionPatient)
            frame = bits[index * n_pixels : (index + 1) * n_pixels].reshape(seg.Rows, seg.Columns)
            assert position not in planes
            planes[position] = {(int(column), int(row)) for row, column in np.argwhere(frame)}
    return planes


def _places(seg: Dataset, label: str) -> npt.NDArray[np.float64]:
    """`(n, 3)` LPS mm of the voxels of a segment."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    row, column = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    between_rows, between_columns = (float(x) for x in shared.PixelMeasuresSequence[0].PixelSpacing)
    places = [
        np.array(position) + x * between_columns * row + y * between_rows * column
        for position, pixels in _inside(seg, label).items()
        for x, y in pixels
    ]
    return np.array(places).reshape(-1, 3)


def _assert_same_places(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> None:
    assert len(found) == len(expected)
    distances = np.linalg.norm(found[:, None] - expected[None], axis=2)
    assert (np.sort(distances, axis=1)[:, 0] < 1e-3).all()
    assert (np.sort(distances, axis=0)[0] < 1e-3).all()


@pytest.mark.parametrize("along", [1.0, -1.0])
@pytest.mark.parametrize("name", DIRECTIONS)
def test_segments_lie_where_the_scan_has_them(name: str, along: float, phantoms: Any) -> None:
    directions = DIRECTIONS[name]
    folder = phantoms.series(phantoms.stored(SHAPE), directions=directions, along=along)
    series = _only(folder)
    volume = read_dicom_ct(series)
    labels = _labels(volume)
    seg = _write(phantoms.folder / "seg.dcm", labels, series, volume)

    # where each label lies follows from the scan's headers alone, and not from any reader of lts
    truth = phantoms.lps(SHAPE, directions=directions, along=along)
    on_truth = phantoms.at(truth, labels, volume.geometry.canonical_affine)
    _assert_same_places(_places(seg, "Liver"), truth[on_truth >= 1])
    _assert_same_places(_places(seg, "Tumor"), truth[on_truth == 2])


def test_each_frame_refers_to_the_slice_it_lies_on(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored(SHAPE))
    series = _only(folder)
    volume = read_dicom_ct(series)
    seg = _write(phantoms.folder / "seg.dcm", _labels(volume), series, volume)
    uids, source = phantoms.sop_uids(folder), dcmread(series.files[0])
    assert len(seg.PerFrameFunctionalGroupsSequence) == 4 + 3
    for group in seg.PerFrameFunctionalGroupsSequence:
        (reference,) = group.DerivationImageSequence[0].SourceImageSequence
        position = tuple(float(x) for x in group.PlanePositionSequence[0].ImagePositionPatient)
        assert reference.ReferencedSOPInstanceUID == uids[position]
    (referenced,) = seg.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == series.uid
    assert {r.ReferencedSOPInstanceUID for r in referenced.ReferencedInstanceSequence} == set(uids.values())
    assert seg.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert seg.StudyInstanceUID == source.StudyInstanceUID
    assert seg.SeriesInstanceUID != series.uid
    assert (seg.PatientID, seg.PatientName) == ("P1", "Phantom")


def test_segments_are_coded_and_name_what_made_them(phantoms: Any) -> None:
    series = _only(phantoms.series(phantoms.stored(SHAPE)))
    volume = read_dicom_ct(series)
    seg = _write(phantoms.folder / "seg.dcm", _labels(volume), series, volume)
    assert (seg.Modality, seg.SegmentationType, seg.BitsAllocated) == ("SEG", "BINARY", 1)
    assert seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices == 2.5
    codes = {
        segment.SegmentLabel: (
            segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue,
            segment.SegmentedPropertyTypeCodeSequence[0].CodeValue,
            [region.CodeValue for region in segment.get("AnatomicRegionSequence", [])],
        )
        for segment in seg.SegmentSequence
    }
    assert codes == {
        "Liver": ("91723000", "10200004", []),
        "Tumor": ("49755003", "108369006", ["10200004"]),  # a neoplasm, of the liver
    }
    for segment in seg.SegmentSequence:
        (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
        assert segment.SegmentAlgorithmType == "AUTOMATIC"
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("lts", "1.2.3")
        assert segment.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator == "SCT"


def test_highdicom_reads_the_same_labels_slice_by_slice(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored(SHAPE), directions=DIRECTIONS["oblique"])
    series = _only(folder)
    volume = read_dicom_ct(series)
    labels = _labels(volume)
    path = phantoms.folder / "seg.dcm"
    _write(path, labels, series, volume)
    seg = highdicom.seg.segread(path)
    headers = [dcmread(file) for file in series.files]
    frames = seg.get_pixels_by_source_instance(
        [header.SOPInstanceUID for header in headers], assert_missing_frames_are_empty=True
    )
    lps = phantoms.lps(SHAPE, directions=DIRECTIONS["oblique"])
    on_truth = phantoms.at(lps, labels, volume.geometry.canonical_affine)
    for header, frame in zip(headers, frames, strict=True):
        position = np.array(header.ImagePositionPatient, float)
        index = int(np.linalg.norm(lps[0, 0] - position, axis=1).argmin())
        np.testing.assert_array_equal(frame[..., 0], on_truth[..., index].T >= 1)
        np.testing.assert_array_equal(frame[..., 1], on_truth[..., index].T == 2)


def test_a_scan_without_a_tumor_has_a_tumor_segment_without_frames(phantoms: Any) -> None:
    series = _only(phantoms.series(phantoms.stored(SHAPE)))
    volume = read_dicom_ct(series)
    labels = np.minimum(_labels(volume), 1)
    path = phantoms.folder / "seg.dcm"
    seg = _write(path, labels, series, volume)
    assert [segment.SegmentLabel for segment in seg.SegmentSequence] == ["Liver", "Tumor"]
    assert len(_inside(seg, "Liver")) == 4
    assert _inside(seg, "Tumor") == {}
    frames = highdicom.seg.segread(path).get_pixels_by_source_instance(
        [dcmread(file).SOPInstanceUID for file in series.files], assert_missing_frames_are_empty=True
    )
    assert frames[..., 0].sum() == labels.sum()
    assert frames[..., 1].sum() == 0


def test_a_scan_without_a_liver_has_all_frames_and_no_voxel(phantoms: Any) -> None:
    series = _only(phantoms.series(phantoms.stored(SHAPE)))
    volume = read_dicom_ct(series)
    seg = _write(phantoms.folder / "seg.dcm", np.zeros_like(_labels(volume)), series, volume)
    for label in ("Liver", "Tumor"):
        planes = _inside(seg, label)
        assert len(planes) == SHAPE[2]
        assert not any(planes.values())


@pytest.mark.parametrize(
    ("regions", "labels"),
    [(["liver"], ["Liver"]), (["tumor"], ["Tumor"]), (["tumor", "liver"], ["Liver", "Tumor"])],
)
def test_only_the_regions_of_the_model_are_written(
    regions: list[str], labels: list[str], phantoms: Any
) -> None:
    series = _only(phantoms.series(phantoms.stored(SHAPE)))
    volume = read_dicom_ct(series)
    mask = _labels(volume)
    seg = _write(phantoms.folder / "seg.dcm", mask, series, volume, regions=regions)
    assert [segment.SegmentLabel for segment in seg.SegmentSequence] == labels
    for label, smallest in (("Liver", 1), ("Tumor", 2)):
        if label in labels:
            assert len(_places(seg, label)) == (mask >= smallest).sum()


@pytest.mark.parametrize("layout", ["disjoint", "labelmap"])
def test_no_voxel_is_in_two_segments_where_that_is_asked_for(layout: str, phantoms: Any) -> None:
    series = _only(phantoms.series(phantoms.stored(SHAPE), directions=DIRECTIONS["oblique"]))
    volume = read_dicom_ct(series)
    labels = _labels(volume)
    path = phantoms.folder / "seg.dcm"
    written = _write(path, labels, series, volume, layout=layout)
    assert written.SegmentationType == ("LABELMAP" if layout == "labelmap" else "BINARY")
    assert written.SegmentsOverlap == "NO"
    seg = highdicom.seg.segread(path)
    assert [seg.get_segment_description(number).SegmentLabel for number in (1, 2)] == [
        "Liver without tumor",
        "Tumor",
    ]
    headers = [dcmread(file) for file in series.files]
    frames = seg.get_pixels_by_source_instance(
        [header.SOPInstanceUID for header in headers],
        combine_segments=True,  # refused where segments overlap
        assert_missing_frames_are_empty=True,
    )
    lps = phantoms.lps(SHAPE, directions=DIRECTIONS["oblique"])
    on_truth = phantoms.at(lps, labels, volume.geometry.canonical_affine)
    for header, frame in zip(headers, frames, strict=True):
        position = np.array(header.ImagePositionPatient, float)
        index = int(np.linalg.norm(lps[0, 0] - position, axis=1).argmin())
        np.testing.assert_array_equal(frame, on_truth[..., index].T)


@pytest.mark.parametrize("layout", ["nested", "disjoint", "labelmap"])
def test_the_liver_of_a_model_without_tumors_is_whole(layout: str, phantoms: Any) -> None:
    series = _only(phantoms.series(phantoms.stored(SHAPE)))
    volume = read_dicom_ct(series)
    labels = _labels(volume)
    path = phantoms.folder / "seg.dcm"
    _write(path, labels, series, volume, layout=layout, regions=["liver"])
    seg = highdicom.seg.segread(path)
    assert seg.get_segment_description(1).SegmentLabel == "Liver"
    frames = seg.get_pixels_by_source_instance(
        [dcmread(file).SOPInstanceUID for file in series.files], assert_missing_frames_are_empty=True
    )
    assert frames.sum() == (labels >= 1).sum()


@pytest.mark.parametrize("shared", [True, False])
def test_frames_of_one_file_are_referred_to_by_their_numbers(shared: bool, phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        if not shared:  # as some scanners write it
            common = dataset.SharedFunctionalGroupsSequence[0]
            for group in dataset.PerFrameFunctionalGroupsSequence:
                group.PixelMeasuresSequence = common.PixelMeasuresSequence
                group.PlaneOrientationSequence = common.PlaneOrientationSequence
            del dataset.SharedFunctionalGroupsSequence

    series = _only(phantoms.enhanced(phantoms.stored(SHAPE), modality="MR", change=change))
    volume = read_dicom_mr(series)
    labels = _labels(volume)
    seg = _write(phantoms.folder / "seg.dcm", labels, series, volume)
    truth = phantoms.lps(SHAPE)
    on_truth = phantoms.at(truth, labels, volume.geometry.canonical_affine)
    _assert_same_places(_places(seg, "Liver"), truth[on_truth >= 1])
    _assert_same_places(_places(seg, "Tumor"), truth[on_truth == 2])
    source = dcmread(series.files[0])
    for group in seg.PerFrameFunctionalGroupsSequence:
        (reference,) = group.DerivationImageSequence[0].SourceImageSequence
        frame = source.PerFrameFunctionalGroupsSequence[reference.ReferencedFrameNumber - 1]
        position = group.PlanePositionSequence[0].ImagePositionPatient
        assert position == frame.PlanePositionSequence[0].ImagePositionPatient
    assert seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness == 3


def test_headers_that_lack_what_may_be_empty_or_differ_in_rounding_are_taken(phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        del dataset.PatientName, dataset.StudyDate, dataset.SOPClassUID, dataset.SOPInstanceUID
        dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{index + 1}"
        dataset.PixelSpacing = [0.75, 0.5 + index * 1e-6]
        dataset.ImageOrientationPatient = [1, 1e-5 * index, 0, 0, 1, 0]

    def save(dataset: Dataset, index: int) -> None:
        change(dataset, index)
        dataset.save_as(phantoms.folder / f"{index}.dcm")

    phantoms.series(phantoms.stored(SHAPE), name="whole", change=lambda *_: None)
    for index, path in enumerate(sorted((phantoms.folder / "whole").iterdir())):
        save(dcmread(path), index)
        path.unlink()
    series = _only(phantoms.folder)
    volume = read_dicom_ct(series)
    seg = _write(phantoms.folder / "seg.dcm", _labels(volume), series, volume)
    instances = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert {r.ReferencedSOPInstanceUID for r in instances} == {f"1.2.3.{i}" for i in range(1, 7)}
    assert {r.ReferencedSOPClassUID for r in instances} == {"1.2.840.10008.5.1.4.1.1.2"}
    assert (seg.PatientName, seg.StudyDate) == ("", "")


def test_rules_broken_in_the_source_give_no_warning(
    phantoms: Any, recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    from pydicom import config

    def change(dataset: Dataset, index: int) -> None:
        dataset.StudyInstanceUID = "1.02.003.x"
        dataset.add_new("AccessionNumber", "SH", "longer than sixteen characters")
        dataset.add_new("PatientAge", "AS", "about 60")
        dataset.PatientName = "Müller"
        dataset.SpecificCharacterSet = "ISO_IR 100"

    with config.disable_value_validation():
        folder = phantoms.series(phantoms.stored(SHAPE), change=change)
    series = _only(folder)
    volume = read_dicom_ct(series)
    recwarn.clear()
    caplog.clear()
    writer = DicomSegWriter(series, regions=["liver"], version="1")
    writer.write(phantoms.folder / "seg.dcm", _labels(volume), geometry=volume.geometry)
    assert not recwarn.list
    assert not caplog.records
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seg = dcmread(phantoms.folder / "seg.dcm")
        # others know the study by this
        assert seg.StudyInstanceUID == "1.02.003.x"
        assert (seg.PatientName, seg.SpecificCharacterSet) == ("Müller", "ISO_IR 100")
        assert seg.AccessionNumber == ""
        assert "PatientAge" not in seg
    assert writer.notes == (
        "DICOM output: left empty, as the series breaks DICOM's rules: AccessionNumber.",
        "DICOM output: left out, as the series breaks DICOM's rules: PatientAge.",
        "DICOM output: kept, though the series breaks DICOM's rules for UIDs: StudyInstanceUID.",
    )


def test_a_file_is_replaced_whole_or_left_as_it_was(phantoms: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    series = _only(phantoms.series(phantoms.stored(SHAPE)))
    volume = read_dicom_ct(series)
    folder = phantoms.folder / "out"
    folder.mkdir()
    path = folder / "seg.dcm"
    path.write_bytes(b"before")

    def full(self: object, stream: Any, **kwargs: object) -> None:
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    writer = DicomSegWriter(series, regions=["liver"], version="1")
    with monkeypatch.context() as patch:
        patch.setattr(highdicom.seg.Segmentation, "save_as", full)
        with pytest.raises(StorageError, match=r"seg\.dcm: cannot be written: No space left on device"):
            writer.write(path, _labels(volume), geometry=volume.geometry)
    assert [p.name for p in folder.iterdir()] == ["seg.dcm"]
    assert path.read_bytes() == b"before"
    assert _write(path, _labels(volume), series, volume).Modality == "SEG"
    assert [p.name for p in folder.iterdir()] == ["seg.dcm"]


def test_what_cannot_be_written_is_refused(phantoms: Any) -> None:
    series = _only(phantoms.series(phantoms.stored(SHAPE)))
    volume = read_dicom_ct(series)
    labels, path = _labels(volume), phantoms.folder / "seg.dcm"
    with pytest.raises(VolumeError, match=r"seg\.nii: must end in \.dcm"):
        _write(phantoms.folder / "seg.nii", labels, series, volume)
    with pytest.raises(VolumeError, match=r"seg\.dcm: labels must be \(6, 5, 7\), got \(5, 5, 7\)"):
        _write(path, labels[1:], series, volume)
    with pytest.raises(VolumeError, match=r"labels must be among \[0, 1, 2\], got 0 to 4"):
        _write(path, labels * 2, series, volume)
    with pytest.raises(ConfigError, match=r"^regions: must name one or more"):
        _write(path, labels, series, volume, regions=["spleen"])
    with pytest.raises(ConfigError, match="dicom_seg_layout: must be one of nested, disjoint, labelmap, got"):
        _write(path, labels, series, volume, layout="flat")
    other = read_dicom_ct(_only(phantoms.series(phantoms.stored(SHAPE), name="other", along=-1.0)))
    with pytest.raises(
        VolumeError, match=r"seg\.dcm: the mask's grid must be that of its series: mask 7x5x6"
    ):
        _write(path, labels, series, other)
    assert not path.exists()


@pytest.mark.parametrize(
    "keyword", ["StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID"]
)
def test_a_series_that_cannot_be_referred_to_is_refused(keyword: str, phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored(SHAPE))
    for path in folder.iterdir():
        dataset = dcmread(path)
        setattr(dataset, keyword, "")
        if keyword == "SOPInstanceUID":
            dataset.file_meta.MediaStorageSOPInstanceUID = ""
        dataset.save_as(path)
    series = _only(folder)
    volume = read_dicom_ct(series)
    with pytest.raises(
        VolumeError, match=rf"im\d\.dcm: a DICOM result refers to its {keyword}, which is missing"
    ):
        _write(phantoms.folder / "seg.dcm", _labels(volume), series, volume)


@pytest.mark.parametrize(
    ("keyword", "values", "message"),
    [
        (
            "StudyInstanceUID",
            ["1.2", "1.3"],
            r"scan: slices must be of one study, got two in im",
        ),
        (
            "SOPInstanceUID",
            ["1.2", "1.2"],
            r"scan: .* by their SOPInstanceUIDs, got the same in im\d.dcm and im",
        ),
        ("SOPClassUID", ["1.2.3", "1.2.3"], r"im\d.dcm: .* a SOPClassUID that DICOM knows, got '1\.2\.3'"),
    ],
)
def test_uids_that_fit_no_segmentation_are_refused(
    keyword: str, values: list[str], message: str, phantoms: Any
) -> None:
    def change(dataset: Dataset, index: int) -> None:
        setattr(dataset, keyword, values[index % 2])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID

    series = _only(phantoms.series(phantoms.stored(SHAPE), change=change))
    with pytest.raises(VolumeError, match=message):
        DicomSegWriter(series, regions=["liver"], version="1")


def test_what_highdicom_cannot_refer_to_is_found_before_there_is_a_mask(phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.1"  # no image

    series = _only(phantoms.series(phantoms.stored(SHAPE), change=change))
    with pytest.raises(VolumeError, match=r"scan: a segmentation cannot refer to it: "):
        DicomSegWriter(series, regions=["liver"], version="1")


def test_many_files_of_many_frames_are_refused(phantoms: Any) -> None:
    folder = phantoms.enhanced(phantoms.stored(SHAPE))
    dataset = dcmread(folder / "enhanced.dcm")
    dataset.SOPInstanceUID = "1.2.3"
    for group in dataset.PerFrameFunctionalGroupsSequence:
        x, y, z = group.PlanePositionSequence[0].ImagePositionPatient
        group.PlanePositionSequence[0].ImagePositionPatient = [x, y, z + 15]
    dataset.save_as(folder / "second.dcm")
    series = _only(folder)
    volume = read_dicom_ct(series)
    assert volume.voxels.shape == (12, 5, 7)
    with pytest.raises(
        VolumeError, match="files of one slice or to one file of many, got 2 files with 12 frames"
    ):
        _write(phantoms.folder / "seg.dcm", _labels(volume), series, volume)


def test_without_highdicom_the_extra_is_named(phantoms: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    series = _only(phantoms.series(phantoms.stored(SHAPE)))
    volume = read_dicom_ct(series)
    monkeypatch.setitem(sys.modules, "highdicom", None)
    monkeypatch.setitem(sys.modules, "highdicom.seg", None)
    with pytest.raises(ConfigError, match=r'pip install "\.\[dicom\]"'):
        _write(phantoms.folder / "seg.dcm", _labels(volume), series, volume)
    with pytest.raises(ConfigError, match="DICOM needs the extra"):
        check_dicom_seg("nested")


@pytest.mark.parametrize("name", ["dicom/small_ct", "odd"])
def test_a_real_series_is_segmented_where_it_lies(name: str, real_data: Path, tmp_path: Path) -> None:
    series = _only(real_data / name)
    volume = (read_dicom_ct if series.modality == "CT" else read_dicom_mr)(series)
    labels = np.zeros(volume.voxels.shape, np.uint8)
    labels[1:4, 20:35, 10:30] = 1  # toward the foot, the front, the right
    labels[2, 22:25, 11:19] = 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seg = _write(tmp_path / "seg.dcm", labels, series, volume)
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.geometry.canonical_affine
        for label, smallest in (("Liver", 1), ("Tumor", 2)):
            indices = np.argwhere(labels >= smallest)
            _assert_same_places(_places(seg, label), indices @ affine[:3, :3].T + affine[:3, 3])


def test_a_real_series_without_a_study_is_refused(real_data: Path, tmp_path: Path) -> None:
    series = _only(real_data / "dicom/ct_series")
    volume = read_dicom_ct(series)
    with pytest.raises(VolumeError, match="a DICOM result refers to its StudyInstanceUID, which is missing"):
        _write(tmp_path / "seg.dcm", np.zeros(volume.voxels.shape, np.uint8), series, volume)
