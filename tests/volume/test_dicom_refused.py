"""Series that make no volume: one line that names the folder or file, the rule and what was found."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from dicom_kit import find_dicom_series, read_dicom_ct, read_dicom_mr
from pydicom import Dataset, dcmread
from pydicom.pixels.decoders.base import Decoder
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGLosslessSV1

from lts.base import VolumeError
from lts.volume import DicomSeries


def _only(folder: Path) -> DicomSeries:
    (series,) = find_dicom_series(folder)
    return series


def _refused(folder: Path, message: str, *, read: Callable[[DicomSeries], object] = read_dicom_ct) -> None:
    with pytest.raises(VolumeError, match=message) as caught:
        read(_only(folder))
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)


def _in_slice(at: int, **values: object) -> Callable[[Dataset, int], None]:
    """Sets values in one slice, or removes what is None."""

    def change(dataset: Dataset, index: int) -> None:
        for keyword, value in values.items():
            if index == at and value is None:
                delattr(dataset, keyword)
            elif index == at:
                setattr(dataset, keyword, value)

    return change


def _moved(place: Callable[[int], tuple[float, float, float]]) -> Callable[[Dataset, int], None]:
    """Moves slice `i` by `place(i)` mm."""

    def change(dataset: Dataset, index: int) -> None:
        moved = np.add(np.array(dataset.ImagePositionPatient, float), place(index))
        dataset.ImagePositionPatient = [float(x) for x in moved]

    return change


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"Modality": "OT"}, r"\.dcm: modality must be CT, got 'OT'"),
        ({"ImageType": "LOCALIZER"}, r"1 missing; left out of the series: 1 localizer \(im\d\.dcm\)$"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "pixels must be gray .* got 'PALETTE COLOR'"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "got 'RGB' with 3 samples a pixel"),
        ({"SamplesPerPixel": 3}, "got 'MONOCHROME2' with 3 samples a pixel"),
        ({"ModalityLUTSequence": [Dataset()]}, "a slope and an intercept, got a Modality LUT"),
        ({"RescaleType": "Z_EFF"}, "values must be HU, got RescaleType 'Z_EFF'"),
        ({"RescaleSlope": 0}, "RescaleSlope must not be 0"),
        ({"RescaleSlope": None}, "RescaleSlope is missing"),
        ({"RescaleIntercept": None}, "RescaleIntercept is missing"),
        ({"RescaleIntercept": ""}, "RescaleIntercept is missing"),
        ({"RescaleIntercept": [1, 2]}, r"RescaleIntercept must be 1 finite numbers, got \[1\.0, 2\.0\]"),
        ({"ImagePositionPatient": None}, "ImagePositionPatient is missing"),
        (
            {"ImagePositionPatient": [1, 2]},
            r"ImagePositionPatient must be 3 finite numbers, got \[1\.0, 2\.0\]",
        ),
        ({"ImageOrientationPatient": None}, "ImageOrientationPatient is missing"),
        ({"PixelSpacing": None}, "PixelSpacing is missing"),
        ({"PixelSpacing": [0.5, 0]}, r"PixelSpacing must be > 0 mm, got \[0\.5, 0\.0\]"),
        ({"PixelSpacing": [-0.5, 0.5]}, "PixelSpacing must be > 0 mm"),
        ({"NumberOfFrames": 3}, "each of its 3 frames must have a position, got 0"),
    ],
)
def test_a_slice_whose_place_or_value_is_unproven_is_refused(
    values: dict[str, object], message: str, phantoms: Any
) -> None:
    _refused(phantoms.series(phantoms.stored(), change=_in_slice(2, **values)), message)


def test_localizers_alone_are_refused(phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    folder = phantoms.series(phantoms.stored(), change=change)
    _refused(folder, r"\.dcm: a localizer is not a slice of a volume, got ImageType .*'LOCALIZER'")


@pytest.mark.parametrize("text", ["nan", "inf", "one"])
def test_a_position_that_is_no_number_is_refused(text: str, phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored(), change=_in_slice(1, PixelSpacing=["0.75", "1.25"]))
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"0.75\\1.25", f"0.75\\{text:4s}".encode()))
    _refused(folder, "PixelSpacing must be 2 (finite )?numbers")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]},
            r"share one orientation, .* differ by 90\.00 degrees",
        ),
        (
            {"ImageOrientationPatient": [1, 0, 0, 0, 0.9998, 0.02]},
            r"those of im\d\.dcm and im\d\.dcm differ by 1\.1\d degrees",
        ),
        ({"Rows": 6, "Columns": 5}, r"must have one size, got (5x6 and 6x5|6x5 and 5x6) rows x columns"),
        (
            {"PixelSpacing": [0.75, 0.501]},
            r"one pixel spacing, got \[0\.75, 0\.50?1?\] and \[0\.75, 0\.50?1?\] mm",
        ),
        ({"PatientID": "P2"}, r"slices must be of one patient, got two in im\d\.dcm and im\d\.dcm$"),
        ({"PatientID": None}, "slices must be of one patient"),
        ({"StudyInstanceUID": "1.2.3"}, "slices must be of one study"),
        ({"FrameOfReferenceUID": "1.2.3"}, "share one frame of reference, got .*'1.2.3'"),
    ],
)
def test_slices_that_differ_are_refused(values: dict[str, object], message: str, phantoms: Any) -> None:
    _refused(phantoms.series(phantoms.stored(), change=_in_slice(2, **values)), message)


@pytest.mark.parametrize("directions", [(1, 0, 0, 0.6, 0.8, 0), (1.01, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, 0)])
def test_an_orientation_that_is_no_right_angle_is_refused(directions: Any, phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.ImageOrientationPatient = list(directions)

    _refused(phantoms.series(phantoms.stored(), change=change), "two unit vectors at a right angle, got")


@pytest.mark.parametrize("degrees", [-15, 1, 30])
def test_gantry_tilt_is_refused_and_told(degrees: float, phantoms: Any) -> None:
    lean = 2.5 * np.tan(np.radians(degrees))
    folder = phantoms.series(phantoms.stored(), change=_moved(lambda index: (0, lean * index, 0)))
    _refused(folder, rf"scan: slices must be stacked .* gantry tilt of {abs(degrees)}\.0 degrees")


@pytest.mark.parametrize("at", range(5))
def test_a_slice_that_lies_aside_is_named(at: int, phantoms: Any) -> None:
    moved = _moved(lambda index: (0.2, 0, 0) if index == at else (0, 0, 0))
    folder = phantoms.series(phantoms.stored((6, 5, 5)), change=moved)
    z = 40 + 2.5 * at
    (name,) = [path.name for path in folder.iterdir() if dcmread(path).ImagePositionPatient[2] == z]
    _refused(folder, rf"must lie one behind the other, {name} lies 0\.2 mm aside")


@pytest.mark.parametrize("n_missing", [1, 2])
def test_a_missing_slice_is_found_between_its_neighbors(n_missing: int, phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored((6, 5, 7)))
    by_z = {float(dcmread(path).ImagePositionPatient[2]): path for path in folder.iterdir()}
    ordered = [by_z[z] for z in sorted(by_z)]
    for path in ordered[3 : 3 + n_missing]:
        path.unlink()
    found = f"{2.5 * (n_missing + 1):g}".replace(".", r"\.")
    _refused(
        folder,
        rf"evenly spaced, expected 2\.5 mm and found {found} mm between {ordered[2].name} and "
        rf"{ordered[3 + n_missing].name}, {n_missing} missing$",
    )


def test_one_missing_of_four_is_found(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored((6, 5, 3)), change=_moved(lambda i: (0, 0, 2.5 * (i == 2))))
    _refused(folder, r"expected 2\.5 mm and found 5 mm between .*, 1 missing$")


@pytest.mark.parametrize(("shift", "message"), [(0.2, r"found 2\.7 mm"), (-0.2, r"found 2\.3 mm")])
def test_an_uneven_gap_is_refused(shift: float, message: str, phantoms: Any) -> None:
    moved = _moved(lambda index: (0, 0, shift * (index >= 3)))
    folder = phantoms.series(phantoms.stored((6, 5, 6)), change=moved)
    _refused(folder, rf"expected 2\.5 mm and {message} between im\d\.dcm and im\d\.dcm$")


def test_gaps_that_grow_little_by_little_are_refused(phantoms: Any) -> None:
    moved = _moved(lambda index: (0, 0, 0.1 * max(index - 10, 0)))
    folder = phantoms.series(phantoms.stored((6, 5, 21)), change=moved)
    _refused(folder, r"evenly spaced, expected im\d+\.dcm at 65\.5 mm along the normal and found it at 65 mm")


def test_slices_at_one_position_are_refused_by_name(phantoms: Any) -> None:
    moved = _moved(lambda index: (0, 0, -2.5 * (index == 2)))
    folder = phantoms.series(phantoms.stored(), change=moved)
    names = sorted(path.name for path in folder.iterdir() if dcmread(path).ImagePositionPatient[2] == 42.5)
    _refused(
        folder,
        rf"a position must hold one slice, got 2 at \(-11\.5, -23\.25, 42\.5\) mm: {', '.join(names)}$",
    )


def test_positions_a_rounding_apart_are_one(phantoms: Any) -> None:
    moved = _moved(lambda index: (0, 0, -2.495 * (index == 2)))
    folder = phantoms.series(phantoms.stored(), change=moved)
    _refused(folder, r"a position must hold one slice, got 2 at \(-11\.5, -23\.25, 42\.50?5?\) mm")


def test_many_slices_at_one_position_are_not_all_named(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored((6, 5, 6)), change=_moved(lambda index: (0, 0, -2.5 * index)))
    _refused(folder, r"got 6 at \(-11\.5, -23\.25, 40\) mm: (im\d\.dcm, ){3}im\d\.dcm and 2 more$")


def test_a_series_over_time_is_refused(phantoms: Any) -> None:
    moved = _moved(lambda index: (0, 0, -2.5 * (index - index % 3)))
    folder = phantoms.series(phantoms.stored((6, 5, 6)), change=moved)
    _refused(folder, "must hold one volume, got 2 images at each of 3 positions")


def test_frames_over_time_in_one_file_are_refused(phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        groups = dataset.PerFrameFunctionalGroupsSequence
        for first, second in ((0, 1), (2, 3)):
            groups[second].PlanePositionSequence = groups[first].PlanePositionSequence

    _refused(
        phantoms.enhanced(phantoms.stored(), change=change),
        "must hold one volume, got 2 images at each of 2 positions",
    )


def test_a_frame_without_a_position_is_refused(phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        del dataset.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence

    _refused(
        phantoms.enhanced(phantoms.stored(), change=change),
        r"enhanced\.dcm: frame 3: ImagePositionPatient is missing",
    )


@pytest.mark.parametrize("make", ["series", "enhanced"])
def test_one_slice_is_refused_as_it_has_no_spacing(make: str, phantoms: Any) -> None:
    folder = getattr(phantoms, make)(phantoms.stored((6, 5, 1)))
    _refused(folder, r"must hold 2 slices or more, as one has no spacing, got 1 \((im0|enhanced)\.dcm")


def test_positions_beyond_the_world_are_refused(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored(), change=_moved(lambda index: (2e9, 0, 0)))
    _refused(folder, "scan: affine must be finite, in mm")


@pytest.mark.parametrize(
    ("modality", "read", "wanted"), [("MR", read_dicom_ct, "CT"), ("CT", read_dicom_mr, "MR")]
)
def test_another_modality_is_refused(modality: str, read: Any, wanted: str, phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored(), modality=modality)
    _refused(folder, f"scan: modality must be {wanted}, got '{modality}'", read=read)


def test_hu_beyond_int16_are_refused(phantoms: Any) -> None:
    folder = phantoms.series(np.full((6, 5, 2), 20000, np.int16), change=_in_slice(1, RescaleSlope=2))
    _refused(folder, r"im\d\.dcm: HU must be at most 32767, got 38976")


def test_signal_beyond_float32_is_refused(phantoms: Any) -> None:
    change = _in_slice(1, RescaleSlope="1e38")
    folder = phantoms.series(np.full((6, 5, 2), 5, np.int16), modality="MR", change=change)
    _refused(folder, r"im\d\.dcm: voxels must fit into float32, got 5e\+38", read=read_dicom_mr)


def test_a_slope_that_leads_beyond_numbers_is_refused(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored((6, 5, 2)), change=_in_slice(1, RescaleSlope="1e308"))
    _refused(folder, r"im\d\.dcm: voxels must be finite, got NaN or infinity")


def test_signal_that_is_not_a_number_is_refused(phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
        dataset.BitsAllocated = 32
        values = np.ones((5, 6), np.float32)
        values[0, index] = np.nan if index == 1 else 2
        dataset.FloatPixelData = values.tobytes()

    folder = phantoms.series(phantoms.stored((6, 5, 2)), modality="MR", change=change)
    _refused(folder, r"im\d\.dcm: voxels must be finite, got NaN", read=read_dicom_mr)


def test_a_scan_beyond_memory_is_refused(phantoms: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = phantoms.series(phantoms.stored())

    def no_memory(*args: object, **kwargs: object) -> None:
        raise MemoryError

    series = _only(folder)
    monkeypatch.setattr("lts.volume._read.np", SimpleNamespace(**{**vars(np), "empty": no_memory}))
    with pytest.raises(VolumeError, match=r"scan: \(6, 5, 4\) voxels do not fit into memory"):
        read_dicom_ct(series)


@pytest.mark.parametrize("missing", [1, 2, 31, 60])
def test_pixels_cut_short_are_refused(missing: int, phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored())
    path = folder / "im2.dcm"
    path.write_bytes(path.read_bytes()[:-missing])
    _refused(folder, r"im2\.dcm: truncated or broken pixel data: ")


def test_frames_cut_short_are_refused(phantoms: Any) -> None:
    folder = phantoms.enhanced(phantoms.stored())
    path = folder / "enhanced.dcm"
    path.write_bytes(path.read_bytes()[:-7])
    _refused(folder, r"enhanced\.dcm: truncated or broken pixel data: ")


def test_compressed_pixels_cut_short_are_refused_without_a_word_in_the_log(
    phantoms: Any, caplog: pytest.LogCaptureFixture
) -> None:
    folder = phantoms.series(phantoms.stored((80, 70, 3)), syntax=JPEG2000Lossless)
    path = folder / "im2.dcm"
    path.write_bytes(path.read_bytes()[:-500])
    _refused(folder, r"im2\.dcm: truncated or broken pixel data: ")
    assert not caplog.records


def test_a_deflated_file_that_grows_without_end_is_refused(
    phantoms: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian

    folder = phantoms.series(phantoms.stored(), change=change)
    size = 2000
    monkeypatch.setattr("lts.volume._dicom_calls._MOST_INFLATED", size)
    read_dicom_ct(_only(folder))
    (folder / "im2.dcm").write_bytes((folder / "im2.dcm").read_bytes()[:-9])
    _refused(folder, r"im2\.dcm: broken DICOM header: ")
    monkeypatch.setattr("lts.volume._dicom_calls._MOST_INFLATED", 200)
    _refused(folder, r"im0\.dcm: must inflate to at most 200 bytes")


def test_no_pixels_at_all_are_refused(phantoms: Any) -> None:
    _refused(
        phantoms.series(phantoms.stored(), change=_in_slice(1, PixelData=None)),
        r"im\d\.dcm: truncated or broken pixel data: ",
    )


@pytest.mark.parametrize(
    ("syntax", "message"),
    [
        (
            JPEGLosslessSV1,
            r"cannot be decoded here: JPEG Lossless.* \(1\.2\.840.*\.70\); it takes one of gdcm",
        ),
        ("1.2.840.10008.1.2.4.100", r"cannot be decoded: MPEG2"),
        ("1.2.3.4", r"cannot be decoded: 1\.2\.3\.4"),
    ],
)
def test_a_transfer_syntax_that_nobody_decodes_is_named(
    syntax: str, message: str, phantoms: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = phantoms.series(phantoms.stored())
    for path in folder.iterdir():
        dataset = dcmread(path)
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax != "1.2.3.4":
            dataset["PixelData"].is_undefined_length = True
            dataset.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0"
        dataset.save_as(path, implicit_vr=False, little_endian=True)
    # as where the package that decodes it is not installed
    monkeypatch.setattr(Decoder, "is_available", False)
    monkeypatch.setattr(Decoder, "missing_dependencies", ["gdcm - requires gdcm>=3.0.10"])
    _refused(folder, message)


def test_a_missing_transfer_syntax_is_refused(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored())
    for path in folder.iterdir():
        dataset = dcmread(path)
        del dataset.file_meta.TransferSyntaxUID
        dataset.save_as(path, implicit_vr=False, little_endian=True, enforce_file_format=False)
    _refused(folder, r"im\d\.dcm: TransferSyntaxUID is missing")


REAL = {
    "gantrytilting/001": (read_dicom_ct, r"gantry tilt of 14\.0 degrees"),
    "notavolume/001": (
        read_dicom_ct,
        r"got 4 at \(-139\.228, -384\.228, 61\.5\) mm: 001\.dcm, 002\.dcm, 003\.dcm, 004\.dcm$",
    ),
    "sliceincrement/001": (
        read_dicom_ct,
        "expected 5 mm and found 10 mm between IM-0001-0009-0001.dcm and IM-0001-0010-0001.dcm, 1 missing$",
    ),
    "sliceincrement/002": (read_dicom_ct, r"gantry tilt of 15\.5 degrees"),  # and a slice is missing
    "sliceorientation/001": (read_dicom_mr, r"share one orientation, .* differ by 97\.52 degrees"),
}


@pytest.mark.parametrize("name", REAL)
def test_a_real_series_that_is_no_volume_is_refused(name: str, real_data: Path) -> None:
    read, message = REAL[name]
    _refused(real_data / "dicom/broken" / name, message, read=read)


def test_numbers_that_do_not_fill_the_lowest_bits_are_refused(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored(), change=_in_slice(1, BitsStored=12, HighBit=15))
    _refused(folder, r"HighBit must be 11 where BitsStored is 12, got 15")


def test_one_image_in_files_that_differ_is_told_from_other_images_at_its_place(phantoms: Any) -> None:
    def copy(file: Path, to: Path) -> None:
        """As an archive exports it another time, with another preamble."""
        to.write_bytes(b"\1" + file.read_bytes()[1:])

    folder = phantoms.series(phantoms.stored())
    copy(folder / "im0.dcm", folder / "copy.dcm")
    _refused(folder, r"got 2 at \(.*\) mm: copy.dcm, im0.dcm; they are one image in files that differ$")
    (folder / "copy.dcm").unlink()
    shutil.copytree(folder, phantoms.folder / "both" / "a")
    shutil.copytree(folder, phantoms.folder / "both" / "b", copy_function=lambda a, b: copy(Path(a), Path(b)))
    told = r"must hold each image once, got 2 that differ, as [ab]/im(\d).dcm and [ab]/im\1.dcm; name"
    _refused(phantoms.folder / "both", told)
