"""Series that are no volume, images that are no slices, and positions with few digits."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_kit import find_dicom_series, read_dicom_ct
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

from lts.base import VolumeError
from lts.slices import content_hash
from lts.volume import DicomSeries, find_dicom

ACROSS = [0, 1, 0, 0, 0, -1]


def _only(folder: Path) -> DicomSeries:
    (series,) = find_dicom_series(folder)
    return series


def _all(**values: object) -> Callable[[Dataset, int], None]:
    def change(dataset: Dataset, index: int) -> None:
        for keyword, value in values.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)

    return change


LOCALIZER = _all(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
SCREEN = _all(SOPClassUID=SecondaryCaptureImageStorage, ImagePositionPatient=None)


def _planes(dataset: Dataset, index: int) -> None:
    if index >= 3:
        dataset.ImageOrientationPatient = ACROSS


NO_VOLUMES = {
    "localizers": (2, LOCALIZER, "2 localizers"),
    "a screenshot": (1, SCREEN, "1 screenshot"),
    "screenshots": (3, SCREEN, "3 screenshots"),
    "PET": (4, _all(Modality="PT"), "modality PT"),
    "one image": (1, _all(), "1 image, which has no spacing"),
    "planes": (6, _planes, "6 images in planes at right angles"),
}


@pytest.mark.parametrize("name", NO_VOLUMES)
def test_a_series_that_can_be_no_volume_is_known_by_its_headers(name: str, phantoms: Any) -> None:
    count, change, why = NO_VOLUMES[name]
    series = _only(phantoms.series(phantoms.stored((6, 5, count)), change=change))
    assert (series.no_volume, len(series.files)) == (why, count)


@pytest.mark.parametrize(
    "change",
    [
        _all(),
        _all(Modality=""),
        _all(ImagePositionPatient=None),
        _all(ImageOrientationPatient=None),
        _all(ImageOrientationPatient=[1, 0, 0, 0, 0, 0]),
        _all(SOPClassUID=SecondaryCaptureImageStorage),
    ],
)
def test_a_series_that_may_be_one_is_left_to_its_reader(change: Any, phantoms: Any) -> None:
    assert _only(phantoms.series(phantoms.stored(), change=change)).no_volume == ""


def test_a_series_with_a_file_that_cannot_be_read_may_be_a_volume(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored((6, 5, 3)), change=LOCALIZER)
    (folder / "im9.dcm").write_bytes(b"")
    series = _only(folder)
    assert (series.no_volume, bool(series.broken)) == ("", True)


@pytest.mark.parametrize("number", ["", "one", "7"])
def test_the_number_of_a_series_is_told_where_there_is_one(number: str, phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored(), change=_all(SeriesNumber="7"))
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"IS\x02\x007 ", f"IS\x04\x00{number:4}".encode()))
    series = _only(folder)
    assert series.number == number
    assert read_dicom_ct(series).voxels.shape == (4, 5, 6)


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("count", [1, 2])
def test_localizers_among_the_slices_are_left_out_and_named(count: int, marked: bool, phantoms: Any) -> None:
    stored = phantoms.stored((6, 5, 20 + count))

    def change(dataset: Dataset, index: int) -> None:
        if index >= 20:
            dataset.ImageOrientationPatient, dataset.PixelSpacing = ACROSS, [2, 2]
            if marked:
                LOCALIZER(dataset, index)

    folder = phantoms.series(stored, change=change)
    volume = read_dicom_ct(_only(folder))
    np.testing.assert_array_equal(volume.voxels, stored[..., :20].transpose(2, 1, 0) - 1024)
    (note,) = volume.notes
    assert note.startswith(f"Left out of the series: {count} localizer{'s' * (count - 1)} (im")


def test_images_across_that_are_too_many_for_localizers_are_refused(phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        if index >= 19:
            dataset.ImageOrientationPatient = ACROSS

    folder = phantoms.series(phantoms.stored((6, 5, 21)), change=change)
    with pytest.raises(VolumeError, match="must share one orientation"):
        read_dicom_ct(_only(folder))


@pytest.mark.parametrize("directions", [[1, 0, 0, 0, 0.8, 0.6], [1, 0, 0, 0, 0, 0]])
def test_a_slice_that_leans_or_has_no_plane_is_no_localizer(directions: list[float], phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        if index == 20:
            dataset.ImageOrientationPatient = directions

    folder = phantoms.series(phantoms.stored((6, 5, 21)), change=change)
    with pytest.raises(VolumeError, match=r"must share one orientation|two unit vectors"):
        read_dicom_ct(_only(folder))


def test_a_slice_that_calls_itself_a_localizer_is_missing_and_named(phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        if index == 2:
            LOCALIZER(dataset, index)

    folder = phantoms.series(phantoms.stored(), change=change)
    missing = r"found 5 mm between .*, 1 missing; left out of the series: 1 localizer \(im\d\.dcm\)$"
    with pytest.raises(VolumeError, match=missing):
        read_dicom_ct(_only(folder))


def test_slices_that_were_given_a_series_each_are_one_message(phantoms: Any) -> None:
    def alone(dataset: Dataset, index: int) -> None:
        dataset.SeriesInstanceUID = generate_uid()

    folder = phantoms.series(phantoms.stored((6, 5, 5)), change=alone)
    series = _only(folder)
    with pytest.raises(
        VolumeError, match=r"scan: the slices .* share a SeriesInstanceUID, got 5 images alike"
    ):
        read_dicom_ct(series)
    for path in sorted(folder.iterdir())[2:]:
        path.unlink()  # two may be two
    assert [one.no_volume for one in find_dicom_series(folder)] == ["1 image, which has no spacing"] * 2


def _rounded(gap_mm: float, digits: int) -> Callable[[Dataset, int], None]:
    def change(dataset: Dataset, index: int) -> None:
        x, y, _ = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, round(40 + gap_mm * index, digits)]

    return change


@pytest.mark.parametrize(("gap_mm", "digits"), [(0.625, 1), (0.45, 1), (1.25, 1), (0.0625, 2)])
def test_places_that_are_rounded_are_even_and_a_note_says_so(
    gap_mm: float, digits: int, phantoms: Any
) -> None:
    stored = phantoms.stored((6, 5, 40))
    volume = read_dicom_ct(_only(phantoms.series(stored, change=_rounded(gap_mm, digits))))
    np.testing.assert_array_equal(volume.voxels, stored.transpose(2, 1, 0) - 1024)
    assert volume.geometry.spacing_mm[0] == pytest.approx(gap_mm, rel=5e-3)
    (note,) = volume.notes
    assert note.startswith(f"Positions of slices are rounded to {10.0**-digits:g} mm; even spacing of ")


@pytest.mark.parametrize(("gap_mm", "digits"), [(0.35, 1), (0.625, 0)])
def test_places_that_are_rounded_too_far_prove_nothing(gap_mm: float, digits: int, phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored((6, 5, 40)), change=_rounded(gap_mm, digits))
    with pytest.raises(VolumeError, match="evenly spaced|must hold one slice"):
        read_dicom_ct(_only(folder))


@pytest.mark.parametrize("lost", [1, 5, 20, 38])
def test_a_slice_missing_among_rounded_places_is_found(lost: int, phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        _rounded(0.625, 1)(dataset, index + (index >= lost))

    folder = phantoms.series(phantoms.stored((6, 5, 39)), change=change)
    with pytest.raises(VolumeError, match="must be evenly spaced"):
        read_dicom_ct(_only(folder))


def test_copies_of_files_count_once_and_are_named(phantoms: Any) -> None:
    stored = phantoms.stored()
    folder = phantoms.series(stored)
    before = content_hash(folder)
    shutil.copy(folder / "im0.dcm", folder / "im0 copy.dcm")
    shutil.copytree(folder, folder / "exported twice")
    series = _only(folder)
    assert (len(series.files), series.n_voxels) == (4, stored.size)
    volume = read_dicom_ct(series)
    np.testing.assert_array_equal(volume.voxels, stored.transpose(2, 1, 0) - 1024)
    (note,) = volume.notes
    assert re.fullmatch(r"Left out of the series: 6 copies \((.*\.dcm, ){4}.*\.dcm and 1 more\)\.", note)
    assert content_hash(folder) == before  # so that a scan of the training is known


def test_what_a_folder_holds_beside_series_is_told_once_each(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored())
    for name in (".DS_Store", "Thumbs.db", "notes.txt", ".hidden/im0.dcm", "below/readme"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "linked").symlink_to(folder / "below")
    (folder / "dangling").symlink_to(folder / "absent")
    found = find_dicom(folder)
    told = [path.relative_to(folder).as_posix() for path in found.others]
    assert sorted(told) == sorted(
        [".DS_Store", ".hidden", "Thumbs.db", "below/readme", "dangling", "linked", "notes.txt"]
    )
