"""Each defect, planted on purpose, is found under its own code, and nothing is found in sound cohorts."""

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from fault_kit import FAULTS, SPLIT_FILE, plant_fault

from lts.base import ConfigError, Modality, _processes
from lts.cohort import find_cases
from lts.cohort.doctor import CHECKS, Diagnosis, Finding, check_headers, diagnose, survey_cohort
from lts.phantom import make_phantom_cohort
from lts.volume import read_geometry

LAYOUTS = {"files-unused": "msd", "split-shares-patient": "pairs"}
OF_THE_FOLDER = {"cohort-incomplete", "files-unused", "split-refused", "split-shares-patient"}
OF_TWO_CASES = {"duplicate", "split-shares-content"}
BY_HEADERS = {
    *("unreadable", "not-nifti", "truncated", "wrong-dimensions", "refused"),
    *("grids-differ", "spacing-implausible", "unit-implausible", "field-of-view"),
    *("transforms-disagree", "spacing-disagrees", "sheared"),
}


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge cases in this process: to start others takes longer."""
    monkeypatch.setattr(_processes, "usable_processors", lambda: 1)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two phantoms with tumors."""
    root = tmp_path_factory.mktemp("data") / "phantom"
    return make_phantom_cohort(root, cases=2, matrix=48, seed=11)


def examined(
    root: Path, *, layout: str = "lits", modality: Modality = "ct", split: Path | None = None
) -> Diagnosis:
    survey = survey_cohort(root, layout=layout, split_file=split)
    return diagnose(survey, modality=modality, progress=lambda _done, _cases: None)


def planted(code: str, healthy: Path, root: Path) -> Diagnosis:
    shutil.copytree(healthy, root)
    case, other = find_cases(root, layout="lits").cases
    plant_fault(code, case=case, other=other)
    split = root / SPLIT_FILE
    return examined(root, layout=LAYOUTS.get(code, "lits"), split=split if split.exists() else None)


def serious(findings: tuple[Finding, ...]) -> list[Finding]:
    return [finding for finding in findings if finding.severity != "note"]


def test_each_check_has_its_fault() -> None:
    assert set(FAULTS) == set(CHECKS)


def test_phantoms_are_sound(healthy: Path) -> None:
    found = examined(healthy)
    assert found.findings == ()
    assert set(found.counts) == {code for code, check in CHECKS.items() if not check.of_split}
    assert not any(found.counts.values())


@pytest.mark.parametrize("code", FAULTS)
def test_a_planted_fault_is_found_under_its_code_alone(code: str, healthy: Path, tmp_path: Path) -> None:
    found = planted(code, healthy, tmp_path / "cohort")
    (finding,) = [finding for finding in found.findings if finding.code == code]
    assert (finding.severity, finding.remedy) == (CHECKS[code].severity, CHECKS[code].remedy)
    assert finding.case == (
        None if code in OF_THE_FOLDER else "volume-1" if code in OF_TWO_CASES else "volume-0"
    )
    assert serious(found.findings) == ([] if finding.severity == "note" else [finding])
    assert found.counts[code] == 1
    assert "\n" not in finding.line()


@pytest.mark.parametrize(
    ("file", "edit", "code"),
    [
        ("image", lambda voxels: voxels[..., 0], "wrong-dimensions"),
        ("mask", lambda voxels: voxels[..., None].repeat(2, 3), "wrong-dimensions"),
        ("mask", lambda voxels: voxels[1:], "grids-differ"),
        ("image", lambda voxels: np.where(voxels > 300, np.inf, voxels.astype(np.float32)), "not-finite"),
        ("mask", lambda voxels: np.where(voxels == 2, np.nan, voxels.astype(np.float32)), "not-finite"),
        ("mask", lambda voxels: voxels * np.float32(0.5), "labels-unknown"),
        ("image", lambda voxels: np.clip(voxels / np.float32(1024), -1, 1), "hu-unit-range"),
        ("image", lambda voxels: np.maximum(voxels, -1024) - np.int16(1024), "hu-offset"),
        ("image", lambda voxels: voxels.clip(0).astype(np.uint16) + 20_000, "hu-offset"),
        ("image", lambda voxels: voxels.astype(np.int32) + 40_000, "refused"),
    ],
)
def test_other_forms_of_a_defect_have_the_same_code(
    file: str, edit: Callable[[np.ndarray], np.ndarray], code: str, healthy: Path, tmp_path: Path
) -> None:
    shutil.copytree(healthy, tmp_path / "cohort")
    case = find_cases(tmp_path / "cohort", layout="lits").case("volume-0")
    path = case.image if file == "image" else case.mask
    image = nib.load(path)
    nib.save(nib.Nifti1Image(edit(np.asarray(image.dataobj)), image.affine), path)
    assert [finding.code for finding in serious(examined(tmp_path / "cohort").findings)] == [code]


@pytest.mark.parametrize("code", sorted(BY_HEADERS))
def test_headers_alone_tell_what_they_can(code: str, healthy: Path, tmp_path: Path) -> None:
    planted(code, healthy, tmp_path / "cohort")
    case, other = find_cases(tmp_path / "cohort", layout="lits").cases
    # a checksum and the end of a gzip stream come after the header
    expected = [] if code in {"unreadable", "truncated"} else [code]
    assert [finding.code for finding in check_headers(case)] == expected
    assert check_headers(other) == ()


@pytest.mark.parametrize("code", ["truncated", "not-finite"])
def test_a_mask_is_judged_although_its_image_cannot_be_read(code: str, healthy: Path, tmp_path: Path) -> None:
    shutil.copytree(healthy, tmp_path / "cohort")
    case, other = find_cases(tmp_path / "cohort", layout="lits").cases
    plant_fault(code, case=case, other=other)
    plant_fault("labels-unknown", case=case, other=other)
    assert {finding.code for finding in examined(tmp_path / "cohort").findings} == {code, "labels-unknown"}


def test_a_mask_that_is_no_file_is_told_although_its_image_is_none_either(
    healthy: Path, tmp_path: Path
) -> None:
    shutil.copytree(healthy, tmp_path / "cohort")
    case, _ = find_cases(tmp_path / "cohort", layout="lits").cases
    for path in (case.image, case.mask):
        path.write_bytes(b"")
    findings = examined(tmp_path / "cohort").findings
    assert [finding.code for finding in findings] == ["truncated", "truncated"]
    assert "volume-0" in findings[0].message
    assert "segmentation-0" in findings[1].message


def test_where_no_orientation_is_stated_a_wrong_one_is_no_error(healthy: Path, tmp_path: Path) -> None:
    shutil.copytree(healthy, tmp_path / "cohort")
    case, other = find_cases(tmp_path / "cohort", layout="lits").cases
    depth_mm, row_mm, column_mm = (round(edge) for edge in read_geometry(case.image).spacing_mm)
    plant_fault("orientation-unproven", case=case, other=other)
    for path in (case.image, case.mask):
        voxels = np.asarray(nib.load(path).dataobj)[::-1]
        for axis, edge_mm in enumerate((column_mm, row_mm, depth_mm)):
            voxels = voxels.repeat(edge_mm, axis)  # to the 1 mm that the header says
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), path)
    found = {finding.code: finding.severity for finding in examined(tmp_path / "cohort").findings}
    assert found == {"orientation-unproven": "note", "mirrored": "warning"}


def test_a_mirror_image_of_a_scan_is_a_duplicate_whatever_its_axes(healthy: Path, tmp_path: Path) -> None:
    shutil.copytree(healthy, tmp_path / "cohort")
    case, other = find_cases(tmp_path / "cohort", layout="lits").cases
    for source, target in ((case.image, other.image), (case.mask, other.mask)):
        image = nib.load(source)
        nib.save(nib.as_closest_canonical(image).slicer[::-1], target)
    (finding,) = examined(tmp_path / "cohort").findings
    assert (finding.code, finding.case) == ("duplicate", "volume-1")
    assert "holds the voxels of volume-0, under another header" in finding.message


def test_what_the_split_leaves_out_is_not_read(healthy: Path, tmp_path: Path) -> None:
    planted("not-nifti", healthy, tmp_path / "cohort")
    split = tmp_path / "split.json"
    split.write_text('{"train": ["volume-1"], "val": [], "test": [], "unused": ["volume-0"]}')
    assert examined(tmp_path / "cohort", split=split).findings == ()


def test_a_split_that_names_a_case_twice_is_a_finding(healthy: Path, tmp_path: Path) -> None:
    split = tmp_path / "split.json"
    split.write_text('{"train": ["volume-1", "volume-0"], "val": ["volume-1"], "test": []}')
    (finding,) = examined(healthy, split=split).findings
    assert finding.code == "split-refused"
    assert "volume-1 (train, val)" in finding.message
    with pytest.raises(ConfigError, match=r"^split_file: no such file: .*absent\.json"):
        survey_cohort(healthy, layout="lits", split_file=tmp_path / "absent.json")


def test_values_and_anatomy_are_not_judged_of_mr(healthy: Path, tmp_path: Path) -> None:
    shutil.copytree(healthy, tmp_path / "cohort")
    case, other = find_cases(tmp_path / "cohort", layout="lits").cases
    plant_fault("hu-no-air", case=case, other=other)
    plant_fault("mirrored", case=other, other=case)
    found = examined(tmp_path / "cohort", modality="mr")
    assert found.findings == ()
    assert {code for code, check in CHECKS.items() if check.ct_only}.isdisjoint(found.counts)


def test_mr_with_fractions_is_a_duplicate_of_itself_alone(healthy: Path, tmp_path: Path) -> None:
    shutil.copytree(healthy, tmp_path / "cohort")
    case, other = find_cases(tmp_path / "cohort", layout="lits").cases
    for one in (case, other):
        plant_fault("hu-rounded", case=one, other=one)
    assert examined(tmp_path / "cohort", modality="mr").findings == ()
    plant_fault("duplicate", case=case, other=other)
    codes = [finding.code for finding in examined(tmp_path / "cohort", modality="mr").findings]
    assert codes == ["duplicate"]


def test_sound_cases_of_a_folder_with_others_are_judged_all_the_same(healthy: Path, tmp_path: Path) -> None:
    shutil.copytree(healthy, tmp_path / "cohort")
    case, other = find_cases(tmp_path / "cohort", layout="lits").cases
    plant_fault("mirrored", case=other, other=case)
    plant_fault("cohort-incomplete", case=case, other=other)
    found = {(finding.case, finding.code) for finding in examined(tmp_path / "cohort").findings}
    assert {("volume-1", "mirrored"), (None, "cohort-incomplete")} == found


@pytest.mark.parametrize(("folder", "notes"), [("lits_real", {"no-tumor"}), ("full_size", set())])
def test_nothing_is_wrong_with_real_scans(real_data: Path, folder: str, notes: set[str]) -> None:
    found = examined(real_data / folder)
    assert serious(found.findings) == []
    assert {finding.code for finding in found.findings} == notes


def test_nothing_is_wrong_with_a_real_mr(real_data: Path, tmp_path: Path) -> None:
    table = tmp_path / "cases.csv"
    row = f"mr,anna,{real_data / 'mr' / 'mr.nii.gz'},{real_data / 'mr' / 'mr_liver.nii.gz'}"
    table.write_text(f"case,patient,image,mask\n{row}\n")
    found = examined(table, layout="pairs", modality="mr")
    assert {finding.code for finding in found.findings} == {"no-tumor"}


@pytest.mark.slow
def test_phantoms_of_all_sizes_are_sound(tmp_path: Path) -> None:
    for matrix, cases in ((32, 12), (64, 12), (128, 4)):
        found = examined(make_phantom_cohort(tmp_path / str(matrix), cases=cases, matrix=matrix, seed=0))
        assert serious(found.findings) == []
        assert {finding.code for finding in found.findings} <= {"no-tumor"}


@pytest.mark.parametrize("code", ["mirrored", "upside-down", "back-to-front"])
@pytest.mark.parametrize("number", range(4))
def test_real_scans_under_a_false_header_are_told(
    real_data: Path, tmp_path: Path, code: str, number: int
) -> None:
    for kind in ("volume", "segmentation"):
        for name in (number, (number + 1) % 4):
            shutil.copyfile(
                real_data / "lits_real" / f"{kind}-{name}.nii.gz", tmp_path / f"{kind}-{name}.nii.gz"
            )
    case = find_cases(tmp_path, layout="lits").case(f"volume-{number}")
    plant_fault(code, case=case, other=case)
    (finding,) = serious(examined(tmp_path).findings)
    assert (finding.case, finding.code) == (case.id, code)
