"""The square that fits training cases, worked by hand."""

import numpy as np
import pytest

from lts.base import ConfigError
from lts.slices import CaseFingerprint, SourceFile, fit_plane, fit_square

NOWHERE = SourceFile("nowhere", 0, 0, "")


def case(*, pixels: int = 512, spacing_mm: float = 0.75, reach_mm: float | None = 0.001) -> CaseFingerprint:
    """A square scan, whose liver reaches so far from the middle."""
    liver_hw_mm = None if reach_mm is None else (reach_mm, reach_mm)
    spacing_hw_mm = (spacing_mm, spacing_mm)
    return CaseFingerprint(
        "a", NOWHERE, NOWHERE, (pixels, pixels), spacing_hw_mm, liver_hw_mm, reach_mm, [], {}
    )


def square(cases, **given) -> tuple[int, float | None]:
    found = fit_square(cases, **given)
    return found.image_size, found.pixel_mm


def test_pixels_are_the_median_spacing_and_the_side_holds_the_widest_of_few() -> None:
    cases = [case(spacing_mm=mm) for mm in (0.6, 0.7, 0.9)]
    found = fit_square(cases)
    assert found.needed_mm == pytest.approx(0.9 * 512)
    # 460.8 mm are 658.3 pixels of 0.7 mm; of pixels 5 % wider, 627 need 640, which show it at 0.72 mm.
    assert (found.image_size, found.pixel_mm) == (640, 0.72)
    assert found.median_spacing_mm == 0.7
    assert found.side_mm == pytest.approx(460.8)


def test_pixels_no_wider_than_needed_are_kept_where_no_step_is_saved() -> None:
    # 448 mm: 597.3 pixels of 0.75 mm need 608, 568.9 of 5 % more need 576, which show it at 0.7778 mm.
    assert square([case(spacing_mm=mm) for mm in (0.75, 0.75, 0.875)]) == (576, 0.7778)
    # 384 mm: 512 pixels of 0.75 mm; 487.6 of 5 % more need 512 as well.
    assert square([case(spacing_mm=0.75)] * 3) == (512, 0.75)


def test_one_wide_scan_of_twenty_costs_the_others_nothing_and_one_of_nineteen_is_held() -> None:
    usual, wide = case(spacing_mm=0.75), case(spacing_mm=1.5)
    assert square([wide, *[usual] * 19]) == (512, 0.75)
    found = fit_square([wide, *[usual] * 18])
    assert found.needed_mm == 768
    assert found.image_size * found.pixel_mm >= 768


def test_no_liver_is_cut_even_that_of_a_wide_scan() -> None:
    off_center = case(spacing_mm=1.5, reach_mm=300)
    found = fit_square([off_center, *[case(spacing_mm=0.75)] * 19])
    assert found.needed_mm == 600
    assert found.image_size * found.pixel_mm >= 600


def test_around_the_liver_every_liver_is_shown_with_its_margins() -> None:
    cases = [case(spacing_mm=0.75, reach_mm=mm) for mm in (150, 200, 250)]  # as wide and high as they reach
    found = fit_square(cases, margin_mm=20)
    assert found.needed_mm == 290
    # 386.7 pixels of 0.75 mm; of pixels 5 % wider, 368.3 need 384, which show it at 0.7553 mm.
    assert (found.image_size, found.pixel_mm) == (384, 0.7553)
    assert square(cases, margin_mm=20, image_size=128) == (128, 2.266)
    # The median: 240 mm are 320 pixels of 0.75 mm.
    assert square(cases, margin_mm=20, pixel_mm=None) == (320, None)
    assert square([*cases, case(reach_mm=None)], margin_mm=20, pixel_mm=1.0) == (384, 1.0)  # seen whole


def test_a_given_side_shows_what_is_needed_with_pixels_never_finer_than_the_median() -> None:
    cases = [case(spacing_mm=0.75)] * 3
    assert square(cases, image_size=256) == (256, 1.5)
    assert square(cases, image_size=500) == (500, 0.768)
    assert square(cases, image_size=1024) == (1024, 0.75)


def test_given_pixels_have_the_side_that_shows_what_is_needed() -> None:
    cases = [case(spacing_mm=0.75)] * 3  # 384 mm
    assert square(cases, pixel_mm=1.5) == (256, 1.5)
    assert square(cases, pixel_mm=1.49) == (288, 1.49)
    assert square(cases, pixel_mm=100) == (32, 100)


def test_pixels_that_follow_from_each_slice_keep_as_many_as_slices_have() -> None:
    cases = [case(pixels=256), case(pixels=500), case(pixels=512, spacing_mm=0.9)]
    assert square(cases, pixel_mm=None) == (512, None)
    assert fit_square(cases, pixel_mm=None).side_mm is None


def test_what_is_given_stays() -> None:
    assert square([case()], image_size=100, pixel_mm=2.0) == (100, 2.0)
    assert square([case()], image_size=100, pixel_mm=None) == (100, None)


def test_cases_without_liver_are_shown_by_their_field_of_view() -> None:
    assert square([case(reach_mm=None)] * 2) == (512, 0.75)


@pytest.mark.parametrize("spacing_mm", [0.767578125, 0.7031250001, 1 / 3, 5.3, 12.34567, 0.0123456])
@pytest.mark.parametrize("pixels", [64, 128, 511, 512, 600])
def test_a_slice_of_the_median_spacing_is_not_resampled_and_is_whole(spacing_mm: float, pixels: int) -> None:
    found = fit_square([case(pixels=pixels, spacing_mm=spacing_mm)] * 3)
    plane = fit_plane(
        (pixels, pixels), (spacing_mm, spacing_mm), image_size=found.image_size, pixel_mm=found.pixel_mm
    )
    assert max(plane.fitted_hw) <= found.image_size
    if pixels % 32 == 0:
        assert found.image_size == pixels
        assert plane.fitted_hw == (pixels, pixels)
    assert found.image_size % 32 == 0


def test_the_median_is_that_of_numpy() -> None:
    spacings = np.random.default_rng(0).uniform(0.5, 1.0, 8)
    found = fit_square([case(spacing_mm=mm) for mm in spacings], image_size=4096)
    assert found.pixel_mm == pytest.approx(np.median(spacings), abs=1e-4)


@pytest.mark.parametrize(
    ("of_case", "given", "message"),
    [
        ({}, {"image_size": 8}, "image_size: must be from 16 to 4096 pixels, got 8"),
        ({}, {"pixel_mm": 0}, "pixel_mm: must be from 0.01 to 100.0 mm or null, got 0"),
        (
            {"spacing_mm": 0.75},
            {"pixel_mm": 0.05},
            r"image_size: must be from 16 to 4096 pixels, auto makes it 7680 for 7680 pixels of 0.05 mm that "
            "show 384 mm",
        ),
        (
            {"pixels": 5000},
            {"pixel_mm": None},
            "image_size: must be from 16 to 4096 pixels, auto makes it 5024 for 5000 pixels of a slice",
        ),
        (
            {"spacing_mm": 0.001},
            {},
            r"pixel_mm: must be from 0.01 to 100.0 mm, auto makes it 0.001 for a median spacing of 0.001 mm",
        ),
        ({"spacing_mm": 500.0}, {}, "pixel_mm: must be from 0.01 to 100.0 mm, auto makes it 500 for"),
        ({"spacing_mm": 50.0}, {"image_size": 16}, "pixel_mm: must be .*, auto makes it 1600 for"),
    ],
)
def test_what_is_beyond_the_limits_is_refused(of_case: dict, given: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        fit_square([case(**of_case)], **given)


def test_slices_of_more_pixels_than_a_square_may_have_get_wider_ones() -> None:
    assert square([case(pixels=8192, spacing_mm=0.05)]) == (4096, 0.1)
