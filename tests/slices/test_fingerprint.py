"""What is measured of cases, against what they were made of and numpy on the raw voxels."""

import json
import os
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lts.base import HU_BINS, StorageError, VolumeError
from lts.cohort import Case, find_cases
from lts.phantom import make_phantom_cohort
from lts.slices import CaseFingerprint, content_hash, count_hu, fingerprint_cases, region_hu_counts_of
from lts.volume import read_ct, read_mask, write_mask, write_volume


def fingerprint(case: Case, tmp_path: Path, **how) -> CaseFingerprint:
    (found,) = fingerprint_cases([case], store_dir=tmp_path / "store", **how)
    return found


@pytest.fixture
def case_of(tmp_path: Path):
    """Writes a scan of these HU on pixels of 2 x 0.5 mm, with these labels, `(Z, H, W)` both."""

    def make(hu: np.ndarray, labels: np.ndarray, name: str = "a") -> Case:
        from lts.volume import read_geometry

        # On disk: toward the left, the back and the head, so that memory is disk with its axes reversed.
        affine = np.diag([-0.5, -2.0, 3.0, 1.0])
        case = Case(name, name, tmp_path / f"{name}.nii.gz", tmp_path / f"{name}-mask.nii.gz")
        write_volume(case.image, hu.transpose(2, 1, 0), affine=affine)
        geometry = read_geometry(case.image)
        assert geometry.canonical_shape == hu.shape
        write_mask(case.mask, labels, geometry=geometry)
        return case

    return make


def test_a_case_is_measured_by_hand(case_of, tmp_path: Path) -> None:
    hu, labels = np.full((3, 10, 20), -1000, np.int16), np.zeros((3, 10, 20), np.uint8)
    case = case_of(hu, labels)
    stored_hu = read_ct(case.image).voxels.copy()
    # Rows 2 to 4 and columns 3 to 16 (tumor): box of 3 x 2 mm by 14 x 0.5 mm.
    labels[0, 2:5, 3:9], labels[2, 4, 16] = 1, 2
    hu[labels == 1], hu[labels == 2] = 100, 30
    case = case_of(hu, labels)
    found = fingerprint(case, tmp_path)
    assert stored_hu.shape == (3, 10, 20)
    assert (found.case, found.shape_hw, found.spacing_hw_mm) == ("a", (10, 20), (2.0, 0.5))
    assert found.spacing_mm == 1.25
    assert found.field_of_view_mm == 20.0
    assert found.liver_hw_mm == (6.0, 7.0)
    # From the middle, row 5 is 6 mm to the edge of row 2; column 10 is 3.5 mm to that of 3 and of 16.
    assert found.liver_reach_mm == 6.0
    assert {name: sum(counts) for name, counts in found.region_hu_counts.items()} == {"liver": 19, "tumor": 1}
    assert found.region_hu_counts["liver"][1024 + 100] == 18
    assert found.region_hu_counts["liver"][1024 + 30] == found.region_hu_counts["tumor"][1024 + 30] == 1
    assert sum(found.hu_counts) == 600


def test_the_farther_side_of_the_liver_counts(case_of, tmp_path: Path) -> None:
    hu, labels = np.zeros((1, 10, 20), np.int16), np.zeros((1, 10, 20), np.uint8)
    labels[0, 4:6, 11:20] = 1
    assert fingerprint(case_of(hu, labels), tmp_path).liver_reach_mm == 5.0  # columns 10 to 20
    labels[0, 9, 11] = 1
    assert fingerprint(case_of(hu, labels, "b"), tmp_path).liver_reach_mm == 10.0  # rows 5 to 10


def test_counts_are_those_of_the_raw_voxels(make_case, tmp_path: Path) -> None:
    cases = [make_case(f"volume-{n}", seed=n, depth=5 + n) for n in range(3)]
    found = fingerprint_cases(cases, store_dir=tmp_path / "store")
    assert [each.case for each in found] == [case.id for case in cases]
    raw = {"liver": [], "tumor": []}
    for case in cases:
        scan = nib.load(case.image)
        labels = np.asanyarray(nib.load(case.mask).dataobj)  # written on the same grid
        assert np.allclose(nib.load(case.mask).affine, scan.affine)
        for region, label in (("liver", 1), ("tumor", 2)):
            raw[region].append(np.asanyarray(scan.dataobj)[labels >= label])
    counts = region_hu_counts_of(found)
    for region, values in raw.items():
        expected = np.concatenate(values)
        assert expected.size > 100
        np.testing.assert_array_equal(np.repeat(np.arange(HU_BINS) - 1024, counts[region]), np.sort(expected))


def test_a_phantom_has_the_spacing_and_liver_that_it_was_made_with(tmp_path: Path) -> None:
    (case,) = find_cases(make_phantom_cohort(tmp_path / "p", cases=1, matrix=48), layout="lits").cases
    found = fingerprint(case, tmp_path)
    scan = read_ct(case.image)
    labels = read_mask(case.mask, image=scan.geometry).voxels
    _, rows, columns = np.nonzero(labels)
    steps = scan.geometry.spacing_mm[1:]
    expected = [(np.ptp(place) + 1) * step for place, step in zip((rows, columns), steps, strict=True)]
    assert found.liver_hw_mm == pytest.approx(expected)
    np.testing.assert_array_equal(found.hu_counts, count_hu(scan.voxels))


def test_a_case_is_measured_once_for_all_recipes(make_case, tmp_path: Path, monkeypatch) -> None:
    case = make_case()
    told: list[tuple[int, int]] = []
    before = fingerprint(case, tmp_path, progress=lambda *now: told.append(now))
    assert told == [(1, 1)]
    monkeypatch.setattr("lts.slices.fingerprint._measure", lambda *_a, **_k: pytest.fail("was read again"))
    assert fingerprint(case, tmp_path, progress=lambda *now: told.append(now)) == before
    assert told == [(1, 1)]
    assert before.image.sha256 == content_hash(case.image)


@pytest.mark.parametrize("changed", ["image", "mask", "no mask"])
def test_a_changed_case_is_measured_anew(make_case, tmp_path: Path, changed: str) -> None:
    case = make_case()
    before = fingerprint(case, tmp_path)
    assert sum(before.region_hu_counts["tumor"]) > 0
    kept = case.image if changed == "mask" else case.mask
    times, content = kept.stat(), kept.read_bytes()
    make_case(seed=1, tumor=False)
    kept.write_bytes(content)
    os.utime(kept, ns=(times.st_atime_ns, times.st_mtime_ns))
    if changed == "no mask":
        case = replace(case, mask=None)
    after = fingerprint(case, tmp_path)
    assert (after.hu_counts == before.hu_counts) == (changed == "mask")
    assert after.region_hu_counts != before.region_hu_counts


def test_cases_of_one_name_from_two_places_do_not_mix(make_case, case_of, tmp_path: Path) -> None:
    one = make_case("a")
    first = fingerprint(one, tmp_path)
    (tmp_path / "other").mkdir()
    other = replace(one, image=tmp_path / "other" / "a.nii.gz", mask=None)
    other.image.write_bytes(one.image.read_bytes())
    assert fingerprint(other, tmp_path).liver_hw_mm is None
    assert fingerprint(one, tmp_path) == first


DAMAGED = [
    "",
    "{",
    "[]",
    "{}",
    *(
        {name: value}
        for name, value in (
            ("shape_hw", [1]),
            ("shape_hw", ["a", "b"]),
            ("spacing_hw_mm", [0, 1]),
            ("liver_hw_mm", [-1, 1]),
            ("liver_reach_mm", "far"),
            ("hu_counts", [1, 2]),
            ("region_hu_counts", {}),
            ("region_hu_counts", {"liver": [0.5] * HU_BINS, "tumor": [0] * HU_BINS}),
            ("image", {}),
            ("new", 1),
        )
    ),
]


@pytest.mark.parametrize("damage", DAMAGED, ids=str)
def test_what_is_damaged_is_measured_anew(make_case, tmp_path: Path, damage: str | dict) -> None:
    case = make_case()
    before = fingerprint(case, tmp_path)
    (file,) = (tmp_path / "store").rglob("*.json")
    content = damage if isinstance(damage, str) else json.dumps({**json.loads(file.read_text()), **damage})
    file.write_text(content)
    assert fingerprint(case, tmp_path) == before
    assert CaseFingerprint.load(file) == before


def test_unreadable_cases_are_told_together_and_the_others_kept(make_case, tmp_path: Path) -> None:
    good, bad, worse = make_case("volume-0"), make_case("volume-1"), make_case("volume-2")
    bad.image.write_bytes(b"no scan")
    worse.mask.unlink()
    with pytest.raises(VolumeError, match=r"volume-1.*; .*volume-2"):
        fingerprint_cases([good, bad, worse], store_dir=tmp_path / "store")
    assert len(list((tmp_path / "store").rglob("*.json"))) == 1


def test_a_folder_that_is_none_is_told(make_case, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(StorageError, match="store"):
        fingerprint(make_case(), tmp_path)


def test_of_mr_the_header_and_the_mask_are_read_alone(make_case, tmp_path: Path, monkeypatch) -> None:
    case = make_case()
    of_ct = fingerprint(case, tmp_path)
    monkeypatch.setattr("lts.slices.fingerprint.read_image", lambda *_a, **_k: pytest.fail("was read"))
    of_mr = fingerprint(case, tmp_path, modality="mr")
    assert (of_mr.hu_counts, of_mr.region_hu_counts) == ([], {})
    assert replace(of_ct, hu_counts=[], region_hu_counts={}) == of_mr
    assert fingerprint(case, tmp_path) == of_ct


def test_a_case_without_liver_or_mask_has_none(case_of, tmp_path: Path) -> None:
    hu = np.zeros((2, 8, 8), np.int16)
    empty = case_of(hu, np.zeros((2, 8, 8), np.uint8))
    for case in (empty, replace(empty, mask=None)):
        found = fingerprint(case, tmp_path)
        assert (found.liver_hw_mm, found.liver_reach_mm) == (None, None)
        assert sum(found.region_hu_counts["liver"]) == 0
        assert sum(found.hu_counts) == 128
