"""Acquisitions within each other are refused by name or chosen; parts of one scan are one volume."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_kit import find_dicom_series, read_dicom_ct, read_dicom_mr
from pydicom import Dataset

from lts.base import VolumeError
from lts.volume import DicomSeries

N = 8


def _only(folder: Path) -> DicomSeries:
    (series,) = find_dicom_series(folder)
    return series


def _set(keyword: str, value: Callable[[int], object]) -> Callable[[Dataset, int], None]:
    """Sets a value that follows from the place of a slice; None leaves it out."""

    def change(dataset: Dataset, index: int) -> None:
        if (chosen := value(index)) is not None:
            setattr(dataset, keyword, chosen)

    return change


def _in_turns(one: object, other: object) -> Callable[[int], object]:
    return lambda index: other if index % 2 else one


MIXED = {
    "AcquisitionNumber": ("AcquisitionNumber", _in_turns(3, 5), "3 (4 images: AcquisitionNumber 3), 5 (4"),
    "SeriesNumber": ("SeriesNumber", _in_turns(2, 4), "SeriesNumber 2), 2 (4 images: SeriesNumber 4"),
    "one has no number": ("AcquisitionNumber", _in_turns(None, 5), "AcquisitionNumber not stated"),
    "ContrastBolusAgent": ("ContrastBolusAgent", _in_turns("", "X"), "ContrastBolusAgent not stated), 2 (4"),
    "ConvolutionKernel": ("ConvolutionKernel", _in_turns("B30", "B70"), "ConvolutionKernel B30), 2 (4"),
    "kernel of two values": (
        "ConvolutionKernel",
        _in_turns(["Br38", "3"], ["Br38", "2"]),
        "Br38/3), 2 (4 images: ConvolutionKernel Br38/2",
    ),
    "KVP": ("KVP", _in_turns(80, 140), "KVP 80), 2 (4 images: KVP 140"),
    "TemporalPositionIdentifier": ("TemporalPositionIdentifier", _in_turns(1, 2), "TemporalPosition 1"),
    "ImageType": ("ImageType", _in_turns(["ORIGINAL", "M"], ["ORIGINAL", "P"]), "ImageType ORIGINAL/M"),
    "AcquisitionTime": ("AcquisitionTime", _in_turns("101010", "101045"), "AcquisitionTime 101010"),
    "a time of its own for each slice": (
        "AcquisitionTime",
        lambda index: f"1010{10 + 30 * (index % 2)}.{index:06}",
        "AcquisitionTime 101010.000000), 2 (4 images: AcquisitionTime 101040.000001",
    ),
    "a table that stops for each slice": (
        "AcquisitionTime",
        lambda index: f"10{10 + index % 2}{5 * (index // 2):02}",
        "AcquisitionTime 101000), 2 (4 images: AcquisitionTime 101100",
    ),
    "AcquisitionDateTime": (
        "AcquisitionDateTime",
        _in_turns("20240101101010", "20240101101110"),
        "AcquisitionTime 20240101101010",
    ),
    "hours alone": ("AcquisitionTime", _in_turns("10", "11"), "AcquisitionTime 10), 2 (4 images: Acq"),
    "as older files have it": ("AcquisitionTime", _in_turns("101010", "1011"), "AcquisitionTime 1011"),
    "ContentTime": ("ContentTime", _in_turns("101010", "101045"), "AcquisitionTime 101010"),
    "one slice within the others": ("AcquisitionNumber", lambda index: 1 + (index == 3), "1 (7 images"),
}


@pytest.mark.parametrize("name", MIXED)
def test_acquisitions_within_each_other_are_refused_by_what_differs(name: str, phantoms: Any) -> None:
    keyword, value, told = MIXED[name]
    folder = phantoms.series(phantoms.stored((6, 5, N)), change=_set(keyword, value))
    with pytest.raises(VolumeError) as caught:
        read_dicom_ct(_only(folder))
    message = str(caught.value)
    assert message.startswith(f"{folder}: must hold one acquisition, got 2 that lie within each other: ")
    assert told in message
    assert message.endswith(" chooses one, acquisition=all takes all as one volume")
    assert "\n" not in message


SOUND = {
    "two parts, one behind the other": ("AcquisitionNumber", lambda index: 1 + (index >= 5)),
    "a part for each slice": ("AcquisitionNumber", lambda index: index + 1),
    "as slices of one turn": ("AcquisitionNumber", lambda index: index // 2),
    "downward": ("AcquisitionTime", lambda index: f"1010{50 - 5 * index}"),
    "a time for each slice": ("AcquisitionTime", lambda index: f"101010.{40000 * index:06}"),
    "a pause between parts": ("AcquisitionTime", lambda index: f"1{index // 4}1010.{index}"),
    "times that waver": ("AcquisitionTime", _in_turns("101010.0", "101011.5")),
    "no time of day": ("AcquisitionTime", _in_turns("", "101010")),
    "agent in the second part": ("ContrastBolusAgent", lambda index: "X" if index >= 4 else None),
    "tube current": ("XRayTubeCurrent", _in_turns(100, 200)),
    "midnight": ("AcquisitionTime", lambda index: "235959" if index < 4 else "000001"),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_scan_that_was_taken_in_parts_is_one_volume(name: str, phantoms: Any) -> None:
    keyword, value = SOUND[name]
    stored = phantoms.stored((6, 5, N))
    volume = read_dicom_ct(_only(phantoms.series(stored, change=_set(keyword, value))))
    np.testing.assert_array_equal(volume.voxels, stored.transpose(2, 1, 0) - 1024)
    assert volume.notes == ()


def test_slices_of_an_mr_are_taken_in_any_order_and_its_echoes_are_not_mixed(phantoms: Any) -> None:
    stored = phantoms.stored((6, 5, N))
    turns = _set("AcquisitionTime", _in_turns("101010", "101210"))
    folder = phantoms.series(stored, modality="MR", change=turns)
    np.testing.assert_array_equal(read_dicom_mr(_only(folder)).voxels, stored.transpose(2, 1, 0))
    echoes = _set("EchoTime", _in_turns(4.6, 2.3))
    folder = phantoms.series(stored, name="echoes", modality="MR", change=echoes)
    with pytest.raises(VolumeError, match=r"got 2 .*EchoTime 4\.6\), 2 \(4 images: EchoTime 2\.3\)"):
        read_dicom_mr(_only(folder))


def test_the_chosen_acquisition_is_read_and_all_where_that_is_asked(phantoms: Any) -> None:
    stored = phantoms.stored((6, 5, N))
    folder = phantoms.series(stored, change=_set("AcquisitionNumber", _in_turns(3, 5)))
    series = _only(folder)
    for choice, which in (("3", slice(0, N, 2)), ("5", slice(1, N, 2)), ("all", slice(None))):
        volume = read_dicom_ct(replace(series, acquisition=choice))
        np.testing.assert_array_equal(volume.voxels, stored[..., which].transpose(2, 1, 0) - 1024)
        assert volume.geometry.spacing_mm[0] == (2.5 if choice == "all" else 5)
    with pytest.raises(VolumeError, match="acquisition must be one of those it holds, got '4': 3 .*, 5 "):
        read_dicom_ct(replace(series, acquisition="4"))


def test_a_series_of_one_acquisition_leaves_nothing_to_choose(phantoms: Any) -> None:
    stored = phantoms.stored()
    series = _only(phantoms.series(stored, change=_set("AcquisitionNumber", lambda index: 1)))
    assert read_dicom_ct(replace(series, acquisition="2")).voxels.shape == stored.shape[::-1]


def test_acquisitions_at_the_same_places_are_chosen_from_too(phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, z - 2.5 * 4 * (index >= 4)]
        dataset.AcquisitionNumber = 1 + (index >= 4)

    stored = phantoms.stored((6, 5, N))
    series = _only(phantoms.series(stored, change=change))
    with pytest.raises(VolumeError, match=r"must hold one acquisition, got 2 .*; acquisition=1 chooses one$"):
        read_dicom_ct(series)
    volume = read_dicom_ct(replace(series, acquisition="2"))
    np.testing.assert_array_equal(volume.voxels, stored[..., 4:].transpose(2, 1, 0) - 1024)


def test_passes_that_overlap_are_not_one_volume(phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, z - 2.5 * (index >= 5)]  # at one place with the fifth
        dataset.AcquisitionNumber = 1 + (index >= 5)

    series = _only(phantoms.series(phantoms.stored((6, 5, N)), change=change))
    with pytest.raises(VolumeError, match=r"got 2 .*: 1 \(5 images.*, 2 \(3 images"):
        read_dicom_ct(series)


def test_many_acquisitions_are_counted_and_not_all_named(phantoms: Any) -> None:
    change = _set("TemporalPositionIdentifier", lambda index: index % 6)
    series = _only(phantoms.series(phantoms.stored((6, 5, 12)), change=change))
    with pytest.raises(VolumeError, match=r"got 6 .*, 4 \(2 images: TemporalPosition 3\) and 2 more; acq"):
        read_dicom_ct(series)


def test_frames_of_one_file_are_told_apart_too(phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        for group in dataset.PerFrameFunctionalGroupsSequence:
            place = (group.PlanePositionSequence[0].ImagePositionPatient[2] - 40) / 2.5
            content = Dataset()
            content.TemporalPositionIndex = 1 + round(place) % 2
            group.FrameContentSequence = [content]

    series = _only(phantoms.enhanced(phantoms.stored((6, 5, N)), change=change))
    with pytest.raises(VolumeError, match=r"1 \(4 images: TemporalPosition 1\), 2 \(4 images"):
        read_dicom_ct(series)
