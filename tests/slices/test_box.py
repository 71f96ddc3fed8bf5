"""The box of a liver, what is seen of a scan around it, and the way back; compared with numpy and scipy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from lts.base import AIR_HU, CheckpointError, ConfigError
from lts.slices import Box, Recipe, check_margin, fit_plane, view_of

SHAPE, SPACING_MM = (9, 40, 70), (4.0, 2.0, 1.25)  # no two edges alike, 80 x 87.5 mm
CLOSE = Recipe(image_size=32, focus="liver", margin_mm=5)


def ramps_mm(shape_hw: tuple[int, int], spacing_mm: tuple[float, float]) -> torch.Tensor:
    """`(2, H, W)`: how far each pixel's center is from the front, and from the right."""
    axes = [(np.arange(n) + 0.5) * step for n, step in zip(shape_hw, spacing_mm, strict=True)]
    return torch.from_numpy(np.stack(np.meshgrid(*axes, indexing="ij"))).float()


def on_square_mm(box: Box, recipe: Recipe, spacing_mm: tuple[float, float]) -> np.ndarray:
    """The same of the pixels of the square, by the rule in words: the box in the middle of the square."""
    edges_mm = [np.array(side) * step for side, step in zip((box.rows, box.columns), spacing_mm, strict=True)]
    side_mm = recipe.pixel_mm or max(np.ptp(edge) + 2 * recipe.margin_mm for edge in edges_mm) / 32
    axes = [edge.mean() + (np.arange(32) - 15.5) * side_mm for edge in edges_mm]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


BOXES = [
    Box(slices=(3, 6), rows=(8, 20), columns=(30, 62)),  # in the middle
    Box(slices=(0, 2), rows=(0, 7), columns=(50, 70)),  # at the feet, the front and the left
    Box(slices=(7, 9), rows=(36, 40), columns=(0, 5)),  # at the head, the back and the right
    Box(slices=(0, 9), rows=(0, 40), columns=(0, 70)),  # all of it
    Box(slices=(4, 5), rows=(11, 12), columns=(61, 62)),  # one voxel
]


@pytest.mark.parametrize("box", BOXES, ids=str)
@pytest.mark.parametrize("pixel_mm", [None, 1.0, 2.5])
def test_the_square_shows_the_box_in_its_middle_at_its_size_in_mm(box: Box, pixel_mm: float | None) -> None:
    recipe = replace(CLOSE, pixel_mm=pixel_mm)
    plane = view_of(SHAPE, SPACING_MM, recipe, box=box).plane
    laid = plane.apply(ramps_mm(SHAPE[1:], SPACING_MM[1:]), fill=AIR_HU).numpy()
    expected = on_square_mm(box, recipe, SPACING_MM[1:])
    # Half a pixel by the place on the square, half a pixel over its length by the size; more at the rim of
    # the slice, where nothing lies beyond to interpolate with.
    inside = (laid[0] != AIR_HU) & (laid[1] != AIR_HU)
    off = np.abs(laid - expected)[:, inside]
    assert off.max() <= 1.01 * plane.pixel_mm + max(SPACING_MM[1:]) / 2
    assert np.median(off) <= 0.51 * plane.pixel_mm
    beyond = [
        (axis < -plane.pixel_mm) | (axis > n * step + plane.pixel_mm)
        for axis, n, step in zip(expected, SHAPE[1:], SPACING_MM[1:], strict=True)
    ]
    assert (laid[0][beyond[0] | beyond[1]] == AIR_HU).all()
    within = [
        (axis > plane.pixel_mm) & (axis < n * step - plane.pixel_mm)
        for axis, n, step in zip(expected, SHAPE[1:], SPACING_MM[1:], strict=True)
    ]
    assert inside[within[0] & within[1]].all()


@pytest.mark.parametrize("box", BOXES, ids=str)
@pytest.mark.parametrize("pixel_mm", [None, 1.0, 2.5])
def test_values_come_back_to_where_they_were(box: Box, pixel_mm: float | None) -> None:
    plane = view_of(SHAPE, SPACING_MM, replace(CLOSE, pixel_mm=pixel_mm), box=box).plane
    ramps = ramps_mm(SHAPE[1:], SPACING_MM[1:])
    ones = torch.ones(1, *SHAPE[1:])
    back = plane.invert(torch.cat([plane.apply(ramps, fill=0), plane.apply(ones, fill=0)])[None])[0]
    assert back.shape == (3, *SHAPE[1:])
    seen = back[2] > 0.999
    assert not back[:, back[2] == 0].any()
    # Of what the square shows every pixel comes back, but for those that its rim cuts.
    expected = on_square_mm(box, replace(CLOSE, pixel_mm=pixel_mm), SPACING_MM[1:])
    shown = torch.ones(SHAPE[1:], dtype=torch.bool)
    for axis in range(2):
        reach = plane.pixel_mm / 2
        low, high = expected[axis].min() - reach, expected[axis].max() + reach
        shown &= (ramps[axis] > low) & (ramps[axis] < high)
    assert (seen == shown).float().mean() > 0.93
    eroded = torch.from_numpy(ndimage.binary_erosion(seen.numpy(), iterations=3))
    if eroded.any():
        assert (back[:2] - ramps)[:, eroded].abs().max() < plane.pixel_mm / 2 + 0.01


def test_pixels_of_the_scan_s_own_size_are_cut_out_and_put_back_untouched() -> None:
    image = torch.arange(2 * 60 * 50.0).reshape(2, 60, 50)
    box = Box(slices=(0, 1), rows=(20, 26), columns=(40, 50))
    plane = fit_plane((60, 50), (0.7, 0.7), image_size=16, pixel_mm=0.7, box=box)
    laid = plane.apply(image, fill=-1)
    assert torch.equal(laid[:, :, :13], image[:, 15:31, 37:])  # rows 15 to 30 around 23, columns 37 to 52
    assert (laid[:, :, 13:] == -1).all()
    back = plane.invert(laid[:, None])[:, 0]
    assert torch.equal(back[:, 15:31, 37:], image[:, 15:31, 37:])
    assert back.count_nonzero() == laid[:, :, :13].count_nonzero()
    labels = (image % 3).to(torch.uint8)
    assert torch.equal(plane.apply_labels(labels)[:, :, :13], labels[:, 15:31, 37:])


def test_slices_reach_over_the_margin_and_not_beyond_the_scan() -> None:
    box = Box(slices=(4, 6), rows=(1, 2), columns=(1, 2))
    for margin_mm, expected in ((0, (4, 6)), (4, (3, 7)), (4.1, (2, 8)), (12, (1, 9)), (99, (0, 9))):
        view = view_of(SHAPE, SPACING_MM, replace(CLOSE, margin_mm=margin_mm), box=box)
        assert (view.first, view.stop, view.depth) == (*expected, expected[1] - expected[0])
    whole = view_of(SHAPE, SPACING_MM, CLOSE)
    assert (whole.first, whole.stop) == (0, 9)
    assert whole.plane == fit_plane(SHAPE[1:], SPACING_MM[1:], image_size=32, pixel_mm=None)


def test_a_box_is_that_of_scipy_and_knows_the_sides_it_reaches() -> None:
    assert Box.around(np.zeros((3, 4, 5), bool)) is None
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = rng.random(SHAPE) > 0.999
        (found,) = ndimage.find_objects(mask.astype(int)) or [None]
        box = Box.around(mask)
        assert (box and (box.slices, box.rows, box.columns)) == (
            found and tuple((side.start, side.stop) for side in found)
        )
    assert BOXES[0].touches(SHAPE) == ()
    assert BOXES[1].touches(SHAPE) == ("feet", "front", "left")
    assert BOXES[2].touches(SHAPE) == ("head", "back", "right")
    assert BOXES[0].size_mm(SPACING_MM) == (12.0, 24.0, 40.0)


@pytest.mark.parametrize("pixel_mm", [None, 3.0, 0.9])
def test_pixels_of_a_square_are_found_in_the_slice(pixel_mm: float | None) -> None:
    plane = fit_plane((40, 70), (2.0, 1.25), image_size=32, pixel_mm=pixel_mm)
    rows, columns = plane.on_square
    assert plane.to_source((rows.start, rows.stop), (columns.start, columns.stop)) == (
        ((0, 40), (0, 70)) if pixel_mm != 0.9 else ((13, 28), (23, 47))
    )
    laid = plane.apply(ramps_mm((40, 70), (2.0, 1.25)), fill=0).numpy()
    found_rows, found_columns = plane.to_source((14, 15), (20, 23))
    for axis, (start, stop), step in ((0, found_rows, 2.0), (1, found_columns, 1.25)):
        low, high = laid[axis, 14, 20], laid[axis, 14, 22]
        assert (
            start * step <= low < high + 1e-9 <= stop * step if axis else start * step <= low <= stop * step
        )
        assert (stop - start) * step <= (1 if axis == 0 else 3) * plane.pixel_mm + 2 * step


@pytest.mark.parametrize("margin_mm", [-0.1, 501, float("nan"), float("inf")])
def test_an_impossible_margin_is_refused(margin_mm: float) -> None:
    with pytest.raises(ConfigError, match=f"^margin_mm: must be from 0 to 500 mm, got {margin_mm}$"):
        check_margin(margin_mm)


def test_recipes_without_focus_are_named_and_described_as_ever() -> None:
    recipe = Recipe(image_size=64, pixel_mm=1.5, modality="ct")
    assert recipe.describe() == {"image_size": 64, "pixel_mm": 1.5, "modality": "ct"}
    assert recipe.to_dict() == {"format": 1, "axes": "SPL", "labels": [0, 1, 2], **recipe.describe()}
    assert Recipe().folder_name == "ct-256-d1dfba354614"
    assert Recipe.from_description({"image_size": 64, "pixel_mm": 1.5, "modality": "ct"}) == recipe
    assert Recipe.from_description(CLOSE.describe()) == CLOSE
    names = {
        each.folder_name
        for each in (CLOSE, replace(CLOSE, margin_mm=6), replace(CLOSE, focus=None, margin_mm=0))
    }
    assert len(names) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"margin_mm": None}, "^recipe.margin_mm must be a number, got None"),
        ({"margin_mm": -1}, "^margin_mm: must be from 0 to 500 mm, got -1"),
        ({"focus": "spleen"}, "^recipe.focus must be liver or none, got 'spleen'"),
        ({"zoom": 1}, "^recipe must have image_size, modality, pixel_mm, focus, margin_mm, got .*zoom"),
    ],
)
def test_a_wrong_focus_of_a_description_is_refused(changes: dict, message: str) -> None:
    with pytest.raises((CheckpointError, ConfigError), match=message):
        Recipe.from_description({**CLOSE.describe(), **changes})
    with pytest.raises(CheckpointError, match="focus, margin_mm, got image_size, focus$"):
        Recipe.from_description({"image_size": 64, "focus": "liver"})
