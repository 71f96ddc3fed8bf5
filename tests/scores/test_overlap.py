"""Formulas of overlap: worked by hand, and against scikit-learn, of numbers, arrays and tensors."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, jaccard_score, precision_score, recall_score

from lts.scores import accuracy, count_overlap, dice, iou, precision, recall, rvd, voe


def test_formulas_match_fractions_worked_by_hand() -> None:
    tp, fp, fn, tn = (torch.tensor(count) for count in (6, 2, 4, 8))
    assert dice(tp, fp, fn, empty=0.0).item() == 12 / 18
    assert iou(tp, fp, fn, empty=0.0).item() == 6 / 12
    assert precision(tp, fp, empty=0.0).item() == 6 / 8
    assert recall(tp, fn, empty=0.0).item() == 6 / 10
    assert accuracy(tp, fp, fn, tn, empty=0.0).item() == 14 / 20


def test_empty_value_is_given_only_for_zero_by_zero() -> None:
    tp, fp, fn = torch.tensor([[0, 0, 0], [0, 5, 0], [0, 0, 5]]).T
    assert dice(tp, fp, fn, empty=1.0).tolist() == [1, 0, 0]
    assert iou(tp, fp, fn, empty=0.25).tolist() == [0.25, 0, 0]
    assert precision(tp, fp, empty=0.5).tolist() == [0.5, 0, 0.5]
    assert recall(tp, fn, empty=0.5).tolist() == [0.5, 0.5, 0]
    assert accuracy(tp, fp, fn, tp, empty=0.5).tolist() == [0.5, 0, 0]


def test_formulas_keep_every_digit_of_huge_counts() -> None:
    tp = torch.tensor(2**40 + 1)
    assert recall(tp, torch.tensor(2**40 - 1), empty=0.0).item() == (2**40 + 1) / 2**41


@pytest.mark.parametrize("made", [int, np.int64, np.array, torch.tensor])
def test_numbers_arrays_and_tensors_give_the_same(made) -> None:
    tp, fp, fn, tn = map(made, (6, 2, 4, 8))
    found = [
        dice(tp, fp, fn),
        iou(tp, fp, fn),
        voe(tp, fp, fn),
        precision(tp, fp),
        recall(tp, fn),
        accuracy(tp, fp, fn, tn),
        rvd(tp + fp, tp + fn),
    ]
    assert [float(score) for score in found] == [12 / 18, 6 / 12, 6 / 12, 6 / 8, 6 / 10, 14 / 20, -2 / 10]


@pytest.mark.parametrize("made", [int, np.int64, np.array, torch.tensor])
def test_nothing_has_a_dice_of_one_and_no_precision(made) -> None:
    nothing = made(0)
    assert (float(dice(nothing, nothing, nothing)), float(iou(nothing, nothing, nothing))) == (1, 1)
    assert float(voe(nothing, nothing, nothing)) == 0
    for score in (
        precision(nothing, nothing),
        recall(nothing, nothing),
        accuracy(nothing, nothing, nothing, nothing),
        rvd(made(5), nothing),
    ):
        assert math.isnan(float(score))


def test_formulas_of_arrays_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    prediction, reference = rng.random((5, 12, 13)) < 0.4, rng.random((5, 12, 13)) < 0.3
    tp, fp, fn = count_overlap(prediction, reference)
    tn = 12 * 13 - tp - fp - fn
    pairs = [(r.ravel(), p.ravel()) for p, r in zip(prediction, reference, strict=True)]
    assert dice(tp, fp, fn) == pytest.approx([f1_score(*pair) for pair in pairs])
    assert iou(tp, fp, fn) == pytest.approx([jaccard_score(*pair) for pair in pairs])
    assert voe(tp, fp, fn) == pytest.approx([1 - jaccard_score(*pair) for pair in pairs])
    assert precision(tp, fp) == pytest.approx([precision_score(*pair) for pair in pairs])
    assert recall(tp, fn) == pytest.approx([recall_score(*pair) for pair in pairs])
    assert accuracy(tp, fp, fn, tn) == pytest.approx([accuracy_score(*pair) for pair in pairs])


def test_arrays_keep_every_digit_of_huge_counts_too() -> None:
    found = recall(np.array([2**40 + 1]), np.array([2**40 - 1]))
    assert (found.dtype, found.tolist()) == (np.float64, [(2**40 + 1) / 2**41])
