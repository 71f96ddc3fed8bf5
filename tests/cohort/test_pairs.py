"""Cases are found in a CSV file, and what is wrong with its rows is told by their numbers."""

import unicodedata
from pathlib import Path

import pytest

from lts.app.commands.mask_pairs import masks_in
from lts.base import CohortError
from lts.cohort import ArchiveLimits, Case, Split, find_cases, find_scans


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def pairs(root: Path, *rows: str, header: str = "case,patient,image,mask", name: str = "cases.csv") -> Path:
    path = root / name
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def test_a_csv_file_names_case_patient_image_and_mask(tmp_path: Path) -> None:
    touch(tmp_path, "scans/late.nii.gz", "masks/late.nii.gz", "far/early.nii", "series/1.dcm")
    path = pairs(
        tmp_path,
        "p1-10,Ann,scans/late.nii.gz,masks/late.nii.gz",
        "",
        f"p1-2, Ann ,{tmp_path}/far/early.nii,{tmp_path}/far/early-mask.nii",
        "p2,Bo,series,far/bo.nii",
    )
    touch(tmp_path, "far/early-mask.nii", "far/bo.nii")
    cohort = find_cases(path, layout="pairs")
    assert cohort.cases == (
        Case("p1-2", "Ann", tmp_path / "far/early.nii", tmp_path / "far/early-mask.nii"),
        Case("p1-10", "Ann", tmp_path / "scans/late.nii.gz", tmp_path / "masks/late.nii.gz"),
        Case("p2", "Bo", tmp_path / "series", tmp_path / "far/bo.nii"),
    )
    assert find_cases(tmp_path, layout="pairs").cases == cohort.cases


def test_columns_may_stand_in_any_order_beside_others_and_after_a_byte_order_mark(tmp_path: Path) -> None:
    touch(tmp_path, "i.nii", "m.nii")
    path = pairs(
        tmp_path,
        'm.nii,i.nii,"from, the clinic",Ann,a',
        header="\ufeffmask,image,remark,patient,case",
        name="pairs.csv",
    )
    assert find_cases(tmp_path, layout="pairs").cases == (
        Case("a", "Ann", path.parent / "i.nii", path.parent / "m.nii"),
    )


def test_a_folder_with_both_csv_names_is_refused(tmp_path: Path) -> None:
    pairs(tmp_path, "a,p,i,m")
    pairs(tmp_path, "a,p,i,m", name="pairs.csv")
    with pytest.raises(CohortError, match=r"must hold one of cases\.csv, pairs\.csv, got both"):
        find_cases(tmp_path, layout="pairs")


@pytest.mark.parametrize(
    "header", ["case,patient,image", "case;patient;image;mask", "case,patient,image,mask,mask", "a,p,i,m"]
)
def test_a_csv_file_without_each_column_once_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(
        CohortError, match="the first row must name the columns case, patient, image, mask, each once"
    ):
        find_cases(pairs(tmp_path, header=header), layout="pairs")


def test_an_empty_csv_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"the first row must name .* got \[\]"):
        find_cases(touch(tmp_path, "cases.csv"), layout="pairs")


def test_a_csv_file_with_a_header_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"cases\.csv: names no case"):
        find_cases(pairs(tmp_path), layout="pairs")


@pytest.mark.parametrize(("row", "cells"), [("a,p,i", 3), ("a,p,i,m,x", 5)])
def test_a_row_with_too_few_or_too_many_cells_is_refused_by_its_number(
    tmp_path: Path, row: str, cells: int
) -> None:
    with pytest.raises(CohortError, match=f"row 3 must have 4 cells, got {cells}"):
        find_cases(pairs(tmp_path, "", row), layout="pairs")


@pytest.mark.parametrize(
    "content", [b"case,patient,image,mask\na,J\xf6rg,i,m\n", b'case,patient,image,mask\n"a"b,p,i,m\n']
)
def test_a_file_that_is_not_csv_in_utf8_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cases.csv").write_bytes(content)
    with pytest.raises(CohortError, match=r"cases\.csv: must be a CSV file in UTF-8: ") as error:
        find_cases(tmp_path, layout="pairs")
    one_line(error)


def test_all_problems_of_a_csv_file_are_told_together_by_row(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{kind}{number}.nii" for kind in "im" for number in range(1, 6)))
    path = pairs(
        tmp_path,
        "a,p,i1.nii,m1.nii",
        "b,,i2.nii,m2.nii",
        ",p,,m2.nii",
        "c/d,p,i2.nii,m2.nii",
        "a,p,i3.nii,m3.nii",
        "e,p,i8.nii,m8.nii",
        "f,p,i3.nii,",
        "g,p,i4.nii,m1.nii",
        "h,p,i5.nii,i5.nii",
    )
    with pytest.raises(CohortError) as error:
        find_cases(path, layout="pairs")
    message = one_line(error)
    assert message.startswith(
        f"{path}: row 3: patient must not be empty; row 4: case, image must not be empty; "
    )
    for problem in (
        "row 5: case id must be usable as a file name",
        "row 6: case a is already in row 2",
        "row 7: no such file: i8.nii, m8.nii",
        f"{tmp_path}/m1.nii (a, g)",
        f"{tmp_path}/i5.nii (h, h)",
        "images without mask: f (row 8)",
    ):
        assert problem in message


def test_a_mask_that_is_a_folder_is_no_file(tmp_path: Path) -> None:
    touch(tmp_path, "i.nii", "masks/m.nii")
    told = (
        r"row 2: mask must be a NIfTI, NRRD or MetaImage file, "
        r"got the folder masks \(DICOM SEG is not read here\)"
    )
    with pytest.raises(CohortError, match=told):
        find_cases(pairs(tmp_path, "a,p,i.nii,masks"), layout="pairs")


def test_after_ten_rows_the_rest_is_counted(tmp_path: Path) -> None:
    path = pairs(tmp_path, *(f"a{number},,i.nii,m.nii" for number in range(13)))
    with pytest.raises(CohortError, match=r"row 11: patient must not be empty; and 3 more rows$"):
        find_cases(path, layout="pairs")


def test_cells_that_no_file_can_be_named_by_are_told_by_their_rows(tmp_path: Path) -> None:
    touch(tmp_path, "i.nii", "m.nii")
    rows = [
        f"a,p,{'i' * 300}.nii,m.nii",
        "b,p,i\0.nii,m.nii",
        f"{'c' * 201},p,i.nii,m.nii",
        f"{'9' * 5000},p,i.nii,m.nii",
        '"d\x1b[31m",p,i.nii,m.nii',
        '"e","p\x07",i.nii,m.nii',
    ]
    with pytest.raises(CohortError) as error:
        find_cases(pairs(tmp_path, *rows), layout="pairs")
    message = one_line(error)
    assert message.isprintable()
    assert len(message) <= 1500
    for told in (
        "row 2: no such file: iii",
        r"row 3: no such file: i\x00.nii",
        "row 4: case id must have at most 200 bytes in UTF-8, as files are named by it, got 201: 'ccc",
        "row 5: case id must have at most 200 bytes in UTF-8, as files are named by it, got 5000: '999",
        "row 6: case id must be usable as a file name",
        r"row 7: patient must be printable, got 'p\x07'",
    ):
        assert told in message


def test_a_table_of_a_german_spreadsheet_is_told_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="each once, separated by commas, got"):
        find_cases(pairs(tmp_path, "a;p;i.nii;m.nii", header="case;patient;image;mask"), layout="pairs")


def test_a_case_has_one_name_however_its_accents_are_written(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "Pérez-Ångström") for form in ("NFC", "NFD"))
    assert composed != apart
    touch(
        tmp_path, "i.nii", "m.nii", "j.nii", "n.nii", f"imagesTr/{apart}_0000.nii", f"labelsTr/{composed}.nii"
    )
    (case,) = find_cases(pairs(tmp_path, f"{apart},p,i.nii,m.nii"), layout="pairs").cases
    assert case.id == composed
    assert Split(train=(apart,), val=(), test=()).train == (composed,)
    with pytest.raises(CohortError, match="row 3: case .* is already in row 2"):
        find_cases(pairs(tmp_path, f"{apart},p,i.nii,m.nii", f"{composed},p,j.nii,n.nii"), layout="pairs")
    (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "liver": 1}}')
    (case,) = find_cases(tmp_path, layout="nnunet").cases
    assert (case.id, case.image.name) == (composed, f"{apart}_0000.nii")
    limits = ArchiveLimits(max_bytes=9, max_files=9)
    (scan,) = find_scans(case.image, unpack_to=tmp_path / "u", limits=limits).sources
    assert scan.case == composed
    touch(tmp_path / "masks", f"{apart}_mask.nii.gz")
    assert list(masks_in(tmp_path / "masks")) == [composed]
