"""ROC-AUC in constant memory against the exact area, above all where probabilities crowd."""

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torchmetrics.classification import BinaryAUROC

from lts.base import ConfigError
from lts.metrics import BinnedAUROC


def area(probs: Tensor, target: Tensor) -> float:
    metric = BinnedAUROC(regions=["tumor"])
    metric.update(probs.reshape(1, 1, -1), target.reshape(1, 1, -1))
    return metric.compute()["tumor/auroc"].item()


def exact(probs: Tensor, target: Tensor) -> float:
    return float(roc_auc_score(target.flatten().numpy(), probs.flatten().float().numpy()))


def scores(count: int = 100_000, share: float = 0.1) -> tuple[Tensor, Tensor]:
    """Standard normal scores, those of positives one higher, and the positives."""
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(count, generator=generator) < share
    return torch.randn(count, generator=generator) + target, target


def test_area_of_hand_made_voxels() -> None:
    # Of six (positive, negative) pairs four are in order, one is a tie, one is out of order.
    probs = torch.tensor([0.1, 0.4, 0.8, 0.4, 0.9])
    target = torch.tensor([False, False, False, True, True])
    assert area(probs, target) == pytest.approx(4.5 / 6)


@pytest.mark.parametrize(
    ("center", "scale"),
    [(0, 1), (0, 15), (15, 1), (-15, 1), (-15, 15), (-40, 2), (4, 0.5), (0, 1e-4), (0, 1e-6), (-1, 5e-2)],
)
def test_area_is_exact_wherever_logits_crowd(center: float, scale: float) -> None:
    score, target = scores()
    probs = (center + scale * score.double()).sigmoid().float()
    assert area(probs, target) == pytest.approx(exact(probs, target), abs=1e-4)


@pytest.mark.parametrize("center", [0.1, 0.25, 0.3, 0.7, 0.75, 0.9])
def test_area_is_close_in_a_narrow_interval_anywhere(center: float) -> None:
    score, target = scores()
    probs = center + 1e-3 * score
    assert area(probs, target) == pytest.approx(exact(probs, target), abs=1e-3)


def test_crowds_at_both_ends_are_told_apart() -> None:
    score, target = scores()
    probs = (score + torch.where(torch.arange(len(score)) % 2 == 0, 15, -15)).sigmoid()
    assert area(probs, target) == pytest.approx(exact(probs, target), abs=1e-4)


def test_probabilities_of_exactly_zero_and_one_are_ties() -> None:
    score, target = scores()
    probs = (100 * score).sigmoid()
    assert (probs == 0).sum() > 0
    assert (probs == 1).sum() > 1000
    assert area(probs, target) == pytest.approx(exact(probs, target), abs=1e-6)
    hard = (score > 0.5).float()
    assert area(hard, target) == pytest.approx(exact(hard, target), abs=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.3, 0.5, 1.0])
def test_one_probability_everywhere_is_chance(value: float) -> None:
    _, target = scores(1000)
    assert area(torch.full((1000,), value), target) == 0.5


def test_perfect_and_reversed_order_score_one_and_zero() -> None:
    _, target = scores(1000)
    assert area(0.2 + 0.6 * target.float(), target) == 1
    assert area(0.8 - 0.6 * target.float(), target) == 0


def test_twenty_positives_in_two_million_voxels() -> None:
    score, _ = scores(2_000_000)
    target = torch.zeros(2_000_000, dtype=torch.bool)
    target[::100_000] = True
    probs = (score - 9 + 4 * target).sigmoid()
    assert target.sum() == 20
    assert area(probs, target) == pytest.approx(exact(probs, target), abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions_score_as_their_float32_values(dtype: torch.dtype) -> None:
    score, target = scores()
    probs = (3 * score).sigmoid().to(dtype)
    assert area(probs, target) == pytest.approx(exact(probs, target), abs=1e-5)


def test_area_equals_torchmetrics_per_region_of_a_batch() -> None:
    generator = torch.Generator().manual_seed(1)
    target = torch.rand(3, 2, 16, 16, generator=generator) < torch.tensor([0.5, 0.05])[:, None, None]
    probs = (torch.randn(target.shape, generator=generator) + target).sigmoid()
    metric = BinnedAUROC(regions=["liver", "tumor"])
    metric.update(probs, target)
    for channel, region in enumerate(metric.regions):
        expected = BinaryAUROC()(probs[:, channel], target[:, channel].int())
        assert metric.compute()[f"{region}/auroc"].item() == pytest.approx(expected.item(), abs=1e-4)


def test_order_batches_and_memory_format_do_not_matter() -> None:
    score, target = scores(4 * 2 * 20 * 20)
    probs, target = score.sigmoid().view(4, 2, 20, 20), target.view(4, 2, 20, 20)
    whole, parts = (BinnedAUROC(regions=["liver", "tumor"]) for _ in range(2))
    whole.update(probs, target)
    size = parts.histogram.numel()
    for index in ([2], [3, 0], [1]):
        parts.update(probs[index].contiguous(memory_format=torch.channels_last), target[index])
        assert parts.histogram.numel() == size
    assert torch.equal(whole.histogram, parts.histogram)
    parts.reset()
    assert not parts.histogram.any()


def test_every_bin_is_in_range_and_never_falls() -> None:
    probs = torch.cat(
        [
            torch.linspace(0, 1, 100_001),
            torch.tensor([1e-45, 1e-38, 0.25, 0.5, 0.75]),
            torch.tensor([0.25, 0.5, 0.75]) + 1e-7,
            torch.tensor([0.25, 0.5, 0.75, 1]) - 1e-7,
        ]
    ).sort()[0]
    target = torch.arange(len(probs)) >= len(probs) // 2
    assert area(probs, target) == pytest.approx(1, abs=1e-6)


def test_an_absent_class_has_no_area_and_no_curve() -> None:
    metric = BinnedAUROC(regions=["liver", "tumor"])
    target = torch.tensor([[[True, False], [False, False]]])
    metric.update(torch.rand(1, 2, 2), target)
    assert not metric.compute()["liver/auroc"].isnan()
    assert metric.compute()["tumor/auroc"].isnan()
    assert [len(rate) for rate in metric.roc("tumor")] == [0, 0]


def test_the_curve_holds_its_area_in_few_points() -> None:
    score, target = scores()
    metric = BinnedAUROC(regions=["tumor"])
    metric.update(score.sigmoid().view(1, 1, -1), target.view(1, 1, -1))
    fpr, tpr = metric.roc("tumor", points=200)
    assert 100 < len(fpr) <= 200
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert torch.trapezoid(tpr, fpr).item() == pytest.approx(metric.compute()["tumor/auroc"].item(), abs=1e-3)


def test_the_curve_of_one_probability_is_the_diagonal() -> None:
    metric = BinnedAUROC(regions=["tumor"])
    metric.update(torch.ones(1, 1, 4), torch.tensor([[[True, False, True, False]]]))
    assert [rate.tolist() for rate in metric.roc("tumor")] == [[0, 1], [0, 1]]


def test_the_curve_of_four_voxels_is_worked_by_hand() -> None:
    metric = BinnedAUROC(regions=["tumor"])
    metric.update(torch.tensor([[[0.9, 0.6, 0.2, 0.1]]]), torch.tensor([[[True, False, True, False]]]))
    fpr, tpr = metric.roc("tumor")
    assert list(zip(fpr.tolist(), tpr.tolist(), strict=True)) == [
        (0, 0),
        (0, 0.5),
        (0.5, 0.5),
        (0.5, 1),
        (1, 1),
    ]


@pytest.mark.parametrize("bad", [1.0001, -0.1, 7.0, float("nan"), float("-inf")])
def test_a_value_that_is_no_probability_is_refused(bad: float) -> None:
    metric = BinnedAUROC(regions=["tumor"])
    metric.update(torch.tensor([[[0.5, bad]]]), torch.tensor([[[True, False]]]))
    for read in (metric.compute, lambda: metric.roc("tumor")):
        with pytest.raises(
            ValueError, match=r"probs: must lie in \[0, 1\], 1 batches held other values or NaN"
        ):
            read()


def test_batches_of_the_wrong_kind_are_refused() -> None:
    metric = BinnedAUROC(regions=["tumor"])
    probs, target = torch.rand(2, 1, 4, 4), torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match="target: must be bool"):
        metric.update(probs, target.long())
    with pytest.raises(ValueError, match=r"probs: must be \(B, 1, ...\) for \['tumor'\], got \(2, 2, 4\)"):
        metric.update(torch.rand(2, 2, 4), torch.zeros(2, 2, 4, dtype=torch.bool))
    with pytest.raises(ConfigError, match="regions: must be one or more names, each once"):
        BinnedAUROC(regions=["liver", "liver"])
    metric.update(probs, target)
    with pytest.raises(ValueError, match=r"region: must be one of \['tumor'\], got 'liver'"):
        metric.roc("liver")


def test_without_checks_the_area_is_the_same() -> None:
    score, target = scores(1000)
    metric = BinnedAUROC(regions=["tumor"], validate_args=False)
    metric.update(score.sigmoid().view(1, 1, -1), target.view(1, 1, -1))
    assert metric.compute()["tumor/auroc"].item() == area(score.sigmoid(), target)
