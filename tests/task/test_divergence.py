"""A loss that is no number ends a training before anything of it is kept; one that explodes is told of."""

import math
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader

from lts.base import DivergedError
from lts.losses import BCEDiceLoss
from lts.task import SegmentationTask, WatchLoss

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*treespec.*")

EPOCHS, BATCHES = 3, 4


class Loss(BCEDiceLoss):
    """The loss, but for what is planted at a step of training, counted from 1, or of validation."""

    def __init__(self, *, at_step: int = 0, in_validation: bool = False, planted: float = math.nan) -> None:
        super().__init__(region_weights=None, pos_weight=None, dice_weight=0.5, smooth=1.0)
        self.at_step, self.in_validation, self.planted = at_step, in_validation, planted
        self.steps = 0

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        loss = super().forward(logits, target)
        self.steps += logits.requires_grad
        hit = self.steps == self.at_step if logits.requires_grad else self.in_validation
        return loss * self.planted if hit else loss


class SpoilWeights(pl.Callback):
    """Makes a weight NaN or infinite after the last batch of the second epoch, as a last step may."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if trainer.current_epoch == 1 and batch_idx == BATCHES - 1:
            pl_module.network.weight.data[0] = math.inf


def samples() -> list[dict[str, torch.Tensor]]:
    mask = torch.zeros(2, 8, 8, dtype=torch.bool)
    mask[:, 2:5, 2:5] = True
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(BATCHES, 1, 8, 8, generator=generator)
    return [{"image": one, "mask": mask, "case": torch.tensor(0)} for one in image]


def fit(folder: Path, loss: Loss, *more: pl.Callback, validates: bool = True) -> list[str]:
    """Train three epochs of four batches; what was told."""
    torch.manual_seed(0)
    told: list[str] = []
    task = SegmentationTask(
        network=nn.Conv2d(1, 2, 1),
        loss=loss,
        optimizer=partial(torch.optim.SGD, lr=1e-3),
        scheduler=None,
        regions=("liver", "tumor"),
        val_cases=int(validates),
        encoder_lr_scale=1.0,
    )
    last = ModelCheckpoint(
        dirpath=folder, filename="last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        callbacks=[*more, WatchLoss(remedies="try less", print_line=told.append), last],
        logger=False,
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=1.0 if validates else 0,
    )
    loader = DataLoader(samples(), batch_size=1)
    trainer.fit(task, loader, loader)
    return told


def epochs_kept(folder: Path) -> int:
    saved = torch.load(folder / "last.ckpt", weights_only=True)
    assert all(tensor.isfinite().all() for tensor in saved["state_dict"].values())
    return saved["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]


@pytest.mark.parametrize("planted", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_ends_the_training_at_its_step(tmp_path: Path, planted: float) -> None:
    loss = Loss(at_step=BATCHES + 2, planted=planted)
    with pytest.raises(DivergedError) as told:
        fit(tmp_path, loss)
    assert str(told.value) == (
        "train/loss: must be finite, got NaN or infinity in step 2 of epoch 2: the training diverged, "
        "the checkpoints of epoch 1 are kept; try less"
    )
    assert loss.steps == BATCHES + 2
    assert epochs_kept(tmp_path) == 1


def test_in_the_first_epoch_nothing_was_kept(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match="step 1 of epoch 1: the training diverged, no epoch was whole"):
        fit(tmp_path, Loss(at_step=1))
    assert not list(tmp_path.iterdir())


def test_a_validation_loss_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match="val/loss: must be finite, got nan of epoch 1"):
        fit(tmp_path, Loss(in_validation=True))
    assert not list(tmp_path.iterdir())


def test_weights_that_are_no_numbers_are_never_kept(tmp_path: Path) -> None:
    with pytest.raises(
        DivergedError, match=r"network.weight: must be finite, got .* of epoch 2: .* epoch 1 are"
    ):
        fit(tmp_path, Loss(), SpoilWeights(), validates=False)
    assert epochs_kept(tmp_path) == 1


def test_a_sound_training_is_not_told_of(tmp_path: Path) -> None:
    assert fit(tmp_path, Loss()) == []
    assert epochs_kept(tmp_path) == EPOCHS


class Strategy(SimpleNamespace):
    """Of two processes: what this one thinks, and what they decide together."""

    def __init__(self, *, others_say: bool = False, others_loss: float | None = None) -> None:
        super().__init__(asked=[], others_say=others_say, others_loss=others_loss)

    def reduce_boolean_decision(self, decision: bool, **how: bool) -> bool:
        self.asked.append(decision)
        assert how == {"all": False}
        return decision or self.others_say

    def reduce(self, tensor: torch.Tensor, **how: str) -> torch.Tensor:
        assert how == {"reduce_op": "mean"}
        return tensor if self.others_loss is None else (tensor + self.others_loss) / 2


def trainer_of(strategy: Strategy, *, processes: int) -> Any:
    return SimpleNamespace(
        strategy=strategy,
        world_size=processes,
        current_epoch=0,
        is_global_zero=True,
        sanity_checking=False,
        enable_validation=True,
        check_val_every_n_epoch=1,
        callback_metrics={},
    )


MODULE: Any = SimpleNamespace(device=torch.device("cpu"), state_dict=dict)


def step(watch: WatchLoss, trainer: Any, number: int, loss: float) -> None:
    watch.on_train_batch_end(trainer, MODULE, {"loss": torch.tensor(loss)}, None, number)


def test_several_processes_look_now_and_then_and_end_together() -> None:
    watch, strategy = WatchLoss(remedies="try less", print_line=print), Strategy()
    trainer = trainer_of(strategy, processes=2)
    watch.on_train_epoch_start(trainer, MODULE)
    for number in range(49):
        step(watch, trainer, number, 0.5)
    assert strategy.asked == []
    strategy.others_say = True  # another process met it
    with pytest.raises(DivergedError, match="train/loss: must be finite, got NaN or infinity of epoch 1"):
        step(watch, trainer, 49, 0.5)
    assert strategy.asked == [False]


def test_what_one_process_met_in_between_is_seen_before_the_validation() -> None:
    watch, strategy = WatchLoss(remedies="try less", print_line=print), Strategy()
    trainer = trainer_of(strategy, processes=2)
    watch.on_train_epoch_start(trainer, MODULE)
    for number, loss in enumerate((0.5, math.nan, 0.5, math.inf)):
        step(watch, trainer, number, loss)
    with pytest.raises(DivergedError, match="in step 2 of epoch 1"):
        watch.on_validation_start(trainer, MODULE)
    with pytest.raises(DivergedError, match="in step 2 of epoch 1"):  # where there is no validation
        watch.on_train_epoch_end(trainer, MODULE)


def test_the_check_of_a_validation_before_the_training_is_not_looked_at() -> None:
    watch, trainer = WatchLoss(remedies="try less", print_line=print), trainer_of(Strategy(), processes=1)
    trainer.sanity_checking, trainer.callback_metrics = True, {"val/loss": torch.tensor(math.nan)}
    watch.on_validation_start(trainer, MODULE)
    watch.on_validation_epoch_end(trainer, MODULE)
    assert trainer.strategy.asked == []


def epoch(
    watch: WatchLoss,
    number: int,
    *,
    first_step: float,
    train: float,
    val: float | None,
    trainer: Any = None,
) -> None:
    trainer = trainer or trainer_of(Strategy(), processes=1)
    trainer.current_epoch = number
    watch.on_train_epoch_start(trainer, MODULE)
    step(watch, trainer, 0, first_step)
    losses = {"train/loss": train} | ({} if val is None else {"val/loss": val})
    trainer.callback_metrics = {name: torch.tensor(loss) for name, loss in losses.items()}
    watch.on_train_epoch_end(trainer, MODULE)


@pytest.mark.parametrize(
    ("epochs", "told"),
    [
        ([(0.5, 0.6), (0.4, 0.5)], []),
        ([(426.9, 0.6)], ["epoch 1: train/loss exploded to 426.9, its lowest was 0.7; try less"]),
        ([(0.5, 1228.0)], ["epoch 1: val/loss exploded to 1228, its lowest was 0.7; try less"]),
        ([(0.05, 0.6), (0.8, 0.6)], ["epoch 2: train/loss exploded to 0.8, its lowest was 0.05; try less"]),
        (
            [(0.05, 0.6), (0.6, 0.6), (0.8, 0.6)],
            ["epoch 3: train/loss exploded to 0.8, its lowest was 0.05; try less"],
        ),
        ([(0.05, 0.6), (0.6, 0.6)], []),  # no worse than before it learned
        ([(0.5, 0.6), (4.9, 0.6)], []),  # not ten times
        ([(9.0, 0.6), (99.0, 0.6)], ["epoch 1: train/loss exploded to 9, its lowest was 0.7; try less"]),
        ([(0.5, None)], []),
    ],
)
def test_a_loss_that_explodes_is_told_once(epochs: list[tuple[float, float | None]], told: list[str]) -> None:
    said: list[str] = []
    watch = WatchLoss(remedies="try less", print_line=said.append)
    for number, (train, val) in enumerate(epochs):
        resumed = WatchLoss(remedies="try less", print_line=said.append)
        if number:  # each epoch in a process of its own
            resumed.load_state_dict(watch.state_dict())
        watch = resumed
        # that of the network as it was before it learned is the first of all
        epoch(watch, number, first_step=0.01 if number else 0.7, train=train, val=val)
    assert said == told


def test_of_several_processes_the_first_alone_tells_and_all_compare_with_the_mean_of_their_first_losses() -> (
    None
):
    said: list[str] = []
    watch, trainer = (
        WatchLoss(remedies="try less", print_line=said.append),
        trainer_of(Strategy(others_loss=0.9), processes=2),
    )
    trainer.is_global_zero = False
    epoch(watch, 0, first_step=0.5, train=99.0, val=None, trainer=trainer)
    assert said == []
    state = watch.state_dict()
    assert state["untrained"] == pytest.approx(0.7)
    assert state["told"] == ["train/loss"]


def test_a_mean_that_overflows_is_no_number_though_each_step_has_one() -> None:
    watch = WatchLoss(remedies="try less", print_line=print)
    with pytest.raises(DivergedError, match="train/loss: must be finite, got inf of epoch 1"):
        epoch(watch, 0, first_step=3e38, train=math.inf, val=None)
