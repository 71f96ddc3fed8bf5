"""The list of lesions in a real browser, on a mask whose lesions are known; and pages with none to list."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from page_kit import ORANGE, YELLOW, near, open_scan, pixels, press, shown_voxel, text
from service_kit import (
    DEPTH,
    SIDE,
    SPACING_MM,
    KnownPredictor,
    Running,
    make_hu,
    run_service,
    upload,
    wait_until,
    write_scan,
)

pytest.importorskip("selenium", reason="selenium is not installed")
from selenium.webdriver.common.keys import Keys

VOXEL_ML = float(np.prod(SPACING_MM)) / 1000  # 0.012
CENTERS = [(4, 10, 8), (1, 20, 22), (2, 5, 25)]
"""Of cubes of 5, 3 and 1 voxels an edge, the largest first."""


def make_labels() -> np.ndarray:
    labels = np.zeros((DEPTH + 3, SIDE, SIDE), np.uint8)
    labels[1:-1, 3:28, 3:29] = 1
    for (z, row, column), half in zip(CENTERS, (2, 1, 0), strict=True):
        box = [slice(max(0, at - half), at + half + 1) for at in (z, row, column)]
        labels[tuple(box)] = 2
    return labels


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scan(tmp_path_factory.mktemp("lesions") / "volume-3.nii.gz", make_hu(DEPTH + 3)[0])


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with run_service(KnownPredictor(make_labels())) as running:
        yield running


@pytest.fixture
def listed(browser: Any, running: Running, scan: Path) -> Any:
    open_scan(browser, running, scan)
    return browser


def rows(browser: Any) -> list[str]:
    found = browser.find_elements("css selector", "#lesions button")
    return [" ".join(row.text.split()) for row in found]


def hold_to(browser: Any, least: str) -> None:
    browser.find_element("id", "least").send_keys(Keys.CONTROL + "a" + Keys.NULL, Keys.BACKSPACE, *least)


def test_lesions_are_listed_by_diameter_and_volume(listed: Any) -> None:
    voxels = (125, 27, 1)
    diameters_mm = [(6 * count * VOXEL_ML * 1000 / np.pi) ** (1 / 3) for count in voxels]
    assert rows(listed) == [
        f"{number} {mm:.1f} mm {count * VOXEL_ML:.2f} ml slice {z + 1}"
        for number, (mm, count, (z, _, _)) in enumerate(zip(diameters_mm, voxels, CENTERS, strict=True), 1)
    ]
    assert text(listed, "#lesions-title") == "Lesions (3)"
    assert shown_voxel(listed) == CENTERS[0]
    assert listed.find_element("id", "lesion-table").get_attribute("href").endswith("/lesions.csv")


def test_the_list_is_a_table_for_a_spreadsheet(running: Running, scan: Path) -> None:
    with running.client as client:
        answer = client.get(upload(client, scan).json()["links"]["lesions"])
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert 'filename="volume-3_lesions.csv"' in answer.headers["content-disposition"]
    rows = list(csv.DictReader(answer.text.splitlines()))
    assert [(row["lesion"], row["region"]) for row in rows] == [(str(n), "tumor") for n in (1, 2, 3)]
    for row, voxels, (z, line, column) in zip(rows, (125, 27, 1), CENTERS, strict=True):
        assert float(row["volume_ml"]) == pytest.approx(voxels * VOXEL_ML)
        diameter_mm = (6 * voxels * VOXEL_ML * 1000 / np.pi) ** (1 / 3)
        assert float(row["diameter_mm"]) == pytest.approx(diameter_mm, rel=1e-5)
        # The file runs toward the right, the front and the head, from 0 mm; columns and rows run against it.
        center = (1.5 * (SIDE - 1 - column), 2.0 * (SIDE - 1 - line), 4.0 * z)
        assert [float(row[f"{axis}_ras_mm"]) for axis in "xyz"] == pytest.approx(center)
        assert int(row["slice"]) == z + 1


def test_keys_and_buttons_go_from_lesion_to_lesion_in_all_planes(listed: Any) -> None:
    for key, number in (("n", 0), ("n", 1), ("n", 2), ("n", 0), ("p", 2), ("p", 1)):
        press(listed, key)
        wait_until(lambda number=number: shown_voxel(listed) == CENTERS[number])
        current = [row.get_attribute("aria-current") for row in find_rows(listed)]
        assert current == [str(index == number).lower() for index in range(3)]
    listed.find_element("id", "next").click()
    wait_until(lambda: shown_voxel(listed) == CENTERS[2])
    find_rows(listed)[0].click()
    wait_until(lambda: shown_voxel(listed) == CENTERS[0])


def find_rows(browser: Any) -> Any:
    return browser.find_elements("css selector", "#lesions button")


def test_small_lesions_are_passed_over(listed: Any) -> None:
    hold_to(listed, "0.1")
    assert text(listed, "#lesions-title") == "Lesions (2 of 3)"
    assert [row[0] for row in rows(listed)] == ["1", "2"]  # each keeps its number
    listed.find_element("id", "axial").send_keys("n", "n")
    wait_until(lambda: shown_voxel(listed) == CENTERS[1])
    press(listed, "n")
    wait_until(lambda: shown_voxel(listed) == CENTERS[0])


@pytest.mark.parametrize(
    ("least", "sentence"),
    [
        ("9", "No lesion has 9 ml or more."),
        ("-1", "The least volume must be a number of ml, 0 or more."),
        ("", "The least volume must be a number of ml, 0 or more."),
    ],
)
def test_a_volume_that_no_lesion_has_gets_a_sentence(listed: Any, least: str, sentence: str) -> None:
    where = shown_voxel(listed)
    hold_to(listed, least)
    assert text(listed, "#no-lesions") == sentence
    assert rows(listed) == []
    listed.find_element("id", "axial").send_keys("n")
    wait_until(lambda: text(listed, "#told") == sentence)
    assert shown_voxel(listed) == where
    assert listed.get_log("browser") == []


def test_the_mask_is_filled_as_strongly_as_is_asked(listed: Any) -> None:
    press(listed, "c")
    wait_until(lambda: not near(pixels(listed), YELLOW).any())
    plain = pixels(listed)
    press(listed, "f")
    wait_until(lambda: np.abs(pixels(listed) - plain).max() > 20)
    slide_opacity(listed, 100)
    for color in (YELLOW, ORANGE):
        wait_until(lambda color=color: near(pixels(listed), color).mean() > 0.01)
    filled = pixels(listed)
    inside = near(filled, YELLOW)
    slide_opacity(listed, 20)
    expected = 0.8 * plain[inside] + 0.2 * np.array(YELLOW)
    wait_until(lambda: np.median(np.abs(pixels(listed)[inside] - expected)) < 2)
    press(listed, "f")
    wait_until(lambda: np.array_equal(pixels(listed), plain))


def slide_opacity(browser: Any, percent: int) -> None:
    browser.execute_script(
        "const one = document.getElementById('opacity'); one.value = arguments[0];"
        "one.dispatchEvent(new Event('input'))",
        percent,
    )


def table_of(browser: Any, running: Running) -> httpx.Response:
    """The list of the scan that is shown, as a table."""
    with running.client as client:
        return client.get(f"/scans/{browser.current_url.partition('#')[2]}/lesions.csv")


@pytest.mark.parametrize(
    ("label", "sentence", "note"),
    [(0, "No liver and no tumor was found.", "No liver was found."), (1, "No tumor was found.", None)],
)
def test_a_scan_without_lesions_or_liver_says_so(
    browser: Any, scan: Path, label: int, sentence: str, note: str | None
) -> None:
    labels = np.zeros_like(make_labels())
    labels[2:5, 4:9, 10:20] = label
    with run_service(KnownPredictor(labels)) as running:
        open_scan(browser, running, scan)
        assert text(browser, "#no-lesions") == sentence
        assert not browser.find_element("id", "least").is_displayed()
        assert not browser.find_element("id", "lesion-table").is_displayed()
        assert table_of(browser, running).text.count("\n") == 1  # the header
        if note is not None:
            assert note in text(browser, "#notes")
        assert shown_voxel(browser) == ((3, 6, 14) if label else (4, 16, 16))
        press(browser, "n")
        wait_until(lambda: text(browser, "#told") == sentence)
        assert browser.get_log("browser") == []


def test_a_model_of_the_liver_alone_lists_no_lesions(browser: Any, scan: Path) -> None:
    labels = (make_labels() > 0).astype(np.uint8)
    with run_service(KnownPredictor(labels, regions=("liver",))) as running:
        open_scan(browser, running, scan)
        assert text(browser, "#no-lesions") == "The model does not look for tumors."
        answer = table_of(browser, running)
        assert (answer.status_code, "does not look for tumors" in answer.text) == (404, True)
        assert text(browser, "#legend") == "Liver"
        assert near(pixels(browser), YELLOW).sum() > 100
        assert not near(pixels(browser), ORANGE).any()
        assert browser.get_log("browser") == []
