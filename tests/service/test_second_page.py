"""A second mask on the page, in a real browser: how it looks, what is told of it; nothing else is lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_kit import resize
from page_kit import (
    BLUE,
    GREEN,
    HEIGHT,
    ORANGE,
    PINK,
    WIDTH,
    YELLOW,
    drop,
    low_contrasts,
    nameless,
    near,
    on_canvas,
    open_scan,
    pixels,
    press,
    shown_slice,
    state,
    text,
)
from second_kit import own_labels, second_labels, write_mask_file
from service_kit import SIDE, KnownPredictor, Running, make_hu, run_service, wait_until, write_scan

pytest.importorskip("selenium", reason="selenium is not installed")
from selenium.webdriver.common.keys import Keys


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with run_service(KnownPredictor(own_labels())) as running:
        yield running


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    return {
        "scan": write_scan(folder / "volume-3.nii.gz", make_hu()[0]),
        "second": write_mask_file(folder / "reference.nii.gz", second_labels()),
        "other grid": write_mask_file(folder / "other.nii.gz", own_labels()[:, :-1]),
    }


def table(browser: Any) -> list[str]:
    """The rows of the table that is shown, read at once, as the page may be loading."""
    rows = browser.execute_script(
        "return [...document.querySelectorAll('#second-scores tr')]"
        ".filter((row) => row.checkVisibility()).map((row) => row.innerText)"
    )
    return [" ".join(row.split()) for row in rows]


def colored(browser: Any, color: tuple[int, int, int]) -> np.ndarray:
    """Which pixels of the axial plane have a color in their middles, `(SIDE, SIDE)`."""
    canvas = pixels(browser)
    left, top, column, row = on_canvas(canvas.shape)
    x, y = (
        np.round(start + (np.arange(SIDE) + 0.5) * step).astype(int)
        for start, step in ((left, column), (top, row))
    )
    return near(canvas, color)[np.ix_(y, x)]


def along(browser: Any, color: tuple[int, int, int], column: int) -> float:
    """The share of a vertical border of a liver, at the left of a column, that has a color."""
    canvas = pixels(browser)
    left, top, column_px, row_px = on_canvas(canvas.shape)
    x = round(left + column * column_px)
    rows = slice(round(top + 4.5 * row_px), round(top + 13.5 * row_px))
    return float(near(canvas, color)[rows, x - 2 : x + 3].any(axis=1).mean())


def test_a_second_mask_is_seen_beside_the_first_and_compared(
    browser: Any, running: Running, files: dict[str, Path]
) -> None:
    open_scan(browser, running, files["scan"])
    assert shown_slice(browser) == 2
    browser.find_element("id", "axial").send_keys("h")  # the cross-hair is as blue
    wait_until(lambda: not near(pixels(browser), BLUE).any())
    browser.find_element("id", "second-file").send_keys(str(files["second"]))
    wait_until(lambda: text(browser, "#second-told").startswith("reference.nii.gz is shown"))
    assert table(browser) == ["Liver 0.950 9.60 9.60", "Tumor 0.600 0.36 0.36"]
    assert text(browser, "#second-sum") == "104 voxels differ."
    assert "Liver, second mask" in text(browser, "#legend")
    # Dashed where the second liver ends, solid where the first begins.
    wait_until(lambda: 0.35 < along(browser, BLUE, 27) < 0.9)
    assert along(browser, YELLOW, 6) > 0.95
    assert all(near(pixels(browser), color).sum() > 50 for color in (ORANGE, GREEN))
    label = browser.find_element("id", "axial").get_attribute("aria-label")
    assert label.endswith("with liver and tumor; second mask with liver and tumor; 32 pixels differ")

    # What differs has a color of its own, of the strength that is asked for.
    browser.find_element("id", "axial").send_keys("c")
    browser.execute_script(
        "const one = document.getElementById('opacity'); one.value = 100;"
        "one.dispatchEvent(new Event('input'))"
    )
    differs = own_labels()[2] != second_labels()[2]
    wait_until(lambda: np.array_equal(colored(browser, PINK), differs))
    assert not browser.find_element("id", "fill").is_selected()
    press(browser, "f")
    both = (own_labels()[2] == 1) & ~differs
    wait_until(lambda: np.array_equal(colored(browser, YELLOW), both))
    press(browser, "e")  # no differences, so that each mask is filled in its colors
    wait_until(lambda: not colored(browser, PINK).any())
    second_alone = (second_labels()[2] == 1) & (own_labels()[2] == 0)
    wait_until(lambda: np.array_equal(colored(browser, BLUE), second_alone))
    press(browser, "s", "f", "c")
    wait_until(lambda: not near(pixels(browser), BLUE).any() and near(pixels(browser), YELLOW).any())

    browser.find_element("id", "axial").send_keys(Keys.HOME)
    wait_until(lambda: shown_slice(browser) == 0)
    assert text(browser, "#second-differing") == "Most in slice 3"
    browser.find_element("id", "second-differing").send_keys(Keys.ENTER)
    wait_until(lambda: shown_slice(browser) == 2)
    assert browser.get_log("browser") == []

    # A mask of another grid leaves all as it is.
    browser.find_element("id", "second-file").send_keys(str(files["other grid"]))
    wait_until(lambda: "cannot be laid over the scan" in text(browser, "#second-problem-title"))
    told = text(browser, "#second-problem-detail")
    assert told.startswith("other.nii.gz: the mask's shape must be its image's")
    assert told.endswith("resample it to the scan, or send another. What is shown stays as it is.")
    assert table(browser)[0] == "Liver 0.950 9.60 9.60"
    browser.get_log("browser")  # where the browser itself tells of the 422
    browser.find_element("id", "second-remove").send_keys(Keys.ENTER)
    wait_until(lambda: not browser.find_element("id", "second-found").is_displayed())
    wait_until(lambda: near(pixels(browser), YELLOW).any() and not near(pixels(browser), GREEN).any())
    assert text(browser, "#legend") == "Liver\nTumor"
    assert browser.switch_to.active_element.get_attribute("id") == "second-file"
    assert browser.get_log("browser") == []


def test_a_dropped_file_is_asked_about_and_a_second_mask_outlives_a_reload(
    browser: Any, running: Running, files: dict[str, Path]
) -> None:
    open_scan(browser, running, files["scan"])
    kept = len(running.kept())
    drop(browser, files["second"], "stage")
    wait_until(lambda: text(browser, "#second-offered") == "reference.nii.gz")
    assert (state(browser), len(running.kept())) == ("viewer", kept)
    press(browser, Keys.ENTER)  # compare as a mask
    wait_until(lambda: len(table(browser)) == 2)
    assert not browser.find_element("id", "second-offer").is_displayed()
    browser.refresh()
    wait_until(lambda: state(browser) == "viewer" and len(table(browser)) == 2)
    wait_until(lambda: near(pixels(browser), GREEN).any())
    drop(browser, files["scan"], "stage")
    resize(browser, 390, HEIGHT)
    try:
        excess = "const root = document.documentElement; return root.scrollWidth - root.clientWidth"
        assert browser.execute_script(excess) == 0
        for scheme in ("dark", "light"):
            feature = {"name": "prefers-color-scheme", "value": scheme}
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
            assert (low_contrasts(browser), nameless(browser)) == ([], [])
    finally:
        resize(browser, WIDTH, HEIGHT)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.find_element("id", "second-as-scan").click()
    wait_until(lambda: state(browser) == "viewer" and text(browser, "#case") == "volume-3", 30)
    wait_until(lambda: shown_slice(browser) == 2)
    assert not browser.find_element("id", "second-found").is_displayed()
    drop(browser, files["second"], "second-drop")  # onto its own place nothing is asked
    wait_until(lambda: len(table(browser)) == 2)
    assert browser.get_log("browser") == []
