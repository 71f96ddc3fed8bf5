"""Overlap by case: worked by hand, and against scikit-learn and torchmetrics."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, jaccard_score, precision_score, recall_score
from torch import Tensor
from torchmetrics.classification import BinaryF1Score

from lts.base import ConfigError
from lts.metrics import CaseOverlap

BOTH = ["liver", "tumor"]


def overlap(regions: list[str] = BOTH, cases: int = 3, threshold: float = 0.5) -> CaseOverlap:
    return CaseOverlap(regions=regions, cases=cases, threshold=threshold)


def slices(*rows: str) -> Tensor:
    """A batch of one-row slices of one region from strings such as `"1101"`."""
    return torch.tensor([[int(voxel) for voxel in row] for row in rows])[:, None, None].bool()


def random_batch(slices: int = 12, size: int = 24, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(slices, 2, size, size, generator=generator) < torch.tensor([0.4, 0.1])[:, None, None]
    probs = (torch.rand(target.shape, generator=generator) + 0.4 * target).clamp(0, 1)
    return probs, target, torch.arange(slices) % 3


def test_scores_of_hand_made_cases() -> None:
    # Case 0: tp 1, fp 1, fn 1. Case 1: both empty. Case 2: only the prediction holds a voxel.
    prediction, target = slices("1100", "0000", "0001"), slices("1010", "0000", "0000")
    metric = overlap(["tumor"])
    metric.update(prediction.float(), target, torch.arange(3))
    scores = {name: score.item() for name, score in metric.compute().items()}
    assert scores == pytest.approx(
        {
            "tumor/dice_per_case": (0.5 + 1 + 0) / 3,
            "tumor/dice_where_present": 0.5,
            "tumor/iou_per_case": (1 / 3 + 1 + 0) / 3,
            "tumor/dice_global": 2 / 5,
            "tumor/iou_global": 1 / 4,
            "tumor/precision": 1 / 3,
            "tumor/recall": 1 / 2,
            "tumor/accuracy": 9 / 12,
        }
    )


def test_only_the_reference_holding_a_voxel_scores_zero() -> None:
    metric = overlap(["tumor"], cases=1)
    metric.update(torch.zeros(1, 1, 2, 2), slices("0100").view(1, 1, 2, 2), torch.tensor([0]))
    scores = metric.compute()
    assert scores["tumor/dice_per_case"] == 0
    assert scores["tumor/recall"] == 0
    assert scores["tumor/precision"].isnan()


def test_pooled_scores_of_nothing_are_nan_while_an_empty_case_counts_one() -> None:
    metric = overlap(["tumor"])
    metric.update(torch.zeros(2, 1, 3, 3), torch.zeros(2, 1, 3, 3, dtype=torch.bool), torch.tensor([0, 2]))
    scores = metric.compute()
    assert scores["tumor/dice_per_case"] == scores["tumor/iou_per_case"] == 1
    assert scores["tumor/accuracy"] == 1
    for name in ("dice_where_present", "dice_global", "iou_global", "precision", "recall"):
        assert scores[f"tumor/{name}"].isnan()


def test_a_case_never_seen_is_left_out_of_the_mean() -> None:
    metric = overlap(["tumor"], cases=9)
    metric.update(slices("10", "11").float(), slices("10", "00"), torch.tensor([7, 1]))
    assert metric.compute()["tumor/dice_per_case"] == 0.5
    per_case = metric.per_case()
    assert per_case["dice"][[7, 1], 0].tolist() == [1, 0]
    assert per_case["dice"].isnan().sum() == per_case["iou"].isnan().sum() == 7
    assert per_case["tn"].flatten().tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 0]


def test_dice_where_present_is_the_mean_over_cases_that_hold_the_region() -> None:
    # Case 0 is missed, case 1 is right, case 2 has nothing and is seen, case 3 has nothing and is left alone.
    prediction, target = slices("0000", "0110", "1111", "0000"), slices("1000", "0110", "0000", "0000")
    metric = overlap(["tumor"], cases=5)
    metric.update(prediction.float(), target, torch.arange(4))
    assert metric.compute()["tumor/dice_where_present"] == 0.5


def test_a_case_split_over_batches_in_odd_order_is_one_case() -> None:
    probs, target, case = random_batch()
    whole, split = overlap(), overlap()
    whole.update(probs, target, case)
    for part in ([11, 0, 4], [7], [3, 1, 10, 9, 2], [5, 8, 6]):
        split.update(probs[part], target[part], case[part])
    assert torch.equal(whole.counts, split.counts)
    assert whole.compute() == split.compute()


def test_scores_equal_scikit_learn() -> None:
    probs, target, case = random_batch()
    metric = overlap(threshold=0.7)
    metric.update(probs, target, case)
    scores = metric.compute()
    for channel, region in enumerate(BOTH):
        truth, guess = target[:, channel].numpy(), (probs[:, channel] > 0.7).numpy()
        by_case = [(truth[case == index].ravel(), guess[case == index].ravel()) for index in range(3)]
        expected = {
            "dice_per_case": np.mean([f1_score(*pair) for pair in by_case]),
            "dice_where_present": np.mean([f1_score(*pair) for pair in by_case if pair[0].any()]),
            "iou_per_case": np.mean([jaccard_score(*pair) for pair in by_case]),
            "dice_global": f1_score(truth.ravel(), guess.ravel()),
            "iou_global": jaccard_score(truth.ravel(), guess.ravel()),
            "precision": precision_score(truth.ravel(), guess.ravel()),
            "recall": recall_score(truth.ravel(), guess.ravel()),
            "accuracy": accuracy_score(truth.ravel(), guess.ravel()),
        }
        assert {name: scores[f"{region}/{name}"].item() for name in expected} == pytest.approx(expected)


def test_pooled_dice_equals_torchmetrics_f1() -> None:
    probs, target, case = random_batch()
    metric, peer = overlap(), BinaryF1Score(threshold=0.5)
    metric.update(probs, target, case)
    peer.update(probs[:, 1], target[:, 1].int())
    assert metric.compute()["tumor/dice_global"].item() == pytest.approx(peer.compute().item())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_voxels_are_counted_exactly_in_every_precision(dtype: torch.dtype) -> None:
    # 90,000 voxels are more than bfloat16 or float16 can count.
    probs = torch.ones(1, 1, 300, 300, dtype=dtype)
    target = torch.ones(1, 1, 300, 300, dtype=torch.bool)
    target[0, 0, 0, 0] = False
    metric = overlap(["tumor"], cases=1)
    metric.update(probs, target, torch.tensor([0]))
    assert metric.counts.flatten().tolist() == [89_999, 1, 0, 0]


def test_a_probability_at_the_threshold_is_not_predicted() -> None:
    metric = overlap(["tumor"], cases=1, threshold=0.25)
    metric.update(torch.tensor([[[[0.25, 0.2501, 0.2499]]]]), slices("111"), torch.tensor([0]))
    assert metric.counts.flatten().tolist() == [1, 0, 2, 0]


def test_the_threshold_is_not_rounded_to_the_precision_of_the_probabilities() -> None:
    # In bfloat16 0.3 rounds up to 0.30078.
    metric = overlap(["tumor"], cases=1, threshold=0.3)
    metric.update(torch.full((1, 1, 1, 1), 0.30078125, dtype=torch.bfloat16), slices("1"), torch.tensor([0]))
    assert metric.compute()["tumor/recall"] == 1


def test_channels_last_batches_count_alike() -> None:
    probs, target, case = random_batch()
    plain, strided = overlap(), overlap()
    plain.update(probs, target, case)
    strided.update(probs.contiguous(memory_format=torch.channels_last), target, case)
    assert torch.equal(plain.counts, strided.counts)


def test_reset_forgets_and_memory_does_not_grow() -> None:
    probs, target, case = random_batch()
    metric = overlap()
    for _ in range(5):
        metric.update(probs, target, case)
        assert metric.counts.shape == (3, 2, 4)
    metric.reset()
    assert not metric.counts.any()
    metric.update(probs, target, case)
    assert metric.counts.sum() == probs.numel()


@pytest.mark.parametrize("bad", [1.5, -0.1, float("nan"), float("inf")])
def test_a_value_that_is_no_probability_is_refused(bad: float) -> None:
    probs, target, case = random_batch()
    probs[3, 1, 2, 2] = bad
    metric = overlap()
    metric.update(probs, target, case)
    for read in (metric.compute, metric.per_case):
        with pytest.raises(
            ValueError, match=r"probs: must lie in \[0, 1\], 1 batches held other values or NaN"
        ):
            read()
    metric.reset()
    metric.update(*random_batch())
    assert metric.compute()["liver/accuracy"] > 0


@pytest.mark.parametrize("bad", [-1, 3])
def test_a_case_that_does_not_exist_is_refused(bad: int) -> None:
    probs, target, case = random_batch()
    case[5] = bad
    metric = overlap()
    metric.update(probs, target, case)
    with pytest.raises(ValueError, match=r"case: must be in \[0, 3\), 1 batches held other values"):
        metric.compute()


def test_batches_of_the_wrong_kind_are_refused() -> None:
    probs, target, case = random_batch()
    metric = overlap()
    wrong = {
        "probs: must be floating point, got torch.int64": (probs.long(), target, case),
        "target: must be bool, got torch.float32": (probs, target.float(), case),
        r"probs: must be \(B, 2, ...\)": (probs[:, :1], target[:, :1], case),
        r"probs: must be \(B, 2, ...\) .* got \(0, 2, 24, 24\)": (probs[:0], target[:0], case[:0]),
        r"probs: must be \(B, R, H, W\)": (probs[:, :, 0], target[:, :, 0], case),
        r"target: must be \(12, 2, 24, 24\) like probs": (probs, target[..., :5], case),
        "target: must be on cpu like probs, got meta": (probs, target.to("meta"), case),
        r"case: must be int64 \(12,\) on cpu, got torch.int32": (probs, target, case.int()),
        r"case: must be int64 \(12,\) on cpu, got torch.int64 \(3,\)": (probs, target, case[:3]),
    }
    for message, batch in wrong.items():
        with pytest.raises(ValueError, match=message):
            metric.update(*batch)


def test_settings_that_break_their_rule_are_refused() -> None:
    with pytest.raises(ConfigError, match="cases: must be at least 1, got 0"):
        overlap(cases=0)
    with pytest.raises(ConfigError, match=r"threshold: must be in \[0, 1\), got 1.0"):
        overlap(threshold=1.0)
    for regions in ([], ["liver", "liver"], ["liver", ""], "liver"):
        with pytest.raises(ConfigError, match="^regions: must be one or more names, each once, got "):
            overlap(regions)


def test_regions_are_called_what_the_caller_calls_them() -> None:
    metric = CaseOverlap(regions=["kidney", "cyst"], cases=4)
    probs, target, case = random_batch()
    metric.update(probs, target, case)
    known = overlap(cases=4)
    known.update(probs, target, case)
    assert metric.compute() == {
        name.replace("liver", "kidney").replace("tumor", "cyst"): score
        for name, score in known.compute().items()
    }


def test_without_checks_the_scores_are_the_same() -> None:
    checked, unchecked = (
        CaseOverlap(regions=BOTH, cases=3, threshold=0.5, validate_args=flag) for flag in (True, False)
    )
    checked.update(*random_batch())
    unchecked.update(*random_batch())
    assert checked.compute() == unchecked.compute()
