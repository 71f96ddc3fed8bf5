"""Whatever lies beside scans is told by count and name; whole studies give their volumes, or those chosen."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import SegmentationStorage

from lts.base import CohortError, VolumeError
from lts.cohort import ArchiveLimits, FoundScans, SeriesChoice, find_scans

LIMITS = ArchiveLimits(max_bytes=10**7, max_files=100)


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"scan")
    return root


def find(path: Path, *names: str, acquisition: str = "") -> FoundScans:
    choice = SeriesChoice(names=names, acquisition=acquisition)
    return find_scans(path, unpack_to=path.parent / "unpacked", limits=LIMITS, choice=choice)


def _named(number: int, description: str, **values: object) -> Callable[[Dataset, int], None]:
    def change(dataset: Dataset, index: int) -> None:
        dataset.SeriesNumber, dataset.SeriesDescription = number, description
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return change


@pytest.fixture
def study(phantoms: Any) -> Path:
    """A localizer, two phases, a report's screen and its segmentation, as an archive exports them."""
    root = phantoms.folder / "study"
    root.mkdir()
    marked = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    for name, n_slices, change in (
        ("SE1", 2, _named(1, "Scout", ImageType=marked)),
        ("SE2", 4, _named(2, "arterial")),
        ("SE3", 4, _named(3, "Portal venous")),
        ("SE9", 1, _named(999, "Dose Report")),
    ):
        phantoms.series(phantoms.stored((6, 5, n_slices)), name=f"study/{name}", change=change)
    report = dcmread(root / "SE9" / "im0.dcm")
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = SegmentationStorage
    report.save_as(root / "SE9" / "seg.dcm")
    return root


def test_a_study_gives_its_volumes_and_tells_the_rest(study: Path) -> None:
    touch(study, "DICOMDIR", "README.TXT", ".DS_Store", "SE2/Thumbs.db", "scan.mgz")
    found = find(study)
    assert [one.case for one in found.sources] == ["SE2", "SE3"]
    assert found.passed_over == (
        "2 series that are no volume: series 1 'Scout' in SE1, 2 localizers; "
        "series 999 'Dose Report' in SE9, 1 image, which has no spacing",
        "1 DICOM file without an image (SE9/seg.dcm)",
        "1 file of another format (scan.mgz); convert a scan to .nii.gz, and name an archive itself",
        "4 other files (.DS_Store, DICOMDIR, README.TXT, SE2/Thumbs.db)",
    )


@pytest.mark.parametrize(
    ("names", "cases"),
    [
        (("3",), ["SE3"]),
        (("portal VENOUS",), ["SE3"]),
        (("2", "Portal venous"), ["SE2", "SE3"]),
        (("999",), ["SE9"]),  # that it makes no volume is for its reader to say
    ],
)
def test_series_are_chosen_by_number_or_description(
    names: tuple[str, ...], cases: list[str], study: Path
) -> None:
    touch(study, "a.nii.gz")
    found = find(study, *names, acquisition="2")
    assert [one.case for one in found.sources] == cases
    assert {one.series.acquisition for one in found.sources if one.series} == {"2"}
    assert found.passed_over[0].startswith(f"{4 - len(cases)} series that are not chosen: series 1 'Scout'")
    assert found.passed_over[1] == "1 NIfTI file (a.nii.gz)"


def test_a_series_is_chosen_by_its_uid(study: Path) -> None:
    uid = dcmread(study / "SE2" / "im0.dcm").SeriesInstanceUID
    assert [one.case for one in find(study, uid).sources] == ["SE2"]


def test_a_choice_that_fits_nothing_is_refused_with_what_there_is(study: Path, tmp_path: Path) -> None:
    with pytest.raises(CohortError) as caught:
        find(study, "2", "7")
    message = str(caught.value)
    assert message.startswith(f"series: {study} holds no DICOM series of the UID, number or description '7'")
    assert (
        "but 4 series: series 1 'Scout' in SE1, 2 localizers; series 2 'arterial' in SE2, 4 files" in message
    )
    with pytest.raises(CohortError, match="number or description '7', but 0 series$"):
        find(touch(tmp_path / "nifti", "a.nii") / "a.nii", "7")


def test_a_study_without_a_volume_is_refused_with_what_it_holds(study: Path) -> None:
    for name in ("SE2", "SE3"):
        shutil.rmtree(study / name)
    with pytest.raises(
        CohortError, match="got none: 2 series that are no volume: series 1 'Scout' in SE1, 2 l"
    ):
        find(study)


def test_the_index_of_a_disc_sends_to_its_folder(study: Path) -> None:
    shutil.copy(study / "SE9" / "seg.dcm", study / "DICOMDIR")
    with pytest.raises(CohortError, match="DICOMDIR: must be a scan, got an index of DICOM files; name its"):
        find(study / "DICOMDIR")
    assert [one.case for one in find(study).sources] == ["SE2", "SE3"]


@pytest.mark.parametrize("name", ["im0.dcm", "bare"])
def test_a_file_that_is_named_is_taken_for_a_scan(name: str, study: Path) -> None:
    (study / "SE9" / "im0.dcm").rename(study / "SE9" / name)
    (source,) = find(study / "SE9" / name).sources
    assert source.case == Path(name).stem
    with pytest.raises(CohortError, match=r"seg\.dcm: must be a scan, got a DICOM file without an image"):
        find(study / "SE9" / "seg.dcm")


def test_a_zip_of_a_study_with_one_volume_is_one_scan(study: Path, tmp_path: Path) -> None:
    shutil.rmtree(study / "SE3")
    path = tmp_path / "patient.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in study.rglob("*.dcm"):
            archive.write(file, file.relative_to(study.parent).as_posix())
        archive.writestr("__MACOSX/._im0.dcm", b"x")
        archive.writestr("study/.DS_Store", b"x")
    found = find(path)
    (source,) = found.sources
    assert source.case == "patient"
    assert found.passed_over[0].startswith("2 series that are no volume: series 1 'Scout' in study/SE1")
    assert found.passed_over[-1] == "2 hidden files (__MACOSX/._im0.dcm, study/.DS_Store)"


def test_scans_below_a_folder_masks_and_links_are_told(tmp_path: Path) -> None:
    root = touch(
        tmp_path / "in", "volume-1.nii", "segmentation-1.NII.GZ", "s0001/ct.nii.gz", "s0002/ct.nii.gz"
    )
    (root / "linked").symlink_to(root / "s0001")
    found = find(root)
    assert [one.case for one in found.sources] == ["volume-1"]
    assert found.passed_over == (
        "2 NIfTI files in folders below, which are to be named themselves (s0001/ct.nii.gz, s0002/ct.nii.gz)",
        "1 mask beside its volume (segmentation-1.NII.GZ)",
        "1 linked folder (linked); name what it leads to",
    )
    assert [one.case for one in find(root / "s0001").sources] == ["ct"]


def test_names_are_told_on_one_line_and_not_all_of_them(tmp_path: Path) -> None:
    names = [f"n{number}.txt" for number in range(7)]
    root = touch(tmp_path / "in", "a.nii", "x\ny.txt", "z" * 200, *names)
    (told,) = find(root).passed_over
    assert told == "9 other files (n0.txt, n1.txt, n2.txt, n3.txt, n4.txt and 4 more)"
    for name in names:
        (root / name).unlink()
    (told,) = find(root).passed_over
    assert told == rf"2 other files (x\ny.txt, {'z' * 18}[... 164 characters ...]{'z' * 18})"


@pytest.mark.parametrize("name", ["scan.mnc", "SCAN.MGZ", "scan.nii.xz"])
def test_a_scan_of_another_format_says_what_to_do(name: str, tmp_path: Path) -> None:
    path = touch(tmp_path, name) / name
    with pytest.raises(
        CohortError,
        match="must be NIfTI, NRRD, MetaImage, DICOM or a zip archive .*; convert a scan to .nii.gz",
    ):
        find(path)


@pytest.mark.parametrize("name", ["A.NII.GZ", "A.Nii", "A_0000.nii.GZ"])
def test_endings_are_read_in_whatever_case(name: str, tmp_path: Path) -> None:
    folder = touch(tmp_path / "in", name)
    for path in (folder, folder / name):
        (source,) = find(path).sources
        assert (source.case, source.path) == ("A", folder / name)


def test_a_link_that_leads_nowhere_is_a_scan_that_cannot_be_read(tmp_path: Path) -> None:
    root = touch(tmp_path / "scans", "a.nii.gz")
    (root / "b.nii.gz").symlink_to(tmp_path / "never-fetched")
    found = find(root)
    assert [source.case for source in found.sources] == ["a", "b"]
    assert found.passed_over == ()
    with pytest.raises(VolumeError, match=r"b.nii.gz: no such file"):
        found.sources[1].read(modality="ct")
