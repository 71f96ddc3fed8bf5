import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from lts.base import ConfigError
from lts.losses import BCEDiceLoss, FocalDiceLoss, TverskyLoss, soft_tversky

LN3 = math.log(3.0)
"""The logit of probability 3/4."""


def bce_dice(**changes: Any) -> BCEDiceLoss:
    settings = {"region_weights": None, "pos_weight": None, "dice_weight": 0.5, "smooth": 1.0}
    return BCEDiceLoss(**{**settings, **changes})


def focal_dice(**changes: Any) -> FocalDiceLoss:
    settings = {"region_weights": None, "pos_weight": None, "gamma": 2.0, "alpha": 0.25}
    return FocalDiceLoss(**{**settings, "dice_weight": 0.5, "smooth": 1.0, **changes})


def tversky(**changes: Any) -> TverskyLoss:
    settings = {"region_weights": None, "alpha": 0.3, "beta": 0.7, "smooth": 1.0}
    return TverskyLoss(**{**settings, **changes})


every_loss = pytest.mark.parametrize(
    "loss",
    [
        bce_dice(region_weights=[1, 2], pos_weight=[2.0, 4.0]),
        focal_dice(region_weights=[1, 2], pos_weight=3.0),
        focal_dice(gamma=0.5, alpha=None),
        tversky(),
    ],
    ids=["bce_dice", "focal_dice", "focal_dice_below_one", "tversky"],
)


@pytest.fixture
def pixels() -> tuple[Tensor, Tensor]:
    """One region of 2x2 pixels. Probabilities 3/4 1/4, 1/4 1/4; truth 1 1, 0 0: TP 1, FP 1/2, FN 1."""
    logits = torch.tensor([[[[LN3, -LN3], [-LN3, -LN3]]]])
    return logits, torch.tensor([[[[1, 1], [0, 0]]]], dtype=torch.uint8)


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """Three slices of two regions, one slice without the second region."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 2, 6, 5, generator=generator) * 3
    target = torch.rand(3, 2, 6, 5, generator=generator) > 0.7
    target[1, 1] = False
    return logits, target


# Values by hand


def test_cross_entropy_of_four_pixels(pixels: tuple[Tensor, Tensor]) -> None:
    expected = (3 * math.log(4 / 3) + math.log(4)) / 4
    assert bce_dice(dice_weight=0.0)(*pixels).item() == pytest.approx(expected)


def test_dice_of_four_pixels(pixels: tuple[Tensor, Tensor]) -> None:
    assert bce_dice(dice_weight=1.0)(*pixels).item() == pytest.approx(1 - (2 + 1) / (2 + 0.5 + 1 + 1))
    assert bce_dice(dice_weight=1.0, smooth=0.1)(*pixels).item() == pytest.approx(1 - (2 + 0.1) / (3.5 + 0.1))


def test_dice_weight_mixes_the_two_terms(pixels: tuple[Tensor, Tensor]) -> None:
    bce, dice = bce_dice(dice_weight=0.0)(*pixels), bce_dice(dice_weight=1.0)(*pixels)
    assert bce_dice(dice_weight=0.25)(*pixels).item() == pytest.approx((0.75 * bce + 0.25 * dice).item())


def test_positive_weight_multiplies_foreground_pixels_alone(pixels: tuple[Tensor, Tensor]) -> None:
    expected = (5 * (math.log(4 / 3) + math.log(4)) + 2 * math.log(4 / 3)) / 4
    assert bce_dice(dice_weight=0.0, pos_weight=5.0)(*pixels).item() == pytest.approx(expected)
    assert bce_dice(dice_weight=0.0, pos_weight=[5.0])(*pixels).item() == pytest.approx(expected)


def test_focal_loss_of_four_pixels(pixels: tuple[Tensor, Tensor]) -> None:
    easy, hard = (1 / 4) ** 2 * math.log(4 / 3), (3 / 4) ** 2 * math.log(4)
    unweighted = focal_dice(dice_weight=0.0, alpha=None)
    assert unweighted(*pixels).item() == pytest.approx((3 * easy + hard) / 4)
    weighted = focal_dice(dice_weight=0.0, alpha=0.9)
    assert weighted(*pixels).item() == pytest.approx((0.9 * (easy + hard) + 0.1 * 2 * easy) / 4)
    doubled = focal_dice(dice_weight=0.0, alpha=None, pos_weight=2.0)
    assert doubled(*pixels).item() == pytest.approx((2 * (easy + hard) + 2 * easy) / 4)


def test_tversky_of_four_pixels(pixels: tuple[Tensor, Tensor]) -> None:
    expected = 1 - (1 + 1) / (1 + 0.3 * 0.5 + 0.7 * 1 + 1)
    assert tversky()(*pixels).item() == pytest.approx(expected)
    swapped = 1 - (1 + 2) / (1 + 0.7 * 0.5 + 0.3 * 1 + 2)
    assert tversky(alpha=0.7, beta=0.3, smooth=2.0)(*pixels).item() == pytest.approx(swapped)


def test_pixels_are_pooled_over_the_batch(pixels: tuple[Tensor, Tensor]) -> None:
    logits, target = pixels
    empty = torch.full_like(logits, -LN3)  # 4 * 1/4 false positive more: FP 3/2
    both = torch.cat([logits, empty]), torch.cat([target, torch.zeros_like(target)])
    assert bce_dice(dice_weight=1.0)(*both).item() == pytest.approx(1 - (2 + 1) / (2 + 1.5 + 1 + 1))


def test_region_weights_make_a_weighted_mean_in_channel_order(batch: tuple[Tensor, Tensor]) -> None:
    logits, target = batch
    for make in (bce_dice, focal_dice, tversky):
        first, second = (make()(logits[:, [r]], target[:, [r]]) for r in (0, 1))
        assert make()(logits, target).item() == pytest.approx(((first + second) / 2).item())
        weighted = make(region_weights=[1.0, 3.0])(logits, target)
        assert weighted.item() == pytest.approx(((first + 3 * second) / 4).item())
        assert make(region_weights=[0, 7])(logits, target).item() == pytest.approx(second.item())


def test_each_region_has_its_own_positive_weight(batch: tuple[Tensor, Tensor]) -> None:
    logits, target = batch
    for make in (bce_dice, focal_dice):
        parts = [make(pos_weight=w)(logits[:, [r]], target[:, [r]]) for r, w in enumerate((2.0, 9.0))]
        both = make(pos_weight=[2.0, 9.0])(logits, target)
        assert both.item() == pytest.approx((sum(parts) / 2).item())
        assert make(pos_weight=2.0)(logits, target).item() != pytest.approx(both.item())


# Second opinions


def test_cross_entropy_agrees_with_torch(batch: tuple[Tensor, Tensor]) -> None:
    logits, target = batch
    theirs = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([2.0, 5.0]).reshape(2, 1, 1))(
        logits, target.float()
    )
    ours = bce_dice(dice_weight=0.0, pos_weight=[2.0, 5.0])(logits, target)
    assert ours.item() == pytest.approx(theirs.item())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [None, 0.0, 0.25, 1.0])
def test_focal_loss_agrees_with_torchvision(
    batch: tuple[Tensor, Tensor], gamma: float, alpha: float | None
) -> None:
    logits, target = batch
    theirs = sigmoid_focal_loss(
        logits, target.float(), alpha=-1 if alpha is None else alpha, gamma=gamma, reduction="mean"
    )
    ours = focal_dice(dice_weight=0.0, gamma=gamma, alpha=alpha)(logits, target)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


def test_dice_and_tversky_agree_with_monai(batch: tuple[Tensor, Tensor]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other packages, while MONAI imports them
        from monai import losses as monai

    logits, target = batch
    common = {"sigmoid": True, "batch": True, "smooth_nr": 0.5, "smooth_dr": 0.5}
    dice = monai.DiceLoss(**common)(logits, target.float())
    assert bce_dice(dice_weight=1.0, smooth=0.5)(logits, target).item() == pytest.approx(dice.item())
    theirs = monai.TverskyLoss(**common, alpha=0.2, beta=0.9)(logits, target.float())
    ours = tversky(alpha=0.2, beta=0.9, smooth=0.5)(logits, target)
    assert ours.item() == pytest.approx(theirs.item())


# Edges


def test_empty_truth_found_empty_costs_nothing_and_found_full_costs_all() -> None:
    nothing = torch.zeros(2, 1, 8, 8)
    certain = torch.full_like(nothing, 30.0)
    for loss in (bce_dice(dice_weight=1.0), tversky()):
        assert loss(-certain, nothing).item() == pytest.approx(0.0, abs=1e-6)
        assert loss(certain, nothing).item() > 0.95
    for loss in (bce_dice(), focal_dice()):
        assert loss(-certain, nothing).item() == pytest.approx(0.0, abs=1e-6)


@every_loss
def test_a_perfect_prediction_costs_nothing(loss: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    _, target = batch
    assert loss(40.0 * target - 20.0, target).item() == pytest.approx(0.0, abs=1e-6)


@every_loss
@pytest.mark.parametrize("scale", [1e4, -1e4, 0.0])
@pytest.mark.parametrize("truth", ["mixed", "empty", "full"])
def test_extreme_logits_give_finite_values_and_gradients(
    loss: nn.Module, batch: tuple[Tensor, Tensor], scale: float, truth: str
) -> None:
    target = {"mixed": batch[1], "empty": batch[1] & False, "full": batch[1] | True}[truth]
    for signs in (torch.ones(target.shape), 2.0 * target - 1):
        logits = (scale * signs).requires_grad_()
        value = loss(logits, target)
        value.backward()
        assert value.isfinite()
        assert logits.grad.isfinite().all()


def test_a_confident_miss_is_pulled_back_with_full_force() -> None:
    logits = torch.full((1, 1, 1, 2), -100.0, requires_grad=True)
    for loss in (bce_dice(dice_weight=0.0), focal_dice(dice_weight=0.0, alpha=None)):
        (gradient,) = torch.autograd.grad(loss(logits, torch.ones(1, 1, 1, 2)), logits)
        assert gradient.flatten().tolist() == pytest.approx([-0.5, -0.5])


# Precision and gradients


@every_loss
def test_gradients_agree_with_finite_differences(loss: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    logits, target = batch
    assert loss(logits.double(), target).dtype == torch.float64
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits.double().requires_grad_())


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_lower_precisions_are_worked_out_in_float32(
    loss: nn.Module, batch: tuple[Tensor, Tensor], dtype: torch.dtype
) -> None:
    logits, target = batch[0].to(dtype).requires_grad_(), batch[1]
    exact = logits.detach().double().requires_grad_()
    value, reference = loss(logits, target), loss(exact, target)
    assert value.dtype == torch.float32
    assert value.shape == ()
    assert value.item() == pytest.approx(reference.item(), rel=1e-5)
    value.backward()
    reference.backward()
    assert logits.grad.dtype == dtype
    tolerance = 4 * torch.finfo(dtype).eps
    assert torch.allclose(logits.grad.double(), exact.grad, rtol=tolerance, atol=1e-7)


@every_loss
def test_autocast_changes_nothing(loss: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    expected = loss(*batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(*batch)
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)


@every_loss
def test_a_large_batch_loses_no_precision(loss: nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(4, 2, 256, 256, generator=generator) - 4
    target = torch.rand(4, 2, 256, 256, generator=generator) > 0.99
    assert loss(logits, target).item() == pytest.approx(loss(logits.double(), target).item(), rel=1e-5)


@every_loss
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32, torch.float64])
def test_the_dtype_of_the_target_does_not_matter(
    loss: nn.Module, batch: tuple[Tensor, Tensor], dtype: torch.dtype
) -> None:
    logits, target = batch
    value = loss(logits, target.to(dtype))
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(logits, target))


@every_loss
def test_a_loss_leaves_no_trace_in_a_checkpoint(loss: nn.Module) -> None:
    assert loss.state_dict() == {}


def test_weights_move_with_the_module() -> None:
    loss = bce_dice(region_weights=[1.0, 2.0], pos_weight=3.0).to("meta")
    assert {name: buffer.device.type for name, buffer in loss.named_buffers()} == {
        "region_weights": "meta",
        "pos_weight": "meta",
    }


# Refusals


@pytest.mark.parametrize(
    "weights", [[1, -1], [0, 0], [], [1, math.nan], [math.inf, 1], ["a", 1], [True, 1], 2.0]
)
def test_bad_region_weights_are_refused(weights: object) -> None:
    for make in (bce_dice, focal_dice, tversky):
        with pytest.raises(ConfigError, match=r"^region_weights: must list numbers >= 0, one of them > 0"):
            make(region_weights=weights)


@pytest.mark.parametrize("weight", [0.0, -1, [1, 0.0], [], math.inf, "heavy", ["a"], True])
def test_a_bad_positive_weight_is_refused(weight: object) -> None:
    for make in (bce_dice, focal_dice):
        with pytest.raises(
            ConfigError, match=r"^pos_weight: must be a number > 0 or a list of one per region"
        ):
            make(pos_weight=weight)


@pytest.mark.parametrize("key", ["region_weights", "pos_weight"])
@pytest.mark.parametrize("weights", [[1.0], [1.0, 2.0, 3.0]])
def test_weights_for_another_number_of_regions_are_refused(
    batch: tuple[Tensor, Tensor], key: str, weights: list[float]
) -> None:
    loss = bce_dice(**{key: weights})
    rule = rf"^{key}: must be one number per region \(2\), got {len(weights)}$"
    with pytest.raises(ConfigError, match=rule):
        loss(*batch)


@pytest.mark.parametrize(
    ("make", "key", "value", "rule"),
    [
        (bce_dice, "dice_weight", 1.1, r"must be a number in \[0, 1\], got 1.1"),
        (bce_dice, "dice_weight", "half", r"must be a number in \[0, 1\], got 'half'"),
        (focal_dice, "alpha", -0.1, r"must be a number in \[0, 1\], got -0.1"),
        (focal_dice, "gamma", -1, "must be a number >= 0, got -1"),
        (focal_dice, "gamma", math.nan, "must be a number >= 0, got nan"),
        (tversky, "alpha", -1, "must be a number >= 0, got -1"),
        (tversky, "beta", -1, "must be a number >= 0, got -1"),
        (bce_dice, "smooth", 0, "must be a number of pixels > 0, got 0"),
        (focal_dice, "smooth", 0.0, "must be a number of pixels > 0, got 0.0"),
        (tversky, "smooth", math.inf, "must be a number of pixels > 0, got inf"),
    ],
)
def test_a_bad_setting_is_named(make: Any, key: str, value: object, rule: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{key}: {rule}$"):
        make(**{key: value})


def test_tversky_without_any_error_to_weigh_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^alpha, beta: one of them must be > 0, got 0 and 0$"):
        tversky(alpha=0, beta=0.0)


@pytest.mark.parametrize(
    ("logits", "target"),
    [((2, 2, 4, 4), (2, 1, 4, 4)), ((2, 2, 4, 4), (2, 2, 4, 1)), ((2, 4, 4), (2, 4, 4))],
)
def test_shapes_are_never_broadcast(logits: tuple[int, ...], target: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^logits and target must both be \(B, R, H, W\), got "):
        bce_dice()(torch.zeros(logits), torch.zeros(target))


def test_soft_tversky_gives_one_index_per_region(batch: tuple[Tensor, Tensor]) -> None:
    logits, target = batch
    index = soft_tversky(logits, target.float(), alpha=0.5, beta=0.5, smooth=1.0)
    assert index.shape == (2,)
    assert ((index > 0) & (index <= 1)).all()
