"""Pictures judged by their pixels: sides, proportions, contours, files."""

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib import _pylab_helpers
from matplotlib.image import imread
from numpy.typing import NDArray

from lts.base import ConfigError, VolumeError
from lts.figures import (
    SliceView,
    closeups,
    gray_range,
    overlay,
    overlay_sheet,
    save_curves,
    save_leaderboard,
    save_png,
    save_roc,
    to_jpeg,
)

Rgb = NDArray[np.uint8]
BOTH = ["liver", "tumor"]
REFERENCE = {"liver": (86, 180, 233), "tumor": (0, 200, 150)}
PREDICTION = {"liver": (240, 228, 66), "tumor": (255, 106, 19)}
STRIP = 30
WINDOW = {"level_hu": 40, "width_hu": 400}


def phantom(height: int = 64, width: int = 64) -> NDArray[np.int16]:
    return np.full((height, width), 40, np.int16)


def disk(row: int, column: int, radius: int = 6, size: int = 64) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:size, :size]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def draw(
    image: NDArray[np.int16],
    reference: NDArray[np.bool_] | None = None,
    prediction: NDArray[np.bool_] | None = None,
    spacing_mm: tuple[float, float] = (1.0, 1.0),
    title: str = "",
) -> Rgb:
    return overlay(
        image,
        reference=reference,
        prediction=prediction,
        regions=BOTH,
        spacing_mm=spacing_mm,
        title=title,
        **WINDOW,
    )


def near(rgb: Rgb, color: tuple[int, int, int], tolerance: int = 40) -> NDArray[np.bool_]:
    """The slice's pixels of this color, the strip of the legend left out."""
    inside = rgb[:640]
    return np.abs(inside.astype(int) - color).max(axis=-1) <= tolerance


def test_the_array_is_drawn_as_it_lies_its_left_at_the_left_its_top_at_the_top() -> None:
    image = np.full((64, 64), -1000, np.int16)
    image[8:16, 4:20] = 1000
    white = (draw(image) > 250).all(axis=-1)
    assert white[100:140, 60:180].all()
    assert not white[500:540, 60:180].any()
    assert not white[100:140, 460:580].any()


def test_the_window_spans_black_to_white() -> None:
    image = np.repeat(np.array([-160, 40, 240], np.int16), 20)[None].repeat(60, axis=0)
    gray = draw(image)[200, [100, 320, 540]]
    assert gray[0].max() == 0
    assert gray[1] == pytest.approx(np.full(3, 128), abs=1)
    assert gray[2].min() == 255


@pytest.mark.parametrize(
    ("spacing_mm", "size"),
    [((1.0, 1.0), (640, 640)), ((2.0, 1.0), (640, 330)), ((1.0, 1.5), (640, 960)), ((1.0, 4.0), (320, 1280))],
)
def test_proportions_are_physical(spacing_mm: tuple[float, float], size: tuple[int, int]) -> None:
    rgb = draw(phantom(), spacing_mm=spacing_mm)
    assert rgb.shape == (*size, 3)
    assert rgb.dtype == np.uint8
    # A slice narrower than its writing keeps its proportion between black margins.
    gray = near(rgb, (128, 128, 128), 2).any(axis=0)
    assert gray.sum() == pytest.approx(size[0] * spacing_mm[1] / spacing_mm[0], abs=2)


@pytest.mark.parametrize("width", [402, 853, 1020])
def test_sizes_survive_the_way_through_inches(width: int) -> None:
    assert draw(phantom(), spacing_mm=(640.0, float(width))).shape == (640, width, 3)


def test_contours_lie_on_the_border_of_their_mask() -> None:
    reference = np.stack([disk(30, 20, 12), disk(30, 20)])
    prediction = np.stack([disk(30, 46, 12), disk(30, 46)])
    rgb = draw(phantom(), reference, prediction)
    for colors, column in ((REFERENCE, 20), (PREDICTION, 46)):
        for region, radius in (("liver", 12), ("tumor", 6)):
            rows, columns = np.nonzero(near(rgb, colors[region]))
            distance = np.hypot(rows / 10 - 30.5, columns / 10 - column - 0.5)
            assert len(distance) > 300
            assert distance == pytest.approx(np.full(len(distance), radius), abs=0.65)


def test_edges_of_a_square_mask_are_drawn_between_its_pixels_and_their_neighbors() -> None:
    mask = np.zeros((2, 64, 64), bool)
    mask[0, 20:40, 10:30] = True
    rows, columns = np.nonzero(near(draw(phantom(), mask), REFERENCE["liver"]))
    assert (rows.min(), rows.max()) == (pytest.approx(200, abs=2), pytest.approx(399, abs=2))
    assert (columns.min(), columns.max()) == (pytest.approx(100, abs=2), pytest.approx(299, abs=2))


def test_the_reference_is_solid_and_the_prediction_dashed() -> None:
    mask = np.zeros((2, 64, 64), bool)
    mask[0, 20:40, 10:50] = True
    row = slice(196, 205)
    solid = near(draw(phantom(), mask), REFERENCE["liver"])[row, 120:480].any(axis=0)
    dashed = near(draw(phantom(), None, mask), PREDICTION["liver"])[row, 120:480].any(axis=0)
    assert solid.all()
    assert 0.4 < dashed.mean() < 0.85


def test_a_single_pixel_still_shows() -> None:
    mask = np.zeros((2, 512, 512), bool)
    mask[1, 100, 400] = True
    image = np.full((512, 512), 40, np.int16)
    rows, columns = np.nonzero(near(draw(image, mask), REFERENCE["tumor"], 60))
    assert len(rows) >= 3
    assert rows.mean() / 1.25 == pytest.approx(100.5, abs=1)
    assert columns.mean() / 1.25 == pytest.approx(400.5, abs=1)


def test_a_mask_that_fills_the_slice_has_a_contour() -> None:
    rgb = draw(phantom(), np.ones((2, 64, 64), bool))
    assert near(rgb, REFERENCE["tumor"])[0, 100:200].all()


def test_empty_masks_have_no_contour_but_a_legend() -> None:
    rgb = draw(phantom(), np.zeros((2, 64, 64), bool), None)
    assert rgb.shape == (640 + STRIP, 640, 3)
    for region in BOTH:
        assert not near(rgb, REFERENCE[region]).any()
        in_legend = np.abs(rgb[640:].astype(int) - REFERENCE[region]).max(axis=-1) < 40
        assert in_legend.any()


def test_no_mask_no_legend_and_a_title_adds_a_strip() -> None:
    assert draw(phantom()).shape == (640, 640, 3)
    assert draw(phantom(), title="case 1").shape == (640 + STRIP, 640, 3)


@pytest.mark.parametrize("title", ["x" * 500, "not $^$ a formula", "line_one"])
def test_any_title_fits(title: str) -> None:
    strip = draw(phantom(), title=title)[:STRIP]
    assert strip.max() > 200
    assert strip[:, :4].max() == strip[:, -4:].max() == 0


def test_legend_is_whole_on_a_narrow_slice() -> None:
    mask = np.stack([disk(30, 30, 12), disk(30, 30)])
    rgb = draw(phantom(), mask, mask, spacing_mm=(4.0, 1.0))
    assert rgb.shape[0] == 640 + 2 * STRIP
    assert rgb[640:, :4].max() == rgb[640:, -4:].max() == 0


def test_letters_and_scale_stand_where_a_radiologist_looks() -> None:
    rgb = draw(np.full((64, 64), -1000, np.int16))
    bright = rgb.min(axis=-1) > 200
    for rows, columns in (
        (slice(305, 335), slice(0, 40)),
        (slice(305, 335), slice(600, 640)),
        (slice(0, 40), slice(305, 335)),
        (slice(600, 640), slice(305, 335)),
    ):
        assert bright[rows, columns].any()
    # R has a leg that L has not.
    assert bright[305:335, 0:40].sum() > 1.2 * bright[305:335, 600:640].sum()
    # 64 mm are 640 pixels: the longest scale in a quarter of them is 10 mm, 100 pixels.
    runs = ["".join("#" if white else " " for white in row).split() for row in bright[620:, 400:]]
    assert max(len(run) for row in runs for run in row) == pytest.approx(100, abs=4)


def test_a_sheet_shows_every_slice_in_reading_order() -> None:
    views = [
        SliceView(image=np.full((64, 64), hu, np.int16), reference=None, prediction=None, spacing_mm=(1, 1))
        for hu in (-160, -60, 40, 140)
    ]
    rgb = overlay_sheet(views, regions=BOTH, **WINDOW)
    assert rgb.shape == (2 * 360 + 6, 3 * 360 + 12, 3)
    centers = [int(rgb[90 + 366 * row, 90 + 366 * column, 0]) for row in range(2) for column in range(3)]
    assert centers == pytest.approx([0, 64, 128, 192, 0, 0], abs=1)


def test_a_closeup_shows_its_cut_alone_and_a_mask_that_goes_on_is_not_closed_at_its_edge() -> None:
    image = phantom()
    image[20:30, 40:50] = 1000
    masks = np.stack([disk(32, 32, 30), disk(32, 45, 4)])
    cut = slice(20, 40), slice(30, 60)
    view = SliceView(image=image, prediction=masks, spacing_mm=(2.0, 1.0), cut=cut)
    picture = closeups([view], regions=BOTH, height_px=200)
    assert picture.shape == (200, 150, 3)  # 40 by 30 mm
    white = (picture > 250).all(axis=-1)
    assert white[30:74, 56:95].all()  # rows 23 to 27, columns 41 to 49; an A stands above
    assert not white[110:165, 30:130].any()
    red = near(picture, PREDICTION["tumor"])
    assert red.any()
    rows = np.flatnonzero(red.any(axis=1))
    assert (rows.min(), rows.max()) == pytest.approx(((28 - 20) * 10, (37 - 20) * 10), abs=4)
    # the liver lies around all that is shown but its corners at the right
    yellow = near(picture, PREDICTION["liver"])
    assert not yellow[:150, :4].any()
    assert not yellow[:4, :130].any()


def test_a_frame_is_white_around_its_rows_and_columns() -> None:
    view = SliceView(image=phantom(), spacing_mm=(1.0, 1.0), frame=(slice(16, 32), slice(40, 48)))
    whole = closeups([view, view], height_px=256)
    assert whole.shape == (256, 518, 3)  # with a gap
    assert (whole[66:126, 160] > 200).all()  # 4 pixels a row, at the left edge
    assert (whole[64, 164:188] > 200).all()
    assert not (whole[100, 166:186] > 200).any()


def test_arrays_that_do_not_fit_are_refused() -> None:
    image, mask = phantom(), np.zeros((2, 64, 64), bool)
    with pytest.raises(ValueError, match=r"reference: must be \(2, 64, 64\) bool .* got \(1, 64, 64\) bool"):
        draw(image, mask[:1])
    with pytest.raises(ValueError, match=r"prediction: must be \(2, 64, 64\) bool .* uint8"):
        draw(image, None, mask.astype(np.uint8))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"image: must be \(H, W\), got \(1, 64, 64\)"):
        draw(image[None])
    with pytest.raises(VolumeError, match=r"spacing_mm: must be > 0, got \(1.0, 0.0\)"):
        draw(image, spacing_mm=(1.0, 0.0))
    with pytest.raises(ConfigError, match="width_hu: must be > 0, got 0"):
        overlay(
            image, reference=None, prediction=None, regions=BOTH, spacing_mm=(1, 1), level_hu=40, width_hu=0
        )
    view = SliceView(image=image, reference=None, prediction=None, spacing_mm=(1, 1))
    with pytest.raises(ConfigError, match="columns: must be at least 1, got 0"):
        overlay_sheet([view], regions=BOTH, columns=0, **WINDOW)
    with pytest.raises(ValueError, match="views: a sheet needs at least one slice, got none"):
        overlay_sheet([], regions=BOTH, **WINDOW)


def read(path: Path) -> Rgb:
    """The picture that another reader finds in a PNG file."""
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    return np.asarray(imread(path)[..., :3] * 255).round().astype(np.uint8)


def test_a_saved_picture_reads_back_and_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "overlays" / "case_1.png"
    save_png(path, draw(phantom(), title="old"))
    rgb = draw(phantom(), np.stack([disk(30, 20, 12), disk(30, 20)]))
    save_png(path, rgb)
    assert np.array_equal(read(path), rgb)
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "folder.png"
    path.mkdir()
    with pytest.raises(OSError, match=r"folder\.png"):
        save_png(path, draw(phantom()))
    assert list(tmp_path.iterdir()) == [path]


def test_a_jpeg_shows_the_picture(tmp_path: Path) -> None:
    picture = draw(phantom(), np.stack([disk(32, 32), disk(32, 45, 4)]))
    (tmp_path / "a.jpg").write_bytes(to_jpeg(picture))
    read = imread(tmp_path / "a.jpg")
    assert np.abs(read.astype(int) - picture).mean() < 2
    with pytest.raises(ValueError, match="must be"):
        to_jpeg(picture[..., 0])


def test_what_is_no_picture_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for wrong in (np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)):
        with pytest.raises(ValueError, match=r"a\.png: a picture must be \(height, width, 3\) uint8"):
            save_png(path, wrong)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def count(rgb: Rgb, color: tuple[int, int, int]) -> int:
    return int((np.abs(rgb.astype(int) - color).max(axis=-1) <= 12).sum())


BLUE, VERMILION, GREEN = (0, 114, 178), (213, 94, 0), (0, 158, 115)


def test_curves_have_a_panel_each_and_mark_the_best_epoch(tmp_path: Path) -> None:
    history = {
        epoch: {
            "train/loss": 1 / (1 + epoch),
            "val/loss": 1.2 / (1 + epoch),
            "val/liver/accuracy": 0.9 + epoch / 100,
            "val/liver/dice_per_case": epoch / 10,
            "val/tumor/dice_per_case": epoch / 20,
            "lr": 1e-3,
        }
        for epoch in range(10)
    }
    save_curves(tmp_path / "a.png", history, best_epoch=7)
    save_curves(tmp_path / "b.png", history)
    marked, plain = read(tmp_path / "a.png"), read(tmp_path / "b.png")
    assert marked.shape == plain.shape == (430, 3 * 440, 3)
    assert count(marked, GREEN) > 600
    assert count(plain, GREEN) == 0
    loss, rest = marked[:, :440], marked[:, 880:]
    assert count(loss, BLUE) == count(loss, VERMILION) == 0
    assert count(rest, BLUE) > 200
    assert count(rest, VERMILION) > 200


def test_a_curve_passes_over_a_missing_value_and_breaks_at_nan(tmp_path: Path) -> None:
    values = [0.2, 0.4, 0.6, 0.8, 1.0]
    whole = {epoch: {"val/liver/dice": value} for epoch, value in enumerate(values)}
    missing = {**whole, 2: {}}
    broken = {**whole, 2: {"val/liver/dice": math.nan}}
    inked = {}
    for name, history in (("whole", whole), ("missing", missing), ("broken", broken)):
        save_curves(tmp_path / f"{name}.png", history)
        inked[name] = count(read(tmp_path / f"{name}.png"), BLUE)
    assert inked["missing"] > 0.97 * inked["whole"]
    assert inked["broken"] < 0.7 * inked["whole"]


def test_one_epoch_and_nothing_but_nan_are_drawn(tmp_path: Path) -> None:
    save_curves(tmp_path / "one.png", {0: {"val/tumor/dice_per_case": 0.5}}, best_epoch=0)
    assert count(read(tmp_path / "one.png"), VERMILION) > 50
    assert count(read(tmp_path / "one.png"), GREEN) > 200
    save_curves(tmp_path / "nan.png", {0: {"loss": math.nan}, 1: {"loss": math.nan}})
    assert read(tmp_path / "nan.png").shape == (430, 440, 3)


@pytest.mark.parametrize("history", [{}, {0: {"lr": 1e-3}}])
def test_a_history_without_a_panel_is_refused(history: dict[int, dict[str, float]], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="history: must name one or more of"):
        save_curves(tmp_path / "a.png", history)


def test_roc_draws_what_is_defined(tmp_path: Path) -> None:
    fpr = np.linspace(0, 1, 50)
    curves = {"liver": (fpr, fpr**0.1, 0.91), "tumor": (fpr, fpr, math.nan)}
    save_roc(tmp_path / "roc.png", curves)
    rgb = read(tmp_path / "roc.png")
    assert rgb.shape == (560, 560, 3)
    assert count(rgb[:430], BLUE) > 400
    assert count(rgb[:430], VERMILION) == 0
    assert count(rgb[430:], VERMILION) > 0  # the legend


def bars(path: Path) -> list[tuple[int, bool]]:
    """Length of each bar from the top and whether it is the dark one, read along every row of the picture."""
    rgb = read(path).astype(int)
    dark, light = (np.abs(rgb - color).max(axis=-1) <= 6 for color in (BLUE, (143, 187, 217)))
    found = []
    for row in range(1, len(rgb)):
        length = int((dark | light)[row].sum())
        if length > 20 and (dark | light)[row - 1].sum() <= 20:
            found.append((length, bool(dark[row].any())))
    return found


def test_leaderboard_ranks_the_best_first_and_failed_runs_last(tmp_path: Path) -> None:
    rows = [("lr=1", 0.2), ("lr=3", 0.8), ("", 0.4), ("word " * 30, 0.6)]
    rows[1:1] = [("lr=2 name=$^$", math.nan), ("lr=9", math.inf)]
    save_leaderboard(tmp_path / "max.png", rows, score="val/tumor/dice_per_case")
    found = bars(tmp_path / "max.png")
    assert [dark for _, dark in found] == [True, False, False, False]
    lengths = np.array([length for length, _ in found])
    assert lengths / lengths[0] == pytest.approx([1, 0.75, 0.5, 0.25], abs=0.02)
    save_leaderboard(tmp_path / "min.png", rows, score="val/loss", maximize=False)
    lengths = np.array([length for length, _ in bars(tmp_path / "min.png")])
    assert lengths / lengths[-1] == pytest.approx([0.25, 0.5, 0.75, 1], abs=0.02)


@pytest.mark.parametrize(
    ("scores", "dark"),
    [
        ([0.5, 0.5, 0.4], [True, True, False]),
        ([0.5, 0.5], [False, False]),
        ([0.5], [True]),
        ([0.5, 0.5, math.nan], [True, True]),
    ],
)
def test_leaderboard_marks_all_that_are_the_best(
    tmp_path: Path, scores: list[float], dark: list[bool]
) -> None:
    rows = [(f"seed={seed}", score) for seed, score in enumerate(scores)]
    save_leaderboard(tmp_path / "a.png", rows, score="val/tumor/dice_per_case")
    assert [marked for _, marked in bars(tmp_path / "a.png")] == dark


def test_leaderboard_of_many_runs_shows_forty(tmp_path: Path) -> None:
    save_leaderboard(tmp_path / "a.png", [(f"seed={seed}", 1 + seed) for seed in range(50)], score="score")
    assert len(bars(tmp_path / "a.png")) == 40
    with pytest.raises(ValueError, match="rows: a leaderboard needs at least one run, got none"):
        save_leaderboard(tmp_path / "b.png", [], score="score")


def test_no_figure_stays_open_in_pyplot(tmp_path: Path) -> None:
    draw(phantom())
    save_roc(tmp_path / "roc.png", {})
    assert not _pylab_helpers.Gcf.figs


def test_a_gray_range_spans_the_percentiles_of_all_images():
    images = [np.arange(0, 101.0).reshape(1, -1), np.arange(100, 201.0).reshape(1, -1)]
    level, width = gray_range(images)
    low, high = np.percentile(np.concatenate(images), (1, 99))
    assert level - width / 2 == pytest.approx(low)
    assert level + width / 2 == pytest.approx(high)


def test_a_flat_image_has_a_gray_range_too():
    assert gray_range([np.full((3, 3), 7)]) == (7.0, 1.0)


@pytest.mark.parametrize(
    "name", ["\x1b[31ma\nb\x07", "caf\udce9", "肝臓", "$x$ \\frac{", "x" * 5000, "\u202ea"]
)
def test_a_picture_is_drawn_whatever_its_names(tmp_path: Path, name: str) -> None:
    save_leaderboard(tmp_path / "a.png", [(name, 0.5), ("b", 0.4)], score="score")
    settings = {"regions": (), "spacing_mm": (1.0, 1.0), "level_hu": 0.0, "width_hu": 1.0}
    drawn = overlay(np.zeros((32, 32)), reference=None, prediction=None, title=name, **settings)
    assert drawn.shape[1] == overlay(np.zeros((32, 32)), reference=None, prediction=None, **settings).shape[1]
    assert len(imread(tmp_path / "a.png")) < 500
