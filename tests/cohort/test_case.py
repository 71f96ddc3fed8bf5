"""A case is named safely; a cohort is sorted and has each case once."""

from pathlib import Path

import pytest

from lts.base import CohortError
from lts.cohort import Case, Cohort


@pytest.mark.parametrize(
    "case_id",
    ["", "a/b", "a\\b", "..", "a..b", ".hidden", " a", "a ", "a\nb", "a:b", "a*", 'a"', "a<b", "a|b", "a?"],
)
def test_an_id_that_is_no_file_name_is_refused(case_id: str) -> None:
    with pytest.raises(CohortError, match="case id must be usable as a file name") as error:
        Case(id=case_id, patient="p", image=Path("scan.nii"), mask=None)
    assert repr(case_id) in str(error.value)


@pytest.mark.parametrize(
    "case_id", ["volume-3", "liver_0", "Patient 7 (late)", "1.2.840.113", "Pérez-2", "a=b"]
)
def test_an_id_that_is_a_file_name_is_taken(case_id: str, tmp_path: Path) -> None:
    assert Case(id=case_id, patient="p", image=Path("scan.nii"), mask=None).id == case_id
    (tmp_path / case_id).touch()


@pytest.mark.parametrize("sign", ["x", "é", "肝"])
def test_an_id_leaves_room_for_what_files_add_to_it(sign: str, tmp_path: Path) -> None:
    longest = sign * (200 // len(sign.encode()))
    assert Case(id=longest, patient="p", image=Path("scan.nii"), mask=None).id == longest
    (tmp_path / f"{longest}_probabilities_tumor.nii.gz.part-12345678").touch()
    with pytest.raises(
        CohortError, match="scan.nii: case id must have at most 200 bytes in UTF-8, .* got 20"
    ):
        Case(id=f"{longest}{sign}", patient="p", image=Path("scan.nii"), mask=None)


@pytest.mark.parametrize(
    ("patient", "told"),
    [
        (" ", "case a: patient must not be empty"),
        ("Ann\n", r"case a: patient must be printable, got 'Ann\\n'"),
        ("\x1b[31mAnn", r"case a: patient must be printable, got '\\x1b\[31mAnn'"),
        ("\ud800", r"case a: patient must be printable, got '\\ud800'"),
    ],
)
def test_a_case_belongs_to_a_patient(patient: str, told: str) -> None:
    with pytest.raises(CohortError, match=told):
        Case(id="a", patient=patient, image=Path("scan.nii"), mask=None)


def test_a_cohort_sorts_its_cases_naturally_and_finds_them_by_id() -> None:
    cases = [
        Case(id=name, patient=name, image=Path(name), mask=None) for name in ("b-1", "a-10", "a-2", "a-02")
    ]
    cohort = Cohort(layout="lits", root=Path("root"), cases=tuple(cases))
    assert [case.id for case in cohort.cases] == ["a-02", "a-2", "a-10", "b-1"]
    assert cohort.case("a-10") is cases[1]
    with pytest.raises(CohortError, match="root: no case 'a-3' among its 4 cases"):
        cohort.case("a-3")


def test_a_cohort_does_not_hold_a_case_twice() -> None:
    cases = tuple(Case(id="a", patient=name, image=Path(name), mask=None) for name in ("x", "y"))
    with pytest.raises(CohortError, match="root: case a is there twice, as x and y"):
        Cohort(layout="lits", root=Path("root"), cases=cases)
