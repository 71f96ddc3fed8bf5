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


def outcome(image: Tensor, *, fast: bool) -> dict[str, Tensor]:
    """What is normalized, and the gradients of a sum with different weights everywhere."""
    made, image = norm(), image.detach().requires_grad_()
    out = instance_norm(image, made.weight, made.bias, eps=made.eps, fast=fast)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(2))
    (out.float() * weights).sum().backward()
    return {"out": out, "image": image.grad, "weight": made.weight.grad, "bias": made.bias.grad}


@pytest.mark.parametrize(("dtype", "off"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_values_and_gradients_are_those_of_torch(dtype: torch.dtype, off: float) -> None:
    found, reference = outcome(features(dtype=dtype), fast=True), outcome(features().to(dtype), fast=False)
    for name, value in reference.items():
        assert found[name].dtype == value.dtype
        assert torch.allclose(found[name].float(), value.float(), atol=off, rtol=off), name


def test_in_double_precision_gradients_are_those_of_differences() -> None:
    made = norm().double()
    image = features(dtype=torch.float64, batch=2).requires_grad_()
    assert torch.autograd.gradcheck(made, (image,))


def test_features_stay_channels_last_in_training_alone() -> None:
    made, image = norm(), features()
    assert made(image).is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        assert torch.equal(made(image), F.instance_norm(image, weight=made.weight, bias=made.bias))


def test_an_image_of_one_value_becomes_the_bias_where_nothing_is_learned() -> None:
    made, image = norm(), torch.full((2, CHANNELS, 64, 64), 123.456)
    with torch.no_grad():
        out = made(image.contiguous(memory_format=torch.channels_last))
    assert (out - made.bias.reshape(1, -1, 1, 1)).abs().max() < 2e-3


def test_each_image_is_normalized_by_itself() -> None:
    made, image = norm(), features()
    alone = torch.cat([made(one) for one in image.split(1)])
    assert torch.equal(made(image), alone)


def test_one_pixel_is_refused_as_by_torch() -> None:
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        norm()(torch.rand(2, CHANNELS, 1, 1).contiguous(memory_format=torch.channels_last))
