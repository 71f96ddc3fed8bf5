import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.data import DataLoader

from lts.base import CheckpointError, ConfigError
from lts.figures import save_curves
from lts.losses import BCEDiceLoss
from lts.task import (
    DescribeCheckpoint,
    EpochHistory,
    FreezeEncoder,
    LogOverlays,
    PrintEpochs,
    SegmentationTask,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*",
    "ignore:.*treespec.*",
    "ignore:.*Checkpoint directory .* exists.*",
)


class TwoParts(nn.Module):
    """An encoder with a norm, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2))
        self.head = nn.Conv2d(2, 2, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(image))


def samples(n: int = 4) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    made = []
    for index in range(n):
        mask = torch.zeros(2, 16, 16, dtype=torch.bool)
        mask[0, 2:10, 2:10] = True
        mask[1, 4 : 4 + index, 4:6] = True
        hu = torch.randint(0, 100, (16, 16), generator=generator, dtype=torch.int16)
        made.append(
            {
                "image": hu[None] / 100,
                "hu": hu,
                "mask": mask,
                "case": torch.tensor(index // 2),
                "slice": torch.tensor(index % 2),
                "pixel_mm": torch.tensor(2.5),
            }
        )
    return made


def fit(
    folder: Path, callbacks: list[pl.Callback], *, epochs: int = 3, ckpt: Path | None = None, logger=False
):
    torch.manual_seed(0)
    task = SegmentationTask(
        network=TwoParts(),
        loss=BCEDiceLoss(region_weights=None, pos_weight=None, dice_weight=0.5, smooth=1.0),
        optimizer=partial(torch.optim.Adam, lr=1e-2),
        scheduler=None,
        regions=("liver", "tumor"),
        val_cases=2,
        encoder_lr_scale=0.5,
    )
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=[
            ModelCheckpoint(dirpath=folder, filename="last", enable_version_counter=False),
            *callbacks,
        ],
        logger=logger,
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
    )
    loader = DataLoader(samples(), batch_size=2)
    trainer.fit(task, loader, loader, ckpt_path=ckpt, weights_only=True)
    return task, trainer


class Watch(pl.Callback):
    """Notes what the encoder looks like after each epoch."""

    def __init__(self) -> None:
        self.encoder: list[dict[str, torch.Tensor]] = []

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        state = pl_module.network.encoder.state_dict()
        self.encoder.append({name: tensor.clone() for name, tensor in state.items()})


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_a_frozen_encoder_keeps_weights_and_statistics_until_it_is_released(tmp_path: Path) -> None:
    watch = Watch()
    fit(tmp_path, [FreezeEncoder(epochs=2), watch], epochs=3)
    assert same(watch.encoder[0], watch.encoder[1])
    assert watch.encoder[0]["1.num_batches_tracked"] == 0
    assert not same(watch.encoder[1], watch.encoder[2])
    assert watch.encoder[2]["1.num_batches_tracked"] == 2


def test_a_run_that_is_resumed_freezes_by_the_number_of_the_epoch(tmp_path: Path) -> None:
    whole, parts = Watch(), Watch()
    fit(tmp_path / "whole", [FreezeEncoder(epochs=2), whole], epochs=3)
    fit(tmp_path / "parts", [FreezeEncoder(epochs=2)], epochs=1)
    fit(
        tmp_path / "parts",
        [FreezeEncoder(epochs=2), parts],
        epochs=3,
        ckpt=tmp_path / "parts" / "last.ckpt",
    )
    assert same(whole.encoder[2], parts.encoder[-1])


def test_freezing_needs_an_encoder(tmp_path: Path) -> None:
    module = SimpleNamespace(network=nn.Conv2d(1, 1, 1))
    with pytest.raises(ConfigError, match="^network: must have a part called encoder to freeze, got Conv2d"):
        FreezeEncoder(epochs=1).setup(None, module, "fit")


def test_a_negative_number_of_frozen_epochs_is_refused() -> None:
    with pytest.raises(ConfigError, match="^epochs: must be 0 or more, got -1"):
        FreezeEncoder(epochs=-1)


def test_the_history_holds_every_epoch_also_after_a_resume(tmp_path: Path) -> None:
    def history() -> EpochHistory:
        return EpochHistory(path=tmp_path / "curves.png", monitor="val/tumor/dice_per_case")

    first = history()
    fit(tmp_path, [first], epochs=2)
    assert sorted(first.epochs) == [1, 2]
    assert {
        "train/loss",
        "train/accuracy",
        "val/loss",
        "val/accuracy",
        "val/liver/dice_global",
    } <= first.epochs[1].keys()
    assert_drawn(first, tmp_path)
    second = history()
    fit(tmp_path, [second], epochs=3, ckpt=tmp_path / "last.ckpt")
    assert sorted(second.epochs) == [1, 2, 3]
    assert second.epochs[1] == first.epochs[1]
    assert_drawn(second, tmp_path)


@pytest.mark.parametrize("reason", [KeyboardInterrupt, ZeroDivisionError])
def test_the_curves_of_a_run_that_ends_early_hold_every_epoch(
    tmp_path: Path, reason: type[BaseException]
) -> None:
    history = EpochHistory(path=tmp_path / "curves.png", monitor="val/loss")

    class Ends(pl.Callback):
        def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            if trainer.current_epoch == 2:
                raise reason

    with pytest.raises((reason, SystemExit)):
        fit(tmp_path, [history, Ends()], epochs=5)
    assert sorted(history.epochs) == [1, 2]
    assert_drawn(history, tmp_path)


def assert_drawn(history: EpochHistory, folder: Path) -> None:
    """The curves hold every epoch, the last ones too, which came too soon after a picture."""
    save_curves(folder / "expected.png", history.epochs, best_epoch=history.best_epoch())
    assert (folder / "curves.png").read_bytes() == (folder / "expected.png").read_bytes()


def test_the_best_epoch_is_the_highest_or_the_lowest(tmp_path: Path) -> None:
    for score, expected in (("val/tumor/dice_global", 2), ("val/loss", 1)):
        history = EpochHistory(path=tmp_path / "c.png", monitor=score)
        history.load_state_dict({"epochs": {1: {score: 0.1}, 2: {score: 0.7}, 3: {score: 0.3}, 4: {}}})
        assert history.best_epoch() == expected


def test_an_epoch_is_told_of_when_its_checkpoint_is_on_the_disk(tmp_path: Path) -> None:
    told: list[tuple[int, str]] = []

    def print_line(line: str) -> None:
        saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
        told.append((saved["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"], line))

    monitor = "val/tumor/dice_where_present"
    history = EpochHistory(path=tmp_path / "curves.png", monitor=monitor)
    fit(tmp_path, [PrintEpochs(history, print_line=print_line), history], epochs=2)
    assert [epochs for epochs, _ in told] == [1, 2]
    for number, (_, line) in enumerate(told, start=1):
        left = r"  \d+ s left" if number == 1 else ""
        form = rf"epoch {number}/2  train/loss \S+  val/loss \S+  {monitor} \S+  \S+ s{left}"
        assert re.fullmatch(form, line), line


def test_the_time_left_is_told_by_the_last_three_epochs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    now = 0.0
    monkeypatch.setattr("lts.task.history.time.perf_counter", lambda: now)
    told: list[str] = []
    history = EpochHistory(path=tmp_path / "c.png", monitor="val/loss")
    history.load_state_dict({"epochs": {number: {"train/loss": 0.5} for number in range(1, 11)}})
    callback = PrintEpochs(history, print_line=told.append)
    for epoch, (epoch_s, between_s) in enumerate([(100, 0), (10, 2), (10, 2), (10, 2), (40, 2)], start=5):
        trainer: Any = SimpleNamespace(is_global_zero=True, current_epoch=epoch, max_epochs=10)
        now += between_s
        callback.on_train_epoch_start(trainer, None)  # type: ignore[arg-type]
        now += epoch_s
        callback.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    # (100), (100 + 12) / 2, (100 + 12 + 12) / 3, (12 + 12 + 12) / 3 seconds an epoch
    assert [line.partition("0.5000  ")[2] for line in told] == [
        *("100.0 s  7 min left", "10.0 s  3 min left", "10.0 s  83 s left", "10.0 s  12 s left", "40.0 s")
    ]


def test_tensorboard_shows_the_slice_of_each_case_with_most_tumor(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, name="tensorboard", version="")
    fit(tmp_path, [LogOverlays(cases=2, every_n_epochs=2, window_hu=(50, 100))], epochs=3, logger=logger)
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"images": 0}).Reload()
    assert set(events.Tags()["images"]) == {"val/case 0", "val/case 1"}
    assert [event.step for event in events.Images("val/case 0")] == [2, 6]
    assert {"val/loss", "train/loss", "val/tumor/dice_per_case"} <= set(events.Tags()["scalars"])


def test_overlays_keep_the_slice_with_most_of_the_last_region() -> None:
    callback = LogOverlays(cases=1, every_n_epochs=1, window_hu=None)
    trainer = SimpleNamespace(sanity_checking=False, current_epoch=0, max_epochs=1, check_val_every_n_epoch=1)
    batch = torch.utils.data.default_collate(samples())
    callback.on_validation_batch_end(trainer, None, torch.zeros(4, 2, 16, 16), batch, 0)
    (kept,) = callback._best.values()
    np.testing.assert_array_equal(kept.hu, samples()[1]["hu"])  # of slices 0 and 1 of case 0
    assert (kept.number, kept.pixel_mm) == (2, 2.5)


@pytest.mark.parametrize(
    ("setting", "rule"),
    [
        ({"cases": -1}, "cases: must be 0 or more, got -1"),
        ({"window_hu": (40, 0)}, "window_hu: must be a level"),
    ],
)
def test_pictures_of_a_wrong_setting_are_refused(setting: dict, rule: str) -> None:
    with pytest.raises(ConfigError, match=f"^{rule}"):
        LogOverlays(**{"cases": 1, "every_n_epochs": 1, "window_hu": None, **setting})


def test_pictures_in_no_epoch_are_refused() -> None:
    with pytest.raises(ConfigError, match="^every_n_epochs: must be at least 1, got 0"):
        LogOverlays(cases=1, every_n_epochs=0, window_hu=None)


DESCRIPTION = {"format": 1, "regions": ["liver", "tumor"], "split": {"train": ["a"]}}


def test_a_checkpoint_describes_itself_and_loads_without_running_code(tmp_path: Path) -> None:
    intensity = nn.BatchNorm1d(3)  # anything with a state
    fit(tmp_path, [DescribeCheckpoint(description=DESCRIPTION, intensity=intensity)], epochs=1)
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["lts"]["regions"] == ["liver", "tumor"]
    assert torch.equal(saved["lts"]["intensity_state"]["weight"], torch.ones(3))
    assert "network.head.weight" in saved["state_dict"]


@pytest.mark.parametrize(("key", "value"), [("regions", ["tumor"]), ("split", {"train": ["b"]})])
def test_a_run_does_not_go_on_with_other_data(tmp_path: Path, key: str, value: object) -> None:
    fit(tmp_path, [DescribeCheckpoint(description=DESCRIPTION, intensity=nn.Identity())], epochs=1)
    other = DescribeCheckpoint(description={**DESCRIPTION, key: value}, intensity=nn.Identity())
    with pytest.raises(CheckpointError, match=f"^checkpoint: was trained with another {key}"):
        fit(tmp_path, [other], epochs=2, ckpt=tmp_path / "last.ckpt")
