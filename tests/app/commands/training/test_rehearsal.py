"""A training rehearsed before anything is read: what is refused, and what of Lightning a run can have."""

import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import settings_kit
import torch

from lts.app.commands.training import rehearsal
from lts.app.commands.training.rehearsal import rehearse, rehearse_network
from lts.app.commands.training.trainer_factory import make_trainer
from lts.app.config.settings import TrainSettings
from lts.base import ConfigError

TINY = ("trainer=cpu", "model.width=4", "model.depth=2", "data.image_size=16")


def compose(*overrides: str) -> TrainSettings:
    return settings_kit.compose("train", *TINY, *overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ("logger=[tensorboard,csv]", "optimizer=adamw", "scheduler=cosine"),
        ("logger=none", "scheduler=none", "+trainer.max_time=00:01:00:00"),
        ("optimizer._target_=torch.optim.SGD", "+optimizer.momentum=0.9"),
        ("callbacks.best.monitor=val/accuracy",),  # brings its mode
        ("logger=[wandb,mlflow]",),
        ("pruning=median",),  # which refers to a monitor that only the cases will tell
        ("loss=tversky", "augment=none", "data.context=1", "data.batch_size=1"),
        ("data.pixel_mm=auto", "data.image_size=auto", "intensity=ct_fitted"),
        ("+trainer.check_val_every_n_epoch=2", "+trainer.limit_train_batches=0.5"),
        ("+trainer.limit_val_batches=1.0", "+trainer.fast_dev_run=false", "+trainer.overfit_batches=0"),
        (
            "+callbacks.stop._target_=pytorch_lightning.callbacks.EarlyStopping",
            "+callbacks.stop.monitor=val/loss",
        ),
    ],
)
def test_settings_that_a_run_can_have_are_rehearsed_and_write_nothing(
    overrides: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "logger=[wandb,mlflow]" in overrides:
        pytest.importorskip("wandb")
        pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    before = torch.random.get_rng_state()
    rehearse(compose(*overrides))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ("seed=-1", "seed: must be from 0 to 4294967295, got -1"),
        ("seed=4294967296", "seed: must be from 0 to 4294967295"),
        ("split.val_share=2", "split.val_share: must be 0 or more and less than 1, got 2"),
        ("split.test_share=0.8", "split.val_share and split.test_share: must leave cases to train on"),
        ("split.seed=-1", "split.seed: must be 0 or more, got -1"),
        ("split.limit=0", "split.limit: must be at least 1, got 0"),
        ("data.image_size=8", "data.image_size: must be from 16 to 4096 pixels, got 8"),
        ("data.pixel_mm=0", "data.pixel_mm: must be from 0.01 to 100.0 mm or null, got 0"),
        ("data.context=65", "data.context: must be from 0 to 64, got 65"),
        ("data.num_workers=257", "data.num_workers: must be from 0 to 256, got 257"),
        ("data.slices_per_epoch=0", "data.slices_per_epoch: must be from 1 to 10000000, got 0"),
        ("data.batch_size=0", "data.batch_size: must be at least 1, got 0"),
        ("data.region_share=1.5", r"data.region_share: must lie in \[0, 1\], got 1.5"),
        ("data.display_hu=[40,0]", r"data.display_hu: must be a level and a width > 0, got \[40, 0\]"),
        ("split.fold=1", "split.fold and split.folds: go together"),
        ("augment.scale=[2,1]", "augment.scale: the lowest value must come first"),
        ("loss.dice_weight=2", "loss.dice_weight: must be a number in"),
        ("loss.region_weights=[1]", r"loss.region_weights: must be one number per region \(2\), got 1"),
        ("loss.pos_weight=[1,2,3]", r"loss.pos_weight: must be one number per region \(2\), got 3"),
        ("optimizer.lr=-1", "optimizer: Invalid learning rate: -1"),
        ("+optimizer.betas=[0.9,2]", "optimizer: Invalid beta parameter"),
        ("+optimizer.capturable=true", "optimizer: "),  # of devices that this is not
        ("scheduler.factor=2", "scheduler: Factor should be < 1.0"),
        ("scheduler.min_lr=[1,2,3]", "scheduler.min_lr: must be a number or a list|scheduler: expected"),
        ("task.encoder_lr_scale=0", "task.encoder_lr_scale: must be > 0, got 0"),
        ("model.width=20000", "model: must fit into the .* GiB of this machine, its parameters alone need"),
        ("model.width=1000000000", "model: Storage size calculation overflowed"),
        ("model.depth=9", "model.depth: must be a whole number from 2 to 8, got 9"),
        ("callbacks.best.mode=up", "callbacks.best"),
        ("~callbacks.best", "callbacks.best: must be given"),
        ("~callbacks.last", "callbacks.last: must be given"),
        ("callbacks.last=3", "callbacks.last: must be a section of settings, got 3"),
        ("callbacks.best.filename=word", "callbacks.best.filename: must be 'best', got 'word'"),
        ("callbacks.last.dirpath=a", "callbacks.last.dirpath: must be 'runs/.*/checkpoints', got 'a'"),
        (
            "callbacks.best.save_on_train_epoch_end=false",
            "callbacks.best.save_on_train_epoch_end: must be true",
        ),
        (
            "callbacks.best.enable_version_counter=0",
            "callbacks.best.enable_version_counter: must be false, got 0",
        ),
        ("+callbacks.best.save_top_k=3", "callbacks.best.save_top_k: must be left out, got 3"),
        ("~callbacks.best.filename", "callbacks.best.filename: must be 'best', got null"),
        ("callbacks.overlays.every_n_epochs=0", "callbacks.overlays.every_n_epochs: must be at least 1"),
        ("callbacks.learning_rate.logging_interval=day", "callbacks.learning_rate.logging_interval: must be"),
        ("+logger.w._target_=pytorch_lightning.loggers.CometLogger", "logger.w: .*comet"),
        ("trainer.accelerator=gpu", "trainer.accelerator: gpu is not on this machine; trainer=cpu trains on"),
        ("trainer.accelerator=mps", "trainer.accelerator: mps is not on this machine"),
        ("trainer.accelerator=quantum", "trainer: You selected an invalid accelerator name"),
        ("trainer.devices=1000", "trainer.devices: must be at most .* on these CPUs, got 1000"),
        ("trainer.devices=0", "trainer: .*devices=0"),
        ("trainer.precision=8", "trainer.precision: must be one of auto, .*32-true.*, got 8"),
        ("trainer.precision=64-true", "trainer.precision: must be one of auto, 32-true, .*, got '64-true'"),
        (
            "trainer.precision=bf16-true",
            "trainer.precision: must be one of auto, 32-true, bf16-mixed, 16-mixed",
        ),
        ("trainer.precision=32.0", "trainer.precision: must be one of auto, .*, got 32.0"),
        ("trainer.precision=16-mixed", "trainer.precision: 16-mixed needs a GPU"),
        ("trainer.max_epochs=0", "trainer.max_epochs: must be at least 1, got 0"),
        ("trainer.max_epochs=null", "trainer.max_epochs: must be a whole number, got null"),
        ("trainer.gradient_clip_val=-1", "trainer.gradient_clip_val: must be at least 0, got -1"),
        ("trainer.plugins=[word]", "trainer.plugins: must be a list of objects"),
        ("trainer.plugins=[{_target_:no.such}]", "trainer.plugins.0._target_: 'no.such' cannot be had"),
        (
            "+trainer.max_epoch=3",
            "trainer.max_epoch: is no setting of Trainer. Did you mean trainer.max_epochs",
        ),
        ("+trainer.strategy=ddp_spawn", "trainer.strategy: must start processes anew, as ddp does"),
        ("+trainer.strategy=word", "trainer: You selected an invalid strategy name"),
        ("+trainer.fast_dev_run=true", "trainer.fast_dev_run: must be false, got true: .*debug=batch"),
        ("+trainer.fast_dev_run=3", "trainer.fast_dev_run: must be false, got 3"),
        (
            "+trainer.overfit_batches=1",
            "trainer.overfit_batches: must be 0.0, got 1: validation is of its own",
        ),
        (
            "+trainer.limit_train_batches=0",
            "trainer.limit_train_batches: must be a whole number of batches or",
        ),
        (
            "+trainer.limit_train_batches=1.5",
            "trainer.limit_train_batches: must be a whole number of batches",
        ),
        (
            "+trainer.limit_val_batches=1",
            "trainer.limit_val_batches: must be 1.0, got 1: scores are of whole",
        ),
        ("+trainer.limit_val_batches=0", "trainer.limit_val_batches: must be 1.0, got 0"),
        ("+trainer.limit_test_batches=0.5", "trainer.limit_test_batches: must be 1.0, got 0.5"),
        (
            "+trainer.max_steps=10",
            "trainer.max_steps: must be -1, got 10: checkpoints and scores are of whole",
        ),
        ("+trainer.min_steps=5", "trainer.min_steps: must be null, got 5"),
        ("+trainer.val_check_interval=0.5", "trainer.val_check_interval: must be 1.0, got 0.5"),
        ("+trainer.val_check_interval=1", "trainer.val_check_interval: must be 1.0, got 1:"),
        (
            "+trainer.check_val_every_n_epoch=51",
            "trainer.check_val_every_n_epoch: must be from 1 to the 50 ep",
        ),
        ("+trainer.check_val_every_n_epoch=0", "trainer.check_val_every_n_epoch: must be at least 1, got 0"),
        (
            "+trainer.check_val_every_n_epoch=null",
            "trainer.check_val_every_n_epoch: must be from 1 to the 50",
        ),
        ("+trainer.max_time=5", "trainer.max_time: must be text or a section of settings or null, got 5"),
        ("+trainer.max_time=soon", "trainer.max_time: .*is not a valid duration"),
        ("+trainer.max_time.moons=5", "trainer.max_time: .*'moons'"),
        ("+trainer.accumulate_grad_batches=0", "trainer.accumulate_grad_batches: must be at least 1, got 0"),
        ("+trainer.profiler=word", "trainer.profiler: must be one of simple, advanced, pytorch, got 'word'"),
        ("trainer.num_sanity_val_steps=-2", "trainer.num_sanity_val_steps: must be at least -1, got -2"),
        ("+trainer.enable_checkpointing=false", "trainer.enable_checkpointing: must be true, got false"),
        ("+trainer.logger=false", "trainer.logger: is set by logger=CHOICE, got false"),
        ("+trainer.default_root_dir=x", "trainer.default_root_dir: is set by paths.output_dir, got 'x'"),
        ("+trainer.barebones=true", "trainer.barebones: must be false"),
        ("trainer.use_distributed_sampler=true", "trainer.use_distributed_sampler: must be false"),
    ],
)
def test_a_wrong_setting_is_refused_in_a_line(overrides: str, line: str) -> None:
    if "accelerator" in overrides and (torch.cuda.is_available() or torch.backends.mps.is_available()):
        pytest.skip("has one")
    with pytest.raises(ConfigError, match=f"^{line}") as refused:
        rehearse(compose(overrides))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ("intensity.margin_hu=-1", "intensity.margin_hu: must be from 0 to 4095 HU, got -1"),
        (
            "intensity.lower_percent=100",
            "intensity.lower_percent and intensity.upper_percent: must be 0 <= .*, got 100 and 99.5",
        ),
        ("data.modality=mr", "intensity: must not be fitted to Hounsfield units of the liver in MR, got Fit"),
    ],
)
def test_a_window_that_cannot_be_fitted_is_refused_in_a_line(overrides: str, line: str) -> None:
    with pytest.raises(ConfigError, match=f"^{line}"):
        rehearse(compose("intensity=ct_fitted", overrides))


def test_a_network_is_tried_at_the_size_that_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[int, ...]] = []

    def check(_network: object, *, images: tuple[int, ...], regions: int) -> None:
        tried.append(images)
        if images[-1] == 96:
            raise ConfigError("must take sides of 96")

    monkeypatch.setattr(rehearsal, "check_answer", check)
    rehearse(compose("data.image_size=auto", "intensity=ct_fitted"))
    rehearse_network(compose("data.image_size=64"))
    assert tried == [(4, 1, 256, 256), (4, 3, 64, 64)]
    with pytest.raises(ConfigError, match="^model: must take sides of 96"):
        rehearse_network(compose("data.image_size=96"))


def test_a_logger_whose_package_is_broken_is_told_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"^logger\.tensorboard: .*torch\.utils\.tensorboard"):
        rehearse(compose())
    rehearse(compose("logger=csv"))


@pytest.mark.parametrize(("logger", "package"), [("wandb", "wandb"), ("mlflow", "alembic")])
def test_a_logger_whose_package_is_missing_names_its_extra(
    logger: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in ("wandb", "mlflow", "sqlalchemy"):  # there, wherever this runs
        monkeypatch.setitem(sys.modules, each, SimpleNamespace(__spec__=each))
    monkeypatch.setitem(sys.modules, package, None)
    line = rf'^logger\.{logger}: needs {package}: pip install "\.\[{logger}\]"$'
    with pytest.raises(ConfigError, match=line):
        rehearse(compose(f"logger=[tensorboard,{logger}]"))


def test_weights_that_are_not_there_are_missed_before_anything_is_read() -> None:
    overrides = ("model=resnet50", "trainer=cpu", "data.image_size=32", "model.weights=nowhere.pt")
    settings = settings_kit.compose("train", *overrides)
    with pytest.raises(ConfigError, match="^model.weights: must be null, .* no file nowhere.pt"):
        rehearse(settings)


def test_a_machine_that_cannot_compile_is_told_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", fail)
    rehearse(compose("compile=auto"))
    with pytest.raises(ConfigError) as refused:
        rehearse(compose("compile=true"))
    assert str(refused.value) == (
        "compile: this machine cannot compile (RuntimeError: no compiler); use compile=false"
    )


def trainer_of(*overrides: str, tmp_path: Path) -> Any:
    settings = compose(*overrides, f"paths.output_dir={tmp_path}")
    return make_trainer(settings, callbacks=[], loggers=[])


def test_a_time_limit_ends_a_training_after_a_whole_epoch(tmp_path: Path) -> None:
    trainer = trainer_of("+trainer.max_time=00:00:01:00", tmp_path=tmp_path)
    (timer,) = [each for each in trainer.callbacks if type(each).__name__ == "Timer"]
    assert timer._interval == "epoch"
    assert timer.time_remaining() == 60


def test_a_profiler_by_name_writes_into_the_folder_of_the_run(tmp_path: Path) -> None:
    trainer = trainer_of("+trainer.profiler=simple", tmp_path=tmp_path)
    assert Path(trainer.profiler.dirpath) == tmp_path


def test_a_progress_bar_can_be_asked_for(tmp_path: Path) -> None:
    for asked in (True, False):
        trainer = trainer_of(f"+trainer.enable_progress_bar={asked}", tmp_path=tmp_path)
        assert (trainer.progress_bar_callback is not None) == asked


def test_the_rehearsal_leaves_warnings_as_they_were() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        rehearse(compose())
        assert warnings.filters == before


STOP = "+callbacks.stop._target_=pytorch_lightning.callbacks.EarlyStopping"


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ("+callbacks.stop.monitor=val_loss",),
            "callbacks.stop.monitor: must be a score of each epoch, got 'val_loss'; did you mean val/loss?",
        ),
        (
            ("+callbacks.stop.monitor=val/liver/dice_global",),
            "callbacks.stop.mode: must be max for val/liver/dice_global, got min",
        ),
        (("split.folds=3", "split.fold=3"), "split.fold: must be from 0 to 2 of 3 folds, got 3"),
        (("split.folds=1", "split.fold=0"), "split.folds: must be 2 or more, got 1"),
    ],
)
def test_what_hangs_together_is_held_against_each_other(overrides: tuple[str, ...], line: str) -> None:
    with pytest.raises(ConfigError) as refused:
        rehearse(compose(*([STOP] if "stop" in overrides[0] else []), *overrides))
    assert str(refused.value) == line
