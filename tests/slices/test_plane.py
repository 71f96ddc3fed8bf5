import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from lts.base import AIR_HU, ConfigError
from lts.slices import fit_plane


def test_square_slices_of_the_same_size_are_left_alone() -> None:
    plane = fit_plane((32, 32), (0.7, 0.7), image_size=32, pixel_mm=None)
    image = torch.arange(32 * 32.0).reshape(1, 32, 32)
    assert torch.equal(plane.apply(image, fill=AIR_HU), image)
    assert torch.equal(plane.invert(image[:, None]), image[:, None])


def test_proportions_in_mm_are_kept() -> None:
    # 40 x 20 pixels of 1 x 3 mm are 40 x 60 mm: on 60 pixels the width fills the square, the height 40 of it.
    plane = fit_plane((40, 20), (1.0, 3.0), image_size=60, pixel_mm=None)
    assert plane.fitted_hw == (40, 60)
    assert plane.pixel_mm == 1.0
    laid = plane.apply(torch.zeros(1, 40, 20), fill=AIR_HU)[0]
    assert laid.shape == (60, 60)
    assert (laid[:10] == AIR_HU).all()
    assert (laid[10:50] == 0).all()
    assert (laid[50:] == AIR_HU).all()


def test_a_pixel_size_crops_what_does_not_fit_and_brings_it_back_as_zero() -> None:
    plane = fit_plane((64, 64), (1.0, 1.0), image_size=32, pixel_mm=1.0)
    assert plane.fitted_hw == (64, 64)
    image = torch.arange(64 * 64.0).reshape(1, 64, 64)
    assert torch.equal(plane.apply(image, fill=0), image[:, 16:48, 16:48])
    back = plane.invert(torch.ones(1, 2, 32, 32))
    assert back.shape == (1, 2, 64, 64)
    assert back.sum() == 2 * 32 * 32
    assert (back[:, :, 16:48, 16:48] == 1).all()


@pytest.mark.parametrize("size", [16, 24, 37, 48, 100])
def test_resizing_is_that_of_pillow(size: int) -> None:
    image = np.random.default_rng(0).normal(size=(48, 48)).astype(np.float32)
    plane = fit_plane((48, 48), (1.0, 1.0), image_size=size, pixel_mm=None)
    expected = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)
    laid = plane.apply(torch.from_numpy(image)[None], fill=0)[0]
    np.testing.assert_allclose(laid.numpy(), np.asarray(expected), atol=1e-4)


@pytest.mark.parametrize("shape", [(48, 48), (70, 100), (37, 64), (20, 90), (30, 25)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_way_back_is_the_resizing_of_torch(
    shape: tuple[int, int], layout: torch.memory_format, dtype: torch.dtype
) -> None:
    # Larger, smaller and either by the axis: another library enlarges, but values are the same.
    plane = fit_plane(shape, (1.0, 1.0), image_size=37, pixel_mm=None)
    square = torch.rand(2, 3, 37, 37, dtype=dtype, generator=torch.Generator().manual_seed(0))
    back = plane.invert(square.contiguous(memory_format=layout))
    part = square[:, :, *plane.on_square].double()  # in float32 it works out the weights with errors of 1e-5
    expected = F.interpolate(part, size=shape, mode="bilinear", antialias=True)
    assert back.dtype == dtype
    assert back.is_contiguous()
    torch.testing.assert_close(back.double(), expected, atol=2e-6, rtol=0)


def test_gradients_pass_the_way_back() -> None:
    plane = fit_plane((70, 100), (1.0, 1.0), image_size=37, pixel_mm=None)
    square = torch.rand(1, 1, 37, 37, requires_grad=True)
    plane.invert(square).sum().backward()
    assert square.grad is not None
    assert square.grad.sum() > 1


def test_shrinking_smooths_instead_of_skipping_pixels() -> None:
    stripes = torch.zeros(1, 64, 64)
    stripes[..., ::2] = 1.0
    laid = fit_plane((64, 64), (1.0, 1.0), image_size=16, pixel_mm=None).apply(stripes, fill=0)
    torch.testing.assert_close(laid[..., 1:-1], torch.full((1, 16, 14), 0.5), atol=0.05, rtol=0)


def test_a_label_needs_half_of_a_pixel() -> None:
    # At half the size, smoothing weighs the pixels of a row 1/8, 3/8, 3/8, 1/8: one stripe covers 3/8 of a
    # pixel, two stripes within it 3/4, and of its neighbors 1/8.
    plane = fit_plane((32, 32), (1.0, 1.0), image_size=16, pixel_mm=None)
    labels = torch.zeros(3, 32, 32, dtype=torch.uint8)
    labels[0, :, 16] = 1
    labels[1, :, 16:18] = 1
    labels[2, :, 8:24] = 1
    labels[2, :, 16:18] = 2
    laid = plane.apply_labels(labels)
    assert laid.dtype == torch.uint8
    assert laid[0].sum() == 0
    assert laid[1].sum(0).nonzero().tolist() == [[8]]
    row = [0] * 4 + [1] * 4 + [2] + [1] * 3 + [0] * 4
    assert laid[2].tolist() == [row] * 16


def test_labels_are_never_interpolated_to_ones_between() -> None:
    plane = fit_plane((48, 48), (1.0, 1.0), image_size=37, pixel_mm=None)
    labels = torch.zeros(1, 48, 48, dtype=torch.uint8)
    labels[0, 10:30, 10:30] = 2  # a border from 0 straight to 2: a 1 would be a liver that is not there
    assert set(plane.apply_labels(labels).unique().tolist()) == {0, 2}


def test_there_and_back_lands_on_the_same_pixels() -> None:
    plane = fit_plane((50, 70), (0.9, 0.8), image_size=64, pixel_mm=None)
    mask = torch.zeros(1, 50, 70)
    mask[0, 5:15, 50:65] = 1  # near one corner: a flip or a shift would miss it
    back = plane.invert(plane.apply(mask, fill=0)[:, None])[0, 0] > 0.5
    overlap = (back & (mask[0] > 0)).sum() * 2 / (back.sum() + mask.sum())
    assert overlap > 0.93


@pytest.mark.parametrize("side", [40, 101, 128, 300])
def test_back_on_a_slice_no_probability_exceeds_1(side: int) -> None:
    plane = fit_plane((side, side), (2.5, 2.5), image_size=128, pixel_mm=None)
    assert plane.invert(torch.ones(1, 1, 128, 128)).max() <= 1
    assert plane.invert(torch.zeros(1, 1, 128, 128)).min() >= 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": 8, "pixel_mm": None}, "^image_size: must be from 16 to 4096 pixels, got 8"),
        ({"image_size": 4097, "pixel_mm": None}, "^image_size: must be from 16 to 4096 pixels, got 4097"),
        (
            {"image_size": 64, "pixel_mm": 101},
            "^pixel_mm: must be from 0.01 to 100.0 mm or null, got 101",
        ),
        ({"image_size": 64, "pixel_mm": float("nan")}, "^pixel_mm: must be .*, got nan"),
        ({"image_size": 64, "pixel_mm": 0}, "^pixel_mm: must be from 0.01 to 100.0 mm or null, got 0"),
        (
            {"image_size": 64, "pixel_mm": -1.5},
            "^pixel_mm: must be from 0.01 to 100.0 mm or null, got -1.5",
        ),
    ],
)
def test_impossible_planes_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fit_plane((32, 32), (1.0, 1.0), **settings)
