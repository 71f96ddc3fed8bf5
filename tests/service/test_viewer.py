"""The viewer in a real browser: contours lie where the labels are, and every way to move leads there."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from page_kit import ORANGE, YELLOW, near, on_canvas, pixels, press, shown_slice, text
from service_kit import DEPTH, SIDE, SPACING_MM, make_hu, wait_until

pytest.importorskip("selenium", reason="selenium is not installed")
from selenium.webdriver.common.keys import Keys


def test_contours_lie_where_the_labels_are(viewer: Any, labels: np.ndarray) -> None:
    z = shown_slice(viewer)
    assert z == int((labels == 2).sum(axis=(1, 2)).argmax())
    canvas = pixels(viewer)
    left, top, column, row = on_canvas(canvas.shape)
    for color, region in ((YELLOW, labels[z] >= 1), (ORANGE, labels[z] == 2)):
        drawn_y, drawn_x = np.nonzero(near(canvas, color))
        where_y, where_x = np.nonzero(region)
        # A contour runs half a pixel outside of the middles of the outermost pixels.
        found = [drawn_x.min(), drawn_x.max(), drawn_y.min(), drawn_y.max()]
        expected = [
            left + where_x.min() * column,
            left + (where_x.max() + 1) * column,
            top + where_y.min() * row,
            top + (where_y.max() + 1) * row,
        ]
        assert found == pytest.approx(expected, abs=3)
        # Each drawn pixel is within half a pixel and a line's width of where inside and outside meet.
        x, y = (drawn_x - left) / column - 0.5, (drawn_y - top) / row - 0.5
        corners = [
            np.pad(region, 1)[np.floor(y).astype(int) + dy + 1, np.floor(x).astype(int) + dx + 1]
            for dy in (0, 1)
            for dx in (0, 1)
        ]
        is_edge = np.any(corners, axis=0) & ~np.all(corners, axis=0)
        assert is_edge.mean() > 0.9


def test_the_patients_right_is_at_the_left_and_the_front_above(viewer: Any) -> None:
    viewer.find_element("id", "contours").click()
    viewer.find_element("id", "slider").send_keys(Keys.HOME, Keys.ARROW_UP)
    wait_until(lambda: shown_slice(viewer) == 1)
    canvas = pixels(viewer).mean(axis=2)
    left, top, column, row = on_canvas(canvas.shape)
    hu = make_hu()[0][:, :, 1]
    x, y = 20, 22  # in the liver; toward the right and the front

    def at(x: int, y: int) -> float:
        across, down = left + (SIDE - x - 0.5) * column, top + (SIDE - y - 0.5) * row
        return float(canvas[round(down), round(across)])

    assert hu[x, y] > 90
    assert 110 < at(x, y) < 150  # in the middle of the window that is fitted to it
    # Mirrored, there is soft tissue.
    assert 15 < at(SIDE - 1 - x, y) < 60
    assert 15 < at(x, SIDE - 1 - y) < 60
    assert not near(pixels(viewer), YELLOW).any()


def test_the_slice_keeps_its_physical_proportion(viewer: Any) -> None:
    press(viewer, "c")
    wait_until(lambda: not near(pixels(viewer), YELLOW).any())
    canvas = pixels(viewer).mean(axis=2)
    body_y, body_x = np.nonzero(canvas[40:-40, 40:-200] > 15)
    width, height = np.ptp(body_x) + 1, np.ptp(body_y) + 1
    assert height / width == pytest.approx((25 * SPACING_MM[1]) / (26 * SPACING_MM[0]), rel=0.05)


def test_keys_wheel_and_slider_move_through_the_slices(viewer: Any) -> None:
    press(viewer, Keys.HOME)
    wait_until(lambda: shown_slice(viewer) == 0)
    assert text(viewer, "#place") == f"Slice 1 of {DEPTH} S 0.0 mm"
    press(viewer, Keys.ARROW_DOWN)
    press(viewer, Keys.ARROW_UP, Keys.ARROW_UP)
    wait_until(lambda: shown_slice(viewer) == 2)
    assert text(viewer, "#place") == f"Slice 3 of {DEPTH} S 8.0 mm"
    press(viewer, Keys.PAGE_UP)
    wait_until(lambda: shown_slice(viewer) == DEPTH - 1)
    press(viewer, Keys.PAGE_DOWN)
    wait_until(lambda: shown_slice(viewer) == 0)
    wheel = """
      const at = {deltaY: arguments[0], bubbles: true, cancelable: true};
      document.getElementById('slice').dispatchEvent(new WheelEvent('wheel', at));
    """
    viewer.execute_script(wheel, -120)
    wait_until(lambda: shown_slice(viewer) == 1)
    viewer.execute_script(wheel, 100)
    wait_until(lambda: shown_slice(viewer) == 0)
    slider = viewer.find_element("id", "slider")
    viewer.execute_script(
        "arguments[0].value = 4; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))", slider
    )
    wait_until(lambda: shown_slice(viewer) == 4)
    assert slider.get_attribute("aria-valuetext") == f"Slice 5 of {DEPTH}, S 16.0 mm"
    assert "with liver and tumor" in viewer.find_element("id", "slice").get_attribute("aria-label")


def test_contours_go_and_come_with_a_key(viewer: Any) -> None:
    assert near(pixels(viewer), YELLOW).sum() > 100
    press(viewer, "c")
    wait_until(lambda: not near(pixels(viewer), YELLOW).any())
    press(viewer, "c")
    wait_until(lambda: near(pixels(viewer), YELLOW).sum() > 100)


def test_windows_change_the_grays(viewer: Any) -> None:
    press(viewer, "c", Keys.END)
    wait_until(lambda: shown_slice(viewer) == DEPTH - 1)

    def gray() -> float:
        canvas = pixels(viewer).mean(axis=2)
        left, top, column, row = on_canvas(canvas.shape)
        y, x = round(top + 20 * row), round(left + 8 * column)
        return float(canvas[y - 20 : y + 20, x - 20 : x + 20].mean())  # soft tissue of 50 HU

    assert gray() == pytest.approx(255 * ((50 - 110) / 160 + 0.5), abs=12)
    press(viewer, "2")
    wait_until(lambda: abs(gray() - 255 * ((50 - 40) / 400 + 0.5)) < 3)
    assert viewer.execute_script("return document.querySelectorAll('#windows input')[1].checked")


def test_a_lesion_leads_to_its_slice(viewer: Any, labels: np.ndarray) -> None:
    press(viewer, Keys.HOME)
    wait_until(lambda: shown_slice(viewer) == 0)
    button = viewer.find_element("css selector", "#lesions button")
    assert button.text.split("\n")[0].startswith("1")
    button.send_keys("\n")
    where = np.argwhere(labels == 2).mean(axis=0)
    wait_until(lambda: shown_slice(viewer) == round(where[0]))
    assert button.get_attribute("aria-current") == "true"


def test_the_panel_tells_the_volumes(viewer: Any, labels: np.ndarray) -> None:
    voxel_ml = np.prod(SPACING_MM) / 1000
    liver, tumor = (float((labels >= label).sum()) * voxel_ml for label in (1, 2))
    shown = text(viewer, "#volumes").replace("\n", " ")
    assert f"Liver {liver:.2f} ml" in shown
    assert f"Tumor {tumor:.2f} ml" in shown
    assert f"Tumor burden {100 * tumor / liver:.2f} %" in shown
    assert text(viewer, "#case") == "volume-7"
    assert "Not a medical device" in text(viewer, "footer")


def test_the_mask_is_downloaded(viewer: Any, downloads: Path, labels: np.ndarray) -> None:
    viewer.find_element("id", "download").click()
    file = downloads / "volume-7_mask.nii.gz"
    wait_until(file.exists)
    wait_until(lambda: not list(downloads.glob("*.crdownload")))
    assert np.array_equal(np.asarray(nib.load(file).dataobj), labels.T[::-1, ::-1])
