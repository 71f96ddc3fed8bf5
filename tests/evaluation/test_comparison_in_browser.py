"""The page of a comparison in a real browser: it loads nothing, fits, and marks a case in all charts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_kit import open_browser, resize

from lts.evaluation import CasePictures, ComparisonData, differing_cases, rank_runs, write_comparison
from lts.figures import to_jpeg

RUNS = ("a", "b", "c")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs of eight cases, of which one is drawn."""
    rng = np.random.default_rng(0)
    rows: dict[str, list[dict[str, Any]]] = {
        name: [
            {"case": f"case-{n}", "region": region, "dice": round(float(rng.random()), 3)}
            for n in range(8)
            for region in ("liver", "tumor")
        ]
        for name in RUNS
    }
    differing = differing_cases(rows, region="tumor")
    picture = to_jpeg(np.full((320, 300, 3), 90, np.uint8))
    data = ComparisonData(
        runs={name: {"Folder": "/runs/" + name * 200} for name in RUNS},
        rows=rows,
        ranked=rank_runs(rows, scores=["dice"]),
        region="tumor",
        differing=differing,
        pictures={
            differing[0].case: CasePictures(pictures=[(name, picture) for name in ("reference", *RUNS)])
        },
        provenance={"path": "a" * 400},
    )
    path = tmp_path_factory.mktemp("page") / "comparison.html"
    write_comparison(path, data)
    return path


@pytest.mark.parametrize("width", [1280, 390])
def test_it_opens_without_complaint_and_never_scrolls_sideways(browser: Any, page: Path, width: int) -> None:
    resize(browser, width, 900)
    browser.get_log("browser")
    browser.get(page.as_uri())
    assert browser.get_log("browser") == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    excess, rights = browser.execute_script(
        """
        const root = document.documentElement;
        const right = (box) => box.getBoundingClientRect().right;
        const drawn = Array.from(document.querySelectorAll("img, svg"), right);
        return [root.scrollWidth - root.clientWidth, drawn];
        """
    )
    assert excess == 0
    assert len(rights) == 4 + 6  # a picture of the reference and each run; three charts a region
    assert max(rights) <= width
    # All masks of a case side by side where there is room, and never one alone in a row.
    tops = browser.execute_script(
        "return Array.from(document.images, (image) => Math.round(image.getBoundingClientRect().top))"
    )
    assert len(set(tops)) == (1 if width == 1280 else 2)


def test_a_point_marks_its_case_in_all_charts(browser: Any, page: Path) -> None:
    resize(browser, 1280, 900)
    browser.get(page.as_uri())
    marked = browser.execute_script(
        """
        const point = document.querySelector(".square .point[data-case='case-3']");
        point.dispatchEvent(new MouseEvent("mouseover", { bubbles: true }));
        const names = Array.from(document.querySelectorAll(".point.same"), (one) => one.dataset.case);
        document.body.dispatchEvent(new MouseEvent("mouseover", { bubbles: true }));
        return [names, document.querySelectorAll(".point.same").length];
        """
    )
    # in the boxes of three runs and against the first of two, of both regions
    assert marked == [["case-3"] * 2 * (3 + 2), 0]


def test_a_case_leads_to_its_pictures(browser: Any, page: Path) -> None:
    resize(browser, 1280, 900)
    browser.get(page.as_uri())
    browser.find_element("css selector", "#differing-table a").click()
    top = browser.execute_script("return document.images[0].getBoundingClientRect().top")
    assert 0 <= top < 450
