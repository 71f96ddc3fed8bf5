from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lts.base import ConfigError
from lts.networks import AttentionUNet, UNet

SETTINGS: dict[str, Any] = {
    "in_channels": 1,
    "out_channels": 2,
    "width": 4,
    "depth": 3,
    "norm": "batch",
    "dropout": 0.0,
}
both = pytest.mark.parametrize("network", [UNet, AttentionUNet])


def make(network: type[nn.Module] = UNet, seed: int = 0, **changes: Any) -> nn.Module:
    torch.manual_seed(seed)
    return network(**{**SETTINGS, **changes})


def image(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@both
@pytest.mark.parametrize("norm", ["batch", "instance", "group", "none"])
@pytest.mark.parametrize("train", [True, False])
def test_logits_have_the_size_of_any_image(network: type[nn.Module], norm: str, train: bool) -> None:
    net = make(network, in_channels=3, norm=norm).train(train)
    for height, width in [(1, 1), (1, 9), (5, 2), (16, 16), (17, 31)]:
        logits = net(image(1, 3, height, width))
        assert logits.shape == (1, 2, height, width)
        assert logits.isfinite().all()


@both
@pytest.mark.parametrize("patch", [2, 3])
def test_a_network_of_patches_gives_logits_for_every_pixel(network: type[nn.Module], patch: int) -> None:
    net = make(network, in_channels=3, patch=patch).eval()
    for height, width in [(1, 1), (5, 2), (17, 31)]:
        assert net(image(1, 3, height, width)).shape == (1, 2, height, width)


@both
@pytest.mark.parametrize("patch", [1, 2])
def test_coarser_levels_have_heads_that_a_prediction_does_not_use(
    network: type[nn.Module], patch: int
) -> None:
    net, plain = make(network, deep_supervision=1, patch=patch).eval(), make(network, patch=patch).eval()
    plain.load_state_dict(net.state_dict(), strict=False)
    for height, width in [(1, 1), (5, 2), (17, 31)]:
        fine, coarse = net.every_level(image(1, 1, height, width))
        assert fine.shape == coarse.shape == (1, 2, height, width)
        assert torch.equal(fine, net(image(1, 1, height, width)))
        assert torch.equal(fine, plain(image(1, 1, height, width)))
    (head,) = net.coarse_heads
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.arange(float(len(head.bias))))
    coarse = net.every_level(image(1, 1, 8, 8))[1]
    one_side = coarse[0, :, 0, 0]
    assert one_side.tolist() == ([0, 1] if patch == 1 else [0, 4])  # the first pixel of each patch, unmixed


def test_a_coarser_level_is_enlarged_about_the_same_center() -> None:
    net = make(width=2, depth=3, deep_supervision=1, norm="none").eval()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
    # The image goes straight through the coarse level.
    for block in (net.encoder.levels[0], net.encoder.levels[1], net.decoder.levels[1].block):
        for conv in block.convs:
            conv.weight.data[0, 0, 1, 1] = 1
    net.coarse_heads[0].weight.data[:, 0] = 1
    nn.init.zeros_(net.coarse_heads[0].bias)
    square = torch.zeros(1, 1, 16, 16)
    square[..., 4:8, 8:12] = 1
    coarse = net.every_level(square)[1][0, 0].detach()
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    assert float((coarse * rows).sum() / coarse.sum()) == pytest.approx(5.5)
    assert float((coarse * columns).sum() / coarse.sum()) == pytest.approx(9.5)


def test_a_patch_is_channels_of_the_finest_level_and_each_of_its_pixels_has_its_own_logit() -> None:
    net, inner = make(in_channels=2, patch=2).eval(), make(in_channels=8, out_channels=8, seed=1).eval()
    net.load_state_dict(inner.state_dict())
    x = image(1, 2, 16, 24)
    apart = x.reshape(1, 2, 8, 2, 12, 2).permute(0, 1, 3, 5, 2, 4).reshape(1, 8, 8, 12)
    logits = inner(apart).reshape(1, 2, 2, 2, 8, 12).permute(0, 1, 4, 2, 5, 3).reshape(1, 2, 16, 24)
    assert torch.allclose(net(x), logits, atol=1e-5)


def test_parameters_number_what_a_hand_count_gives() -> None:
    # Weights: 1*2*9 + 2*2*9, 2*4*9 + 4*4*9, up 4*2 + (2+2)*2*9 + 2*2*9; biases: 2+2, 4+4, 2+2; head: 2 + 1.
    weights = (18 + 36) + (72 + 144) + (8 + 72 + 36)
    small = {"out_channels": 1, "width": 2, "depth": 2}
    assert count(make(**small, norm="none")) == weights + 16 + 3
    for norm in ("batch", "instance", "group"):  # a scale and a shift in place of each bias
        assert count(make(**small, norm=norm)) == weights + 32 + 3


def test_a_small_network_computes_what_plain_functions_compute() -> None:
    net = make(depth=2, norm="none")
    p = dict(net.named_parameters())

    def block(x: Tensor, name: str) -> Tensor:
        x = F.relu(F.conv2d(x, p[f"{name}.convs.0.weight"], p[f"{name}.convs.0.bias"], padding=1))
        return F.relu(F.conv2d(x, p[f"{name}.convs.1.weight"], p[f"{name}.convs.1.bias"], padding=1))

    x = image(2, 1, 8, 12)
    fine = block(x, "encoder.levels.0")
    coarse = block(F.max_pool2d(fine, 2), "encoder.levels.1")
    upsampled = F.interpolate(coarse, size=(8, 12), mode="bilinear")
    up = F.conv2d(upsampled, p["decoder.levels.0.reduce.weight"])
    out = block(torch.cat([fine, up], dim=1), "decoder.levels.0.block")
    assert torch.allclose(net(x), F.conv2d(out, p["head.weight"], p["head.bias"]), atol=1e-5)


@both
def test_an_odd_image_is_one_whose_last_row_and_column_are_repeated(network: type[nn.Module]) -> None:
    net = make(network).eval()
    odd = image(1, 1, 11, 14)
    repeated = torch.cat([odd, odd[:, :, -1:]], dim=2)
    repeated = torch.cat([repeated, repeated[..., -1:], repeated[..., -1:]], dim=3)
    assert torch.allclose(net(odd), net(repeated)[..., :11, :14], atol=1e-6)


def test_a_multiple_of_the_stride_is_not_padded() -> None:
    net = make(depth=3)  # stride 4
    seen: list[Tensor] = []
    net.encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    x = image(1, 1, 12, 20)
    net(x)
    assert torch.equal(seen[0], x)


def test_channels_double_up_to_512_or_the_width() -> None:
    def channels(width: int, depth: int) -> list[int]:
        with torch.device("meta"):
            net = make(width=width, depth=depth)
        return [level.convs[0].out_channels for level in net.encoder.levels]

    assert channels(32, 5) == [32, 64, 128, 256, 512]
    assert channels(100, 5) == [100, 200, 400, 512, 512]
    assert channels(600, 3) == [600, 600, 600]


@both
def test_two_numbers_make_the_network_of_the_commands(network: type[nn.Module]) -> None:
    with torch.device("meta"):
        found = network(in_channels=3, out_channels=2)
        expected = network(in_channels=3, out_channels=2, width=32, depth=5, norm="batch", dropout=0.0)
    assert repr(found) == repr(expected)


@both
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_gradient_reaches_every_parameter(network: type[nn.Module], norm: str) -> None:
    net = make(network, norm=norm)
    net(image(2, 1, 16, 16)).square().mean().backward()
    idle = [name for name, parameter in net.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert idle == []


@both
def test_channels_last_computes_the_same(network: type[nn.Module]) -> None:
    net = make(network, in_channels=3).eval()
    x = image(2, 3, 21, 18)
    expected = net(x)
    out = net.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    assert torch.allclose(out, expected, atol=1e-5)


@both
def test_a_seed_decides_the_start(network: type[nn.Module]) -> None:
    first, same, other = make(network, seed=1), make(network, seed=1), make(network, seed=2)
    x = image(1, 1, 8, 8)
    assert torch.equal(first(x), same(x))
    assert not torch.equal(first(x), other(x))


@both
@pytest.mark.filterwarnings(
    "ignore:.*torch.jit.trace.*:DeprecationWarning", "ignore:.*torch.jit.trace.*:FutureWarning"
)
def test_a_trace_holds_for_other_sizes(network: type[nn.Module]) -> None:
    net = make(network).eval()
    traced = torch.jit.trace(net, image(1, 1, 16, 16), check_trace=False)
    for shape in [(1, 1, 1, 1), (3, 1, 13, 24), (2, 1, 8, 40)]:
        assert torch.allclose(traced(image(*shape)), net(image(*shape)), atol=1e-5)


def test_dropout_silences_whole_channels_of_the_deepest_level_in_training() -> None:
    net = make(width=16, dropout=0.5)
    untouched = make(width=16, dropout=0.0)
    x = image(2, 1, 16, 16)
    dropped, full = net.train().encoder(x), untouched.train().encoder(x)
    assert all(torch.equal(a, b) for a, b in zip(dropped[:-1], full[:-1], strict=True))
    silent = dropped[-1].flatten(2).abs().sum(dim=2) == 0
    assert 0.3 < silent.float().mean() < 0.7
    kept = ~silent[..., None, None].expand_as(full[-1])
    assert torch.allclose(dropped[-1][kept], 2 * full[-1][kept])
    assert torch.equal(net.eval()(x), net(x))


@both
def test_a_frozen_encoder_gets_no_gradient_and_the_rest_does(network: type[nn.Module]) -> None:
    net = make(network)
    net.encoder.requires_grad_(False)
    net(image(2, 1, 16, 16)).mean().backward()
    for name, parameter in net.named_parameters():
        assert (parameter.grad is None) == name.startswith("encoder."), name


@both
def test_foreground_starts_improbable(network: type[nn.Module]) -> None:
    probs = torch.sigmoid(make(network, width=8)(image(2, 1, 32, 32)))
    assert 0.002 < probs.mean() < 0.05


def test_a_few_steps_learn_to_outline_a_bright_square() -> None:
    net = make(out_channels=1, depth=2).train()
    x = image(2, 1, 16, 16) * 0.3
    x[0, :, 4:10, 4:10] += 0.5
    x[1, :, 1:6, 7:15] += 0.5
    mask = (F.avg_pool2d(x, 3, 1, 1) > 0.45).float()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
    for _ in range(30):
        loss = F.binary_cross_entropy_with_logits(net(x), mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = (net(x) > 0).float()
    assert 2 * (found * mask).sum() / (found.sum() + mask.sum()) > 0.9


@both
@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("in_channels", 0, "must be a whole number >= 1, got 0"),
        ("out_channels", 0, "must be a whole number >= 1, got 0"),
        ("width", -1, "must be a whole number >= 1, got -1"),
        ("depth", 1, "must be a whole number from 2 to 8, got 1"),
        ("depth", 9, "must be a whole number from 2 to 8, got 9"),
        ("patch", 0, "must be a whole number from 1 to 8, got 0"),
        ("patch", 9, "must be a whole number from 1 to 8, got 9"),
        ("deep_supervision", 2, "must be a whole number from 0 to 1, got 2"),
        ("norm", "layer", r"must be one of \['batch', 'instance', 'group', 'none'\], got 'layer'"),
        ("dropout", 1.0, r"must be a probability in \[0, 1\), got 1.0"),
        ("dropout", -0.1, r"must be a probability in \[0, 1\), got -0.1"),
        ("dropout", "half", r"must be a probability in \[0, 1\), got 'half'"),
    ],
)
def test_a_bad_setting_is_named(network: type[nn.Module], key: str, value: object, rule: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{key}: {rule}$"):
        make(network, **{key: value})
