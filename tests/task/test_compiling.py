"""The compiled network trains as the plain one does; where it cannot be compiled, that is said."""

import shutil
from functools import partial
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from lts.base import ConfigError
from lts.losses import BCEDiceLoss
from lts.networks import UNet
from lts.task import CompileNetwork, SegmentationTask, compiling

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*treespec.*", "ignore:.*no `val_dataloader`.*"
)

EPOCHS, BATCHES, BATCH = 2, 3, 2


def batches() -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(0)
    made = []
    for _ in range(BATCH * BATCHES):
        image = torch.rand(1, 32, 32, generator=generator)
        made.append({"image": image, "mask": torch.cat([image > 0.5, image > 0.9])})
    return DataLoader(made, batch_size=BATCH)


def train(callback: CompileNetwork) -> SegmentationTask:
    torch.manual_seed(0)
    task = SegmentationTask(
        network=UNet(in_channels=1, out_channels=2, width=4, depth=2, norm="batch", dropout=0.0),
        loss=BCEDiceLoss(region_weights=None, pos_weight=None, dice_weight=0.5, smooth=1.0),
        optimizer=partial(torch.optim.SGD, lr=0.1),
        scheduler=None,
        regions=["liver", "tumor"],
        val_cases=1,
        encoder_lr_scale=1.0,
    )
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(task, batches())
    return task


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_a_compiled_network_learns_the_same_under_the_same_names() -> None:
    told: list[str] = []
    plain = train(CompileNetwork(when=False, print_line=told.append))
    assert told == []
    compiled = train(CompileNetwork(when=True, print_line=told.append))
    assert told == ["the network is compiled, so the first step takes half a minute or more"]
    expected, found = plain.state_dict(), compiled.state_dict()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("devices", "steps", "compiles"),
    [
        (["cpu"], EPOCHS * BATCHES, True),
        (["cpu"], EPOCHS * BATCHES + 1, False),
        (compiling._DEVICES, EPOCHS * BATCHES, False),  # a CPU is none of these
    ],
)
def test_auto_compiles_runs_that_are_long_enough_where_it_gains(
    devices: list[str], steps: int, compiles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "_DEVICES", devices)
    made: list[Any] = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: made.append(function) or function)
    monkeypatch.setattr(compiling, "LONG_RUN_STEPS", steps)
    train(CompileNetwork(when="auto", print_line=lambda _: None))
    assert len(made) == (2 if compiles else 0)  # a trial, and the network


def test_where_nothing_can_be_compiled_auto_says_so_and_true_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_compiler(*_: Any, **__: Any) -> None:
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr(torch, "compile", no_compiler)
    monkeypatch.setattr(compiling, "LONG_RUN_STEPS", 1)
    monkeypatch.setattr(compiling, "_DEVICES", ["cpu"])
    told: list[str] = []
    train(CompileNetwork(when="auto", print_line=told.append))
    assert told == ["the network is not compiled: RuntimeError: no compiler"]
    with pytest.raises(
        ConfigError, match=r"^when: this machine cannot compile \(RuntimeError: no compiler\)$"
    ):
        train(CompileNetwork(when=True, print_line=told.append))


def test_another_word_is_refused() -> None:
    with pytest.raises(ConfigError, match="^when: must be True, False or \"auto\", got 'yes'"):
        CompileNetwork(when="yes", print_line=print)  # type: ignore[arg-type]
