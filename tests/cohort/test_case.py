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


def test_a_case_belongs_to_a_patient() -> None:
    with pytest.raises(CohortError, match="case a: patient must not be empty"):
        Case(id="a", patient=" ", image=Path("scan.nii"), mask=None)


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
