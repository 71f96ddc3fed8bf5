import pytest
import torch
from torch import nn

from lts.networks import AttentionUNet, UNet
from lts.networks.attention_unet import AttentionGate

SETTINGS = {"in_channels": 1, "out_channels": 1, "width": 4, "depth": 3, "norm": "batch", "dropout": 0.0}


def gate_of_ones(
    *, deep_weight: float, deep_bias: float, psi_weight: float, psi_bias: float
) -> AttentionGate:
    """A gate for one channel on both sides whose weight on every pixel of the skip is 1."""
    gate = AttentionGate(1, 1)
    nn.init.ones_(gate.from_skip.weight)
    nn.init.constant_(gate.from_deep.weight, deep_weight)
    nn.init.constant_(gate.from_deep.bias, deep_bias)
    nn.init.constant_(gate.psi.weight, psi_weight)
    nn.init.constant_(gate.psi.bias, psi_bias)
    return gate


def test_a_gate_computes_what_the_formula_gives_by_hand() -> None:
    gate = gate_of_ones(deep_weight=2.0, deep_bias=-3.0, psi_weight=0.5, psi_bias=-1.0)
    skip = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    # relu(1 + 2 + 3 + 4 + 2 * -2.5 - 3) = 2, psi: 0.5 * 2 - 1 = 0, sigmoid: a half.
    weighed = gate(skip, torch.tensor([[[[-2.5]]]]))
    assert weighed.flatten().tolist() == pytest.approx([0.5, 1.0, 1.5, 2.0])


def test_a_negative_sum_is_cut_off_and_leaves_the_bias_of_psi() -> None:
    gate = gate_of_ones(deep_weight=1.0, deep_bias=0.0, psi_weight=5.0, psi_bias=1.5)
    weighed = gate(torch.ones(1, 1, 2, 2), torch.full((1, 1, 1, 1), -9.0))
    assert weighed.flatten().tolist() == pytest.approx([torch.sigmoid(torch.tensor(1.5)).item()] * 4)


def test_attention_is_upsampled_bilinearly() -> None:
    gate = gate_of_ones(deep_weight=1.0, deep_bias=0.0, psi_weight=1.0, psi_bias=-4.0)
    # Over ones a 2x2 kernel of ones gives 4: attention is sigmoid(deep), here at two neighboring pixels.
    left, right = 0.5, torch.sigmoid(torch.tensor(2.0)).item()
    weighed = gate(torch.ones(1, 1, 2, 4), torch.tensor([[[[0.0, 2.0]]]]))
    row = [left, 0.75 * left + 0.25 * right, 0.25 * left + 0.75 * right, right]
    assert weighed.flatten().tolist() == pytest.approx(row * 2)


def test_one_weight_serves_all_channels_of_a_pixel() -> None:
    torch.manual_seed(0)
    skip = torch.rand(2, 6, 8, 8) + 0.1
    weights = AttentionGate(6, 12)(skip, torch.rand(2, 12, 4, 4)) / skip
    assert torch.allclose(weights, weights[:, :1].expand_as(weights), atol=1e-6)
    assert weights.flatten(2).std(dim=2).min() > 1e-3


def test_gates_start_mostly_open() -> None:
    torch.manual_seed(0)
    skip = torch.ones(4, 16, 16, 16)
    gates = [AttentionGate(16, 32)(skip * 0.1, torch.rand(4, 32, 8, 8) * 0.1) for _ in range(5)]
    assert 0.8 < torch.stack(gates).mean() / 0.1 < 0.95


def test_parameters_exceed_those_of_the_unet_by_a_hand_count_of_the_gates() -> None:
    # Skips of 8 and 4 channels under 16 and 8: inner 4 and 2 channels.
    # 8*4*4 + 16*4 + 4 + 4 + 1 and 4*2*4 + 8*2 + 2 + 2 + 1.
    gates = (128 + 64 + 4 + 4 + 1) + (32 + 16 + 2 + 2 + 1)
    plain, gated = (
        sum(parameter.numel() for parameter in network(**SETTINGS).parameters())
        for network in (UNet, AttentionUNet)
    )
    assert gated == plain + gates


def test_with_its_gates_wide_open_it_is_the_unet() -> None:
    torch.manual_seed(0)
    plain = UNet(**SETTINGS).eval()
    gated = AttentionUNet(**SETTINGS).eval()
    left_over = gated.load_state_dict(plain.state_dict(), strict=False)
    assert left_over.unexpected_keys == []
    assert all(".gate." in name for name in left_over.missing_keys)
    image = torch.rand(1, 1, 19, 22)
    assert not torch.allclose(gated(image), plain(image), atol=1e-3)
    for module in gated.modules():
        if isinstance(module, AttentionGate):
            nn.init.constant_(module.psi.bias, 100.0)
    assert torch.allclose(gated(image), plain(image), atol=1e-5)
