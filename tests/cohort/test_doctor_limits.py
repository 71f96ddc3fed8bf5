"""Where each limit of the doctor lies, to the last voxel or HU, on arrays whose truth is computed by hand."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lts.cohort import Case, Split
from lts.cohort.doctor import Content, judge_contents
from lts.cohort.doctor.headers import judge_grid
from lts.cohort.doctor.intensity import judge_intensity
from lts.cohort.doctor.labels import judge_labels
from lts.volume import Geometry, count_values


def codes(findings: list) -> list[str]:
    return [finding.code for finding in findings]


def scan_of(*shares: tuple[int, int]) -> np.ndarray:
    """A thousand voxels, so many of each value."""
    values = np.concatenate([np.full(count, value, np.int16) for value, count in shares])
    assert values.size == 1000
    return values.reshape(40, 5, 5)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([(0, 500), (1, 500)], ["hu-unit-range"]),
        ([(-1, 500), (1, 500)], ["hu-unit-range"]),
        ([(0, 1000)], ["hu-unit-range"]),
        ([(0, 500), (3, 500)], ["hu-8-bit"]),
        ([(0, 500), (255, 500)], ["hu-8-bit"]),
        ([(0, 500), (256, 500)], ["hu-no-air"]),
        ([(-1, 500), (255, 500)], ["hu-no-air"]),
        ([(-1024, 900), (700, 99), (701, 1)], []),
        ([(-1024, 900), (701, 100)], []),
        ([(-1024, 899), (701, 101)], ["hu-offset"]),
        ([(-1024, 800), (700, 200)], []),
        ([(-1024, 980), (-499, 20)], []),
        ([(-1024, 981), (-499, 19)], ["hu-offset"]),
        ([(-1024, 500), (-500, 485), (60, 15)], ["hu-offset"]),
        ([(-501, 500), (60, 500)], []),
        ([(-500, 500), (60, 500)], ["hu-no-air"]),
        ([(-499, 500), (60, 500)], ["hu-no-air"]),
        ([(-300, 1), (60, 999)], ["hu-no-air"]),
    ],
)
def test_scales_of_values(shares: list[tuple[int, int]], expected: list[str]) -> None:
    assert codes(judge_intensity("a", count_values(scan_of(*shares)))) == expected


@pytest.mark.parametrize(
    ("spacing_mm", "sound"),
    [
        ((0.2, 0.2, 0.2), True),
        ((20, 20, 20), True),
        ((0.199, 1, 1), False),
        ((1, 0.199, 1), False),
        ((1, 1, 0.199), False),
        ((20.01, 1, 1), False),
        ((1, 20.01, 1), False),
        ((1, 1, 20.01), False),
    ],
)
def test_spacing_has_limits_along_each_axis(spacing_mm: tuple[float, float, float], sound: bool) -> None:
    # what float32 makes of 0.2 mm is a little more
    grid = Geometry.from_affine(np.diag([*spacing_mm, 1]), shape=(4, 4, 4))
    assert codes(judge_grid("a", grid)) == ([] if sound else ["spacing-implausible"])


@pytest.mark.parametrize(
    ("shape", "sound"),
    [
        ((1000, 10, 10), True),
        ((1001, 10, 10), False),
        ((10, 1001, 10), False),
        ((10, 10, 2500), True),
        ((10, 10, 2501), False),
    ],
)
def test_a_scan_is_no_larger_than_a_scanner(shape: tuple[int, int, int], sound: bool) -> None:
    grid = Geometry.from_affine(np.eye(4), shape=shape)
    assert codes(judge_grid("a", grid)) == ([] if sound else ["field-of-view"])


def test_planes_of_a_sheared_grid_may_be_too_near_although_its_edges_are_long() -> None:
    flat = np.diag([1.0, 1, 0.15, 1])
    flat[1, 2] = 3
    (finding,) = judge_grid("a", Geometry.from_affine(flat, shape=(4, 4, 4)))
    assert finding.code == "spacing-implausible"


@pytest.mark.parametrize(
    ("unit", "spacing", "told"),
    [
        ("micron", 0.7, "unit-implausible"),
        ("meter", 0.7, "unit-implausible"),
        ("micron", 700, None),
        ("micron", 0.1, "spacing-implausible"),
        ("mm", 0.1, "spacing-implausible"),
    ],
)
def test_a_unit_is_wrong_where_mm_would_be_right(unit: str, spacing: float, told: str | None) -> None:
    header = nib.Nifti1Header()
    header.set_data_shape((4, 4, 4))
    header.set_sform(np.diag([spacing, spacing, spacing, 1]), 1)
    header["pixdim"][1:4] = spacing
    header.set_xyzt_units(unit)
    found = judge_grid("a", Geometry.from_header(header, shape=(4, 4, 4)))
    assert codes(found) == ([told] if told else [])
    if told == "unit-implausible":
        assert f"counts in the {unit}; counted in mm it would be 0.7 x 0.7 x 0.7 mm" in found[0].message


def liver(voxels: int) -> np.ndarray:
    """A row of liver in the middle of a scan."""
    made = np.zeros((3, 3, voxels + 2), np.uint8)
    made[1, 1, 1:-1] = 1
    made[1, 1, 1] = 2
    return made


@pytest.mark.parametrize(("voxels", "sound"), [(49, False), (50, True), (400, True), (401, False)])
def test_a_liver_has_half_a_liter_to_four(voxels: int, sound: bool) -> None:
    assert codes(judge_labels("a", liver(voxels), voxel_ml=10)) == ([] if sound else ["liver-volume"])
    assert codes(judge_labels("a", liver(voxels), voxel_ml=None)) == []


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("end", [0, -1])
def test_of_a_liver_that_is_cut_off_a_part_may_be_seen_but_no_more_than_a_liver(axis: int, end: int) -> None:
    mask = np.zeros((9, 9, 9), np.uint8)
    mask[1:8, 1:8, 4] = 1
    mask[4, 4, 4] = 2
    assert codes(judge_labels("a", mask, voxel_ml=9.8)) == ["liver-volume"]
    np.moveaxis(mask, axis, 0)[end, 4, 5] = 1
    assert codes(judge_labels("a", mask, voxel_ml=9.8)) == []
    assert codes(judge_labels("a", mask, voxel_ml=81)) == ["liver-volume"]


@pytest.mark.parametrize(("tumor", "expected"), [(75, []), (76, ["tumor-burden"])])
def test_tumor_may_be_three_quarters_of_the_liver(tumor: int, expected: list[str]) -> None:
    row = liver(100)
    row[1, 1, 1 : tumor + 1] = 2
    assert codes(judge_labels("a", row, voxel_ml=20)) == expected


def test_masks_that_lack_something() -> None:
    assert codes(judge_labels("a", liver(100) * 0, voxel_ml=20)) == ["empty-mask"]
    assert codes(judge_labels("a", (liver(100) > 0) * np.uint8(2), voxel_ml=20)) == ["no-liver"]
    assert codes(judge_labels("a", np.minimum(liver(100), 1), voxel_ml=20)) == ["no-tumor"]


@pytest.mark.parametrize(
    ("spots", "told"),
    [
        ([(5, 5, 5)], ""),  # beside a face
        ([(6, 6, 6)], ""),  # at a corner
        ([(7, 6, 6)], "1 of 1 pieces of tumor (1 voxels)"),
        ([(7, 7, 7), (6, 6, 6)], ""),  # one piece through a corner
        ([(9, 9, 9), (6, 6, 6)], "1 of 2 pieces of tumor (1 voxels)"),
        ([(9, 9, 9), (9, 9, 8), (0, 0, 9)], "2 of 2 pieces of tumor (3 voxels)"),
        ([(0, 0, 0)], "1 of 1 pieces of tumor (1 voxels)"),
    ],
)
def test_tumor_lies_in_the_liver_where_it_touches_it(spots: list[tuple[int, int, int]], told: str) -> None:
    mask = np.zeros((10, 10, 10), np.uint8)
    mask[2:6, 2:6, 2:6] = 1
    for spot in spots:
        mask[spot] = 2
    found = judge_labels("a", mask, voxel_ml=20)
    assert codes(found) == (["tumor-outside-liver"] if told else [])
    assert not told or found[0].message.startswith(told)


def case(name: str, patient: str) -> Case:
    return Case(name, patient, Path(name), None)


CASES = [case("a", "anna"), case("b", "anna"), case("c", "ben"), case("d", "dora")]


def judged(same: str, split: Split | None = None) -> list[tuple[str | None, str, str]]:
    contents = {one.id: Content("same" if one.id in same else one.id) for one in CASES}
    found = judge_contents(contents, cases=CASES, split=split)
    return [(one.case, one.code, one.severity) for one in found]


def test_a_scan_of_two_patients_is_an_error_and_of_one_a_warning() -> None:
    assert judged("ab") == [("b", "duplicate", "warning")]
    assert judged("ac") == [("c", "duplicate", "error")]
    assert judged("abc") == [("b", "duplicate", "warning"), ("c", "duplicate", "error")]
    assert judged("") == []


def test_in_a_split_the_parts_decide() -> None:
    split = Split(train=("a", "c"), val=("b",), test=(), unused=("d",))
    assert judged("ac", split) == [("c", "duplicate", "warning")]
    assert judged("ab", split) == [("b", "split-shares-content", "error")]
    assert judged("ad", split) == []
    assert judged("abc", split) == [
        ("b", "split-shares-content", "error"),
        ("c", "split-shares-content", "error"),
    ]


def test_a_case_without_content_is_not_judged() -> None:
    assert judge_contents({"a": Content("x")}, cases=CASES, split=None) == []
