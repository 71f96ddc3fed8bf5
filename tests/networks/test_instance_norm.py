from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lts.networks.instance_norm import InstanceNorm2d, instance_norm

CHANNELS = 6


def norm() -> InstanceNorm2d:
    torch.manual_seed(0)
    made = InstanceNorm2d(CHANNELS)
    torch.nn.init.uniform_(made.weight)
    torch.nn.init.uniform_(made.bias)
    return made


def features(*, dtype: torch.dtype = torch.float32, batch: int = 3) -> Tensor:
    drawn = torch.randn(batch, CHANNELS, 9, 14, generator=torch.Generator().manual_seed(1))
    shift = torch.arange(batch).reshape(-1, 1, 1, 1)
    return (drawn * 3 + 5 * shift).to(dtype).contiguous(memory_format=torch.channels_last)


def outcome(image: Tensor, *, ours: bool) -> dict[str, Tensor]:
    """What is normalized, and the gradients of a sum with different weights everywhere."""
    made, image = norm(), image.detach().requires_grad_()
    if ours:
        out = instance_norm(image, made.weight, made.bias, eps=made.eps, learning=True)
    else:
        out = F.instance_norm(image, weight=made.weight, bias=made.bias, eps=made.eps)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(2))
    (out.float() * weights).sum().backward()
    return {"out": out, "image": image.grad, "weight": made.weight.grad, "bias": made.bias.grad}


@pytest.mark.parametrize(("dtype", "off"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_values_and_gradients_are_those_of_torch(dtype: torch.dtype, off: float) -> None:
    found, reference = outcome(features(dtype=dtype), ours=True), outcome(features().to(dtype), ours=False)
    for name, value in reference.items():
        assert found[name].dtype == value.dtype
        assert torch.allclose(found[name].float(), value.float(), atol=off, rtol=off), name


def test_in_double_precision_gradients_are_those_of_differences() -> None:
    made = norm().double()
    image = features(dtype=torch.float64, batch=2).requires_grad_()
    assert torch.autograd.gradcheck(made, (image,))


@pytest.mark.parametrize("learning", [True, False])
def test_features_stay_channels_last(learning: bool) -> None:
    made, image = norm(), features()
    with torch.set_grad_enabled(learning):
        out = made(image)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert not out.is_contiguous()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_where_nothing_is_learned_sums_are_not_rounded_as_in_training(mode: Any) -> None:
    made = norm()
    image = torch.full((2, CHANNELS, 96, 80), 0.37)  # of 7680 equal pixels a plain sum is rounded most
    image[0, :, 40:48, 30:38] += 0.05
    image[1, :, :2, :2] = 4
    image = image.contiguous(memory_format=torch.channels_last)
    doubles = {"weight": made.weight.double(), "bias": made.bias.double()}
    expected = F.instance_norm(image.double(), eps=made.eps, **doubles)
    with mode():
        off = (made(image) - expected).abs().max()
    assert off < 1e-5
    assert (made(image) - expected).abs().max() > 10 * off


def test_values_of_bfloat16_are_those_of_torch_where_nothing_is_learned() -> None:
    made, image = norm(), features(dtype=torch.bfloat16)
    with torch.no_grad():
        assert torch.equal(
            made(image), F.instance_norm(image, weight=made.weight, bias=made.bias, eps=made.eps)
        )


def test_an_image_of_one_value_becomes_the_bias_where_nothing_is_learned() -> None:
    made, image = norm(), torch.full((2, CHANNELS, 64, 64), 123.456)
    with torch.no_grad():
        out = made(image.contiguous(memory_format=torch.channels_last))
    assert (out - made.bias.reshape(1, -1, 1, 1)).abs().max() < 2e-3


@pytest.mark.parametrize("learning", [True, False])
def test_each_image_is_normalized_by_itself(learning: bool) -> None:
    made, image = norm(), features()
    with torch.set_grad_enabled(learning):
        alone = torch.cat([made(one) for one in image.split(1)])
        assert torch.equal(made(image), alone)


@pytest.mark.parametrize("learning", [True, False])
def test_one_pixel_is_refused_as_by_torch(learning: bool) -> None:
    with (
        torch.set_grad_enabled(learning),
        pytest.raises(ValueError, match="more than 1 spatial element"),
    ):
        norm()(torch.rand(2, CHANNELS, 1, 1).contiguous(memory_format=torch.channels_last))
