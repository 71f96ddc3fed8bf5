"""How long a training takes, by a clock that a test moves; and logs that a kill tore."""

import csv
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger
from torch import nn
from torch.utils.data import DataLoader

from lts.task import PrintTimeLeft, WholeLogs, logs
from lts.task.logs import as_duration, log_picture


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (40, "40 s"),
        (99.4, "99 s"),
        (100, "2 min"),
        (720, "12 min"),
        (5999, "100 min"),
        (6000, "1.7 h"),
        (19800, "5.5 h"),
    ],
)
def test_durations_are_told_as_a_person_would(seconds: float, text: str) -> None:
    assert as_duration(seconds) == text


def told_in(
    monkeypatch: pytest.MonkeyPatch,
    *,
    batches: int,
    epoch: int = 0,
    epochs: int = 10,
    batch_s: float = 0.5,
    first: bool = True,
    validates: bool = True,
) -> list[tuple[int, str]]:
    """Run one epoch of batches that take `batch_s`, the first three of them ten times as long."""
    now, at = 0.0, 0
    told: list[tuple[int, str]] = []
    monkeypatch.setattr(logs.time, "perf_counter", lambda: now)
    callback = PrintTimeLeft(lambda line: told.append((at, line)))
    trainer: Any = SimpleNamespace(
        num_training_batches=batches,
        max_epochs=epochs,
        current_epoch=epoch,
        is_global_zero=first,
        enable_validation=validates,
    )
    for at in range(batches):
        now += batch_s * (10 if at < 3 else 1)
        callback.on_train_batch_end(trainer, None, None, None, at)  # type: ignore[arg-type]
    return told


def test_after_twenty_timed_batches_the_rest_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ((at, line),) = told_in(monkeypatch, batches=100)
    assert at == 22  # three are left out, twenty timed
    # 10 epochs of 100 batches less the 23 done, 0.5 s each, are 488.5 s.
    assert line == "training takes about 8 min more at 0.5 s a batch, and validation some on top"


def test_a_short_epoch_is_told_of_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ((at, line),) = told_in(monkeypatch, batches=6)
    assert at == 5
    assert line.startswith("training takes about 27 s more at 0.5 s a batch")
    ((_, alone),) = told_in(monkeypatch, batches=6, validates=False)
    assert alone == "training takes about 27 s more at 0.5 s a batch"


def test_a_resumed_run_is_told_of_the_epochs_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    ((_, line),) = told_in(monkeypatch, batches=24, epoch=8)
    assert line.startswith("training takes about 12 s more")  # 2 x 24 - 23 batches
    assert told_in(monkeypatch, batches=20, epoch=9) == []  # the last one, over before it was timed


def test_three_batches_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_in(monkeypatch, batches=3) == []


def test_the_first_process_alone_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_in(monkeypatch, batches=30, first=False) == []


class Noted:
    """A logger that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.told.append((step, metrics))

    def save(self) -> None:
        self.told.append("saved")

    def flush(self) -> None:
        self.told.append("flushed")


class Board(Noted, TensorBoardLogger):
    """TensorBoard, without files."""

    @property
    def experiment(self) -> Any:
        return self


class Table(Noted, CSVLogger):
    """A log of another kind."""


EPOCHS = [{"train/loss": 0.5, "val/loss": 0.75}, {"train/loss": 0.25, "val/loss": 0.5}]
AFTER_4_AND_8_STEPS = {3: {**EPOCHS[0], "epoch": 0}, 7: {**EPOCHS[1], "epoch": 1}}


def trainer_after(epoch: int, *loggers: Noted, first: bool = True) -> Any:
    """A trainer at the end of an epoch of four steps."""
    return SimpleNamespace(
        current_epoch=epoch,
        callback_metrics={name: torch.tensor(score) for name, score in EPOCHS[epoch].items()},
        global_step=4 * (epoch + 1),
        loggers=loggers,
        is_global_zero=first,
        enable_validation=True,
        check_val_every_n_epoch=1,
    )


def after_two_epochs() -> WholeLogs:
    callback, module = WholeLogs(), SimpleNamespace()
    for epoch in range(2):
        callback.on_train_epoch_end(trainer_after(epoch), module)  # type: ignore[arg-type]
    return callback


def test_scores_are_kept_under_the_last_step_of_their_epoch() -> None:
    assert after_two_epochs().state_dict() == {"scores_of_step": AFTER_4_AND_8_STEPS}


class Toy(LightningModule):
    """Logs one score an epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        loss = (batch - self.weight).square().mean()
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=1)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train_toy(folder: Path, *, epochs: int, accumulate: int, ckpt: Path | None = None) -> WholeLogs:
    """Seven batches an epoch; the callback afterwards."""
    callback = WholeLogs()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        accumulate_grad_batches=accumulate,
        callbacks=[
            callback,
            ModelCheckpoint(folder / "checkpoints", filename="last", enable_version_counter=False),
        ],
        logger=CSVLogger(folder, name="", version="log"),
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    loader = DataLoader(torch.ones(7, 1), batch_size=1)
    trainer.fit(Toy(), loader, ckpt_path=ckpt, weights_only=True)
    return callback


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:The dirpath has changed")
@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_step_is_that_of_the_trainers_own_log_also_after_a_resume(
    accumulate: int, tmp_path: Path
) -> None:
    train_toy(tmp_path / "a", epochs=2, accumulate=accumulate)
    callback = train_toy(
        tmp_path / "b", epochs=4, accumulate=accumulate, ckpt=tmp_path / "a" / "checkpoints" / "last.ckpt"
    )
    with (tmp_path / "b" / "log" / "metrics.csv").open() as file:
        logged = {int(row["step"]): float(row["train/loss"]) for row in csv.DictReader(file)}
    noted = callback.state_dict()["scores_of_step"]
    steps_per_epoch = math.ceil(7 / accumulate)
    assert list(noted) == [steps_per_epoch * (epoch + 1) - 1 for epoch in range(4)]
    assert {step: scores["train/loss"] for step, scores in noted.items()} == pytest.approx(logged)


def test_a_resumed_run_logs_again_what_its_logs_may_lack() -> None:
    callback, board, table = WholeLogs(), Board(), Table()
    callback.load_state_dict(after_two_epochs().state_dict())
    callback.on_train_start(trainer_after(1, board, table), SimpleNamespace())  # type: ignore[arg-type]
    assert board.told == [(7, {"train/loss": 0.25, "epoch": 1})]
    assert table.told == [*AFTER_4_AND_8_STEPS.items(), "saved"]


def test_a_run_that_begins_logs_nothing_again() -> None:
    board, resumed_before_an_epoch = Board(), WholeLogs()
    resumed_before_an_epoch.load_state_dict({"scores_of_step": {}})
    for callback in (after_two_epochs(), resumed_before_an_epoch):
        callback.on_train_start(trainer_after(1, board), SimpleNamespace())  # type: ignore[arg-type]
    assert board.told == []


@pytest.mark.parametrize(("first", "told"), [(True, ["flushed"]), (False, [])])
def test_tensorboard_is_on_the_disk_before_a_checkpoint_is(first: bool, told: list[str]) -> None:
    board, table = Board(), Table()
    trainer = trainer_after(1, board, table, first=first)
    WholeLogs().on_save_checkpoint(trainer, SimpleNamespace(), {})  # type: ignore[arg-type]
    assert (board.told, table.told) == (told, [])


class Run(Noted, WandbLogger):
    """W&B, whose log goes on in a run that it has begun."""

    def log_image(self, key: str, images: list[Any], step: int | None = None) -> None:
        self.told.append((key, images, step))


def test_a_log_that_a_service_keeps_is_told_the_last_training_scores_alone() -> None:
    callback, run = WholeLogs(), Run()
    callback.load_state_dict(after_two_epochs().state_dict())
    callback.on_train_start(trainer_after(1, run), SimpleNamespace())  # type: ignore[arg-type]
    assert run.told == [(7, {"train/loss": 0.25, "epoch": 1})]


def test_a_picture_goes_to_each_logger_in_its_own_way() -> None:
    picture, told = np.zeros((4, 6, 3), np.uint8), []

    class Pictures(Board):
        def add_image(self, *given: Any, dataformats: str) -> None:
            told.append((*given, dataformats))

    class Store(Noted, MLFlowLogger):
        run_id = "a"

        @property
        def experiment(self) -> Any:
            return SimpleNamespace(log_image=lambda *given, **named: told.append((*given, named)))

    run, table = Run(), Table()
    for logger in (Pictures(), Store(), run, table):
        log_picture(logger, "val/case 0", picture, 5)  # type: ignore[arg-type]
    assert told == [
        ("val/case 0", picture, 5, "HWC"),
        ("a", picture, {"key": "val/case 0", "step": 5}),
    ]
    assert run.told == [("val/case 0", [picture], 5)]
    assert table.told == []
