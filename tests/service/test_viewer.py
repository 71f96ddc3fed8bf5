"""The viewer in a real browser: its planes show what is there, and every way to move leads there."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from page_kit import (
    EXTENTS,
    ORANGE,
    PLANES,
    YELLOW,
    drag,
    near,
    on_canvas,
    open_scan,
    pixels,
    point,
    press,
    scroll,
    shown_slice,
    shown_voxel,
    text,
    volumes,
)
from service_kit import DEPTH, SIDE, SPACING_MM, KnownPredictor, make_hu, run_service, wait_until

pytest.importorskip("selenium", reason="selenium is not installed")
from selenium.webdriver.common.keys import Keys

from lts.volume import read_ct, read_mask


def seen(volume_zhw: np.ndarray, voxel: tuple[int, int, int], plane: str) -> np.ndarray:
    """A plane through a voxel: the head, or else the front, is above; the right, or else the front, left."""
    z, row, column = voxel
    return {
        "axial": volume_zhw[z],
        "coronal": volume_zhw[::-1, row],
        "sagittal": volume_zhw[::-1, :, column],
    }[plane]


def on_disk_seen(volume_xyz: np.ndarray, voxel: tuple[int, int, int], plane: str) -> np.ndarray:
    """The same of an array on disk that runs toward the right, the front and the head."""
    z, row, column = voxel
    return {
        "axial": volume_xyz[::-1, ::-1, z].T,
        "coronal": volume_xyz[::-1, SIDE - 1 - row, ::-1].T,
        "sagittal": volume_xyz[SIDE - 1 - column, ::-1, ::-1].T,
    }[plane]


@pytest.mark.parametrize("plane", PLANES)
def test_contours_lie_where_the_labels_are(viewer: Any, labels: np.ndarray, plane: str) -> None:
    voxel = shown_voxel(viewer)
    lesion = np.argwhere(labels == 2).mean(axis=0)
    assert voxel == tuple(round(index) for index in lesion)
    canvas = pixels(viewer, plane)
    left, top, column, row = on_canvas(canvas.shape, plane)
    picture = seen(labels, voxel, plane)
    for color, region in ((YELLOW, picture >= 1), (ORANGE, picture == 2)):
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


@pytest.mark.parametrize("plane", PLANES)
def test_planes_are_seen_as_radiologists_see_them(viewer: Any, plane: str) -> None:
    press(viewer, "c", "2")  # soft tissue, -160 to 240 HU, as level 40 and width 400 say
    wait_until(lambda: not near(pixels(viewer, plane), YELLOW).any())
    voxel = shown_voxel(viewer)
    canvas = pixels(viewer, plane).mean(axis=2)
    left, top, column, row = on_canvas(canvas.shape, plane)
    hu = on_disk_seen(make_hu()[0], voxel, plane)
    expected = (255 * ((hu.astype(float) - 40) / 400 + 0.5)).clip(0, 255)
    *_, n_columns, n_rows = EXTENTS[plane]
    x = np.round(left + (np.arange(n_columns) + 0.5) * column).astype(int)
    y = np.round(top + (np.arange(n_rows) + 0.5) * row).astype(int)
    found = canvas[np.ix_(y, x)]
    turns = {"as it is": expected, "mirrored": expected[:, ::-1], "upside down": expected[::-1]}
    away = {name: np.mean(np.abs(found - each) > 15) for name, each in turns.items()}
    assert away["as it is"] < 0.15  # under letters, the scale and the cross-hair
    assert min(away["mirrored"], away["upside down"]) > 2 * away["as it is"]


@pytest.mark.parametrize("plane", PLANES)
def test_planes_hold_every_voxel(viewer: Any, labels: np.ndarray, plane: str) -> None:
    found = volumes(viewer, plane)
    np.testing.assert_array_equal(found["values"], make_hu()[0][::-1, ::-1].transpose(2, 1, 0))
    np.testing.assert_array_equal(found["labels"], labels)


def test_a_patient_lies_as_the_letters_say(browser: Any, real_data: Path) -> None:
    """A scan from the lungs to the kidneys: the liver is right, above and in front, the spine behind."""
    file = real_data / "lits_real" / "volume-1.nii.gz"
    scan = read_ct(file)
    labels = read_mask(file.with_name("segmentation-1.nii.gz"), image=scan.geometry).voxels
    with run_service(KnownPredictor(labels), max_upload_mib=64, max_voxels=10**7) as running:
        open_scan(browser, running, file)
        middle = int(np.flatnonzero((scan.voxels > -300).any(axis=(0, 1))).mean())
        slide(browser, "sagittal", scan.voxels.shape[2] - 1 - middle)
        press(browser, "2")  # -160 to 240 HU
        wait_until(lambda: shown_slice(browser, "sagittal") == middle)
        canvases = {plane: pixels(browser, plane) for plane in PLANES}
    liver = {plane: share_of_canvas(near(canvas, YELLOW)) for plane, canvas in canvases.items()}
    spine = share_of_canvas(canvases["sagittal"].min(axis=2) > 235)
    assert liver["axial"][0] < 0.4
    assert liver["coronal"][0] < 0.48
    assert max(liver["coronal"][1], liver["sagittal"][1]) < 0.46
    assert liver["sagittal"][0] < 0.4
    assert spine[0] > 0.6


def share_of_canvas(mask: np.ndarray) -> tuple[float, float]:
    """How far to the right and how far down a mask lies, 0 to 1."""
    y, x = np.nonzero(mask)
    return float(x.mean()) / mask.shape[1], float(y.mean()) / mask.shape[0]


def test_letters_name_the_sides_of_the_patient(viewer: Any) -> None:
    letters = viewer.execute_async_script(
        """
        const [scan, done] = arguments;
        import("/page/planes.js").then(({ Plane }) =>
          done(["axial", "coronal", "sagittal"].map((name) => new Plane(scan, name).letters)));
        """,
        {
            "shape": [1, 1, 1],
            "spacing_mm": [1, 1, 1],
            "links": {},
            "affine_ras_mm": np.eye(4).tolist(),
        },
    )
    # Of the same planes that the test above proves to be turned so.
    assert letters == [
        {"left": "R", "right": "L", "top": "A", "bottom": "P"},
        {"left": "R", "right": "L", "top": "S", "bottom": "I"},
        {"left": "A", "right": "P", "top": "S", "bottom": "I"},
    ]


@pytest.mark.parametrize(
    ("plane", "picture"), [("axial", (9, 21)), ("coronal", (24, 1)), ("sagittal", (5, 4))]
)
def test_a_click_moves_the_cross_hair_in_all_planes(viewer: Any, plane: str, picture: Any) -> None:
    z, row, column = shown_voxel(viewer)
    across, down = picture
    drag(viewer, point(viewer, plane, across + 0.5, down + 0.5))
    expected = {
        "axial": (z, down, across),
        "coronal": (DEPTH - 1 - down, row, across),
        "sagittal": (DEPTH - 1 - down, across, column),
    }[plane]
    wait_until(lambda: shown_voxel(viewer) == expected)
    hu = make_hu()[0][::-1, ::-1].transpose(2, 1, 0)[expected]
    z, row, column = expected
    # In the scanner's coordinates 0 is the middle of the rearmost, leftmost, lowest voxel.
    right, front, head = (SIDE - 1 - column) * 1.5, (SIDE - 1 - row) * 2.0, z * 4.0
    assert text(viewer, "#place") == f"R {right:.1f}  A {front:.1f}  S {head:.1f} mm {hu} HU"


def test_a_drag_takes_the_cross_hair_along_and_stays_in_the_scan(viewer: Any) -> None:
    z = shown_slice(viewer)
    start, end = point(viewer, "axial", 10.5, 10.5), point(viewer, "axial", 20.5, 25.5)
    drag(viewer, start, (start[0] + 30, start[1] + 9), end)
    wait_until(lambda: shown_voxel(viewer) == (z, 25, 20))
    drag(viewer, end, (start[0], 1))
    wait_until(lambda: shown_voxel(viewer)[1] == 0)


def test_the_cross_hair_is_drawn_where_the_planes_cross(viewer: Any) -> None:
    drag(viewer, point(viewer, "axial", 3.5, 28.5))
    wait_until(lambda: shown_voxel(viewer)[1:] == (28, 3))
    z = shown_slice(viewer)
    for plane, (across, down) in {
        "axial": (3, 28),
        "coronal": (3, DEPTH - 1 - z),
        "sagittal": (28, DEPTH - 1 - z),
    }.items():
        canvas = pixels(viewer, plane)
        blue = canvas[..., 2] - canvas[..., 0]
        left, top, column, row = on_canvas(canvas.shape, plane)
        assert blue.mean(axis=0).argmax() == pytest.approx(left + (across + 0.5) * column, abs=1.5)
        assert blue.mean(axis=1).argmax() == pytest.approx(top + (down + 0.5) * row, abs=1.5)
    press(viewer, "h")
    wait_until(lambda: (pixels(viewer)[..., 2] - pixels(viewer)[..., 0]).max() < 20)


def test_keys_wheel_and_slider_move_through_the_slices(viewer: Any) -> None:
    press(viewer, Keys.HOME)
    wait_until(lambda: shown_slice(viewer) == 0)
    assert text(viewer, "[data-plane=axial] output") == f"1 of {DEPTH}"
    press(viewer, Keys.ARROW_DOWN)
    press(viewer, Keys.ARROW_UP, Keys.ARROW_UP)
    wait_until(lambda: shown_slice(viewer) == 2)
    assert "S 8.0 mm" in text(viewer, "#place")
    press(viewer, Keys.PAGE_UP)
    wait_until(lambda: shown_slice(viewer) == DEPTH - 1)
    press(viewer, Keys.PAGE_DOWN)
    wait_until(lambda: shown_slice(viewer) == 0)
    scroll(viewer, "axial", -120)
    wait_until(lambda: shown_slice(viewer) == 1)
    scroll(viewer, "axial", 100)
    wait_until(lambda: shown_slice(viewer) == 0)
    slider = viewer.find_element("id", "axial-slider")
    slide(viewer, "axial", 4)
    wait_until(lambda: shown_slice(viewer) == 4)
    assert slider.get_attribute("aria-valuetext") == f"slice 5 of {DEPTH}, S 16.0 mm"
    label = viewer.find_element("id", "axial").get_attribute("aria-label")
    assert label == f"Axial slice 5 of {DEPTH}, S 16.0 mm, with liver and tumor"


@pytest.mark.parametrize(("plane", "up"), [("coronal", "A 40.0 mm"), ("sagittal", "R 30.0 mm")])
def test_up_is_to_the_front_and_to_the_right(viewer: Any, plane: str, up: str) -> None:
    drag(viewer, point(viewer, "axial", 12.5, 12.5))  # R 28.5, A 38.0
    wait_until(lambda: shown_voxel(viewer)[1:] == (12, 12))
    scroll(viewer, plane, -120)
    wait_until(lambda: shown_slice(viewer, plane) == 11)
    assert up in viewer.find_element("id", plane).get_attribute("aria-label")
    slider = viewer.find_element("id", f"{plane}-slider")
    assert int(slider.get_attribute("value")) == SIDE - 1 - 11
    slide(viewer, plane, SIDE - 1)
    wait_until(lambda: shown_slice(viewer, plane) == 0)
    viewer.find_element("id", plane).send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    wait_until(lambda: shown_slice(viewer, plane) == 2)


def slide(browser: Any, plane: str, value: int) -> None:
    browser.execute_script(
        "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))",
        browser.find_element("id", f"{plane}-slider"),
        value,
    )


@pytest.mark.parametrize("plane", PLANES)
def test_one_plane_can_be_shown_alone(viewer: Any, plane: str) -> None:
    widths = {name: canvas_width(viewer, name) for name in PLANES}
    viewer.find_element("css selector", f"[data-plane={plane}] .large").click()
    shown = {name: canvas_width(viewer, name) for name in PLANES}
    assert shown[plane] > 1.3 * widths[plane]
    assert [name for name in PLANES if shown[name] > 0] == [plane]
    wait_until(lambda: pixels(viewer, plane).shape[1] == shown[plane])
    viewer.find_element("id", plane).send_keys("l")
    assert {name: canvas_width(viewer, name) for name in PLANES} == widths


def canvas_width(browser: Any, plane: str) -> int:
    return int(browser.execute_script("return document.getElementById(arguments[0]).clientWidth", plane))


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
