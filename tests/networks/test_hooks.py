"""Hooks see every module of a network, and what they see and change counts."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from network_kit import each_network, each_unet, make
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def image() -> Tensor:
    return torch.rand(2, 2, 40, 37, generator=torch.Generator().manual_seed(1))


def gradients(net: nn.Module) -> dict[str, Tensor]:
    net(image()).square().mean().backward()
    return {name: parameter.grad for name, parameter in net.named_parameters()}


def called(net: nn.Module) -> dict[str, nn.Module]:
    """All modules but lists of modules, which are never called."""
    return {name: each for name, each in net.named_modules() if not isinstance(each, nn.ModuleList)}


@each_network
def test_every_module_is_seen_before_and_after_and_the_gradients_stay(name: str) -> None:
    plain, net = gradients(make(name)), make(name)
    before, after = set(), set()
    for each, module in called(net).items():
        module.register_forward_pre_hook(lambda *_, each=each: before.add(each))
        module.register_forward_hook(lambda *_, each=each: after.add(each))
    found = gradients(net)
    assert before == after == called(net).keys()
    for each, gradient in plain.items():
        assert torch.equal(found[each], gradient), each


@each_unet
def test_every_module_is_seen_in_backward(name: str) -> None:
    net, seen = make(name), set()
    given_tensors = {
        each: module for each, module in called(net).items() if each not in ("encoder", "decoder")
    }
    for each, module in given_tensors.items():
        module.register_full_backward_hook(lambda *_, each=each: seen.add(each))
    net(image().requires_grad_()).square().mean().backward()
    assert seen == given_tensors.keys()


@each_unet
def test_what_a_hook_has_seen_stays_what_it_was(name: str) -> None:
    net, seen = make(name).eval(), {}

    def note(module: nn.Module, _args: Any, out: Any) -> None:
        if isinstance(out, Tensor):
            seen.setdefault(module, []).append((out, out.clone()))

    for module in called(net).values():
        module.register_forward_hook(note)
    net(image())
    assert all(torch.equal(out, then) for outs in seen.values() for out, then in outs)


def halve(_module: nn.Module, _args: Any, out: Tensor) -> Tensor:
    return out / 2


def silence(_module: nn.Module, _args: Any, out: Tensor) -> None:
    out[:, 1] = 0


@pytest.mark.parametrize("hook", [halve, silence])
@pytest.mark.parametrize("part", ["encoder.levels.0", "encoder.levels.1.norms.0", "decoder.levels.0.block"])
@pytest.mark.parametrize("name", ["UNet-batch", "UNet-group"])
def test_gradients_are_those_of_what_a_hook_made(name: str, part: str, hook: Callable[..., Any]) -> None:
    def loss(net: nn.Module) -> Tensor:
        return net(image().double()).square().mean()

    net = make(name).double().train()
    net.get_submodule(part).register_forward_hook(hook)
    weight = net.encoder.levels[0].convs[0].weight
    loss(net).backward()
    step = 1e-6
    with torch.no_grad():
        weight[0, 0, 1, 1] += step
        above = loss(net)
        weight[0, 0, 1, 1] -= 2 * step
        below = loss(net)
    assert weight.grad[0, 0, 1, 1].item() == pytest.approx(((above - below) / (2 * step)).item(), rel=1e-4)


@pytest.mark.parametrize("name", ["UNet-batch", "AttentionUNet-instance", "ResNet50"])
def test_a_counter_of_operations_finds_each_convolution(name: str) -> None:
    net, expected = make(name).eval(), 0

    def count(conv: nn.Conv2d, _args: Any, out: Tensor) -> None:
        nonlocal expected
        expected += 2 * out.numel() * conv.weight[0].numel()

    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(image())
    assert counter.get_total_flops() == expected
    parts = counter.get_flop_counts()
    assert {f"{type(net).__name__}.{part}" for part in ("encoder", "decoder", "head")} <= parts.keys()
