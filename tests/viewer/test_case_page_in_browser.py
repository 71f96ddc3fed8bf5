"""The page of a case in a real browser, opened from disk: planes, contours, and the way from the report."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
from browser_kit import open_browser, resize
from page_kit import (
    BLUE,
    HEIGHT,
    ORANGE,
    PLANES,
    WIDTH,
    YELLOW,
    low_contrasts,
    nameless,
    near,
    on_canvas,
    pixels,
    press,
    shown_voxel,
    text,
    volumes,
    with_slices,
)
from service_kit import wait_until
from viewer_kit import BOX_SHAPE, FIRST, SHAPE, SPACING_MM, case, geometry

from lts.evaluation.report import ReportData, write_report
from lts.viewer import write_case_page

DEPTH, ROWS, COLUMNS = BOX_SHAPE
EXTENTS = {
    "axial": (SPACING_MM[2], SPACING_MM[1], COLUMNS, ROWS),
    "coronal": (SPACING_MM[2], SPACING_MM[0], COLUMNS, DEPTH),
    "sagittal": (SPACING_MM[1], SPACING_MM[0], ROWS, DEPTH),
}
LESIONS = case().lesions


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        resize(opened, WIDTH, HEIGHT)
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report, and beside it the page of its case."""
    folder = tmp_path_factory.mktemp("evaluation")
    write_case_page(folder / "viewer" / "volume-7.html", case(), report="../report.html")
    data = ReportData(
        title="one case",
        cases=[{"case": "volume-7", **row} for row in case().scores],
        lesions=[asdict(lesion) for lesion in LESIONS],
        viewers={"volume-7": "viewer/volume-7.html"},
    )
    write_report(folder / "report.html", data)
    return folder


@pytest.fixture
def viewer(browser: Any, folder: Path) -> Iterator[Any]:
    """The page of the case; no script may fail."""
    browser.get_log("browser")
    browser.get_log("performance")
    open_page(browser, folder / "viewer" / "volume-7.html")
    yield browser
    assert browser.get_log("browser") == []


def open_page(browser: Any, path: Path, lesion: int | None = None) -> None:
    browser.get("about:blank")
    browser.get(path.as_uri() + ("" if lesion is None else f"#lesion={lesion}"))
    wait_until(lambda: min(shown_voxel(browser)) >= 0)


def wait_for_a_frame(browser: Any) -> None:
    """Wait until the page has drawn what keys have asked for."""
    browser.execute_async_script("requestAnimationFrame(arguments[0])")


def place_of(number: int) -> tuple[int, int, int]:
    """The voxel of a lesion in the whole scan."""
    lesion = LESIONS[number - 1]
    return lesion.slice - 1, lesion.row - 1, lesion.column - 1


def in_box(voxel: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(index - first for index, first in zip(voxel, FIRST, strict=True))


def in_part(volume_zhw: np.ndarray) -> np.ndarray:
    """The part of the scan that is shown."""
    return volume_zhw[tuple(slice(first, first + n) for first, n in zip(FIRST, BOX_SHAPE, strict=True))]


def seen(volume_zhw: np.ndarray, voxel: tuple[int, int, int], plane: str) -> np.ndarray:
    """A plane of the part that is shown, through a voxel of the whole scan, as radiologists see it."""
    part = in_part(volume_zhw)
    z, row, column = in_box(voxel)
    return {"axial": part[z], "coronal": part[::-1, row], "sagittal": part[::-1, :, column]}[plane]


def test_it_opens_without_complaint_and_loads_nothing(viewer: Any, folder: Path) -> None:
    address = (folder / "viewer" / "volume-7.html").as_uri()
    messages = [json.loads(entry["message"])["message"] for entry in viewer.get_log("performance")]
    sent = [one["params"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    urls = {one["request"]["url"] for one in sent if one["documentURL"] == address}
    assert {url for url in urls if not url.startswith(("data:", "blob:"))} == {address}
    assert viewer.execute_script("return performance.getEntriesByType('resource').length") == 0


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_address_opens_on_its_lesion(browser: Any, folder: Path, number: int) -> None:
    open_page(browser, folder / "viewer" / "volume-7.html", lesion=number)
    place = place_of(number)
    wait_until(lambda: shown_voxel(browser) == in_box(place))
    # Where it lies in the world, and its value, as the file has them.
    x, y, z = (geometry().canonical_affine @ [*place, 1])[:3]
    world = [f"{'L' if x < 0 else 'R'} {abs(x):.1f}", f"{'P' if y < 0 else 'A'} {abs(y):.1f}"]
    world.append(f"{'I' if z < 0 else 'S'} {abs(z):.1f}")
    image = case().image
    assert image is not None
    wait_until(lambda: text(browser, "#place").endswith(f"{image[place]} HU"))
    assert text(browser, "#place") == f"{'  '.join(world)} mm {image[place]} HU"
    shown = browser.execute_script("return document.querySelector('#lesions [aria-current=true]').ariaLabel")
    outcome = ("found", "missed", "false alarm")[number - 1]
    assert shown.startswith(f"Lesion {number}, {outcome}")
    assert shown.endswith(f"go to slice {LESIONS[number - 1].slice}")
    assert text(browser, "[data-plane=axial] output") == f"{place[0] + 1} of {SHAPE[0]}"


def test_a_report_leads_to_each_lesion_and_back(browser: Any, folder: Path) -> None:
    for table, number in (("missed-lesions", 2), ("false-alarms", 3), ("found-lesions", 1)):
        browser.get((folder / "report.html").as_uri())
        browser.find_element("css selector", f"#{table} tbody a").click()
        wait_until(lambda number=number: shown_voxel(browser) == in_box(place_of(number)))
        assert browser.title.startswith("volume-7")
        browser.find_element("link text", "Report").click()
        wait_until(lambda: browser.title == "one case")


def test_another_lesion_in_the_address_is_gone_to(viewer: Any) -> None:
    viewer.execute_script("location.hash = 'lesion=3'")
    wait_until(lambda: shown_voxel(viewer) == in_box(place_of(3)))
    viewer.execute_script("location.hash = 'lesion=4'")  # there is none
    press(viewer, "n")
    wait_until(lambda: shown_voxel(viewer) == in_box(place_of(1)))


@pytest.mark.parametrize("plane", PLANES)
def test_planes_are_seen_as_radiologists_see_them(viewer: Any, plane: str) -> None:
    press(viewer, "c", "e", "2")  # soft tissue, -160 to 240 HU, as level 40 and width 400 say
    wait_for_a_frame(viewer)
    wait_until(lambda: not near(pixels(viewer, plane), YELLOW).any())
    image = case().image
    assert image is not None
    canvas = pixels(viewer, plane).mean(axis=2)
    left, top, column, row = on_canvas(canvas.shape, plane, extents=EXTENTS)
    hu = seen(image, place_of(1), plane)
    expected = (255 * ((hu.astype(float) - 40) / 400 + 0.5)).clip(0, 255)
    *_, n_columns, n_rows = EXTENTS[plane]
    x = np.round(left + (np.arange(n_columns) + 0.5) * column).astype(int)
    y = np.round(top + (np.arange(n_rows) + 0.5) * row).astype(int)
    found = canvas[np.ix_(y, x)]
    turns = {"as it is": expected, "mirrored": expected[:, ::-1], "upside down": expected[::-1]}
    away = {name: np.mean(np.abs(found - each) > 15) for name, each in turns.items()}
    assert away["as it is"] < 0.2  # under letters, the scale and the cross-hair
    assert min(away["mirrored"], away["upside down"]) > 2 * away["as it is"]


@pytest.mark.parametrize("plane", PLANES)
def test_planes_hold_every_voxel(viewer: Any, plane: str) -> None:
    whole = case()
    expected = {"values": whole.image, "labels": whole.prediction, "second": whole.reference}
    for kind, found in volumes(viewer, plane).items():
        volume = expected.pop(kind)
        assert volume is not None
        np.testing.assert_array_equal(found, in_part(volume))
    assert expected == {}


def test_labels_are_kept_where_there_are_any(viewer: Any) -> None:
    kept = with_slices(viewer, "return (await slices.source.volumes).labels.cubes.map((one) => one !== null)")
    either = in_part(case().prediction | case().reference) > 0
    places = {tuple(voxel // 16) for voxel in np.argwhere(either)}
    n_cubes = [-(-length // 16) for length in BOX_SHAPE]
    assert {tuple(place) for place in np.argwhere(np.reshape(kept, n_cubes))} == places
    assert len(places) < len(kept)


@pytest.mark.parametrize("plane", PLANES)
def test_the_reference_is_solid_and_the_prediction_dashed_each_in_its_place(viewer: Any, plane: str) -> None:
    press(viewer, "h", "e")  # the cross-hair is as blue
    wait_for_a_frame(viewer)
    wait_until(lambda: near(pixels(viewer, plane), BLUE).any())
    canvas = pixels(viewer, plane)
    left, top, column, row = on_canvas(canvas.shape, plane, extents=EXTENTS)
    whole = case()
    for color, labels in ((BLUE, whole.reference), (YELLOW, whole.prediction)):
        drawn_y, drawn_x = np.nonzero(near(canvas, color))
        where_y, where_x = np.nonzero(seen(labels, place_of(1), plane) >= 1)
        found = [drawn_x.min(), drawn_x.max(), drawn_y.min(), drawn_y.max()]
        expected = [
            left + where_x.min() * column,
            left + (where_x.max() + 1) * column,
            top + where_y.min() * row,
            top + (where_y.max() + 1) * row,
        ]
        assert found == pytest.approx(expected, abs=3)
    if plane == "axial":
        # The liver is at the patient's right, which is at the left of the picture.
        assert np.nonzero(near(canvas, BLUE))[1].mean() < 0.45 * canvas.shape[1]
        assert share_along(canvas, BLUE, x=left + 6 * column) > 0.95
        assert 0.35 < share_along(canvas, YELLOW, x=left + 26 * column) < 0.9


def share_along(canvas: np.ndarray, color: tuple[int, int, int], *, x: float) -> float:
    """The share of an upright border of both livers that has a color."""
    _, top, _, row = on_canvas(canvas.shape, "axial", extents=EXTENTS)
    rows = slice(round(top + (15 - FIRST[1]) * row), round(top + (33 - FIRST[1]) * row))
    return float(near(canvas, color)[rows, round(x) - 2 : round(x) + 3].any(axis=1).mean())


def test_a_missed_voxel_is_seen_in_all_planes(browser: Any, folder: Path) -> None:
    open_page(browser, folder / "viewer" / "volume-7.html", lesion=2)
    press(browser, "h", "e")
    labels = [f"#{plane}" for plane in PLANES]
    for plane, selector in zip(PLANES, labels, strict=True):
        wait_until(
            lambda selector=selector: (
                "reference with liver and tumor"
                in browser.find_element("css selector", selector).get_attribute("aria-label")
            )
        )
        told = browser.find_element("css selector", selector).get_attribute("aria-label")
        assert "prediction with liver" in told
        assert not near(pixels(browser, plane), ORANGE).any()


def test_scores_and_the_slice_that_differs_most_are_told(viewer: Any) -> None:
    rows = viewer.find_elements("css selector", "#second-scores tr")
    told = [row.text.lower().split() for row in rows]
    scores = case().scores
    assert [row[:2] for row in told] == [[one["region"], f"{one['dice']:.3f}"] for one in scores]
    whole = case()
    per_slice = (whole.prediction != whole.reference).sum(axis=(1, 2))
    assert text(viewer, "#second-sum") == f"{per_slice.sum()} voxels differ."
    viewer.find_element("id", "second-differing").click()
    wait_until(lambda: shown_voxel(viewer)[0] == int(per_slice.argmax()) - FIRST[0])


def test_a_shrunk_scan_shows_the_means_and_says_so(browser: Any, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)
    write_case_page(tmp_path / "a.html", case(image=image), report="report.html", max_mib=0.05)
    open_page(browser, tmp_path / "a.html", lesion=2)
    wait_until(lambda: text(browser, "#place").endswith(" HU"))
    z, row, column = place_of(2)
    rows, columns = (slice(at, at + 2) for at in (FIRST[1] + (row - FIRST[1]) // 2 * 2, column // 2 * 2))
    mean = round(float(image[z, rows, columns].mean()))
    assert text(browser, "#place").endswith(f" {mean} HU")
    assert "Values are means of 2 \N{MULTIPLICATION SIGN} 2 pixels" in text(browser, "#notes")


def test_without_a_scan_there_are_contours_and_no_values(browser: Any, tmp_path: Path) -> None:
    write_case_page(tmp_path / "a.html", case(image=None), report="report.html")
    open_page(browser, tmp_path / "a.html", lesion=1)
    wait_until(lambda: near(pixels(browser), BLUE).any())
    assert text(browser, "#place").strip().endswith(" mm")
    shown = [each.is_displayed() for each in browser.find_elements("css selector", "#windows, #tools label")]
    assert shown.count(False) == 2  # the gray window's choices, and its tool
    assert "HU" not in text(browser, "#place")


@pytest.mark.parametrize("width", [1280, 390])
def test_all_of_it_can_be_read_and_used(viewer: Any, width: int) -> None:
    resize(viewer, width, HEIGHT)
    try:
        excess = "const root = document.documentElement; return root.scrollWidth - root.clientWidth"
        assert viewer.execute_script(excess) == 0
        for plane in PLANES:
            element = viewer.find_element("id", plane)
            wait_until(lambda element=element: element.size["width"] > 120)
        assert nameless(viewer) == []
        for scheme in ("light", "dark"):
            media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            viewer.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
            assert low_contrasts(viewer) == []
    finally:
        viewer.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        resize(viewer, WIDTH, HEIGHT)
