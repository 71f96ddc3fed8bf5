"""The transforms of `torch.func` go through every network."""

import pytest
import torch
from network_kit import each_network, make
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap

from lts.networks import recomputation


@pytest.fixture(autouse=True)
def _however_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recomputation, "_LEAST_BYTES", 0)


def in_use(name: str) -> nn.Module:
    """A network in double precision, with fixed running statistics, which `vmap` asks for."""
    return make(name).double().eval()


def images(number: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(number, 2, 21, 34, generator=generator, dtype=torch.float64)


def loss_of(net: nn.Module, weights: dict[str, Tensor], image: Tensor) -> Tensor:
    return functional_call(net, weights, image).square().mean()


def weights_of(net: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in net.named_parameters()}


def gradients(net: nn.Module, image: Tensor) -> dict[str, Tensor]:
    """By autograd, which recomputes activations."""
    net.zero_grad()
    net(image).square().mean().backward()
    return {name: parameter.grad.clone() for name, parameter in net.named_parameters()}


def check_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        scale = gradient.abs().max().item()
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-9 * scale, msg=name)


@each_network
@pytest.mark.parametrize("train", [False, True])
def test_grad_gives_the_gradients_of_autograd(name: str, train: bool) -> None:
    net = in_use(name).train(train)
    buffers = {key: buffer.clone() for key, buffer in net.named_buffers()}

    def loss(weights: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
        return loss_of(net, {**weights, **buffers}, images(2))

    check_same(grad(loss)(weights_of(net), buffers), gradients(net, images(2)))


@each_network
def test_gradients_per_sample_are_those_of_a_loop(name: str) -> None:
    net, batch = in_use(name), images(3)

    def of_one(weights: dict[str, Tensor], image: Tensor) -> Tensor:
        return loss_of(net, weights, image[None])

    found = vmap(grad(of_one), in_dims=(None, 0))(weights_of(net), batch)
    for place in range(3):
        check_same(
            {key: each[place] for key, each in found.items()}, gradients(net, batch[place : place + 1])
        )


@each_network
def test_vmap_over_images_is_the_batch(name: str) -> None:
    net, batch = in_use(name), images(3)
    found = vmap(net)(batch[:, None])
    torch.testing.assert_close(found[:, 0], net(batch), rtol=1e-9, atol=1e-9)
    found.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in net.parameters())


@each_network
def test_vmap_over_networks_is_each_of_them(name: str) -> None:
    net, image = in_use(name), images(1)
    weights = weights_of(net)
    both = {key: torch.stack([each, 1.1 * each]) for key, each in weights.items()}
    found = vmap(lambda each: functional_call(net, each, image))(both)
    for place, scale in enumerate((1.0, 1.1)):
        expected = functional_call(net, {key: scale * each for key, each in weights.items()}, image)
        torch.testing.assert_close(found[place], expected, rtol=1e-9, atol=1e-9)


@each_network
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # jvp's own; its category changed
def test_a_directional_derivative_is_the_quotient_of_differences(name: str) -> None:
    net, image, step = in_use(name), images(1), 1e-6
    direction = torch.ones_like(image)
    _, found = jvp(net, (image,), (direction,))
    with torch.no_grad():
        expected = (net(image + step * direction) - net(image - step * direction)) / (2 * step)
    # A rectifier whose input changes its sign on the way is wrong by a share of its slope.
    off = (found - expected).abs().median()
    assert off < 1e-6 * found.abs().max()


def test_batch_norm_in_training_is_refused_by_a_rule_of_torch() -> None:
    with pytest.raises(RuntimeError, match="Batch norm got a batched tensor"):
        vmap(in_use("UNet-batch").train())(images(2)[:, None])
