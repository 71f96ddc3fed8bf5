import math

import pytest

from lts.task import mode_of, needs_region, score_names, standstill
from lts.task.model_selection import best_epoch

SCORE, NAN = "val/tumor/dice_where_present", math.nan


def epochs(*scores: tuple[float, float]) -> dict[int, dict[str, float]]:
    return {number: {SCORE: score, "val/loss": loss} for number, (score, loss) in enumerate(scores, start=1)}


@pytest.mark.parametrize(
    ("scores", "highest", "lowest"),
    [
        ([(0.1, 0.5), (0.7, 0.5), (0.3, 0.5)], 2, 1),
        ([(0.5, 0.9), (0.5, 0.2), (0.5, 0.4)], 2, 2),
        ([(0.5, 0.2), (0.5, 0.2)], 1, 1),
        ([(NAN, 0.1), (0.0, 0.9)], 2, 2),
        ([(NAN, 0.9), (NAN, 0.1)], 2, 2),
        ([(0.5, NAN), (0.5, 0.1)], 1, 1),
    ],
)
def test_the_best_epoch_is_that_of_the_best_score_and_among_equals_of_the_lowest_loss(
    scores: list[tuple[float, float]], highest: int, lowest: int
) -> None:
    assert best_epoch(epochs(*scores), monitor=SCORE, highest_is_best=True) == highest
    assert best_epoch(epochs(*scores), monitor=SCORE, highest_is_best=False) == lowest


def test_the_earliest_of_equal_epochs_is_the_best_in_whatever_order_they_are_told() -> None:
    told = epochs((0.5, 0.2), (0.5, 0.2), (0.3, 0.1))
    assert best_epoch(dict(reversed(told.items())), monitor=SCORE, highest_is_best=True) == 1


def test_a_loss_that_was_not_logged_breaks_no_tie() -> None:
    told = {1: {SCORE: 0.5, "val/loss": 0.1}, 2: {SCORE: 0.5}}
    assert best_epoch(told, monitor=SCORE, highest_is_best=True) == 1


def test_without_a_score_the_last_epoch_is_the_best() -> None:
    assert best_epoch(epochs((0.5, 0.1), (0.2, 0.9)), monitor=None, highest_is_best=True) == 2
    assert best_epoch({}, monitor=None, highest_is_best=True) is None
    assert best_epoch({1: {}}, monitor=SCORE, highest_is_best=True) is None


def test_a_score_that_stands_still_is_told() -> None:
    still = standstill(epochs((0.0, 0.9), (0.0, 0.3), (0.0, 0.5)), SCORE)
    assert still is not None
    assert still.startswith(f"{SCORE} never moved from 0.0000 in 3 epochs: ")
    undefined = standstill(epochs((NAN, 0.9), (NAN, 0.3)), SCORE)
    assert undefined is not None
    assert undefined.startswith(f"{SCORE} was not defined in any of 2 epochs: ")


@pytest.mark.parametrize("scores", [[], [(0.0, 0.9)], [(0.0, 0.9), (0.1, 0.9)], [(NAN, 0.9), (0.1, 0.9)]])
def test_a_score_that_moves_or_had_no_time_to_is_not_told(scores: list[tuple[float, float]]) -> None:
    assert standstill(epochs(*scores), SCORE) is None
    assert standstill(epochs(*scores), None) is None


def test_scores_say_what_they_need_and_which_end_is_the_best() -> None:
    names = score_names(("liver", "tumor"))
    assert {"train/loss", "val/loss", "val/accuracy", SCORE, "val/liver/auroc"} <= set(names)
    assert len(set(names)) == len(names) == 4 + 2 * 8
    assert [name for name in names if mode_of(name) == "min"] == ["train/loss", "val/loss"]
    assert needs_region(SCORE) == "tumor"
    for always_defined in ("val/loss", "val/accuracy", "train/accuracy", "val/tumor/dice_per_case"):
        assert needs_region(always_defined) is None
