"""The page of a case: what it holds, how large it gets, and that names in it are text."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from html_kit import read_page
from viewer_kit import BOX_SHAPE, FIRST, SHAPE, case, geometry

from lts.viewer import write_case_page

HOSTILE = "</script><script>document.title='owned'</script>"


def told(path: Path) -> dict[str, Any]:
    return json.loads(read_page(path).one("script", id="scan").text)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    write_case_page(tmp_path / "viewer" / "a.html", case(), report="../report.html")
    return tmp_path / "viewer" / "a.html"


def test_the_part_around_the_masks_keeps_its_place_in_the_scan(page: Path) -> None:
    scan = told(page)
    assert (scan["shape"], scan["first_zhw"], scan["whole_shape"]) == (*map(list, (BOX_SHAPE, FIRST, SHAPE)),)
    inside = np.array([2, 3, 5, 1])
    whole = inside + np.array((*FIRST, 0))
    np.testing.assert_allclose(
        np.array(scan["affine_ras_mm"]) @ inside, geometry().canonical_affine @ whole, atol=1e-9
    )
    assert "Shown are slices 4 to 23, rows 4 to 47 and columns 1 to 40: " in scan["notes"][0]


def test_lesions_are_told_in_the_order_of_their_table(page: Path) -> None:
    lesions = told(page)["lesions"]
    found, missed, alarm = (one["told"] for one in lesions)
    assert found.startswith("found, IoU 0.")
    assert missed.startswith("missed: ")
    assert alarm.startswith("false alarm: ")
    assert lesions[1]["center_zhw"] == [16 - FIRST[0], 30 - FIRST[1], 20 - FIRST[2]]
    assert lesions[1]["slice_from_feet"] == 16 - FIRST[0]


def test_slices_with_regions_and_with_differences_are_counted(page: Path) -> None:
    scan, whole = told(page), case()
    z = slice(FIRST[0], FIRST[0] + BOX_SHAPE[0])
    sides = whole.prediction[z], whole.reference[z]
    for region, label in (("liver", 1), ("tumor", 2)):
        either = (sides[0] >= label) | (sides[1] >= label)
        assert scan["pixels_per_slice"][region] == either.sum(axis=(1, 2)).tolist()
    assert scan["differing_pixels_per_slice"] == (sides[0] != sides[1]).sum(axis=(1, 2)).tolist()


def test_a_file_is_as_large_as_it_may_be_and_says_that_it_is_shrunk(tmp_path: Path) -> None:
    noisy = np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)
    sizes = {}
    for mib in (1.0, 0.05):
        write_case_page(tmp_path / "a.html", case(image=noisy), report="r.html", max_mib=mib)
        page = read_page(tmp_path / "a.html")
        sizes[mib] = sum(len(page.one("script", id=one).text) for one in ("values", "labels"))
        notes = " ".join(told(tmp_path / "a.html")["notes"])
        assert ("means of 2 \N{MULTIPLICATION SIGN} 2 pixels" in notes) == (mib < 1)
        assert ("take more than 0.05 MiB" in notes) == (mib < 1)
    assert sizes[0.05] <= 0.05 * 2**20 < sizes[1.0] <= 2**20
    # Masks are never shrunk, so that a lesion of one voxel stays.
    assert told(tmp_path / "a.html")["shape"] == list(BOX_SHAPE)


def test_without_a_scan_that_is_told_and_no_value_is(tmp_path: Path) -> None:
    write_case_page(tmp_path / "a.html", case(image=None), report="r.html")
    scan = told(tmp_path / "a.html")
    assert scan["modality"] is None
    assert "The scan was not at hand, so contours stand on plain ground." in scan["notes"]


def test_masks_without_a_voxel_show_the_whole_scan(tmp_path: Path) -> None:
    nothing = np.zeros(SHAPE, np.uint8)
    empty = replace(case(), prediction=nothing, reference=nothing, lesions=())
    write_case_page(tmp_path / "a.html", empty, report="r.html")
    scan = told(tmp_path / "a.html")
    assert (scan["shape"], scan["notes"], scan["lesions"]) == (list(SHAPE), [], [])
    assert scan["start_zhw"] == [side // 2 for side in SHAPE]


def test_the_same_case_gives_the_same_bytes(page: Path, tmp_path: Path) -> None:
    write_case_page(tmp_path / "again.html", case(), report="../report.html")
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()


def test_a_hostile_name_is_text_and_the_policy_lets_nothing_else_run(tmp_path: Path) -> None:
    write_case_page(tmp_path / "a.html", case(HOSTILE), report="r.html")
    page = read_page(tmp_path / "a.html")
    assert told(tmp_path / "a.html")["case"] == HOSTILE
    assert page.one("title").text.startswith(HOSTILE)
    assert [one.attrs.get("id") for one in page.all("script")] == ["scan", "values", "labels", None]
    (policy,) = (one.attrs["content"] for one in page.all("meta", http_equiv="Content-Security-Policy"))
    assert policy.startswith("default-src 'none'; ")
    assert base64.b64decode(page.one("script", id="labels").text)[:2] == b"\x1f\x8b"
