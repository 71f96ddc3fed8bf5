"""When a training ends early, and what becomes of it when it is resumed."""

import math
from pathlib import Path

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader

from lts.base import ConfigError
from lts.task import StopEarly

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*Checkpoint directory .* exists.*"
)
SCORES = [0.5, 0.6, 0.6, 0.55, 0.7, 0.65, 0.6, 0.7, 0.69, 0.8]
"""After each epoch; the last is the best, for those that come so far."""


class Scored(LightningModule):
    """Logs a given score after each epoch."""

    def __init__(self, scores: list[float]) -> None:
        super().__init__()
        self.weight, self.scores = nn.Parameter(torch.zeros(1)), scores

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        loss = self.weight.sum()
        self.log("train/loss", -self.scores[self.current_epoch], on_step=False, on_epoch=True, batch_size=1)
        return loss

    def validation_step(self, *_: object) -> None:
        self.log("val/accuracy", self.scores[self.current_epoch], batch_size=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def epochs_of(
    folder: Path, stop: StopEarly, *, scores: list[float] = SCORES, every: int = 1, resumed: bool = False
) -> int:
    """Train as long as may be; the number of epochs that are done."""
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=len(scores),
        check_val_every_n_epoch=every,
        logger=False,
        callbacks=[
            stop,
            ModelCheckpoint(
                folder, filename="last", save_on_train_epoch_end=True, enable_version_counter=False
            ),
        ],
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = DataLoader(torch.zeros(1, 1))
    ckpt = folder / "last.ckpt" if resumed else None
    trainer.fit(Scored(scores), loader, loader, ckpt_path=ckpt, weights_only=True)
    saved = torch.load(folder / "last.ckpt", weights_only=True)
    assert saved["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"] == trainer.current_epoch
    return trainer.current_epoch


@pytest.mark.parametrize(
    ("patience", "min_delta", "epochs"),
    [(1, 0.0, 3), (2, 0.0, 4), (3, 0.0, 8), (4, 0.0, 9), (5, 0.0, 10), (3, 0.15, 4)],
)
def test_it_ends_after_so_many_validations_without_a_better_score(
    tmp_path: Path, patience: int, min_delta: float, epochs: int
) -> None:
    stop = StopEarly(monitor="val/accuracy", patience=patience, min_delta=min_delta)
    assert epochs_of(tmp_path, stop) == epochs
    assert (stop.line() is None) == (epochs == len(SCORES))


def test_it_says_what_did_not_get_better() -> None:
    stop = StopEarly(monitor="val/accuracy", patience=1)
    stop.best_score, stop.wait_count = torch.tensor(0.6), 1
    assert stop.line() == "val/accuracy did not get better than 0.6000 in 1 validation"
    of_training = StopEarly(monitor="train/loss", patience=2)
    of_training.best_score, of_training.wait_count = torch.tensor(0.6), 2
    assert of_training.line() == "train/loss did not get better than 0.6000 in 2 epochs"
    never = StopEarly(monitor="val/accuracy", patience=2)
    never.wait_count = 2
    assert never.line() == "val/accuracy was no number in 2 validations"


def test_epochs_without_validation_are_not_counted(tmp_path: Path) -> None:
    stop = StopEarly(monitor="val/accuracy", patience=2)
    assert epochs_of(tmp_path, stop, every=2) == 10  # 0.6, 0.55, 0.65, 0.7, 0.8
    scores = [0.0, 0.6, 1.0, 0.5, 1.0, 0.4, 1.0, 0.9]
    assert epochs_of(tmp_path, StopEarly(monitor="val/accuracy", patience=2), scores=scores, every=2) == 6


def test_a_score_of_training_needs_no_validation(tmp_path: Path) -> None:
    assert epochs_of(tmp_path, StopEarly(monitor="train/loss", patience=2), every=10) == 4


def test_a_training_that_was_ended_stays_so_unless_it_has_more_patience(tmp_path: Path) -> None:
    assert epochs_of(tmp_path, StopEarly(monitor="val/accuracy", patience=3)) == 8
    before = (tmp_path / "last.ckpt").read_bytes()
    again = StopEarly(monitor="val/accuracy", patience=3)
    assert epochs_of(tmp_path, again, resumed=True) == 8
    assert (tmp_path / "last.ckpt").read_bytes() == before
    assert again.line() == "val/accuracy did not get better than 0.7000 in 3 validations"
    assert epochs_of(tmp_path, StopEarly(monitor="val/accuracy", patience=4), resumed=True) == 9


def test_an_undefined_score_is_no_better(tmp_path: Path) -> None:
    scores = [0.5, math.nan, 0.6, math.nan, math.nan, 0.9]
    assert epochs_of(tmp_path, StopEarly(monitor="val/accuracy", patience=2), scores=scores) == 5


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"monitor": None}, "monitor: must be a score, got null"),
        ({"patience": 0}, "patience: must be at least 1, got 0"),
        ({"min_delta": -0.1}, "min_delta: must be 0 or more, got -0.1"),
        ({"min_delta": math.nan}, "min_delta: must be 0 or more, got nan"),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict[str, object], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        StopEarly(**{"monitor": "val/loss", **settings})  # type: ignore[arg-type]
