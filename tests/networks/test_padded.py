from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lts.base import ConfigError
from lts.networks import Padded, ResNet50Segmenter, UNet
from lts.networks.meta import check_answer, without_memory


class Halving(nn.Module):
    """Takes whole multiples of 4 alone."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.MaxPool2d(4)

    def forward(self, image: Tensor) -> Tensor:
        assert image.shape[2] % 4 == image.shape[3] % 4 == 0
        assert min(image.shape[2:]) >= 8
        return nn.functional.interpolate(self.encoder(image), scale_factor=4)


@pytest.mark.parametrize("size", [(1, 1), (5, 8), (12, 3), (16, 8)])
def test_any_size_is_padded_with_its_last_row_and_column_and_cut_back(size: tuple[int, int]) -> None:
    image = torch.rand(2, 1, *size)
    rows, columns = (torch.arange(16).clamp(max=length - 1) for length in size)
    expected = Halving()(image[:, :, rows][..., columns])[..., : size[0], : size[1]]
    assert torch.equal(Padded(Halving(), multiple=4)(image), expected)


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit.trace.*:DeprecationWarning", "ignore:.*torch.jit.trace.*:FutureWarning"
)
def test_a_trace_pads_every_size() -> None:
    net = Padded(UNet(in_channels=1, out_channels=1, width=2, depth=2, norm="none"), multiple=8)
    traced = torch.jit.trace(net, torch.rand(1, 1, 16, 24), check_trace=False)
    image = torch.rand(2, 1, 7, 33)
    torch.testing.assert_close(traced(image), net(image))


def test_its_encoder_is_that_of_the_network() -> None:
    inner = Halving()
    assert Padded(inner, multiple=4).encoder is inner.encoder
    assert getattr(Padded(nn.Identity(), multiple=4), "encoder", None) is None


@pytest.mark.parametrize("multiple", [0, 1.5, True, "4"])
def test_a_multiple_must_be_a_whole_number(multiple: Any) -> None:
    with pytest.raises(ConfigError, match="^multiple: must be a whole number >= 1, got "):
        Padded(nn.Identity(), multiple=multiple)


class Deep(nn.Module):
    """Reads its rates of stochastic depth as many networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.rates = [rate.item() for rate in torch.linspace(0, 0.2, 3)]
        self.conv = nn.Conv2d(2, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image)


def test_a_network_of_any_size_takes_no_memory() -> None:
    with without_memory():
        net = UNet(in_channels=2, out_channels=3, width=10**5, depth=2)
    assert all(parameter.is_meta for parameter in net.parameters())
    check_answer(net, images=(1, 2, 9, 12), regions=3)


def test_rates_of_stochastic_depth_are_read() -> None:
    with without_memory():
        net = Deep()
    assert net.rates == pytest.approx([0, 0.1, 0.2])
    assert net.conv.weight.is_meta


@pytest.mark.parametrize("train", [True, False])
def test_an_answer_is_looked_at_without_changing_the_network(train: bool) -> None:
    net = ResNet50Segmenter(in_channels=1, out_channels=2, weights=None, decoder_width=2).train(train)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    check_answer(net, images=(2, 1, 40, 64), regions=2)
    assert net.training == train
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name])


class Several(nn.Module):
    def forward(self, image: Tensor) -> list[Tensor]:
        return [image, image]


@pytest.mark.parametrize(
    ("net", "told"),
    [
        (Several(), "a list"),
        (nn.Identity(), r"\(2, 1, 8, 12\)"),
        (nn.Sequential(nn.Conv2d(1, 2, 1), nn.MaxPool2d(2)), r"\(2, 2, 4, 6\)"),
    ],
)
def test_an_answer_of_another_kind_or_shape_is_told(net: nn.Module, told: str) -> None:
    rule = r"^logits of images \(2, 1, 8, 12\) must be a tensor of shape \(2, 2, 8, 12\), got "
    with pytest.raises(ConfigError, match=f"{rule}{told}$"):
        check_answer(net, images=(2, 1, 8, 12), regions=2)
