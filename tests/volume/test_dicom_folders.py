"""A folder that holds one DICOM series is a scan like a file; one that holds several, or none, is refused."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from dicom_kit import find_dicom_series, read_dicom_ct
from pydicom import Dataset

from lts.base import VolumeError
from lts.volume import format_of, read_ct, read_geometry, read_mask, read_mask_geometry, read_mr, source_files


def _localizer(dataset: Dataset, index: int) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def test_a_folder_is_read_as_its_series(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored())
    (series,) = find_dicom_series(folder)
    scan, expected = read_ct(folder), read_dicom_ct(series)
    np.testing.assert_array_equal(scan.voxels, expected.voxels)
    assert scan.geometry == expected.geometry == read_geometry(folder)
    assert (format_of(folder).name, source_files(folder)) == ("DICOM", series.files)
    with pytest.raises(VolumeError, match="modality must be MR, got 'CT'"):
        read_mr(folder)


def test_an_mr_is_read_on_its_own_scale(phantoms: Any) -> None:
    stored = phantoms.stored()
    folder = phantoms.series(stored, modality="MR")
    np.testing.assert_array_equal(read_mr(folder).voxels, stored.transpose(2, 1, 0))


def test_a_file_of_many_frames_is_a_scan_by_itself(phantoms: Any) -> None:
    folder = phantoms.enhanced(phantoms.stored())
    (path,) = folder.iterdir()
    bare = path.rename(folder / "scan")  # known by what it holds
    np.testing.assert_array_equal(read_ct(bare).voxels, read_ct(folder).voxels)
    assert source_files(bare) == source_files(folder) == (bare,)


def test_one_slice_of_a_series_is_no_scan(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored())
    with pytest.raises(VolumeError, match=r"must hold 2 slices or more, .* got 1 \(im0\.dcm\)"):
        read_ct(folder / "im0.dcm")


def test_series_that_are_no_volume_do_not_count(phantoms: Any) -> None:
    (phantoms.folder / "study").mkdir()
    phantoms.series(phantoms.stored(), name="study/ct")
    phantoms.series(phantoms.stored((6, 5, 2)), name="study/localizer", change=_localizer)
    folder = phantoms.folder / "study"
    np.testing.assert_array_equal(read_ct(folder).voxels, read_ct(folder / "ct").voxels)
    assert len(source_files(folder)) == 4


def test_several_series_are_named(phantoms: Any) -> None:
    (phantoms.folder / "study").mkdir()
    for number, name in ((3, "arterial"), (4, "venous")):

        def change(dataset: Dataset, index: int, number: int = number, name: str = name) -> None:
            dataset.SeriesNumber, dataset.SeriesDescription = number, name

        phantoms.series(phantoms.stored(), name=f"study/{name[0]}", change=change)
    expected = (
        "study: must hold one DICOM series, got 2: series 3 'arterial' in a, 4 files; "
        "series 4 'venous' in v, 4 files; name the folder of one of them"
    )
    for read in (read_ct, read_geometry, source_files):
        with pytest.raises(VolumeError) as told:
            read(phantoms.folder / "study")
        assert str(told.value).endswith(expected)


def test_a_folder_without_a_volume_says_what_it_holds(phantoms: Any, tmp_path: Path) -> None:
    folder = phantoms.series(phantoms.stored((6, 5, 2)), change=_localizer)
    told = "must hold a DICOM series that may be a volume, got series .*2 localizers"
    with pytest.raises(VolumeError, match=told):
        read_ct(folder)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("no scan")
    with pytest.raises(VolumeError, match="notes: must hold a DICOM series, got none"):
        read_ct(tmp_path / "notes")


def test_a_broken_file_spoils_the_series(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored())
    (folder / "im9.dcm").write_bytes(b"no slice")
    with pytest.raises(VolumeError, match=r"im9\.dcm: is named as DICOM and is none"):
        read_ct(folder)


def test_no_mask_is_read_from_dicom(phantoms: Any) -> None:
    folder = phantoms.series(phantoms.stored())
    image = read_geometry(folder)
    told = r"a mask must be NIfTI, NRRD or MetaImage, got DICOM \(DICOM SEG is not read here\); convert it"
    for path in (folder, folder / "im0.dcm"):
        with pytest.raises(VolumeError, match=told) as error:
            read_mask(path, image=image)
        assert error.value.code == "not-nifti"
        with pytest.raises(VolumeError, match=told):
            read_mask_geometry(path)


def test_a_real_folder_is_the_nifti_file_that_another_program_made_of_it(real_data: Path) -> None:
    scan = read_ct(real_data / "dicom/ct_series")
    made = read_ct(real_data / "dicom/ct_series.nii.gz")
    np.testing.assert_array_equal(scan.voxels, made.voxels)
    np.testing.assert_allclose(scan.geometry.canonical_affine, made.geometry.canonical_affine, atol=1e-3)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(real_data / "dicom/ct_series")))
    assert reader.Execute().GetSize() == scan.geometry.shape


def test_a_link_to_a_folder_is_that_folder(phantoms: Any, tmp_path: Path) -> None:
    folder = phantoms.series(phantoms.stored())
    (tmp_path / "link").symlink_to(folder)
    np.testing.assert_array_equal(read_ct(tmp_path / "link").voxels, read_ct(folder).voxels)
    shutil.rmtree(folder)
    with pytest.raises(VolumeError, match="link: no such file"):
        read_ct(tmp_path / "link")
