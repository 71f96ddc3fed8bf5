"""What loggers are told of a whole run."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
from pytorch_lightning.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger

from lts.task import EpochHistory, LogSummary

MONITOR = "val/tumor/dice_where_present"
EPOCHS = [
    {
        "train/loss": 0.9,
        "val/loss": 0.8,
        MONITOR: 0.1,
        "val/tumor/dice_per_case": 0.2,
        "val/tumor/auroc": 0.6,
    },
    {
        "train/loss": 0.7,
        "val/loss": 0.6,
        MONITOR: 0.5,
        "val/tumor/dice_per_case": 0.4,
        "val/tumor/auroc": 0.7,
    },
    {
        "train/loss": 0.5,
        "val/loss": 0.4,
        MONITOR: 0.3,
        "val/tumor/dice_per_case": 0.6,
        "val/tumor/auroc": 0.8,
    },
]
OF_THE_FIRST = {
    "best/train/loss": 0.9,
    "best/val/loss": 0.8,
    f"best/{MONITOR}": 0.1,
    "best/val/tumor/dice_per_case": 0.2,
}
OF_THE_SECOND = {
    "best/train/loss": 0.7,
    "best/val/loss": 0.6,
    f"best/{MONITOR}": 0.5,
    "best/val/tumor/dice_per_case": 0.4,
}
SETTINGS = {"optimizer.lr": 0.1, "seed": 3}
TUNED = {"optimizer.lr": 0.1}


class Noted:
    """A logger that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.told.append((metrics, step))

    def log_hyperparams(self, params: dict[str, Any], *scores_and_step: Any) -> None:
        self.told.append((params, *scores_and_step))


class Board(Noted, TensorBoardLogger):
    """TensorBoard, without files."""


class Table(Noted, CSVLogger):
    """A log of another kind."""


class Store(Noted, MLFlowLogger):
    """MLflow, whose run has one of the settings already."""

    run_id = "a"
    experiment = SimpleNamespace(
        get_run=lambda run_id: SimpleNamespace(data=SimpleNamespace(params={"seed": "1"}))
    )


def told_of(epochs: list[dict[str, float]], *loggers: Noted, monitor: str | None = MONITOR) -> None:
    """Epochs of four steps; the history notes each before the summary does."""
    history = EpochHistory(path="unused.png", monitor=monitor)
    summary = LogSummary(history, settings=SETTINGS, tuned=TUNED)
    summary.on_train_start(SimpleNamespace(loggers=loggers), None)  # type: ignore[arg-type]
    for number, scores in enumerate(epochs, start=1):
        history.epochs[number] = scores
        trainer: Any = SimpleNamespace(loggers=loggers, global_step=4 * number)
        summary.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]


def test_the_scores_of_the_best_epoch_are_logged_when_it_is_another_one() -> None:
    table = Table()
    told_of(EPOCHS, table)
    assert table.told == [(SETTINGS,), (OF_THE_FIRST, 3), (OF_THE_SECOND, 7)]


def test_tensorboard_takes_tuned_settings_with_the_first_scores() -> None:
    board = Board()
    told_of(EPOCHS, board)
    (tuned, columns, step), *later = board.told
    assert (tuned, step, later) == (TUNED, 3, [(OF_THE_SECOND, 7)])
    assert {name: value for name, value in columns.items() if not math.isnan(value)} == OF_THE_FIRST
    # Those of its first run are the columns of all that TensorBoard shows.
    other = Board()
    told_of([{"train/loss": 0.9}], other, monitor=None)
    assert other.told[0][1].keys() == columns.keys()


def test_mlflow_is_told_the_settings_that_its_run_does_not_have() -> None:
    store = Store()
    told_of([], store)
    assert store.told == [({"optimizer.lr": 0.1},)]


@pytest.mark.parametrize("monitor", [None, "train/loss"])
def test_without_validation_it_is_the_loss_of_training(monitor: str | None) -> None:
    table = Table()
    told_of([{"train/loss": 0.9, "train/accuracy": 0.5}], table, monitor=monitor)
    assert table.told[1:] == [({"best/train/loss": 0.9}, 3)]


def test_an_epoch_that_was_not_validated_is_not_the_best() -> None:
    table = Table()
    told_of([{"train/loss": 0.9}, EPOCHS[0]], table)
    assert table.told[1:] == [(OF_THE_FIRST, 7)]
