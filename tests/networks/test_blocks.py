import math

import pytest
import torch
from torch import nn

from lts.base import ConfigError
from lts.networks.blocks import (
    ConvBlock,
    Decoder,
    OpenGate,
    UpBlock,
    check_whole,
    conv2d,
    norm2d,
    pad_to_multiple,
    padding,
    segmentation_head,
)


@pytest.mark.parametrize("multiple", [1, 2, 16, 32])
def test_padding_is_the_least_that_gives_a_multiple_and_two_of_them(multiple: int) -> None:
    for size in range(1, 5 * multiple + 2):
        wanted = next(n for n in range(size, 10 * multiple + 1) if n % multiple == 0 and n >= 2 * multiple)
        assert padding(size, multiple) == wanted - size


def test_padding_repeats_the_last_row_and_column() -> None:
    image = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]])
    padded = pad_to_multiple(image, 2)
    wanted = [[1.0, 2, 3, 3], [4, 5, 6, 6], [7, 8, 9, 9], [7, 8, 9, 9]]
    assert padded.tolist() == [[wanted]]


def test_an_image_of_fitting_size_is_not_padded() -> None:
    image = torch.rand(2, 3, 8, 16)
    assert torch.equal(pad_to_multiple(image, 4), image)


def test_group_norm_takes_as_many_groups_as_divide_eight_and_the_channels() -> None:
    groups = [norm2d("group", channels).num_groups for channels in (1, 6, 12, 32, 7)]
    assert groups == [1, 2, 4, 8, 1]


@pytest.mark.parametrize(
    ("norm", "dims"), [("batch", (0, 2, 3)), ("instance", (2, 3)), ("group", None), ("none", ())]
)
def test_each_norm_gives_zero_mean_and_unit_variance_over_its_own_axes(
    norm: str, dims: tuple[int, ...] | None
) -> None:
    torch.manual_seed(0)
    features = torch.randn(3, 8, 16, 16) * 5 + torch.arange(8.0).reshape(1, 8, 1, 1) * 10
    out = norm2d(norm, 8).train()(features).detach()
    if norm == "none":
        assert torch.equal(out, features)
        return
    if dims is None:  # eight groups of one channel each
        dims = (2, 3)
    assert out.mean(dim=dims).abs().max() < 1e-4
    assert (out.var(dim=dims, unbiased=False) - 1).abs().max() < 1e-3
    if norm == "batch":
        assert out.mean(dim=(2, 3)).abs().max() > 1e-3


def test_a_convolution_keeps_the_variance_of_rectified_features() -> None:
    torch.manual_seed(0)
    features = torch.relu(torch.randn(4, 64, 32, 32))
    rectified = torch.relu(conv2d(64, 64, 3, bias=True)(features))
    assert (rectified**2).mean().item() == pytest.approx((features**2).mean().item(), rel=0.2)
    assert torch.equal(conv2d(2, 3, 3, bias=True).bias, torch.zeros(3))


@pytest.mark.parametrize(
    ("norm", "bias"), [("batch", False), ("instance", False), ("group", False), ("none", True)]
)
def test_only_a_convolution_without_norm_has_a_bias(norm: str, bias: bool) -> None:
    assert [conv.bias is not None for conv in ConvBlock(2, 4, norm=norm).convs] == [bias, bias]


def test_the_decoder_hands_each_level_the_skip_of_its_size_and_its_gate_the_deeper_features() -> None:
    calls = []

    class Recorder(nn.Module):
        def __init__(self, skip_channels: int, deep_channels: int) -> None:
            super().__init__()
            self.channels = (skip_channels, deep_channels)

        def forward(self, skip: torch.Tensor, deep: torch.Tensor) -> torch.Tensor:
            calls.append((self.channels, tuple(skip.shape), tuple(deep.shape)))
            return skip

    decoder = Decoder([2, 3, 5], [7, 11], norm="none", gate=Recorder)
    out = decoder([torch.rand(1, 2, 8, 8), torch.rand(1, 3, 4, 4), torch.rand(1, 5, 2, 2)])
    assert out.shape == (1, 7, 8, 8)
    assert calls == [((3, 5), (1, 3, 4, 4), (1, 5, 2, 2)), ((2, 11), (1, 2, 8, 8), (1, 11, 4, 4))]


def test_what_a_gate_returns_is_what_the_level_sees_of_the_skip() -> None:
    class Shut(OpenGate):
        def forward(self, skip: torch.Tensor, deep: torch.Tensor) -> torch.Tensor:
            return 0 * super().forward(skip, deep)

    level = UpBlock(4, 2, 3, norm="none", gate=Shut)
    deep = torch.rand(1, 4, 4, 4)
    assert torch.equal(level(deep, torch.rand(1, 2, 8, 8)), level(deep, torch.zeros(1, 2, 8, 8)))


def test_the_head_starts_every_probability_near_one_in_a_hundred() -> None:
    torch.manual_seed(0)
    head = segmentation_head(16, 2)
    assert torch.sigmoid(head.bias).tolist() == pytest.approx([0.01, 0.01])
    assert head.weight.std().item() == pytest.approx(0.25, rel=0.5)


@pytest.mark.parametrize("value", [0, -3, 2.0, True, "8", None])
def test_a_count_must_be_a_whole_number(value: object) -> None:
    with pytest.raises(ConfigError, match=r"^width: must be a whole number >= 1, got "):
        check_whole("width", value, low=1)


def test_a_count_has_both_its_bounds() -> None:
    check_whole("depth", 2, low=2, high=8)
    check_whole("depth", 8, low=2, high=8)
    for value in (1, 9, math.inf):
        with pytest.raises(ConfigError, match=r"^depth: must be a whole number from 2 to 8, got "):
            check_whole("depth", value, low=2, high=8)
