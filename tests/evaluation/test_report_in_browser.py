"""The report in a real browser, which runs its script, lays it out and prints it."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_kit import open_browser, resize

from lts.evaluation.report import ReportData, write_report
from lts.figures import save_png
from lts.scores.findings import FALSE_ALARM, MISSED

WIDTH, HEIGHT = 1280, 900
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        resize(opened, WIDTH, HEIGHT)
        yield opened


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten cases; of their tumors, two are not defined in HD95."""
    folder = tmp_path_factory.mktemp("report")
    save_png(folder / "a.png", np.full((300, 1500, 3), 90, np.uint8))
    cases = [
        {
            "case": f"case-{3 * number}",
            "region": region,
            "dice": round(1 - number / 20, 3),
            "hd95_mm": None if region == "tumor" and number in (2, 5) else number * 7 % 10 / 8,
            **{f"score_{extra}": number / 3 for extra in range(20)},
        }
        for number in range(10)
        for region in ("liver", "tumor")
    ]
    lesion = {"case": HOSTILE, "slice": 7, "diameter_mm": 8.0, "contrast_hu": None, "cause": "small"}
    data = ReportData(
        title=HOSTILE,
        regions=("liver", "tumor"),
        metrics={"regions": {region: {"dice_per_case": 0.775} for region in ("liver", "tumor")}},
        cases=cases,
        lesions=[{**lesion, "outcome": outcome} for outcome in (MISSED, FALSE_ALARM)],
        failure_totals={},
        advice=[HOSTILE],
        panel={"tumor": {"per_case": 0.775}},
        panel_remarks=[HOSTILE],
        roc={"tumor": ([0.0, 1.0], [0.0, 1.0], 0.5)},
        reliability=None,
        pictures=[(HOSTILE, "worst", folder / "a.png")] * 2,
        lesion_pictures={0: folder / "a.png"},
        lits=None,
        provenance={"path": "a" * 400},
        notes=[],
    )
    write_report(folder / "report.html", data)
    return folder / "report.html"


@pytest.fixture
def opened(browser: Any, report: Path) -> Any:
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(report.as_uri())
    return browser


def header(browser: Any, label: str) -> Any:
    return browser.find_element("xpath", f"//table[@id='case-table']//th[button='{label}']")


def column(browser: Any, label: str) -> list[str]:
    """The shown texts of a column of the table of cases; `-` where a value is not defined."""
    texts: list[str] = browser.execute_script(
        """
        const table = document.getElementById("case-table");
        const heads = Array.from(table.tHead.rows[0].cells);
        const index = heads.findIndex((head) => head.textContent === arguments[0]);
        const cell = (row) => row.cells[index];
        return Array.from(table.tBodies[0].rows)
          .filter((row) => row.offsetParent !== null)
          .map((row) => (cell(row).querySelector(".undefined") ? "-" : cell(row).textContent));
        """,
        label,
    )
    return texts


def test_the_page_opens_without_complaint_and_loads_nothing(opened: Any, report: Path) -> None:
    assert opened.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    requests = [sent["params"] for sent in messages if sent["method"] == "Network.requestWillBeSent"]
    # The page that a new browser shows is none of ours.
    urls = {sent["request"]["url"] for sent in requests if sent["documentURL"] == report.as_uri()}
    assert {url for url in urls if not url.startswith("data:")} == {report.as_uri()}
    assert opened.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_a_hostile_name_is_text(opened: Any) -> None:
    assert opened.title == HOSTILE
    assert opened.find_element("tag name", "h1").text == HOSTILE
    assert opened.execute_script("return document.scripts.length") == 1


def test_a_script_that_slipped_in_would_not_run(opened: Any) -> None:
    ran = opened.execute_script(
        """
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.body.append(script);
        return window.ran === true;
        """
    )
    assert ran is False


def test_numbers_sort_as_numbers_both_ways_with_the_undefined_last(opened: Any) -> None:
    head = header(opened, "HD95 (mm)")
    for direction in ("ascending", "descending"):
        head.find_element("tag name", "button").click()
        assert head.get_attribute("aria-sort") == direction
        shown = column(opened, "HD95 (mm)")
        assert shown[-2:] == ["-", "-"]
        values = [float(text) for text in shown[:-2]]
        assert len(values) == 18
        assert values == sorted(values, reverse=direction == "descending")
        # As texts, 0.5 would come before 0.25.
        assert {0.25, 0.5} <= set(values)


def test_texts_sort_with_the_numbers_in_them_and_by_the_keyboard(opened: Any) -> None:
    region, case = (header(opened, label) for label in ("Region", "Case"))
    region.find_element("tag name", "button").send_keys("\n")
    assert column(opened, "Region") == ["liver"] * 10 + ["tumor"] * 10
    button = case.find_element("tag name", "button")
    button.send_keys(" ")
    button.send_keys(" ")
    assert column(opened, "Case") == [f"case-{number}" for number in range(27, -1, -3) for _ in range(2)]
    # Sorting keeps the order of equals, and only the last header says how it sorts.
    assert column(opened, "Region") == ["liver", "tumor"] * 10
    assert region.get_attribute("aria-sort") is None
    assert case.get_attribute("aria-sort") == "descending"


def test_the_filter_leaves_one_region_and_gives_all_back(opened: Any) -> None:
    for option, expected in (("Tumor", ["tumor"] * 10), ("All", ["liver", "tumor"] * 10)):
        opened.find_element("xpath", f"//select[@id='region-filter']/option[.='{option}']").click()
        assert column(opened, "Region") == expected
        shown = opened.find_element("css selector", "output[for=region-filter]").text
        assert shown == f"rows: {len(expected)} of 20"


def test_every_picture_is_drawn_within_the_page(opened: Any) -> None:
    sizes = opened.execute_script(
        """
        const right = (image) => image.getBoundingClientRect().right;
        return Array.from(document.images, (image) => [image.naturalWidth, right(image)]);
        """
    )
    assert len(sizes) == 3
    assert all(natural == 1500 and right <= WIDTH for natural, right in sizes)


def test_a_lesion_leads_to_its_picture_which_is_then_marked(opened: Any) -> None:
    opened.find_element("css selector", "#missed-lesions tbody a").click()
    top, outline = opened.execute_script(
        """
        const picture = document.querySelector("figure:target img");
        return [picture.getBoundingClientRect().top, getComputedStyle(picture).outlineStyle];
        """
    )
    assert 0 <= top < HEIGHT / 2
    assert outline == "solid"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground_in_both_schemes(opened: Any, scheme: str) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    try:
        pairs = opened.execute_script(
            """
            const ground = (box) => {
              for (; box; box = box.parentElement) {
                const color = getComputedStyle(box).backgroundColor;
                if (!color.endsWith(", 0)")) return color;
              }
            };
            const texts = document.querySelectorAll("h1, h2, p, td, th, li, a, select, dt, dd, figcaption");
            return Array.from(texts, (box) => [getComputedStyle(box).color, ground(box)]);
            """
        )
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert len(pairs) > 100
    assert min(contrast(*pair) for pair in pairs) > 4.5  # WCAG AA
    assert (luminance(pairs[0][1]) < 0.1) == (scheme == "dark")


def luminance(color: str) -> float:
    """Relative luminance by WCAG, of what a browser calls a color."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one: str, other: str) -> float:
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("width", [1280, 1024, 390])
def test_the_page_never_scrolls_sideways_but_its_tables_do(opened: Any, width: int) -> None:
    resize(opened, width, HEIGHT)
    try:
        page, table = opened.execute_script(
            """
            const excess = (box) => box.scrollWidth - box.clientWidth;
            return [excess(document.documentElement), excess(document.querySelector("#cases .scrolls"))];
            """
        )
    finally:
        resize(opened, WIDTH, HEIGHT)
    assert page == 0
    assert table > 0


def test_the_header_of_a_table_stays_while_its_rows_scroll(opened: Any) -> None:
    inside = opened.execute_script(
        """
        const box = document.querySelector("#cases .scrolls");
        box.scrollTop = box.scrollHeight;
        const top = (element) => element.getBoundingClientRect().top;
        return [box.scrollTop, top(box.querySelector("thead th")) - top(box)];
        """
    )
    assert inside[0] > 0
    assert 0 <= inside[1] <= 2


def test_all_of_the_page_prints(opened: Any, tmp_path: Path) -> None:
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        hidden, clipped = opened.execute_script(
            """
            const shown = (selector) => getComputedStyle(document.querySelector(selector)).display;
            const boxes = Array.from(document.querySelectorAll(".scrolls"));
            return [
              [shown("nav"), shown("select")],
              boxes.filter((box) => getComputedStyle(box).overflow !== "visible").length,
            ];
            """
        )
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert hidden == ["none", "none"]
    assert clipped == 0
    printed = opened.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    pdf = base64.b64decode(printed["data"])
    assert pdf.startswith(b"%PDF-")
    # A4 upright, and turned for the table of cases.
    assert b"/MediaBox [0 0 594" in pdf.replace(b"595", b"594")
    assert b"/MediaBox [0 0 841" in pdf.replace(b"842", b"841")
