"""The tools of the viewer in a real browser: zoom, gray window, distances and areas, by hand and by keys."""

import itertools
import math
import re
from typing import Any

import numpy as np
import pytest
from page_kit import (
    PLANES,
    YELLOW,
    drag,
    near,
    on_canvas,
    pixels,
    point,
    press,
    scroll,
    shown_slice,
    shown_voxel,
    text,
)
from service_kit import SPACING_MM, make_hu, wait_until

pytest.importorskip("selenium", reason="selenium is not installed")
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.keys import Keys

ARROWS = {"right": Keys.ARROW_RIGHT, "left": Keys.ARROW_LEFT, "up": Keys.ARROW_UP, "down": Keys.ARROW_DOWN}


def shift(browser: Any, **steps: int) -> None:
    """Press arrow keys with Shift so many times."""
    press(browser, Keys.SHIFT, *(ARROWS[to] for to, count in steps.items() for _ in range(count)))


def region_box(browser: Any, plane: str = "axial") -> np.ndarray:
    """Left, right, top and bottom of the liver's contour on a canvas."""
    y, x = np.nonzero(near(pixels(browser, plane), YELLOW))
    return np.array([x.min(), x.max(), y.min(), y.max()])


def first_measure(browser: Any) -> str:
    return text(browser, "#measures li .amount")


@pytest.mark.parametrize("plane", PLANES)
def test_zooming_keeps_the_point_under_the_pointer(viewer: Any, plane: str) -> None:
    before = region_box(viewer, plane)
    height, width, _ = pixels(viewer, plane).shape
    scroll(viewer, plane, -90, at=(0.3, 0.4), ctrlKey=True)
    held = np.array([0.3 * width, 0.3 * width, 0.4 * height, 0.4 * height])
    expected = held + math.exp(90 / 300) * (before - held)
    wait_until(lambda: np.abs(region_box(viewer, plane) - expected).max() < 4)
    press(viewer, "r")
    wait_until(lambda: np.abs(region_box(viewer, plane) - before).max() < 1)


def test_a_zoomed_plane_is_moved_and_comes_back(viewer: Any) -> None:
    whole = region_box(viewer)
    scroll(viewer, "axial", -90, ctrlKey=True)
    wait_until(lambda: np.ptp(region_box(viewer)) > 1.2 * np.ptp(whole))
    before = region_box(viewer)
    viewer.find_element("css selector", "#tools [value=move]").click()
    start = point(viewer, "axial", 16, 16)
    drag(viewer, start, (start[0] - 31, start[1] - 17))
    wait_until(lambda: not np.array_equal(region_box(viewer), before))
    assert region_box(viewer) - before == pytest.approx([-31, -31, -17, -17], abs=2)
    drag(viewer, (start[0] - 31, start[1] - 17), start, button=1)  # the middle button, with any tool
    wait_until(lambda: np.abs(region_box(viewer) - before).max() <= 2)
    press(viewer, "m")
    shift(viewer, left=2, up=1)  # 20 pixels each
    wait_until(lambda: np.abs(region_box(viewer) - before - [-40, -40, -20, -20]).max() <= 2)
    press(viewer, "-", "-")
    viewer.find_element("id", "reset").click()
    wait_until(lambda: np.array_equal(region_box(viewer), whole))
    drag(viewer, start, (start[0] - 31, start[1] - 17))  # a whole plane stays where it fits
    assert np.array_equal(region_box(viewer), whole)


def test_keys_zoom_about_the_cross_hair_and_follow_it(viewer: Any) -> None:
    before, crossing = region_box(viewer), crossing_of(viewer)
    press(viewer, "+")
    held = np.repeat(crossing, 2)
    expected = held + 1.25 * (before - held)
    wait_until(lambda: np.abs(region_box(viewer) - expected).max() < 4)
    assert crossing_of(viewer) == pytest.approx(crossing, abs=1.5)
    press(viewer, "-")
    wait_until(lambda: np.abs(region_box(viewer) - before).max() < 1)
    press(viewer, *["+"] * 12)
    z, row, column = shown_voxel(viewer)
    shift(viewer, left=column)
    wait_until(lambda: shown_voxel(viewer) == (z, row, 0))
    width = pixels(viewer).shape[1]
    wait_until(lambda: crossing_of(viewer)[0] > 0.1 * width)  # the picture follows what would be far outside


def crossing_of(browser: Any, plane: str = "axial") -> tuple[int, int]:
    """Where the lines of the cross-hair are drawn on a canvas."""
    canvas = pixels(browser, plane)
    blue = canvas[..., 2] - canvas[..., 0]
    assert min(blue.mean(axis=0).max(), blue.mean(axis=1).max()) > 30
    return int(blue.mean(axis=0).argmax()), int(blue.mean(axis=1).argmax())


def pinch(browser: Any, x: int, y: int) -> None:
    """Move two fingers away from each other, from 80 to 120 pixels."""
    fingers = [PointerInput("touch", name) for name in ("one", "two")]
    actions = ActionBuilder(browser, mouse=fingers[0], duration=20)
    actions.devices.append(fingers[1])
    for finger, side in zip(fingers, (-1, 1), strict=True):
        finger.create_pointer_move(duration=0, x=x + side * 40, y=y)
        finger.create_pointer_down(button=0)
        finger.create_pointer_move(duration=30, x=x + side * 60, y=y)
        finger.create_pointer_up(button=0)
    actions.perform()


def test_two_fingers_zoom_and_one_moves_the_cross_hair(viewer: Any) -> None:
    before, where = region_box(viewer), shown_voxel(viewer)
    pinch(viewer, *point(viewer, "axial", 16, 16))
    wait_until(lambda: np.ptp(region_box(viewer)[:2]) > 1.4 * np.ptp(before[:2]))
    assert shown_voxel(viewer) == where  # though the first finger came alone
    press(viewer, "d")
    pinch(viewer, *point(viewer, "axial", 16, 16))
    assert viewer.find_elements("css selector", "#measures li") == []
    press(viewer, "x")
    press(viewer, "r")
    wait_until(lambda: np.abs(region_box(viewer) - before).max() < 1)
    drag(viewer, point(viewer, "axial", 6.5, 8.5), kind="touch")
    wait_until(lambda: shown_voxel(viewer)[1:] == (8, 6))


def test_the_right_button_and_a_tool_set_the_gray_window(viewer: Any) -> None:
    def told() -> list[str]:
        return viewer.execute_script(
            "return [...document.querySelectorAll('#windows input')].map((one) => one.checked)"
        )

    press(viewer, "c")
    wait_until(lambda: not near(pixels(viewer), YELLOW).any())
    assert told() == [True, False]
    where, before = shown_voxel(viewer), pixels(viewer).mean()
    start = point(viewer, "axial", 16, 16)
    drag(viewer, start, (start[0], start[1] + 60), button=2)  # a lower level
    wait_until(lambda: pixels(viewer).mean() > before + 10)
    assert told() == [False, False]
    press(viewer, "1")
    wait_until(lambda: pixels(viewer).mean() == pytest.approx(before, abs=0.5))
    press(viewer, "w")
    shift(viewer, down=3)
    wait_until(lambda: pixels(viewer).mean() > before + 10)
    assert shown_voxel(viewer) == where


@pytest.mark.parametrize(
    ("plane", "steps", "expected"),
    [
        ("axial", {"right": 8, "down": 8}, "20.0 mm"),  # 12 and 16 mm
        ("coronal", {"left": 2, "down": 1}, "5.0 mm"),  # 3 and 4 mm
        ("sagittal", {"right": 3, "up": 2}, "10.0 mm"),  # 6 and 8 mm
    ],
)
def test_a_distance_is_in_mm_of_the_body(
    viewer: Any, plane: str, steps: dict[str, int], expected: str
) -> None:
    drag(viewer, point(viewer, "axial", 10.5, 10.5))
    slide_to_middle(viewer)
    viewer.find_element("id", plane).send_keys("d", Keys.ENTER)
    shift(viewer, **steps)
    wait_until(lambda: first_measure(viewer) == expected)
    assert text(viewer, "#measures li .at").startswith(plane)
    press(viewer, Keys.DELETE)
    assert viewer.find_elements("css selector", "#measures li") == []


def slide_to_middle(browser: Any) -> None:
    """Leave room above and below for a step or two."""
    press(browser, Keys.HOME, Keys.ARROW_UP, Keys.ARROW_UP)
    wait_until(lambda: shown_slice(browser) == 2)


@pytest.mark.parametrize(
    ("plane", "columns_mm", "rows_mm", "size"),
    [("axial", 1.5, 2.0, (8, 6)), ("coronal", 1.5, 4.0, (10, 2)), ("sagittal", 2.0, 4.0, (12, 2))],
)
def test_an_area_tells_size_mean_and_deviation(
    viewer: Any, plane: str, columns_mm: float, rows_mm: float, size: tuple[int, int]
) -> None:
    drag(viewer, point(viewer, "axial", 10.5, 10.5))
    slide_to_middle(viewer)
    wait_until(lambda: shown_voxel(viewer) == (2, 10, 10))
    viewer.find_element("id", plane).send_keys("a", Keys.ENTER)
    columns, rows = size
    shift(viewer, right=columns, down=rows)
    # By hand: the box runs from the middle of one pixel to that of another, so middles are whole steps away.
    half_x, half_y = columns // 2, rows // 2
    inside = [
        (half_x + x, half_y + y)
        for x, y in itertools.product(range(-half_x, half_x + 1), range(-half_y, half_y + 1))
        if (x * half_y) ** 2 + (y * half_x) ** 2 <= (half_x * half_y) ** 2
    ]
    hu = make_hu()[0][::-1, ::-1].transpose(2, 1, 0)
    values = [
        {
            "axial": lambda x, y: hu[2, 10 + y, 10 + x],
            "coronal": lambda x, y: hu[2 - y, 10, 10 + x],
            "sagittal": lambda x, y: hu[2 - y, 10 + x, 10],
        }[plane](x, y)
        for x, y in inside
    ]
    area_mm2 = math.pi * (half_x * columns_mm) * (half_y * rows_mm)
    assert np.std(values) > 1  # it could tell
    expected = f"{area_mm2:.1f} mm\u00b2, {np.mean(values):.1f} \u00b1 {np.std(values):.1f} HU"
    wait_until(lambda: first_measure(viewer) == expected)


def test_a_measure_is_dragged_corrected_and_found_again(viewer: Any) -> None:
    viewer.find_element("css selector", "#tools [value=distance]").click()
    z = shown_slice(viewer)
    a, b, c = (point(viewer, "axial", *at) for at in ((6, 6), (14, 6), (6, 16)))
    drag(viewer, a, b)
    assert millimetres(viewer) == pytest.approx(12, abs=0.3)
    drag(viewer, b, c)  # takes the end along
    assert millimetres(viewer) == pytest.approx(20, abs=0.3)
    assert len(viewer.find_elements("css selector", "#measures li")) == 1
    drag(viewer, point(viewer, "axial", 25, 25))  # a click measures nothing
    assert len(viewer.find_elements("css selector", "#measures li")) == 1
    green = (0x7C, 0xF5, 0xB0)
    wait_until(lambda: near(pixels(viewer), green).sum() > 100)
    viewer.find_element("id", "axial").send_keys(Keys.HOME)
    wait_until(lambda: shown_slice(viewer) == 0 and near(pixels(viewer), green).sum() == 0)
    viewer.find_element("css selector", "#measures li button").click()
    wait_until(lambda: shown_slice(viewer) == z and near(pixels(viewer), green).sum() > 100)
    viewer.find_element("css selector", "#measures .remove").click()
    wait_until(lambda: near(pixels(viewer), green).sum() == 0)
    assert not viewer.find_element("id", "measures-box").is_displayed()


def test_a_measure_that_is_short_from_afar_stays_when_it_is_clicked(viewer: Any) -> None:
    viewer.find_element("css selector", "#tools [value=distance]").click()
    z, row, column = shown_voxel(viewer)
    at = point(viewer, "axial", column + 0.5, row + 0.5)  # it stays there, as keys zoom about it
    whole = region_box(viewer)
    press(viewer, *"+" * 12)
    wait_until(lambda: not near(pixels(viewer), YELLOW).any())
    drag(viewer, at, (at[0] + 20, at[1]))
    long = first_measure(viewer)
    press(viewer, "r")
    wait_until(lambda: np.array_equal(region_box(viewer), whole))
    drag(viewer, at)
    assert [first_measure(viewer), len(viewer.find_elements("css selector", "#measures li"))] == [long, 1]
    assert shown_slice(viewer) == z


def test_a_measure_begins_within_the_picture(viewer: Any) -> None:
    viewer.find_element("css selector", "#tools [value=distance]").click()
    left, top, per_column, per_row = on_canvas(pixels(viewer).shape)
    across = left > top
    outside, inside = (-left / per_column / 2, 8.0) if across else (8.0, -top / per_row / 2), (8.0, 8.0)
    assert max(left, top) > 4
    drag(viewer, point(viewer, "axial", *outside), point(viewer, "axial", *inside))
    assert millimetres(viewer) == pytest.approx(8 * SPACING_MM[0 if across else 1], abs=0.3)


def millimetres(browser: Any) -> float:
    found = re.fullmatch(r"([\d.]+) mm", first_measure(browser))
    assert found is not None
    return float(found[1])


def test_measures_follow_the_world_where_a_grid_is_sheared(browser: Any, running: Any) -> None:
    """As of a gantry that is tilted by 30 degrees: rows of a sagittal plane do not stand upright."""
    browser.get(running.url)
    tilt = math.radians(30)
    affine = [[0, 0, -1, 0], [4 * math.sin(tilt), -2, 0, 0], [4 * math.cos(tilt), 0, 0, 0], [0, 0, 0, 1]]
    scan = {"shape": [9, 9, 9], "spacing_mm": [4, 2, 1], "links": {}, "affine_ras_mm": affine}
    found = browser.execute_async_script(
        """
        const [scan, done] = arguments;
        Promise.all([import("/page/planes.js"), import("/page/measures.js")]).then(([planes, measures]) => {
          const plane = new planes.Plane(scan, "sagittal");
          const image = { values: Int16Array.from({ length: 81 }, (_, index) => index) };
          const scale = { slope: 0.5, intercept: 100 };
          const ellipse = measures.measureEllipse(plane, image, scale, [1, 1], [5, 5]);
          const distance = measures.distanceMm(plane, [0, 0], [3, 2]);
          done([distance, ellipse.areaMm2, ellipse.mean, ellipse.deviation]);
        });
        """,
        scan,
    )
    # Three columns back and two rows down, which is toward the feet and, by the tilt, toward the back.
    back, down = 3 * 2 + 2 * 4 * math.sin(tilt), 2 * 4 * math.cos(tilt)
    # Of the pixels 1 to 4 across and down, those at the corners are outside.
    numbers = [9 * y + x for y in range(1, 5) for x in range(1, 5) if x in (2, 3) or y in (2, 3)]
    expected = [
        math.hypot(back, down),
        math.pi * 2 * 2 * (2 * 4 * math.cos(tilt)),
        100 + 0.5 * np.mean(numbers),
        0.5 * np.std(numbers),
    ]
    assert found == pytest.approx(expected)
