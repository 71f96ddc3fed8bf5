"""Averaged weights: what they are, who sees them, and that a resumed training goes on with both."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader

from lts.base import ConfigError
from lts.task import AverageWeights

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*Checkpoint directory .* exists.*"
)
STEPS = 4
"""Of an epoch."""


class Growing(LightningModule):
    """A weight that grows by 1 a step, and a norm whose mean follows batches of a growing value."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.norm = nn.Parameter(torch.zeros(1)), nn.BatchNorm1d(1, affine=False, momentum=1.0)
        self.validated: list[tuple[float, float]] = []

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        self.norm(batch + self.global_step)
        return -self.weight.sum()

    def validation_step(self, *_: Any) -> None:
        self.validated.append((self.weight.item(), self.norm.running_mean.item()))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


def fit(folder: Path, *, epochs: int, decay: float = 0.999, ckpt: Path | None = None) -> Growing:
    module = Growing()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        callbacks=[
            AverageWeights(decay=decay),
            ModelCheckpoint(folder, filename="{epoch}", save_top_k=-1, save_on_train_epoch_end=True),
        ],
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    batches = torch.tensor([[-1.0], [1.0]]).repeat(STEPS, 1)
    loaders = (DataLoader(batches, batch_size=2), DataLoader(torch.zeros(1, 1)))
    trainer.fit(module, *loaders, ckpt_path=ckpt, weights_only=True)
    return module


def averages(values: list[float], *, decay: float = 0.999) -> list[float]:
    """The average after each value, by its definition."""
    found = [values[0]]
    for number, value in enumerate(values[1:], start=1):
        kept = min(decay, (1 + number) / (10 + number))
        found.append(kept * found[-1] + (1 - kept) * value)
    return found


def saved(folder: Path, epoch: int) -> dict[str, Any]:
    return torch.load(folder / f"epoch={epoch}.ckpt", weights_only=True)


@pytest.mark.parametrize("decay", [0.999, 0.3, 0.0])
def test_validation_and_checkpoints_are_of_the_average(tmp_path: Path, decay: float) -> None:
    module = fit(tmp_path, epochs=2, decay=decay)
    steps = range(2 * STEPS)
    weights = averages([step + 1.0 for step in steps], decay=decay)
    means = averages([float(step) for step in steps], decay=decay)
    ends = [STEPS - 1, 2 * STEPS - 1]
    assert module.validated == [pytest.approx((weights[step], means[step])) for step in ends]
    for epoch, step in enumerate(ends):
        held = saved(tmp_path, epoch)["state_dict"]
        assert held["weight"].item() == pytest.approx(weights[step])
        assert held["norm.running_mean"].item() == pytest.approx(means[step])


def test_training_goes_on_with_the_weights_of_the_last_step(tmp_path: Path) -> None:
    fit(tmp_path, epochs=2)
    for epoch in range(2):
        held = saved(tmp_path, epoch)["current_model_state"]
        assert held["weight"].item() == STEPS * (epoch + 1)
        assert held["norm.running_mean"].item() == STEPS * (epoch + 1) - 1


def test_the_average_of_a_resumed_training_is_that_of_one_left_alone(tmp_path: Path) -> None:
    fit(tmp_path / "whole", epochs=3)
    fit(tmp_path / "resumed", epochs=1)
    module = fit(tmp_path / "resumed", epochs=3, ckpt=tmp_path / "resumed" / "epoch=0.ckpt")
    whole, resumed = saved(tmp_path / "whole", 2), saved(tmp_path / "resumed", 2)
    for key in ("state_dict", "current_model_state", "averaging_state"):
        assert whole[key].keys() == resumed[key].keys()
        assert all(torch.equal(whole[key][name], resumed[key][name]) for name in whole[key]), key
    assert module.weight.item() == whole["state_dict"]["weight"].item()  # at the end it has the average


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_outside_its_range_is_refused(decay: float) -> None:
    with pytest.raises(ConfigError, match=f"decay: must be at least 0 and below 1, got {decay}"):
        AverageWeights(decay=decay)
