"""Whatever names a case, what is written of it stays in the folder of the output."""

import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lts.app.commands.mask_pairs import masks_in
from lts.base import CohortError
from lts.cohort import ArchiveLimits, find_cases, find_scans
from lts.service.uploads import name_upload

HOSTILE = (
    *(
        "_mask",
        "../evil",
        "../../evil",
        "a/../../evil",
        "/tmp/evil",
        "//host/evil",
        "..",
        ".",
        "...",
        "/",
        "",
    ),
    *(
        "..\\evil",
        "C:\\evil",
        "C:evil",
        "\\\\host\\evil",
        "~/evil",
        "a\0b",
        "a\nb",
        "\u202e/evil",
        "a/",
        "%2e%2e/evil",
    ),
)
LIMITS = ArchiveLimits(max_bytes=10**6, max_files=10)


def from_dataset_json(name: str, root: Path) -> list[str]:
    """Named by MSD's list."""
    image = {"image": f"{name}.nii.gz", "label": "mask.nii.gz"}
    (root / "mask.nii.gz").touch()
    scan = root / f"{name}.nii.gz"
    if "\0" not in name and scan.resolve().is_relative_to(root.parents[1]):
        (root / "a").mkdir()  # some names go in before they go out
        scan.resolve().parent.mkdir(exist_ok=True)
        scan.touch()
    (root / "dataset.json").write_text(json.dumps({"training": [image], "labels": {"1": "liver"}}))
    return [case.id for case in find_cases(root, layout="msd").cases]


def from_pairs(name: str, root: Path) -> list[str]:
    """Named by the first column of a CSV file."""
    for file in ("scan.nii", "mask.nii"):
        (root / file).touch()
    (root / "cases.csv").write_text(f'case,patient,image,mask\n"{name}",p,scan.nii,mask.nii\n')
    return [case.id for case in find_cases(root, layout="pairs").cases]


def from_archive(name: str, root: Path) -> list[str]:
    """Named by members: two, as the only one is named by the archive."""
    path = root / "scans.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.nii.gz", b"")
        archive.writestr(zipfile.ZipInfo(f"{name}.nii.gz"), b"")
    try:
        return [scan.case for scan in find_scans(path, unpack_to=root / "unpacked", limits=LIMITS).sources]
    finally:
        written = [file for file in root.parents[1].rglob("*") if file.is_file() and file != path]
        assert all(file.is_relative_to(root / "unpacked") for file in written)


def from_upload(name: str, root: Path) -> list[str]:
    """Named by who sends a file over HTTP."""
    upload = name_upload(f"{name}.nii.gz", folder=root)
    assert upload.path == root / "scan.nii.gz"
    return [upload.case]


def touch(folder: Path, name: str) -> None:
    """A file of that name, where a file system takes it."""
    folder.mkdir(exist_ok=True)
    if name and "/" not in name and "\0" not in name:
        (folder / f"{name}.nii.gz").touch()


def from_nnunet(name: str, root: Path) -> list[str]:
    """Named by files of nnU-Net."""
    (root / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "liver": 1}}))
    touch(root / "imagesTr", f"{name}_0000")
    touch(root / "labelsTr", name)
    return [case.id for case in find_cases(root, layout="nnunet").cases]


def from_folder(name: str, root: Path) -> list[str]:
    """Named by scans in a folder to predict."""
    touch(root, name)
    return [scan.case for scan in find_scans(root, unpack_to=root, limits=LIMITS).sources]


def from_predictions(name: str, root: Path) -> list[str]:
    """Named by masks in a folder to score."""
    touch(root, name)
    return list(masks_in(root))


SOURCES = [
    *(from_dataset_json, from_pairs, from_archive, from_upload),
    *(from_nnunet, from_folder, from_predictions),
]


@pytest.mark.parametrize("source", SOURCES)
def test_a_harmless_name_is_that_of_its_case(
    source: Callable[[str, Path], list[str]], tmp_path: Path
) -> None:
    root = tmp_path / "deep" / "in"
    root.mkdir(parents=True)
    assert "patient-7" in " ".join(source("patient-7", root))


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("source", SOURCES)
def test_a_case_never_leads_out_of_the_folder(
    source: Callable[[str, Path], list[str]], name: str, tmp_path: Path
) -> None:
    root, output = tmp_path / "deep" / "in", tmp_path / "out"
    root.mkdir(parents=True)
    cases: list[str] = []
    with suppress(CohortError):
        cases = source(name, root)
    for case in cases:
        written = output / f"{case}_mask.nii.gz"
        assert written.resolve().parent == (output / case).resolve().parent == output.resolve()
        assert case.isprintable()
        assert "\\" not in case
        assert ":" not in case


@pytest.mark.parametrize("name", [name for name in HOSTILE if name.isprintable()])
def test_what_dicom_says_of_a_patient_names_no_case(phantoms: Any, name: str, tmp_path: Path) -> None:
    def rename(dataset: Any, _: int) -> None:
        for keyword in ("PatientID", "PatientName", "SeriesDescription", "StudyID", "AccessionNumber"):
            setattr(dataset, keyword, name)

    folder = phantoms.series(phantoms.stored(), name="study", change=rename)
    (scan,) = find_scans(folder, unpack_to=tmp_path / "unpacked", limits=LIMITS).sources
    assert scan.case == "study"
