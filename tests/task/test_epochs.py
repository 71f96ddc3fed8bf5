"""A training that validates after every second epoch alone."""

from functools import partial
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader

from lts.losses import BCEDiceLoss
from lts.task import BestCheckpoint, EpochHistory, LogOverlays, SegmentationTask, WholeLogs
from lts.task import overlays as drawing

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*",
    "ignore:.*treespec.*",
    "ignore:.*Checkpoint directory .* exists.*",
)

EPOCHS = 5


class Rates(pl.Callback):
    """Notes the rate with which each epoch learns."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


def sample(case: int) -> dict[str, torch.Tensor]:
    hu = torch.arange(64, dtype=torch.int16).reshape(8, 8)
    mask = torch.stack([hu > 20, hu > 40])
    number = torch.tensor(case)
    return {
        "image": hu[None] / 64,
        "hu": hu,
        "mask": mask,
        "case": number,
        "slice": number,
        "pixel_mm": number + 1,
    }


def test_epochs_without_a_validation_have_no_scores_and_move_nothing(tmp_path: Path, monkeypatch) -> None:
    drawn = []
    monkeypatch.setattr(drawing, "overlay", lambda *_args, title, **_kwargs: drawn.append(title))
    torch.manual_seed(0)
    task = SegmentationTask(
        network=torch.nn.Conv2d(1, 2, 1),
        loss=BCEDiceLoss(region_weights=None, pos_weight=None, dice_weight=0.5, smooth=1.0),
        optimizer=partial(torch.optim.SGD, lr=1.0),
        # No improvement is enough, so that each validation but the first halves the rate.
        scheduler=partial(ReduceLROnPlateau, factor=0.5, patience=0, threshold=0.99),
        regions=("liver", "tumor"),
        val_cases=2,
        encoder_lr_scale=1.0,
    )
    history = EpochHistory(path=tmp_path / "curves.png", monitor="val/loss")
    best = BestCheckpoint(
        dirpath=tmp_path, filename="best", monitor="val/loss", mode="min", save_on_train_epoch_end=True
    )
    logs, rates, overlays = WholeLogs(), Rates(), LogOverlays(cases=1, every_n_epochs=3, window_hu=None)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        check_val_every_n_epoch=2,
        callbacks=[history, logs, rates, overlays, best],
        logger=False,
        default_root_dir=tmp_path,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
    )
    loader = DataLoader([sample(0), sample(1)], batch_size=2)
    trainer.fit(task, loader, loader)

    validated = [epoch for epoch, scores in history.epochs.items() if "val/loss" in scores]
    assert validated == [2, 4]
    assert all("train/loss" in history.epochs[epoch] for epoch in range(1, EPOCHS + 1))
    assert rates.rates == [1.0, 1.0, 1.0, 1.0, 0.5]
    losses = {epoch: history.epochs[epoch]["val/loss"] for epoch in validated}
    assert float(best.best_model_score) == min(losses.values())
    kept = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert kept["epoch"] + 1 == min(losses, key=losses.__getitem__)
    assert ["val/loss" in scores for scores in logs._scores_of_step.values()] == [
        False,
        True,
        False,
        True,
        False,
    ]
    # The first validation at or after the first and the fourth epoch.
    assert drawn == ["validation case 0, slice 1"] * 2
