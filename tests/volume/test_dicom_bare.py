"""DICOM files without 128 bytes and DICM in front are read like others; nothing else is taken for one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_kit import find_dicom_series, read_dicom_ct
from pydicom import dcmread
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import write_dataset
from pydicom.uid import JPEG2000Lossless

from lts.base import VolumeError
from lts.volume import find_dicom


def _data_set(*, implicit: bool, little_endian: bool = True) -> Callable[[Path], None]:
    """Leaves the data set alone, without a word on how it is encoded."""

    def strip(path: Path) -> None:
        dataset = dcmread(path)
        if not little_endian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        with path.open("wb") as file:
            stream = DicomFileLike(file)
            stream.is_implicit_VR, stream.is_little_endian = implicit, little_endian
            write_dataset(stream, dataset)

    return strip


def _cut(n_bytes: int) -> Callable[[Path], None]:
    def strip(path: Path) -> None:
        path.write_bytes(path.read_bytes()[n_bytes:])

    return strip


BARE = {
    "implicit": _data_set(implicit=True),
    "explicit": _data_set(implicit=False),
    "big endian": _data_set(implicit=False, little_endian=False),
    "DICM at once": _cut(128),
    "header at once": _cut(132),
}


@pytest.mark.parametrize("name", BARE)
@pytest.mark.parametrize("which", [slice(None), slice(0, 2), slice(2, 3)], ids=["all", "ends", "middle"])
def test_files_without_a_preamble_are_slices_like_others(name: str, which: slice, phantoms: Any) -> None:
    stored = phantoms.stored()
    folder = phantoms.series(stored)
    by_place = sorted(folder.iterdir(), key=lambda path: dcmread(path).ImagePositionPatient[2])
    for path in by_place[which]:
        BARE[name](path)
        bare = path.with_suffix("")
        path.rename(bare)  # no ending tells it either
    (series,) = find_dicom_series(folder)
    volume = read_dicom_ct(series)
    np.testing.assert_array_equal(volume.voxels, stored.transpose(2, 1, 0) - 1024)
    assert volume.notes == ()


def test_compressed_pixels_need_a_word_on_how(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored((80, 70, 3)), syntax=JPEG2000Lossless)
    path = folder / "im1.dcm"
    content = path.read_bytes()
    path.write_bytes(content[132:])  # the header says it
    assert read_dicom_ct(find_dicom_series(folder)[0]).voxels.shape == (3, 70, 80)
    for bare in folder.iterdir():
        content = bare.read_bytes()
        bare.write_bytes(content[content.index(b"\x08\x00\x08\x00CS") :])
    with pytest.raises(VolumeError, match="TransferSyntaxUID is missing, and its pixels are compressed"):
        read_dicom_ct(find_dicom_series(folder)[0])


def test_a_bare_file_cut_short_spoils_its_series(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored())
    path = folder / "im2.dcm"
    BARE["implicit"](path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(VolumeError, match=r"im2\.dcm: truncated or broken pixel data"):
        read_dicom_ct(find_dicom_series(folder)[0])
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(VolumeError, match=r"im2\.dcm: "):
        read_dicom_ct(find_dicom_series(folder)[0])


OTHERS = {
    "text": b"a text that says DICM somewhere, and goes on for a while " * 9,
    "empty": b"",
    "zeros": bytes(4000),
    "jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(256)) * 4,
    "a group and nothing more": b"\x08\x00\x05\x00",
    "two elements of three": b"\x08\x00\x05\x00CS\x02\x00AB\x08\x00\x16\x00UI\x02\x001\x00" + b"\xff" * 99,
    "odd length": b"\x08\x00\x05\x00CS\x03\x00ABC\x08\x00\x16\x00UI\x00\x00\x08\x00\x18\x00UI\x00\x00",
    "falling numbers": b"\x08\x00\x16\x00UI\x02\x001\x00" * 5,
    "longer than the file": b"\x08\x00\x05\x00\xf0\xff\x00\x00" + bytes(99),
    "DICM and a text": b"DICM is how this text begins, and no more than that" * 9,
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_not_taken_for_dicom_and_told(name: str, phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored())
    (folder / "other").write_bytes(OTHERS[name])
    found = find_dicom(folder)
    assert (found.others, found.no_images) == ((folder / "other",), ())
    (series,) = found.series
    assert (len(series.files), series.broken) == (4, "")


@pytest.mark.parametrize("kind", ["empty", "zeros", "link"])
def test_a_file_named_as_dicom_that_is_none_may_be_a_lost_slice(kind: str, phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored())
    lost = folder / "im4.DCM"
    if kind == "link":
        lost.symlink_to(folder / "absent")
    else:
        lost.write_bytes(OTHERS[kind])
    (series,) = find_dicom(folder).series
    with pytest.raises(VolumeError, match=r"im4\.DCM: is named as DICOM and is no"):
        read_dicom_ct(series)
