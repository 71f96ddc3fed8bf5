"""Which series a folder holds, by headers alone."""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_kit import find_dicom_series, read_dicom_ct
from pydicom import Dataset, dcmread
from pydicom.uid import (
    GrayscaleSoftcopyPresentationStateStorage,
    MRSpectroscopyStorage,
    RTStructureSetStorage,
    SegmentationStorage,
)

from lts.base import ConfigError, VolumeError
from lts.volume import find_dicom


def _copy(source: Path, target: Path, **values: object) -> None:
    """A DICOM file with other values; None removes one."""
    dataset = dcmread(source)
    for keyword, value in values.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "")
    target.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(target)


def _verdict(folder: Path) -> str:
    try:
        for series in find_dicom_series(folder):
            read_dicom_ct(series)
    except VolumeError as error:
        return str(error)
    return ""


def test_a_folder_of_series_in_subfolders_is_told_apart(phantoms: Any) -> None:
    root = phantoms.folder / "patient"
    root.mkdir()
    phantoms.series(phantoms.stored(), name="patient/10")
    phantoms.series(phantoms.stored((6, 5, 3)), name="patient/9", modality="MR")
    phantoms.enhanced(phantoms.stored((3, 4, 12)), name="patient/11")
    mr, ct, frames = find_dicom_series(root)
    assert [s.modality for s in (mr, ct, frames)] == ["MR", "CT", "CT"]
    assert [s.folder.name for s in (mr, ct, frames)] == ["9", "10", "11"]
    assert [s.n_voxels for s in (mr, ct, frames)] == [6 * 5 * 3, 6 * 5 * 4, 3 * 4 * 12]
    assert [len(s.files) for s in (mr, ct, frames)] == [3, 4, 1]
    assert ct.description == "portal venous"
    assert ct.uid == dcmread(ct.files[0]).SeriesInstanceUID


def test_series_that_share_a_folder_and_one_that_spans_two(phantoms: Any) -> None:
    one = phantoms.series(phantoms.stored((6, 5, 12)), name="one")
    two = phantoms.series(phantoms.stored(), name="two")
    for path in two.iterdir():
        shutil.move(path, one / f"z{path.name}")
    (one / "more").mkdir()
    shutil.move(one / "im3.dcm", one / "more/im3.dcm")
    first, second = find_dicom_series(one)
    assert (len(first.files), len(second.files)) == (12, 4)
    assert (first.folder, second.folder) == (one, one)
    names = [path.relative_to(one).as_posix() for path in first.files]
    assert names == [f"im{i}.dcm" for i in (0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11)] + ["more/im3.dcm"]
    assert read_dicom_ct(first).voxels.shape == (12, 5, 6)


def test_a_removed_series_uid_makes_a_folder_a_series(phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.SeriesInstanceUID = ""

    phantoms.series(phantoms.stored(), name="a", change=change)
    phantoms.series(phantoms.stored((6, 5, 3)), name="b", change=change)
    a, b = find_dicom_series(phantoms.folder)
    assert (a.uid, b.uid, len(a.files), len(b.files)) == ("", "", 4, 3)


def test_what_is_no_image_is_left_out(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored())
    image = folder / "im0.dcm"
    no_pixels = {"Rows": None, "Columns": None, "PixelData": None}
    _copy(image, folder / "rtstruct", SOPClassUID=RTStructureSetStorage, Modality="RTSTRUCT", **no_pixels)
    _copy(
        image,
        folder / "state",
        SOPClassUID=GrayscaleSoftcopyPresentationStateStorage,
        Modality="PR",
        **no_pixels,
    )
    _copy(image, folder / "report", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", Modality="CT", **no_pixels)
    _copy(image, folder / "by modality", Modality="SEG")
    _copy(image, folder / "by class", SOPClassUID=SegmentationStorage)
    _copy(image, folder / "spectra", SOPClassUID=MRSpectroscopyStorage)
    _copy(image, folder / ".hidden.dcm")
    _copy(image, folder / ".hidden/copy.dcm")
    _copy(image, folder / "DICOMDIR")
    (folder / "notes.txt").write_text("not DICOM, but long enough to hold the magic" * 9)
    (folder / "empty").write_bytes(b"")
    found = find_dicom(folder)
    (series,) = found.series
    assert [path.name for path in series.files] == [f"im{i}.dcm" for i in range(4)]
    assert (series.broken, series.left_out) == ("", "")
    assert {path.name for path in found.no_images} == {
        *("rtstruct", "state", "report", "by modality", "by class", "spectra", "DICOMDIR"),
    }
    assert {path.name for path in found.others} == {".hidden.dcm", ".hidden", "notes.txt", "empty"}


def test_a_folder_without_dicom_holds_no_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scan.nii").write_bytes(bytes(400))
    monkeypatch.setitem(sys.modules, "pydicom", None)  # which is not needed then
    assert find_dicom_series(tmp_path) == ()


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match=r"absent: no such folder"):
        find_dicom_series(tmp_path / "absent")


def test_without_pydicom_the_extra_is_named(phantoms: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = phantoms.series(phantoms.stored())
    (series,) = find_dicom_series(folder)
    for name in [name for name in sys.modules if name.split(".")[0] == "pydicom"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    for call in (lambda: find_dicom_series(folder), lambda: read_dicom_ct(series)):
        with pytest.raises(ConfigError, match=r'^DICOM needs the extra: pip install "\.\[dicom\]"'):
            call()


def test_a_file_that_cannot_be_opened_is_refused(phantoms: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = phantoms.series(phantoms.stored())

    def denied(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    (series,) = find_dicom_series(folder)
    with pytest.raises(VolumeError, match=r"im0\.dcm: cannot be read: Permission denied"):
        read_dicom_ct(series)


def test_a_subfolder_that_cannot_be_listed_is_refused(phantoms: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = phantoms.series(phantoms.stored())

    def denied(path: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", denied)
    with pytest.raises(VolumeError, match=r"scan: cannot be read: Permission denied"):
        find_dicom_series(folder)


def test_a_file_that_is_gone_when_it_is_read_is_refused(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored())
    (series,) = find_dicom_series(folder)
    (folder / "im2.dcm").unlink()
    with pytest.raises(VolumeError, match=r"im2\.dcm: cannot be read: No such file"):
        read_dicom_ct(series)


@pytest.mark.parametrize("kept", [132, 200, 400, 600, 700, 750, 800])
def test_a_header_cut_short_is_refused_not_left_out(kept: int, phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored())
    path = folder / "im0.dcm"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(VolumeError, match=r"im0\.dcm: ") as caught:
        read_dicom_ct(find_dicom_series(folder)[0])
    assert "\n" not in str(caught.value)


def test_a_header_that_is_no_number_is_refused(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored())
    path = folder / "im0.dcm"
    dataset = dcmread(path)
    dataset.add_new("NumberOfFrames", "LO", "many")
    dataset.save_as(path)
    with pytest.raises(VolumeError, match=r"im0\.dcm: broken DICOM header: .*'many'"):
        read_dicom_ct(find_dicom_series(folder)[0])


def test_a_broken_file_spoils_the_series_of_its_folder_and_no_others(phantoms: Any) -> None:
    for name in ("a", "b", "c"):
        phantoms.series(phantoms.stored(), name=name)
    path = phantoms.folder / "b" / "im0.dcm"
    path.write_bytes(path.read_bytes()[:200])
    (phantoms.folder / "c" / "deep").mkdir()
    path.rename(phantoms.folder / "c" / "deep" / "x.dcm")
    a, b, c, alone = find_dicom_series(phantoms.folder)
    assert (a.broken, b.broken, c.broken) == ("", "", "")
    assert (alone.folder, alone.files, alone.n_voxels) == (phantoms.folder / "c" / "deep", (), 0)
    with pytest.raises(VolumeError, match=r"x\.dcm: "):
        read_dicom_ct(alone)
    (phantoms.folder / "c" / "deep" / "x.dcm").rename(path)
    a, b, c = find_dicom_series(phantoms.folder)
    assert (a.broken, c.broken) == ("", "")
    assert len(b.files) == 3
    with pytest.raises(VolumeError, match=r"b/im0\.dcm: "):
        read_dicom_ct(b)


def test_a_single_file_is_a_series(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored())
    (series,) = find_dicom_series(folder / "im0.dcm")
    assert series.files == (folder / "im0.dcm",)
    assert series.folder == folder


def test_bytes_changed_at_random_are_read_or_refused(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored((6, 5, 2)))
    path = folder / "im1.dcm"
    sound = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        raw = np.frombuffer(sound, np.uint8).copy()
        raw[rng.integers(132, len(raw), 3)] = rng.integers(0, 256, 3)
        path.write_bytes(raw.tobytes())
        message = _verdict(folder)
        assert message == "" or message.startswith(str(folder))
        assert "\n" not in message
        refused += bool(message)
    assert 10 < refused < 140
