"""Pictures of masks alone: which slice is drawn, and how many pictures become one sheet."""

from pathlib import Path

import numpy as np
import pytest

from lts.app.commands import mask_pictures
from lts.figures import contact_sheet, mask_picture, save_png
from lts.figures.canvas import read_png
from lts.figures.contact_sheet import most_telling_slice

ORANGE, YELLOW = (0xFF, 0x6A, 0x13), (0xF0, 0xE4, 0x42)


def places(picture: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Where a picture has a color, `(n, 2)` rows and columns as shares of its size, without the legend."""
    found = np.argwhere((np.abs(picture.astype(int) - color) < 40).all(-1)[: -len(picture) // 10])
    return found / picture.shape[:2]


@pytest.mark.parametrize(
    ("regions", "filled", "slice_"),
    [
        (("liver", "tumor"), {1: (1, 20), 3: (1, 9), 4: (2, 4)}, 4),
        (("liver", "tumor"), {1: (1, 9), 3: (1, 20)}, 3),
        (("tumor",), {1: (2, 5), 2: (2, 6)}, 2),
        (("liver", "tumor"), {}, 3),
    ],
    ids=["most tumor", "most liver where there is no tumor", "a model of tumors alone", "the middle"],
)
def test_the_slice_is_that_with_most_of_what_is_looked_for(
    regions: tuple[str, ...], filled: dict[int, tuple[int, int]], slice_: int
) -> None:
    labels = np.zeros((6, 32, 32), np.uint8)
    for z, (label, side) in filled.items():
        labels[z, :side, :side] = label
    assert most_telling_slice(labels, regions) == slice_


def test_contours_lie_where_the_mask_lies() -> None:
    labels = np.zeros((2, 100, 100), np.uint8)
    labels[1, 20:60, 10:40] = 1
    labels[1, 25:35, 15:25] = 2
    picture = mask_picture(
        np.full(labels.shape, 100, np.int16),
        labels,
        regions=("liver", "tumor"),
        spacing_mm=(2.0, 2.0),
        window_hu=(70, 400),
        title="a",
    )
    tumor, liver = places(picture, ORANGE), places(picture, YELLOW)
    top = 30 / 420  # of the title
    rows, columns = tumor.T
    assert columns.mean() == pytest.approx(0.20, abs=0.02)
    assert rows.mean() == pytest.approx(top + 0.30 * 360 / 420, abs=0.02)
    assert liver.min(0)[1] == pytest.approx(0.10, abs=0.02)
    assert liver.max(0)[1] == pytest.approx(0.40, abs=0.02)


def test_pictures_of_any_size_get_a_cell_each() -> None:
    sizes = ((10, 20), (30, 20), (10, 10))
    first, second, third = (
        np.full((*size, 3), gray, np.uint8) for size, gray in zip(sizes, (50, 100, 200), strict=True)
    )
    sheet = contact_sheet([first, second, third])
    assert sheet.shape == (66, 46, 3)
    assert (sheet[:10, :20] == 50).all()
    assert (sheet[:30, 26:46] == 100).all()
    assert (sheet[36:46, 5:15] == 200).all()  # in the middle of its cell
    assert [int((sheet[..., 0] == gray).sum()) for gray in (50, 100, 200)] == [200, 600, 100]
    assert np.array_equal(contact_sheet([first]), first)


def test_a_sheet_is_bounded_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_pictures, "_MOST_ON_A_SHEET", 2)
    paths = [tmp_path / mask_pictures.picture_file(case) for case in ("a", "b", "c", "d")]
    for gray, path in enumerate(paths[:3], start=1):
        save_png(path, np.full((8, 8, 3), 50 * gray, np.uint8))
    # Of the fourth there is no picture, as of a case that was made before pictures were asked for.
    assert mask_pictures.write_contact_sheet(tmp_path, paths) == f"{tmp_path}/overlays.png shows 2 of 3 masks"
    sheet = read_png(tmp_path / "overlays.png")
    assert np.unique(sheet).tolist() == [0, 50, 100]
    told = mask_pictures.write_contact_sheet(tmp_path, paths[:1], what="case")
    assert told == f"{tmp_path}/overlays.png shows 1 case"
    (tmp_path / "overlays.png").unlink()
    assert mask_pictures.write_contact_sheet(tmp_path, paths[3:]) is None
    assert not (tmp_path / "overlays.png").exists()
