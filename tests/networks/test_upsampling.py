"""Upsampling by two, against torch's own interpolation and its gradient."""

import pytest
import torch
from torch.nn import functional as F

from lts.networks.upsampling import upsample2x

SIZES = [(1, 1), (1, 5), (4, 1), (2, 2), (3, 7), (16, 8)]


def _interpolate(image: torch.Tensor) -> torch.Tensor:
    return F.interpolate(image, scale_factor=2.0, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", SIZES)
def test_values_and_gradients_are_those_of_interpolate(
    size: tuple[int, int], layout: torch.memory_format
) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, 3, *size, generator=generator, dtype=torch.float64).contiguous(
        memory_format=layout
    )
    weights = torch.randn(2, 3, 2 * size[0], 2 * size[1], generator=generator, dtype=torch.float64)
    found, expected = values.clone().requires_grad_(), values.clone().requires_grad_()
    upsampled = upsample2x(found)
    assert torch.equal(upsampled, _interpolate(expected))
    (upsampled * weights).sum().backward()
    (_interpolate(expected) * weights).sum().backward()
    torch.testing.assert_close(found.grad, expected.grad, rtol=0, atol=1e-12)


def test_a_gradient_is_kept_only_where_one_is_asked_for() -> None:
    image = torch.rand(1, 2, 4, 4)
    assert upsample2x(image).grad_fn is None
    assert upsample2x(image.requires_grad_()).grad_fn is not None


def test_a_half_precision_gradient_is_as_near_as_its_own_rounding() -> None:
    values = torch.rand(1, 2, 8, 8)
    gradients = []
    for upsample, dtype in ((upsample2x, torch.bfloat16), (_interpolate, torch.float32)):
        image = values.to(dtype).requires_grad_()
        upsample(image).square().sum().backward()
        assert image.grad is not None
        assert image.grad.dtype == dtype
        gradients.append(image.grad.float())
    torch.testing.assert_close(gradients[0], gradients[1], rtol=2**-6, atol=2**-6)
