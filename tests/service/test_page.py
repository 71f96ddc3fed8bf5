"""The page in a real browser around the viewer: files that come, what is told, and nothing foreign."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from browser_kit import resize
from page_kit import (
    HEIGHT,
    PLANES,
    WIDTH,
    drop,
    low_contrasts,
    nameless,
    open_scan,
    shown_slice,
    shown_voxel,
    state,
    text,
)
from service_kit import DEPTH, SIDE, HeldPredictor, Running, multipart, run_service, wait_until

pytest.importorskip("selenium", reason="selenium is not installed")
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from lts.inference import Predictor

HOSTILE = "<img src=x onerror=document.title='owned'>.nii.gz"


def test_nothing_is_asked_from_elsewhere_and_the_console_is_silent(viewer: Any, running: Running) -> None:
    viewer.get(f"{running.url}/docs")
    wait_until(lambda: "/scans/{id}/{plane}/{index}" in text(viewer, "#operations"))
    assert "ScanAnswer" in text(viewer, "#schemas")
    assert viewer.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in viewer.get_log("performance")]
    sent = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
    # The browser's own first page may still load.
    urls = [each["request"]["url"] for each in sent if each["documentURL"].startswith(running.url)]
    assert len(urls) > 10
    assert [url for url in urls if not url.startswith((f"{running.url}/", "about:", "data:"))] == []


def test_a_hostile_name_is_text(browser: Any, running: Running, scan_file: Path, tmp_path: Path) -> None:
    hostile = tmp_path / HOSTILE
    shutil.copy(scan_file, hostile)
    open_scan(browser, running, hostile)
    assert "owned" in text(browser, "#case")
    assert browser.title.endswith("lts")
    assert browser.execute_script("return document.querySelectorAll('img[src=x]').length") == 0
    assert browser.execute_script("return document.getElementById('busy-title').textContent") == HOSTILE


def test_a_script_that_slipped_in_would_not_run(viewer: Any) -> None:
    ran = viewer.execute_script(
        """
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.body.append(script);
        return window.ran === true;
        """
    )
    viewer.get_log("browser")
    assert ran is False


def test_a_file_can_be_dropped(browser: Any, running: Running, scan_file: Path, tmp_path: Path) -> None:
    browser.get("about:blank")
    browser.get(running.url)
    dropped = tmp_path / "dropped.nii.gz"
    shutil.copy(scan_file, dropped)
    drop(browser, dropped, "drop")
    wait_until(lambda: state(browser) == "viewer", 30)
    assert text(browser, "#case") == "dropped"


def test_a_reload_finds_the_result_again_and_leaving_deletes_it(viewer: Any, running: Running) -> None:
    viewer.refresh()
    wait_until(lambda: state(viewer) == "viewer")
    wait_until(lambda: shown_slice(viewer) >= 0)
    kept = len(running.kept())
    viewer.find_element("id", "another").click()
    wait_until(lambda: len(running.kept()) == kept - 1)
    assert state(viewer) == "start"
    assert "#" not in viewer.current_url


def test_a_result_that_is_gone_is_told_where_its_picture_would_be(viewer: Any, running: Running) -> None:
    assert running.shown is not None
    with running.client as client:
        client.delete(running.shown["self"])
    viewer.find_element("id", "sagittal").send_keys("\ue011")  # Home: far from those that were fetched
    told = "[data-plane=sagittal] .loading"
    wait_until(lambda: text(viewer, told) == "This result is no longer kept.")
    resize(viewer, WIDTH - 20, HEIGHT)
    wait_until(lambda: text(viewer, told) == "This result is no longer kept.")
    resize(viewer, WIDTH, HEIGHT)
    viewer.get_log("browser")  # where the browser itself tells of each 404


def test_planes_that_were_not_asked_for_yet_are_told_to_be_gone_too(viewer: Any) -> None:
    # To the farther end of one plane, whose neighbors take all places, so that the other is never fetched.
    _, row, column = shown_voxel(viewer)
    farther = ("End" if index > SIDE / 2 else "Home" for index in (row, column))
    keys = dict(zip(PLANES[1:], farther, strict=True))
    viewer.execute_script(
        """
        const gone = new Response("", { status: 404 });
        window.fetch = () => new Promise((resolve) => setTimeout(() => resolve(gone.clone()), 300));
        for (const [name, key] of Object.entries(arguments[0])) {
          document.getElementById(name).focus();
          document.getElementById(name).dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
        }
        """,
        keys,
    )
    for name in keys:
        told = f"[data-plane={name}] .loading"
        wait_until(lambda told=told: text(viewer, told) == "This result is no longer kept.")


@pytest.mark.parametrize(
    ("name", "size", "title"),
    [
        ("text.nii", 10, "This file cannot be read as a scan."),
        ("large.nii", 5 * 2**20, "This scan is too large for the service."),
    ],
)
def test_what_is_refused_is_told_in_plain_words(
    browser: Any, running: Running, tmp_path: Path, *, name: str, size: int, title: str
) -> None:
    (tmp_path / name).write_bytes(bytes(size))
    browser.get("about:blank")
    browser.get(running.url)
    wait_until(lambda: "MiB" in text(browser, "#takes"))
    browser.find_element("id", "file").send_keys(str(tmp_path / name))
    wait_until(lambda: text(browser, "#problem-title") == title)
    assert name in text(browser, "#problem-detail")
    assert browser.find_element("id", "problem").get_attribute("role") == "alert"
    assert not browser.find_element("id", "again").is_displayed()
    browser.get_log("browser")


def test_waiting_predicting_cancelling_and_a_full_queue_are_told(
    browser: Any, predictor: Predictor, scan_file: Path
) -> None:
    held = HeldPredictor(predictor)
    with run_service(held, queue_size=1) as running:
        first = running.connect(b"")
        first.sendall(multipart(scan_file))
        held.wait_until_started()
        browser.get(running.url)
        browser.find_element("id", "file").send_keys(str(scan_file))
        wait_until(lambda: text(browser, "#phase") == "Waiting for the model")
        second = browser.current_window_handle
        browser.switch_to.new_window("tab")
        browser.get(running.url)
        browser.find_element("id", "file").send_keys(str(scan_file))
        wait_until(lambda: "queue is full" in text(browser, "#problem-title"))
        assert "Try again in about" in text(browser, "#problem-detail")
        assert browser.find_element("id", "again").is_displayed()
        browser.close()
        browser.switch_to.window(second)
        first.close()
        wait_until(lambda: text(browser, "#phase") == "Predicting")
        wait_until(lambda: text(browser, "#amount") == f"slice 2 of {DEPTH}")
        browser.find_element("id", "cancel").click()
        assert state(browser) == "start"
        wait_until(lambda: running.service.gate.taken == 0 and running.left_over() == set())
    browser.get_log("browser")


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_text_stands_out_and_everything_has_a_name(viewer: Any, scheme: str) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    viewer.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    try:
        viewer.find_element("css selector", ".keys summary").click()
        assert low_contrasts(viewer) == []
        assert nameless(viewer) == []
    finally:
        viewer.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_tab_reaches_every_control(viewer: Any) -> None:
    """Once round the page: what can be clicked can be focused, and the focus is seen."""
    wanted = viewer.execute_script(
        """
        const controls = [...document.querySelectorAll("button, input, canvas[tabindex], a[href], summary")];
        globalThis.wanted = controls.filter((one) => one.checkVisibility()
          && !(one.type === "radio" && !one.checked));
        return globalThis.wanted.length;
        """
    )
    reached = set()
    for _ in range(wanted + 3):
        ActionChains(viewer).send_keys(
            Keys.TAB
        ).perform()  # keys sent to a field for files would be names of files
        index, outline = viewer.execute_script(
            "const one = document.activeElement;"
            "const seen = getComputedStyle(one).opacity === '0' ? one.parentElement : one;"
            "return [globalThis.wanted.indexOf(one), getComputedStyle(seen).outlineStyle !== 'none'];"
        )
        reached.add(index)
        assert outline or index < 0
    assert reached >= set(range(wanted))


@pytest.mark.parametrize("width", [1280, 900, 390])
def test_the_page_never_scrolls_sideways(viewer: Any, width: int) -> None:
    resize(viewer, width, HEIGHT)
    try:
        excess = "const root = document.documentElement; return root.scrollWidth - root.clientWidth"
        assert viewer.execute_script(excess) == 0
        for plane in PLANES:
            element = viewer.find_element("id", plane)
            wait_until(lambda element=element: element.size["width"] > 120)
    finally:
        resize(viewer, WIDTH, HEIGHT)


def test_planes_are_fetched_around_the_current_ones_and_a_few_are_kept(
    browser: Any, running: Running
) -> None:
    browser.get(running.url)
    found = browser.execute_async_script(
        """
        const done = arguments[arguments.length - 1];
        import("/page/slices.js").then(async ({ Slices }) => {
          const asked = [];
          const source = { pixelBytes: 3, read: async ({ name }, index) => asked.push(`${name}/${index}`) };
          const plane = (name) => ({ name, count: 200, nRows: 700, nColumns: 700 });
          const [axial, coronal] = [plane("axial"), plane("coronal")];
          const slices = new Slices([axial, coronal], source, { onLoad() {}, onFail() {} });
          const [busyAsked, busy] = [[], { ...source, isBusy: true }];
          busy.read = async ({ name }, index) => busyAsked.push(`${name}/${index}`);
          const atHand = new Slices([axial, coronal], busy, { onLoad() {}, onFail() {} });
          atHand.look([[axial, 100], [coronal, 3]]);
          for (let turn = 0; turn < 100; turn += 1) {
            await null; // what needs no frame
          }
          const atOnce = [...busyAsked];
          const settle = () => new Promise((resolve) => setTimeout(resolve, 400));
          slices.look([[axial, 100], [coronal, 3]]);
          await settle();
          const around = [...asked];
          while (busyAsked.length < around.length) {
            await settle();
          }
          slices.look([[axial, 150], [coronal, 3]]);
          await settle();
          const kept = [...slices.loaded.get(axial).keys()];
          const huge = { ...plane("axial"), nRows: 4096, nColumns: 4096 };
          done([around, kept, slices.most(axial), slices.most(huge), atOnce, busyAsked]);
        });
        """
    )
    around, kept, most, most_of_huge, at_once, when_idle = found
    assert around[:6] == ["axial/100", "coronal/3", "axial/101", "axial/99", "coronal/4", "coronal/2"]
    expected = {f"axial/{index}" for index in range(92, 109)} | {f"coronal/{index}" for index in range(12)}
    assert sorted(around) == sorted(expected)
    # Where the page itself works for them, neighbors wait until it has drawn what is looked at.
    assert at_once == around[:2]
    assert when_idle == around
    assert most * 3 * 700 * 700 <= 32 * 2**20
    assert len(kept) == most
    assert set(range(142, 159)) <= set(kept)
    assert most_of_huge == 3  # it and its neighbors, however large
