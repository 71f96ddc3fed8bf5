"""DICOM series as volumes: each value at its place in the patient, as SimpleITK has it."""

import base64
import logging
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from dicom_kit import find_dicom_series, read_dicom_ct, read_dicom_mr
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from lts.volume import DicomSeries, Volume, read_ct

DIRECTIONS = {  # where a row runs, where a column runs, LPS
    "axial": (1, 0, 0, 0, 1, 0),
    "axial, feet first and face down": (-1, 0, 0, 0, -1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "oblique": (0.8, 0.6, 0, -0.36, 0.48, 0.8),
}

HTJ2K_CODE = base64.b64decode(
    "/0//UQApQAAAAAAQAAAAEAAAAAAAAAAAAAAAEAAAABAAAAAAAAAAAAABjwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wA"
    "EyCIkJCQkJCQkJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAALcAAf+TwAAmMf0Ch3QAAMAAEsAA"
    "EwCXAgd0AGz+Aod0AMAAFTAABOCePPXu/QECtAA00/wAg1QAwAAWtAABVMY0jQkTU6YY0zQmTEyZ8gzi4gixtwCUKSkpwDGB"
    "7LYAwAAu1gABaQBABAAAAAJCSAgQAQAAgIAQEgJEAAAAICCEhAARAAAACAghIQZ2v1l87X6y+dr9ZcIrGzGyAbIymUwmk8n+"
    "/YhAe/YhAey6AP/Z"
)
"""`90 * row - 5 * column**2 - 900` of 16 x 16, int16, as OpenJPH 0.26.3 compresses it without loss."""


def _only(folder: Path) -> DicomSeries:
    (series,) = find_dicom_series(folder)
    return series


def _by_simpleitk(folder: Path, series: DicomSeries) -> SimpleITK.Image:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder), series.uid))
    return reader.Execute()


def _affine_ras(image: SimpleITK.Image) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _assert_as_simpleitk(folder: Path, series: DicomSeries, volume: Volume, *, lowest: float = -1024) -> None:
    image = _by_simpleitk(folder, series)
    np.testing.assert_allclose(volume.geometry.affine, _affine_ras(image), atol=1e-4)
    on_disk = SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0)
    expected = volume.geometry.to_canonical(np.maximum(on_disk, lowest))
    np.testing.assert_array_equal(volume.voxels, expected)


def test_an_axial_series_goes_from_foot_to_head_front_to_back_right_to_left(phantoms: Any) -> None:
    stored = phantoms.stored()
    volume = read_dicom_ct(_only(phantoms.series(stored)))
    np.testing.assert_array_equal(volume.voxels, stored.transpose(2, 1, 0) - 1024)
    assert volume.voxels.dtype == np.int16
    assert volume.voxels.flags.c_contiguous
    assert volume.geometry.shape == (6, 5, 4)
    assert volume.geometry.axes == "LPS"
    assert volume.geometry.spacing_mm == (2.5, 0.75, 0.5)
    np.testing.assert_allclose(volume.geometry.affine[:3, 3], [11.5, 23.25, 40])
    assert volume.notes == ()


@pytest.mark.parametrize("along", [1.0, -1.0])
@pytest.mark.parametrize("name", DIRECTIONS)
def test_every_voxel_lies_where_its_header_puts_it(name: str, along: float, phantoms: Any) -> None:
    stored, directions = phantoms.stored(), DIRECTIONS[name]
    folder = phantoms.series(stored, directions=directions, along=along)
    series = _only(folder)
    volume = read_dicom_ct(series)
    lps = phantoms.lps(directions=directions, along=along)
    found = phantoms.at(lps, volume.voxels, volume.geometry.canonical_affine)
    np.testing.assert_array_equal(found, stored - 1024)
    _assert_as_simpleitk(folder, series, volume)


def test_each_slice_has_a_slope_and_an_intercept_of_its_own(phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = 2 + index, 7 - 100 * index

    stored = phantoms.stored()
    volume = read_dicom_ct(_only(phantoms.series(stored, change=change)))
    index = np.arange(4)
    np.testing.assert_array_equal(
        volume.voxels, (stored.astype(int) * (2 + index) + 7 - 100 * index).transpose(2, 1, 0)
    )


def test_padding_is_lifted_and_fractions_are_rounded_with_a_note(phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = 0.25, -1000
        dataset.PixelPaddingValue = -2000

    stored = phantoms.stored()
    stored[0, 0, 0], stored[1, 0, 0], stored[2, 0, 0] = -2000, 4003, -96
    volume = read_dicom_ct(_only(phantoms.series(stored, change=change)))
    assert volume.voxels[0, 0, :3].tolist() == [-1024, 1, -1024]
    np.testing.assert_array_equal(
        volume.voxels, np.maximum(np.rint(stored * 0.25 - 1000), -1024).transpose(2, 1, 0)
    )
    assert volume.notes == ("Fractions of HU were rounded.",)


@pytest.mark.parametrize(
    "syntax",
    [
        JPEG2000Lossless,
        RLELossless,
        JPEGLSLossless,
    ],
)
def test_compressed_slices_are_decoded(syntax: str, phantoms: Any) -> None:
    stored = phantoms.stored((80, 70, 3)) - 2000
    volume = read_dicom_ct(_only(phantoms.series(stored, syntax=syntax)))
    np.testing.assert_array_equal(volume.voxels, np.maximum(stored - 1024, -1024).transpose(2, 1, 0))


@pytest.mark.parametrize("syntax", [HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K])
def test_high_throughput_jpeg_2000_is_decoded(syntax: str, phantoms: Any) -> None:
    def compress(dataset: Dataset, index: int) -> None:
        dataset.PixelData = encapsulate([HTJ2K_CODE])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax

    volume = read_dicom_ct(_only(phantoms.series(phantoms.stored((16, 16, 3)), change=compress)))
    row, column = np.indices((16, 16))
    slices = np.broadcast_to(90 * row - 5 * column**2 - 900 - 1024, (3, 16, 16))
    np.testing.assert_array_equal(volume.voxels, np.maximum(slices, -1024))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_other_encodings_of_the_file_are_read(syntax: str, phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.file_meta.TransferSyntaxUID = syntax

    stored = phantoms.stored()
    volume = read_dicom_ct(_only(phantoms.series(stored, change=change)))
    np.testing.assert_array_equal(volume.voxels, stored.transpose(2, 1, 0) - 1024)


def test_an_inverted_display_does_not_invert_hu(phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.PhotometricInterpretation = "MONOCHROME1"

    stored = phantoms.stored()
    volume = read_dicom_ct(_only(phantoms.series(stored, change=change)))
    np.testing.assert_array_equal(volume.voxels, stored.transpose(2, 1, 0) - 1024)


def test_rules_that_say_nothing_of_voxels_may_be_broken_without_a_warning(
    phantoms: Any, recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    from pydicom import config

    def change(dataset: Dataset, index: int) -> None:
        dataset.SeriesInstanceUID = "1.02.003.x"  # leading zeros and a letter
        dataset.add_new("AccessionNumber", "SH", "longer than sixteen characters")
        dataset.add_new("PatientAge", "AS", "about 60")
        dataset.SpecificCharacterSet = "ISO_IR 9999"
        dataset.PixelData += b"\0" * 6

    stored = phantoms.stored()
    with config.disable_value_validation():
        folder = phantoms.series(stored, change=change)
    before = config.settings.reading_validation_mode
    recwarn.clear()
    caplog.clear()
    with config.strict_reading():  # whatever the rest of the process wants of its files
        volume = read_dicom_ct(_only(folder))
    np.testing.assert_array_equal(volume.voxels, stored.transpose(2, 1, 0) - 1024)
    assert not recwarn.list
    assert not caplog.records
    assert config.settings.reading_validation_mode == before


def test_threads_leave_the_settings_of_the_process_as_they_were(phantoms: Any) -> None:
    from pydicom import config

    series = _only(phantoms.series(phantoms.stored((6, 5, 12))))
    before = (
        list(warnings.filters),
        config.settings.reading_validation_mode,
        logging.getLogger("pydicom").level,
    )
    with ThreadPoolExecutor(8) as pool:
        volumes = list(pool.map(read_dicom_ct, [series] * 24))
    assert all((volume.voxels == volumes[0].voxels).all() for volume in volumes)
    after = (
        list(warnings.filters),
        config.settings.reading_validation_mode,
        logging.getLogger("pydicom").level,
    )
    assert after == before


def test_an_mr_keeps_its_scale(phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.RescaleType = "normalized"  # no unit is asked of an MR

    stored = phantoms.stored()
    series = _only(phantoms.series(stored, modality="MR", change=change))
    volume = read_dicom_mr(series)
    assert volume.voxels.dtype == np.int16
    np.testing.assert_array_equal(volume.voxels, stored.transpose(2, 1, 0))
    assert volume.notes == ()
    _assert_as_simpleitk(series.folder, series, volume, lowest=-np.inf)


@pytest.mark.parametrize(("slope", "intercept"), [(0.5, 0), (20, 0), (1, -40000)])
def test_an_mr_that_int16_cannot_hold_is_float32(slope: float, intercept: float, phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        if index == 2:  # the slices before it were integers
            dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept

    stored = phantoms.stored()
    stored[0, 0, 2] = 3999
    volume = read_dicom_mr(_only(phantoms.series(stored, modality="MR", change=change)))
    expected = stored.astype(np.float64)
    expected[..., 2] = expected[..., 2] * slope + intercept
    assert volume.voxels.dtype == np.float32
    np.testing.assert_array_equal(volume.voxels, expected.transpose(2, 1, 0))


def test_two_slices_make_a_volume_since_they_have_one_gap(phantoms: Any) -> None:
    stored = phantoms.stored((6, 5, 2))
    volume = read_dicom_ct(_only(phantoms.series(stored)))
    np.testing.assert_array_equal(volume.voxels, stored.transpose(2, 1, 0) - 1024)
    assert volume.geometry.spacing_mm == (2.5, 0.75, 0.5)
    assert volume.notes == ("That no slice is missing between the two is unproven.",)


@pytest.mark.parametrize(("modality", "read"), [("CT", read_dicom_ct), ("MR", read_dicom_mr)])
def test_frames_of_one_file_are_put_in_order_with_their_own_intercepts(
    modality: str, read: Any, phantoms: Any
) -> None:
    stored = phantoms.stored((6, 5, 7))
    volume = read(_only(phantoms.enhanced(stored, modality=modality)))
    expected = stored + np.arange(7) - 1024
    assert volume.voxels.dtype == np.int16
    np.testing.assert_array_equal(volume.voxels, expected.transpose(2, 1, 0))
    found = phantoms.at(phantoms.lps(stored.shape), volume.voxels, volume.geometry.canonical_affine)
    np.testing.assert_array_equal(found, expected)


def test_compressed_frames_of_one_file_are_decoded(phantoms: Any) -> None:
    stored = phantoms.stored((80, 70, 5))
    folder = phantoms.enhanced(stored, change=lambda dataset, index: dataset.compress(JPEG2000Lossless))
    volume = read_dicom_ct(_only(folder))
    np.testing.assert_array_equal(volume.voxels, (stored + np.arange(5) - 1024).transpose(2, 1, 0))


def test_rounded_positions_are_no_tilt_and_no_gap(phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        jitter = (0.01, -0.02, 0.04)[index % 3]
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x + jitter / 4, y - jitter / 4, z + jitter]
        dataset.ImageOrientationPatient = [1, 1e-5 * index, 0, 0, 1, 1e-6 * index]

    stored = phantoms.stored((6, 5, 9))
    volume = read_dicom_ct(_only(phantoms.series(stored, change=change)))
    np.testing.assert_array_equal(volume.voxels, stored.transpose(2, 1, 0) - 1024)
    assert volume.geometry.spacing_mm == pytest.approx((2.5, 0.75, 0.5), rel=1e-2)


def test_no_second_copy_of_the_voxels_is_made(phantoms: Any) -> None:
    stored = phantoms.stored((128, 128, 64))
    series = _only(phantoms.series(stored))
    read_dicom_ct(series)  # what is loaded once does not count
    tracemalloc.start()
    volume = read_dicom_ct(series)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * volume.voxels.nbytes


def test_a_real_series_equals_its_nifti_twin(real_data: Path) -> None:
    folder = real_data / "dicom/ct_series"
    series = _only(folder)
    volume = read_dicom_ct(series)
    twin = read_ct(real_data / "dicom/ct_series.nii.gz")
    assert volume.voxels.shape == (20, 512, 512)
    np.testing.assert_allclose(volume.geometry.canonical_affine, twin.geometry.canonical_affine, atol=1e-4)
    np.testing.assert_array_equal(volume.voxels, twin.voxels)
    assert volume.notes == ()
    _assert_as_simpleitk(folder, series, volume)


def test_a_small_real_series_is_read_as_simpleitk_reads_it(real_data: Path) -> None:
    folder = real_data / "dicom/small_ct"
    series = _only(folder)
    volume = read_dicom_ct(series)
    assert volume.voxels.shape == (17, 128, 88)
    assert volume.geometry.axes == "RAS"
    assert volume.notes == ("That values are HU is unproven: RescaleType is US, unspecified.",)
    _assert_as_simpleitk(folder, series, volume)


def test_two_real_slices_are_a_volume(real_data: Path) -> None:
    folder = real_data / "dicom/broken/slicecount/001"
    series = _only(folder)
    volume = read_dicom_mr(series)
    assert volume.geometry.axes == "PIR"
    assert volume.geometry.spacing_mm == pytest.approx((1, 1, 1))
    assert volume.notes == ("That no slice is missing between the two is unproven.",)
    _assert_as_simpleitk(folder, series, volume, lowest=-np.inf)


def test_a_real_file_of_many_frames_is_read(real_data: Path) -> None:
    series = _only(real_data / "odd")
    volume = read_dicom_mr(series)
    image = SimpleITK.ReadImage(str(series.files[0]))
    assert volume.voxels.shape == (6, 64, 64)
    assert volume.geometry.spacing_mm == pytest.approx((2.4, 3.375, 3.375))
    np.testing.assert_array_equal(volume.voxels, SimpleITK.GetArrayFromImage(image))
    np.testing.assert_allclose(volume.geometry.affine, _affine_ras(image), atol=1e-3)


def test_projections_through_slices_are_doubted(phantoms: Any) -> None:
    for image_type in (["DERIVED", "SECONDARY", "MIP"], ["DERIVED", "PRIMARY", "PROJECTION IMAGE"]):

        def change(dataset: Dataset, index: int, image_type: list[str] = image_type) -> None:
            dataset.ImageType = image_type

        (note,) = read_dicom_ct(_only(phantoms.series(phantoms.stored(), change=change))).notes
        assert note.startswith(f"ImageType is {'/'.join(image_type)}: projections through several slices")


def test_fewer_slices_than_were_taken_are_doubted(phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.ImagesInAcquisition = 4

    folder = phantoms.series(phantoms.stored(), change=change)
    assert read_dicom_ct(_only(folder)).notes == ()
    last = max(folder.iterdir(), key=lambda path: dcmread(path).ImagePositionPatient[2])
    last.unlink()
    (note,) = read_dicom_ct(_only(folder)).notes
    assert note == "ImagesInAcquisition is 4, and 3 are here: the scan may be cut short."


@pytest.mark.parametrize(
    "values",
    [
        {"ImagesInAcquisition": lambda index: 9, "AcquisitionNumber": lambda index: 1 + index // 2},
        {"ImagesInAcquisition": lambda index: 9 if index else 4},
        {"ImagesInAcquisition": lambda index: None},
        {"ImagesInAcquisition": lambda index: -3},
    ],
)
def test_counts_of_several_acquisitions_or_of_none_tell_nothing(values: Any, phantoms: Any) -> None:
    def change(dataset: Dataset, index: int) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value(index))

    assert read_dicom_ct(_only(phantoms.series(phantoms.stored(), change=change))).notes == ()
