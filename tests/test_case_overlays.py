"""Which slices of a case are drawn, and that they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lts.figures import CaseOverlays, SliceView, lesion_picture
from lts.figures.cases import informative_slices
from lts.scores import CaseCounts, CaseMasks, count_overlap, score_case
from lts.volume import Voxel, read_ct

REGIONS = ("liver", "tumor")


def counted(prediction: np.ndarray, reference: np.ndarray) -> CaseCounts:
    return CaseCounts.join("a", 0.5, [count_overlap(prediction, reference)])


def test_the_slices_are_those_that_tell_most() -> None:
    reference = np.zeros((4, 2, 8, 8), bool)
    prediction = reference.copy()
    reference[1, 0, :6] = True
    reference[2, 1, :2] = True
    prediction[3, :, :] = True
    assert informative_slices(counted(prediction, reference), REGIONS) == {
        1: "most liver",
        2: "most tumor",
        3: "most errors",
    }


def test_a_slice_that_tells_most_of_several_is_drawn_once_and_of_equal_ones_the_lowest() -> None:
    reference = np.zeros((4, 2, 8, 8), bool)
    reference[1:3] = True
    assert informative_slices(counted(~reference, reference), REGIONS) == {
        1: "most liver and tumor",
        0: "most errors",
    }
    assert informative_slices(counted(reference, reference), REGIONS) == {1: "most liver and tumor"}
    missed = informative_slices(counted(np.zeros_like(reference), reference), REGIONS)
    assert missed == {1: "most liver and tumor and errors"}


def test_a_case_without_any_region_shows_its_middle(make_case, tmp_path: Path) -> None:
    scan = read_ct(make_case().image)
    nothing = np.zeros(scan.voxels.shape, np.uint8)
    masks = CaseMasks(
        case="a", prediction=nothing, reference=nothing, image=scan.voxels, voxel=scan.geometry.voxel
    )
    empty = np.zeros((len(nothing), 2), np.int64)
    CaseOverlays(folder=tmp_path / "o").draw(masks, CaseCounts("a", 0.009, empty, empty, empty))
    with Image.open(tmp_path / "o" / "a.png") as picture:
        assert np.asarray(picture).std() > 0


def test_a_case_without_a_scan_is_drawn_on_gray(tmp_path: Path) -> None:
    labels = np.zeros((2, 40, 40), np.uint8)
    labels[:, 10:30, 10:30] = 1
    masks = CaseMasks(
        case="a", prediction=labels, reference=labels, voxel=Voxel.of_spacing((5.0, 1.0, 1.0)), is_ct=False
    )
    counts = np.full((2, 1), 400, np.int64)
    overlays = CaseOverlays(folder=tmp_path, regions=("liver",), window_hu=(40, 400))
    overlays.draw(masks, CaseCounts("a", 0.005, counts, 0 * counts, 0 * counts))
    with Image.open(tmp_path / "a.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    grays, counts = np.unique(pixels[(pixels.max(axis=-1) == pixels.min(axis=-1))][:, 0], return_counts=True)
    assert grays[counts.argmax()] == 128  # the window of the CT is not that of this scan
    assert (pixels.max(axis=-1) != pixels.min(axis=-1)).any()  # contours have colors


@pytest.fixture
def two_tumors() -> CaseMasks:
    """The same liver on both sides; a tumor of the reference in a slice, a larger one of the mask above."""
    reference = np.zeros((4, 40, 60), np.uint8)
    reference[1:3, 5:35, 10:50] = 1
    prediction = reference.copy()
    reference[1, 10:14, 20:24] = 2
    prediction[2, 8:20, 30:46] = 2
    voxel = Voxel.of_spacing((5.0, 2.0, 1.0))
    return CaseMasks(case="a", prediction=prediction, reference=reference, voxel=voxel)


def test_for_a_sheet_the_slice_is_drawn_in_which_either_mask_has_most_tumor(
    two_tumors: CaseMasks, tmp_path: Path
) -> None:
    overlays = CaseOverlays(folder=tmp_path / "o", sheet_folder=tmp_path / "sheet", window_hu=(40, 400))
    score_case(two_tumors, draw=overlays.draw)
    (path,) = (tmp_path / "sheet").iterdir()
    assert path.name == "a.png"
    with Image.open(path) as picture:
        # below the title and above the legend; 80 x 60 mm are 360 x 270 pixels in the middle of 330
        pixels = np.asarray(picture.convert("RGB")).astype(int)[30:390]
    assert pixels.shape[1] == 330
    blue, green, orange = (
        np.abs(pixels - color).max(axis=-1) < 40 for color in ((86, 180, 233), (0, 200, 150), (255, 106, 19))
    )
    assert blue.sum() > 100
    assert not green.any()  # the tumor of the reference lies elsewhere
    rows, columns = orange.nonzero()
    found = [rows.min(), rows.max(), columns.min(), columns.max()]
    assert found == pytest.approx([4.5 * 16, 4.5 * 40, 30 + 4.5 * 30, 30 + 4.5 * 46], abs=8)


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        (None, "a, Dice: liver 1.000, tumor 0.000"),
        (np.ones((4, 40, 60), np.uint8), "a, Dice: liver 0.400, tumor 0.000"),
        (np.zeros((4, 40, 60), np.uint8), "a, Dice: liver 0.000, tumor 0.000"),
    ],
)
def test_on_a_sheet_a_case_has_its_dice(
    two_tumors: CaseMasks,
    reference: np.ndarray | None,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    titles: list[str] = []

    def write_down(views: list[SliceView], **_: object) -> np.ndarray:
        titles.append(views[0].title)
        return np.zeros((8, 8, 3), np.uint8)

    monkeypatch.setattr("lts.figures.cases.overlay_sheet", write_down)
    masks = two_tumors if reference is None else replace(two_tumors, reference=reference)
    overlays = CaseOverlays(folder=tmp_path, sheet_folder=tmp_path / "sheet", window_hu=(40, 400))
    score_case(masks, draw=overlays.draw)
    assert titles[-1] == told
    score_case(
        replace(masks, prediction=0 * masks.prediction, reference=0 * masks.reference), draw=overlays.draw
    )
    assert titles[-1] == "a, Dice: liver none, tumor none"


def test_the_largest_failures_are_drawn_where_they_lie(tmp_path: Path) -> None:
    """Twelve missed lesions, the later ones larger, one that was found and a false alarm."""
    reference = np.ones((14, 64, 64), np.uint8)
    prediction = reference.copy()
    for n in range(12):
        reference[n, 10 : 13 + n, 30 : 33 + n] = 2 if n % 2 == 0 else 1
        reference[n, 50 - n // 2 : 53, 5 : 9 + n // 2] = 2 if n % 2 else 1
    reference[13, :8, :8] = prediction[13, :8, :8] = 2
    prediction[13, 40:60, 40:60] = 2
    masks = CaseMasks(
        case="a", prediction=prediction, reference=reference, voxel=Voxel.of_spacing((5.0, 1.0, 1.0))
    )
    overlays = CaseOverlays(folder=tmp_path / "o", lesion_folder=tmp_path / "lesions", window_hu=(40, 400))
    findings = score_case(masks, draw=overlays.draw).findings
    failures = [number for number, one in enumerate(findings) if one.outcome != "found"]
    missed = sorted(
        (n for n in failures if findings[n].outcome == "missed"), key=lambda n: findings[n].volume_ml
    )
    alarms = [n for n in failures if findings[n].outcome == "false alarm"]
    assert len(missed) == 12
    assert (len(alarms), findings[alarms[0]].row, findings[alarms[0]].column) == (1, 51, 51)
    expected = {lesion_picture(tmp_path / "lesions", "a", n) for n in (*missed[4:], *alarms)}
    assert set((tmp_path / "lesions").iterdir()) == expected
    few = replace(overlays, lesion_folder=tmp_path / "few", lesions_of_a_kind=1)
    score_case(masks, draw=few.draw)
    assert set((tmp_path / "few").iterdir()) == {
        lesion_picture(tmp_path / "few", "a", n) for n in (missed[-1], *alarms)
    }
    with Image.open(lesion_picture(tmp_path / "lesions", "a", alarms[0])) as picture:
        pixels = np.asarray(picture).astype(int)[:260]
    orange = np.abs(pixels - (255, 106, 19)).max(axis=-1) < 70
    # the slice at the upper left, 64 mm high, below the lesion that was found
    px_per_mm = pixels.shape[0] / 64
    top = round(20 * px_per_mm)
    rows, columns = orange[top:, : pixels.shape[1] // 2].nonzero()
    assert ((top + rows.mean()) / px_per_mm, columns.mean() / px_per_mm) == pytest.approx((50, 50), abs=1.5)


def test_a_lesion_is_shown_in_three_planes_at_one_scale(tmp_path: Path) -> None:
    """Voxels are four times as high as wide, and the scan is lower than the cut."""
    reference = np.ones((10, 60, 80), np.uint8)
    prediction = reference.copy()
    reference[6:8, 12:20, 50:66] = 2
    masks = CaseMasks(
        case="a", prediction=prediction, reference=reference, voxel=Voxel.of_spacing((4.0, 1.0, 1.0))
    )
    overlays = CaseOverlays(folder=tmp_path / "o", lesion_folder=tmp_path / "lesions", window_hu=(40, 400))
    score_case(masks, draw=overlays.draw)
    with Image.open(lesion_picture(tmp_path / "lesions", "a", 0)) as picture:
        pixels = np.asarray(picture).astype(int)
    green = np.abs(pixels - (0, 200, 150)).max(axis=-1) < 70
    # Each cell is 260 x 347 pixels: of 60 x 80 mm whole, else of 60 x 60 mm in its middle, 20 to 80 mm from
    # the patient's right. Of upright planes that is 16 mm of air, 40 mm of scan, of which the lesion has 8 to
    # 16 mm from the top, and air again.
    px_per_mm, width = 260 / 60, 347
    assert pixels.shape == (2 * 260 + 6, 2 * width + 6, 3)
    middle = (width - 260) / 2
    across, along, upright = (30, 46), (12, 20), (24, 32)
    for (row, column), left, x_mm, y_mm in (
        ((0, 0), 0, (50, 66), along),
        ((0, 1), middle, across, along),
        ((1, 0), middle, across, upright),
        ((1, 1), middle, along, upright),
    ):
        cell = green[row * 266 :, column * (width + 6) :][:260, :width]
        y, x = cell.nonzero()
        found = [y.min(), y.max(), x.min() - left, x.max() - left]
        assert np.array(found) / px_per_mm == pytest.approx([*y_mm, *x_mm], abs=1.2)
