import errno
import math
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lts.base import CheckpointError, StorageError
from lts.task import BestCheckpoint, WholeCheckpointIO

MONITOR = "val/tumor/dice_per_case"


def best_of(folder: Path) -> BestCheckpoint:
    settings = {"filename": "best", "monitor": MONITOR, "mode": "max", "enable_version_counter": False}
    return BestCheckpoint(dirpath=folder, **settings)


def write_best(folder: Path, score: float) -> None:
    state = {"best_model_score": torch.tensor(score)}
    torch.save({"callbacks": {best_of(folder).state_key: state}}, folder / "best.ckpt")


class Trainer(SimpleNamespace):
    """What the callback asks of a trainer; a checkpoint that it saves holds the callback's state."""

    def __init__(self, best: BestCheckpoint) -> None:
        strategy = SimpleNamespace(reduce_boolean_decision=bool, remove_checkpoint=lambda _: None)
        super().__init__(callback_metrics={}, strategy=strategy, global_step=0, loggers=[])
        super().__init__(is_global_zero=True, current_epoch=0, default_root_dir="")
        super().__init__(enable_validation=True, check_val_every_n_epoch=1)
        self.best = best

    def save_checkpoint(self, path: str, _weights_only: bool) -> None:
        content = {"callbacks": {self.best.state_key: self.best.state_dict()}, "epoch": self.global_step}
        torch.save(content, path)


def epochs(best: BestCheckpoint, *scores: tuple[float, float]) -> int:
    """Have the callback see epochs of score and validation loss; the number of the one it kept, from 1."""
    trainer = Trainer(best)
    for number, (score, loss) in enumerate(scores, start=1):
        metrics = {MONITOR: torch.tensor(score), "val/loss": torch.tensor(loss)}
        trainer.callback_metrics, trainer.global_step = metrics, number
        best._save_topk_checkpoint(trainer, metrics)
    return torch.load(best.best_model_path, weights_only=True)["epoch"]


NAN = math.nan


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([(0.2, 0.9), (0.5, 0.8), (0.4, 0.1)], 2),  # the score decides
        ([(0.0, 0.9), (0.0, 0.3), (0.0, 0.5)], 2),  # among equals the loss
        ([(0.0, 0.3), (0.0, 0.3)], 1),  # among equals of equal loss the first
        ([(NAN, 0.3), (0.0, 0.9), (NAN, 0.1)], 2),  # any score before none
        ([(NAN, 0.9), (NAN, 0.3)], 2),
        ([(0.0, NAN), (0.0, 0.1)], 1),  # an unknown loss breaks no tie
    ],
)
def test_among_epochs_of_one_score_the_lowest_validation_loss_is_kept(
    tmp_path: Path, scores: list[tuple[float, float]], kept: int
) -> None:
    assert epochs(best_of(tmp_path), *scores) == kept


@pytest.mark.parametrize(
    ("monitor", "mode"), [("val/loss", "min"), ("val/tumor/dice_global", "max"), (None, "min")]
)
def test_which_way_is_better_follows_from_the_score(tmp_path: Path, monitor: str | None, mode: str) -> None:
    best = BestCheckpoint(tmp_path, monitor=monitor)
    assert (best.mode, best.filename) == (mode, "best")
    assert BestCheckpoint(tmp_path, monitor=monitor, mode="max").mode == "max"


def test_a_resumed_run_knows_the_validation_loss_of_its_best(tmp_path: Path) -> None:
    assert epochs(best_of(tmp_path), (0.0, 0.3)) == 1
    resumed = best_of(tmp_path)
    resumed.load_state_dict(state_of(tmp_path, 0.0))
    trainer = Trainer(resumed)
    for loss, is_best in ((0.4, False), (0.2, True)):
        trainer.callback_metrics = {"val/loss": torch.tensor(loss)}
        assert resumed.check_monitor_top_k(trainer, torch.tensor(0.0)) == is_best


def test_without_a_score_the_last_epoch_is_kept_also_after_a_resume(tmp_path: Path) -> None:
    def best() -> BestCheckpoint:
        settings = {"filename": "best", "monitor": None, "mode": "min", "enable_version_counter": False}
        return BestCheckpoint(dirpath=tmp_path, **settings)

    assert epochs(best(), (0.5, 0.1), (0.2, 0.9)) == 2
    resumed = best()
    resumed.load_state_dict(state_of(tmp_path, 0.0))
    assert (resumed.best_model_score, resumed.best_model_path) == (None, str(tmp_path / "best.ckpt"))
    assert epochs(resumed, (0.1, 0.1)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["best.ckpt"]


def state_of(folder: Path, score: float) -> dict:
    return {"dirpath": str(folder), "best_model_score": torch.tensor(score), "best_model_path": "elsewhere"}


def test_a_checkpoint_is_what_was_given_and_holds_plain_types(tmp_path: Path) -> None:
    io, path = WholeCheckpointIO(), tmp_path / "made" / "a.ckpt"
    io.save_checkpoint({"a": torch.arange(3), "b": [1, "x"]}, path)
    found = io.load_checkpoint(path, weights_only=True)
    assert torch.equal(found["a"], torch.arange(3))
    assert found["b"] == [1, "x"]
    assert [file.name for file in path.parent.iterdir()] == ["a.ckpt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_takes_no_more_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch, number: int, step: str
) -> None:
    io, path = WholeCheckpointIO(), tmp_path / "a.ckpt"
    io.save_checkpoint({"a": 1}, path)

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync" if step == "fsync" else "pathlib.Path.replace", fail)
    with pytest.raises(StorageError) as told:
        io.save_checkpoint({"a": 2}, path)
    assert str(told.value) == f"{path}: cannot be written: {os.strerror(number)}"
    monkeypatch.undo()
    assert io.load_checkpoint(path, weights_only=True) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.ckpt"]


def test_the_best_score_of_a_resumed_run_is_that_of_its_file(tmp_path: Path) -> None:
    # Killed after best.ckpt and before last.ckpt: the last checkpoint knows of 0.5 alone.
    write_best(tmp_path, 0.7)
    best = best_of(tmp_path)
    best.load_state_dict(state_of(tmp_path, 0.5))
    assert float(best.best_model_score) == pytest.approx(0.7)
    assert Path(best.best_model_path) == tmp_path / "best.ckpt"
    assert best.best_k_models.keys() == {best.best_model_path} == {best.kth_best_model_path}
    assert float(best.kth_value) == pytest.approx(0.7)


def test_a_run_whose_folder_was_moved_keeps_its_best(tmp_path: Path) -> None:
    write_best(tmp_path, 0.7)
    best = best_of(tmp_path)
    best.load_state_dict(state_of(tmp_path / "before", 0.7))
    assert Path(best.best_model_path) == tmp_path / "best.ckpt"


def test_a_run_that_starts_from_another_ones_checkpoint_looks_for_its_own_best(tmp_path: Path) -> None:
    best = best_of(tmp_path)
    best.load_state_dict(state_of(tmp_path / "other", 0.7))
    assert best.best_model_score is None
    assert not best.best_k_models
    assert best.best_model_path == ""


@pytest.mark.parametrize(
    "content", [None, b"", b"PK half", {"callbacks": {}}, {"callbacks": {"x": 1}}, "a score that is none"]
)
def test_a_best_checkpoint_that_is_lost_or_damaged_is_told(tmp_path: Path, content: object) -> None:
    path = tmp_path / "best.ckpt"
    if content == "a score that is none":
        content = {"callbacks": {best_of(tmp_path).state_key: {"best_model_score": None}}}
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    rule = "is missing" if content is None else "is damaged"
    with pytest.raises(CheckpointError, match=rf"best.ckpt: {rule}, and the run cannot end without"):
        best_of(tmp_path).load_state_dict(state_of(tmp_path, 0.5))


class _RunsCode:
    def __reduce__(self):
        return pytest.fail, ("a checkpoint ran code",)


def test_a_best_checkpoint_that_would_run_code_does_not(tmp_path: Path) -> None:
    state = {"best_model_score": torch.tensor(0.7), "more": _RunsCode()}
    torch.save({"callbacks": {best_of(tmp_path).state_key: state}}, tmp_path / "best.ckpt")
    with pytest.raises(CheckpointError, match=r"best.ckpt: is damaged"):
        best_of(tmp_path).load_state_dict(state_of(tmp_path, 0.5))
