"""Cases are divided by patient, in the same way for the same seed, and a written split is checked."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold

from lts.base import CohortError, ConfigError
from lts.cohort import Case, Split, limit_split, read_split, split_by_patient, split_into_folds


def make_cases(cases_of_patient: Sequence[int]) -> list[Case]:
    """That many cases of patient p0, p1, ..."""
    return [
        Case(id=f"p{patient}-{number}", patient=f"p{patient}", image=Path("scan.nii"), mask=None)
        for patient, count in enumerate(cases_of_patient)
        for number in range(count)
    ]


def patients(ids: Sequence[str]) -> set[str]:
    return {case_id.split("-")[0] for case_id in ids}


def counts(split: Split) -> tuple[int, int, int]:
    return len(patients(split.train)), len(patients(split.val)), len(patients(split.test))


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


COHORTS = st.lists(st.integers(1, 4), min_size=3, max_size=30).map(make_cases)
SEEDS = st.integers(0, 2**32)
SHARES = st.floats(0.01, 0.49)


def check_parts(split: Split, cases: Sequence[Case]) -> None:
    """Every case is in one part, no patient in two, no part empty."""
    assert sorted(split.train + split.val + split.test) == sorted(case.id for case in cases)
    assert sum(counts(split)) == len({case.patient for case in cases})
    assert min(counts(split)) >= 1


@given(cases=COHORTS, val_share=SHARES, test_share=SHARES, seed=SEEDS, order=st.randoms())
@settings(max_examples=100)
def test_a_split_keeps_patients_whole_whatever_the_order_of_cases(
    cases: list[Case], val_share: float, test_share: float, seed: int, order: random.Random
) -> None:
    split = split_by_patient(cases, val_share=val_share, test_share=test_share, seed=seed)
    check_parts(split, cases)
    shuffled = cases.copy()
    order.shuffle(shuffled)
    assert split_by_patient(shuffled, val_share=val_share, test_share=test_share, seed=seed) == split


@given(cases=COHORTS, data=st.data(), val_share=st.floats(0.01, 0.99), seed=SEEDS, order=st.randoms())
@settings(max_examples=100)
def test_folds_test_each_case_once_whatever_the_order_of_cases(
    cases: list[Case], data: st.DataObject, val_share: float, seed: int, order: random.Random
) -> None:
    number = len({case.patient for case in cases})
    folds = data.draw(st.integers(2 if number > 3 else 3, number))
    shuffled = cases.copy()
    order.shuffle(shuffled)
    splits = [
        split_into_folds(cases, folds=folds, fold=fold, val_share=val_share, seed=seed)
        for fold in range(folds)
    ]
    for fold, split in enumerate(splits):
        check_parts(split, cases)
        assert split_into_folds(shuffled, folds=folds, fold=fold, val_share=val_share, seed=seed) == split
    assert sorted(case_id for split in splits for case_id in split.test) == sorted(case.id for case in cases)
    sizes = [len(patients(split.test)) for split in splits]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("number", "val_share", "test_share", "expected"),
    [
        (10, 0.2, 0.2, (6, 2, 2)),
        (10, 0.15, 0.24, (6, 2, 2)),
        (10, 0.1, 0.34, (6, 1, 3)),
        (10, 0.14, 0.01, (8, 1, 1)),
        (10, 0.25, 0.1, (6, 3, 1)),
        (4, 0.2, 0.2, (2, 1, 1)),
        (4, 0.5, 0.25, (1, 2, 1)),
        (4, 0.45, 0.45, (1, 2, 1)),
        (4, 0.6, 0.38, (1, 2, 1)),
        (4, 0.38, 0.6, (1, 2, 1)),
        (4, 0.05, 0.94, (1, 1, 2)),
        (3, 0.01, 0.01, (1, 1, 1)),
        (3, 0.01, 0.98, (1, 1, 1)),
        (3, 0.98, 0.01, (1, 1, 1)),
    ],
)
def test_shares_are_rounded_to_patients(
    number: int, val_share: float, test_share: float, expected: tuple[int, int, int]
) -> None:
    cases = make_cases([2] * number)
    assert counts(split_by_patient(cases, val_share=val_share, test_share=test_share, seed=7)) == expected


@pytest.mark.parametrize(
    ("number", "val_share", "test_share", "expected"),
    [
        (10, 0.0, 0.2, (8, 0, 2)),
        (10, 0.3, 0.0, (7, 3, 0)),
        (10, 0.0, 0.0, (10, 0, 0)),
        (2, 0.0, 0.9, (1, 0, 1)),
        (2, 0.9, 0.0, (1, 1, 0)),
        (1, 0.0, 0.0, (1, 0, 0)),
    ],
)
def test_a_part_without_a_share_is_empty_and_needs_no_patient(
    number: int, val_share: float, test_share: float, expected: tuple[int, int, int]
) -> None:
    cases = make_cases([2] * number)
    assert counts(split_by_patient(cases, val_share=val_share, test_share=test_share, seed=7)) == expected
    if number == 1 or val_share + test_share == 0:
        return
    with pytest.raises(CohortError, match=f"into {1 + bool(val_share) + bool(test_share)} parts needs"):
        split_by_patient(make_cases([2]), val_share=val_share, test_share=test_share, seed=7)


def test_without_a_validation_share_the_test_cases_stay_the_same() -> None:
    cases = make_cases([1] * 10)
    whole = split_by_patient(cases, val_share=0.0, test_share=0.2, seed=3)
    assert whole.test == split_by_patient(cases, val_share=0.2, test_share=0.2, seed=3).test


def test_folds_may_go_without_validation() -> None:
    cases = make_cases([1] * 2)
    splits = [split_into_folds(cases, folds=2, fold=fold, val_share=0.0, seed=0) for fold in range(2)]
    assert [counts(split) for split in splits] == [(1, 0, 1)] * 2
    assert splits[0].train == splits[1].test
    with pytest.raises(CohortError, match="needs 2 patients or more, got 1"):
        split_into_folds(make_cases([3]), folds=2, fold=0, val_share=0.0, seed=0)


def test_shares_are_of_patients_and_not_of_cases() -> None:
    cases = make_cases([50, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    for seed in range(20):
        assert counts(split_by_patient(cases, val_share=0.2, test_share=0.2, seed=seed)) == (6, 2, 2)


def test_a_seed_makes_this_split_on_every_machine() -> None:
    # The order of patients that numpy's default generator draws for seed 0: 4 6 2 7 3 5 9 0 8 1.
    split = split_by_patient(make_cases([1] * 10), val_share=0.3, test_share=0.2, seed=0)
    assert split.test == ("p4-0", "p6-0")
    assert split.val == ("p2-0", "p3-0", "p7-0")
    assert split.train == ("p0-0", "p1-0", "p5-0", "p8-0", "p9-0")


def test_seeds_draw_every_patient_into_every_part() -> None:
    cases = make_cases([1] * 5)
    splits = [split_by_patient(cases, val_share=0.2, test_share=0.2, seed=seed) for seed in range(40)]
    for part in ("train", "val", "test"):
        assert {case_id for split in splits for case_id in split.subset(part)} == {case.id for case in cases}


def test_parts_are_in_natural_order() -> None:
    split = split_by_patient(make_cases([1] * 30), val_share=0.1, test_share=0.1, seed=0)
    numbers = [int(case_id[1:-2]) for case_id in split.train]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("name", ["val_share", "test_share"])
@pytest.mark.parametrize("share", [1.0, -0.1, float("nan")])
def test_a_share_outside_its_range_is_refused_by_its_key(name: str, share: float) -> None:
    shares = {"val_share": 0.2, "test_share": 0.2, name: share}
    with pytest.raises(ConfigError, match=rf"^{name}: must be 0 or more and less than 1, got {share}"):
        split_by_patient(make_cases([1] * 5), seed=0, **shares)


def test_shares_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^val_share and test_share: .* got 0\.5 and 0\.5"):
        split_by_patient(make_cases([1] * 5), val_share=0.5, test_share=0.5, seed=0)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^seed: must be 0 or more, got -1"):
        split_by_patient(make_cases([1] * 5), val_share=0.2, test_share=0.2, seed=-1)


@pytest.mark.parametrize(
    ("cases_of_patient", "told"), [([9, 9], r"2 \(p0, p1\)"), ([9], r"1 \(p0\)"), ([], r"0 \(\)")]
)
def test_fewer_than_three_patients_are_refused_with_their_number(
    cases_of_patient: list[int], told: str
) -> None:
    cases = make_cases(cases_of_patient)
    with pytest.raises(CohortError, match=rf"needs 3 patients or more, got {told}$"):
        split_by_patient(cases, val_share=0.2, test_share=0.2, seed=0)
    with pytest.raises(CohortError, match=rf"needs 3 patients or more, got {told}$"):
        split_into_folds(cases, folds=2, fold=0, val_share=0.2, seed=0)


@pytest.mark.parametrize(("number", "folds"), [(3, 3), (10, 5), (11, 4), (14, 3)])
def test_folds_are_as_large_as_those_of_scikit_learn(number: int, folds: int) -> None:
    cases = make_cases([1] * number)
    groups = [case.patient for case in cases]
    theirs = [len(test) for _, test in GroupKFold(n_splits=folds).split(cases, groups=groups)]
    ours = [
        len(split_into_folds(cases, folds=folds, fold=fold, val_share=0.2, seed=3).test)
        for fold in range(folds)
    ]
    assert sorted(ours) == sorted(theirs)


@pytest.mark.parametrize(
    ("val_share", "expected"), [(0.2, (6, 2, 2)), (0.01, (7, 1, 2)), (0.99, (1, 7, 2)), (0.3125, (5, 3, 2))]
)
def test_a_fold_validates_on_a_share_of_what_it_does_not_test(
    val_share: float, expected: tuple[int, int, int]
) -> None:
    cases = make_cases([1] * 10)
    for fold in range(5):
        assert counts(split_into_folds(cases, folds=5, fold=fold, val_share=val_share, seed=0)) == expected


def test_folds_validate_on_different_patients() -> None:
    cases = make_cases([1] * 10)
    splits = [split_into_folds(cases, folds=5, fold=fold, val_share=0.25, seed=0) for fold in range(5)]
    assert sorted(case_id for split in splits for case_id in split.val) == [case.id for case in cases]


@pytest.mark.parametrize(
    ("folds", "fold", "val_share", "told"),
    [
        (1, 0, 0.2, r"^folds: must be 2 or more, got 1"),
        (5, 5, 0.2, r"^fold: must be from 0 to 4 of 5 folds, got 5"),
        (5, -1, 0.2, r"^fold: must be from 0 to 4 of 5 folds, got -1"),
        (4, 0, 0.2, r"^folds: must be at most the number of patients \(3\), got 4"),
        (2, 0, 0.2, r"^folds: each fold must leave 2 patients .* 2 folds of 3 patients do not"),
        (2, 1, 0.2, r"^folds: each fold must leave 2 patients .* 2 folds of 3 patients do not"),
        (3, 0, 1.0, r"^val_share: must be 0 or more and less than 1, got 1\.0"),
    ],
)
def test_bad_numbers_of_folds_are_refused_by_their_key(
    folds: int, fold: int, val_share: float, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        split_into_folds(make_cases([2, 1, 1]), folds=folds, fold=fold, val_share=val_share, seed=0)


def test_a_fold_refuses_a_negative_seed() -> None:
    with pytest.raises(ConfigError, match=r"^seed: must be 0 or more, got -3"):
        split_into_folds(make_cases([1, 1, 1]), folds=3, fold=0, val_share=0.2, seed=-3)


def test_subsets_are_parts_or_all_of_them_in_natural_order() -> None:
    split = Split(train=("c10", "c2"), val=("c1",), test=("c3",), unused=("c4",))
    assert split.subset("train") == ("c2", "c10")
    assert split.subset("val") == ("c1",)
    assert split.subset("test") == ("c3",)
    assert split.subset("all") == ("c1", "c2", "c3", "c10")


@pytest.mark.parametrize("name", ["holdout", "unused", ""])
def test_an_unknown_subset_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"subset: must be one of train, val, test, all, got {name!r}"):
        Split(train=("a",), val=(), test=()).subset(name)


def test_a_split_becomes_plain_types_and_back() -> None:
    split = Split(train=("c10", "c2"), val=("c1",), test=())
    assert split.to_dict() == {"train": ["c2", "c10"], "val": ["c1"], "test": []}
    assert Split.from_dict(split.to_dict()) == split
    left_out = Split(train=("a",), val=(), test=(), unused=("b10", "b2"))
    assert left_out.to_dict() == {"train": ["a"], "val": [], "test": [], "unused": ["b2", "b10"]}
    assert Split.from_dict(left_out.to_dict() | {"format": 1}) == left_out


@pytest.mark.parametrize("parts", [{"val": ("a",)}, {"train": ("a", "a", "b")}, {"unused": ("a",)}])
def test_a_split_does_not_name_a_case_twice(parts: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(CohortError, match=r"split: cases named twice: a \(train, \w+\)"):
        Split(**{"train": ("a", "b"), "val": (), "test": ()} | parts)


@pytest.mark.parametrize("part", ["train", "val", "test", "unused"])
@pytest.mark.parametrize("value", [None, "a", {"a": 1}, [1]])
def test_a_part_that_is_no_list_of_ids_is_refused(tmp_path: Path, part: str, value: object) -> None:
    content = {"train": ["p0-0"], "val": [], "test": [], part: value}
    with pytest.raises(CohortError, match=rf"split\.json: split: '{part}' must be a list of case ids, got"):
        read_split(write(tmp_path / "split.json", content), cases=make_cases([1]))


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_a_split_file_without_a_part_is_refused(tmp_path: Path, part: str) -> None:
    content = {"train": ["p0-0"], "val": ["p1-0"], "test": ["p2-0"]}
    del content[part]
    with pytest.raises(CohortError, match=rf"split: '{part}' must be a list of case ids, got None"):
        read_split(write(tmp_path / "split.json", content), cases=make_cases([1, 1, 1]))


def test_a_written_split_is_read_back(tmp_path: Path) -> None:
    cases = make_cases([2, 1, 3, 1])
    split = split_by_patient(cases, val_share=0.2, test_share=0.2, seed=0)
    assert read_split(write(tmp_path / "split.json", split.to_dict() | {"format": 1}), cases=cases) == split


def test_cases_may_be_left_out_by_name(tmp_path: Path) -> None:
    content = {"train": ["p0-0"], "val": [], "test": [], "unused": ["p0-1"]}
    split = read_split(write(tmp_path / "split.json", content), cases=make_cases([2]))
    assert split == Split(train=("p0-0",), val=(), test=(), unused=("p0-1",))


def test_all_problems_of_a_split_file_are_told_together(tmp_path: Path) -> None:
    content = {"train": [], "val": ["p0-0", "p2-0", "x"], "test": ["p0-1", "p0-2"], "unused": ["p2-1", "y"]}
    path = write(tmp_path / "split.json", content)
    with pytest.raises(CohortError) as error:
        read_split(path, cases=make_cases([3, 2, 2]))
    assert str(error.value) == (
        f"{path}: train must name one case or more; cases the cohort does not have: x, y; "
        'cases of the cohort in no part (list them under "unused"?): p1-0, p1-1; '
        "patients in two parts: p0 (val, test)"
    )


def test_a_case_in_two_parts_of_a_split_file_is_refused(tmp_path: Path) -> None:
    content = {"train": ["p0-0"], "val": ["p0-0"], "test": []}
    with pytest.raises(CohortError, match=r"split\.json: split: cases named twice: p0-0 \(train, val\)"):
        read_split(write(tmp_path / "split.json", content), cases=make_cases([1]))


def test_a_split_file_that_is_missing_or_holds_a_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"absent\.json: cannot be read: No such file"):
        read_split(tmp_path / "absent.json", cases=make_cases([1]))
    with pytest.raises(CohortError, match=r"split\.json: must hold a JSON object, got a list"):
        read_split(write(tmp_path / "split.json", [{"train": []}]), cases=make_cases([1]))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[" * 10**5, "must be JSON nested at most 100 deep"),
        (
            b'{"train": [], "train": ["a"], "val": [], "test": []}',
            "must have each name once, got 'train' twice",
        ),
        (b'{"train": "' + b"x" * 50_000 + b'", "val": [], "test": []}', "'train' must be a list of case ids"),
        (
            b'{"train": ["' + b"9" * 5000 + b'"], "val": [], "test": []}',
            "cases the cohort does not have: 999",
        ),
        (
            b'{"train": ["\\u001b[31m\\n"], "val": [], "test": []}',
            r"cases the cohort does not have: \\x1b\[31m\\n;",
        ),
        (b'{"train": ["\\ud800"], "val": [], "test": []}', r"cases the cohort does not have: \\ud800"),
    ],
)
def test_a_split_of_any_content_is_refused_in_one_short_line(
    tmp_path: Path, content: bytes, told: str
) -> None:
    path = tmp_path / "split.json"
    path.write_bytes(content)
    with pytest.raises(CohortError, match=told) as error:
        read_split(path, cases=make_cases([1, 1, 1]))
    assert str(error.value).isprintable()
    assert len(str(error.value)) <= 1500
    assert str(path) in str(error.value)


def test_a_limit_keeps_the_smallest_scans_of_each_part(tmp_path: Path) -> None:
    cases = []
    for name, size in {"a": 3, "b": 1, "c": 2, "d": 9, "e": 8, "f": 5}.items():
        (tmp_path / name).write_bytes(b"x" * size)
        cases.append(Case(id=name, patient=name, image=tmp_path / name, mask=None))
    split = Split(train=("a", "b", "c"), val=("d", "e"), unused=("f",))
    limited = limit_split(split, cases, limit=1)
    assert limited == Split(train=("b",), val=("e",), unused=("a", "c", "d", "f"))
    assert limit_split(split, cases, limit=2).train == ("b", "c")
    assert limit_split(split, cases, limit=3) == split


def test_a_limit_counts_all_files_of_a_scan(tmp_path: Path) -> None:
    series, header = tmp_path / "series", tmp_path / "header.mhd"
    series.mkdir()
    for number in range(3):
        (series / f"{number}.dcm").write_bytes(bytes(10))
    (tmp_path / "header.raw").write_bytes(bytes(8000))
    lines = ("NDims = 3", "DimSize = 20 20 20", "ElementType = MET_UCHAR", "ElementDataFile = header.raw")
    header.write_text("\n".join(lines) + "\n")
    (tmp_path / "whole.nii").write_bytes(bytes(1000))
    images = {"series": series, "header": header, "whole": tmp_path / "whole.nii"}
    cases = [Case(id=name, patient=name, image=image, mask=None) for name, image in images.items()]
    limited = [limit_split(Split(train=tuple(images)), cases, limit=number).train for number in (1, 2)]
    assert limited == [("series",), ("series", "whole")]
