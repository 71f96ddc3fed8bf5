import json
from dataclasses import replace
from pathlib import Path

import pytest
import settings_kit

from lts.app.commands.training.monitor import follow
from lts.app.config.serialization import settings_to_dict
from lts.app.config.settings import TrainSettings
from lts.app.run import resuming
from lts.app.run.resuming import (
    check_before_resuming,
    check_epochs_left,
    checkpoint_to_resume,
    clear_traces,
    plan_resume,
)
from lts.base import CheckpointError, ConfigError
from lts.cohort import Split


def begin_run(folder: Path, command: str = "train") -> None:
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"command": command, "state": "running"}))


def saved_after(epochs: int) -> dict:
    progress = {"current": {"processed": epochs}}
    parts = ("global_step", "callbacks", "optimizer_states", "lr_schedulers")
    return {"loops": {"fit_loop": {"epoch_progress": progress}}, **dict.fromkeys(parts)}


def test_no_checkpoint_is_no_checkpoint(tmp_path: Path) -> None:
    begin_run(tmp_path)
    assert checkpoint_to_resume(None, tmp_path) is None


@pytest.mark.parametrize("ckpt", ["last", "auto"])
def test_a_run_goes_on_from_its_last_checkpoint_and_one_without_begins(tmp_path: Path, ckpt: str) -> None:
    begin_run(tmp_path)
    assert checkpoint_to_resume(ckpt, tmp_path) is None
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.parent.mkdir()
    last.touch()
    assert checkpoint_to_resume(ckpt, tmp_path) == last


def test_a_folder_without_a_run_is_for_auto_alone(tmp_path: Path) -> None:
    assert checkpoint_to_resume("auto", tmp_path / "new") is None
    with pytest.raises(ConfigError, match=r"ckpt: no such file: .*last.ckpt"):
        checkpoint_to_resume("last", tmp_path / "new")


@pytest.mark.parametrize("ckpt", ["last", "auto"])
def test_an_evaluation_is_no_training_to_go_on_with(tmp_path: Path, ckpt: str) -> None:
    begin_run(tmp_path, "evaluate")
    with pytest.raises(ConfigError, match="must hold a training to go on with, got one of evaluate"):
        checkpoint_to_resume(ckpt, tmp_path)


def test_a_file_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    with pytest.raises(
        ConfigError, match=f"got the folder {tmp_path}; paths.output_dir={tmp_path} ckpt=last goes"
    ):
        checkpoint_to_resume(str(tmp_path), tmp_path)
    with pytest.raises(ConfigError, match=r"ckpt: no such file: .*a.ckpt"):
        checkpoint_to_resume(str(path), tmp_path)
    path.touch()
    assert checkpoint_to_resume(str(path), tmp_path) == path


def test_there_must_be_epochs_left_unless_the_run_is_scored_again(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    check_epochs_left(saved_after(2), path, max_epochs=3, ckpt=str(path))
    check_epochs_left(saved_after(3), path, max_epochs=3, ckpt="last")
    for epochs, ckpt in ((3, str(path)), (4, str(path)), (4, "last")):
        with pytest.raises(ConfigError, match=rf"max_epochs: must exceed the {epochs} epochs of .*, got 3"):
            check_epochs_left(saved_after(epochs), path, max_epochs=3, ckpt=ckpt)


SPLIT = Split(train=("a", "b"), val=("c",), test=())


def members(split: Split, content: str = "0") -> dict:
    """By part its cases, with the content of their scans."""
    return {
        part: [{"case": case, "patient": case, "sha256": content} for case in split.subset(part)]
        for part in ("train", "val", "test")
    }


def compose(folder: Path, *overrides: str) -> TrainSettings:
    settings = ("data.root=scans", "trainer.max_epochs=3", f"paths.output_dir={folder}")
    return settings_kit.compose("train", *settings, *overrides)


@pytest.fixture
def begun(tmp_path: Path, monkeypatch) -> Path:
    """A run of two epochs in a folder, whose checkpoints are as its settings says."""
    begin_run(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    for name in ("last", "best"):
        (tmp_path / "checkpoints" / f"{name}.ckpt").touch()
    settled = ("callbacks.best.monitor=val/loss", "callbacks.best.mode=min")
    described = {"config": settings_to_dict(compose(tmp_path, *settled)), "split": members(SPLIT)}
    content = {**saved_after(2), "global_step": 14, "lts": described}
    monkeypatch.setattr(resuming, "read_checkpoint", lambda _: content)
    return tmp_path


def test_a_run_that_goes_on_knows_what_is_behind_it(begun: Path) -> None:
    resume = plan_resume(compose(begun, "ckpt=last"), begun, SPLIT)
    assert resume is not None
    assert (resume.path.name, resume.epochs, resume.steps) == ("last.ckpt", 2, 14)
    assert (resume.taken, resume.history, resume.optimizer_changed) == ([], [], False)
    assert resume.line() == f"goes on after epoch 2 of {resume.path}"
    assert plan_resume(compose(begun), begun, SPLIT) is None
    with pytest.raises(ConfigError, match=r"trainer.max_epochs: must exceed the 2 epochs of .*, got 1"):
        plan_resume(compose(begun, "ckpt=last", "trainer.max_epochs=1"), begun, SPLIT)


def test_what_a_run_takes_anew_is_told_and_remembered(begun: Path) -> None:
    settings = compose(begun, "ckpt=last", "optimizer.lr=1e-6", "data.batch_size=3", "data.num_workers=9")
    resume = plan_resume(settings, begun, SPLIT)
    assert resume is not None
    assert resume.optimizer_changed
    assert resume.learning_rate_changed
    assert resume.line().endswith(" with optimizer.lr 1e-06 (was 0.0001), data.batch_size 3 (was 16)")
    rate = {"after_epoch": 2, "key": "optimizer.lr", "from": 1e-4, "to": 1e-6}
    assert rate in resume.history
    again = replace(resume, earlier_changes=resume.history, changes=())
    assert again.history == resume.history
    slower = plan_resume(compose(begun, "ckpt=last", "scheduler.patience=9"), begun, SPLIT)
    assert slower is not None
    assert (slower.optimizer_changed, slower.learning_rate_changed) == (True, False)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        (("optimizer=adamw",), "optimizer._target_: must be torch.optim.Adam as in "),
        (("seed=5",), "seed: must be 0 as in "),
        (
            ("trainer.max_epochs=2", "optimizer.lr=1"),
            "optimizer.lr: must be 0.0001 as in .* all epochs are done",
        ),
    ],
)
@pytest.mark.parametrize("ckpt", ["last", "auto"])
def test_what_cannot_be_taken_is_refused(
    begun: Path, settings: tuple[str, ...], rule: str, ckpt: str
) -> None:
    with pytest.raises(ConfigError, match=rule):
        plan_resume(compose(begun, f"ckpt={ckpt}", *settings), begun, SPLIT)


def test_other_cases_are_refused_before_and_after_their_scans_are_read(begun: Path) -> None:
    other = Split(train=("a",), val=("c",), test=("b",))
    with pytest.raises(ConfigError, match="split.seed: must be 0 as in .*, got 7"):
        plan_resume(compose(begun, "ckpt=last", "split.seed=7"), begun, other)
    settings = compose(begun, "ckpt=last")
    resume = plan_resume(settings, begun, SPLIT)
    assert resume is not None
    settings = follow(settings, monitor="val/loss", mode="min")
    check_before_resuming(resume, settings, members=members(SPLIT))
    with pytest.raises(CheckpointError, match="its train cases are no longer those of data.root"):
        check_before_resuming(resume, settings, members=members(SPLIT, content="1"))


def test_a_run_whose_best_would_be_chosen_by_another_score_is_refused(begun: Path) -> None:
    for ckpt, refused in (("last", True), (str(begun / "checkpoints" / "last.ckpt"), False)):
        settings = compose(begun, f"ckpt={ckpt}")
        resume = plan_resume(settings, begun, SPLIT)
        assert resume is not None
        settings = follow(settings, monitor="val/accuracy", mode="max")
        if not refused:
            check_before_resuming(resume, settings, members=members(SPLIT))
            continue
        with pytest.raises(ConfigError, match="callbacks.best.monitor: must be val/loss as in"):
            check_before_resuming(resume, settings, members=members(SPLIT))


def test_a_lost_best_checkpoint_is_told_before_anything_is_read(begun: Path) -> None:
    best = begun / "checkpoints" / "best.ckpt"
    best.unlink()
    with pytest.raises(CheckpointError, match=f"{best}: is missing, and the run cannot end without"):
        plan_resume(compose(begun, "ckpt=auto"), begun, SPLIT)
    file = begun / "checkpoints" / "last.ckpt"
    assert plan_resume(compose(begun, f"ckpt={file}"), begun, SPLIT) is not None  # looks for its own


@pytest.mark.parametrize("lacking", ["config", "split"])
def test_a_training_that_does_not_tell_its_settings_is_refused(begun: Path, lacking: str) -> None:
    del resuming.read_checkpoint(begun)["lts"][lacking]
    with pytest.raises(CheckpointError, match=r"last\.ckpt: must hold the settings of a training to go on"):
        plan_resume(compose(begun, "ckpt=last"), begun, SPLIT)


def test_a_model_without_its_training_is_refused(tmp_path: Path) -> None:
    saved = saved_after(1)
    del saved["optimizer_states"]
    with pytest.raises(CheckpointError, match=r"lacks \['optimizer_states'\]"):
        check_epochs_left(saved, tmp_path / "a.ckpt", max_epochs=3, ckpt="last")


def test_what_epochs_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    begin_run(tmp_path)
    for name in ("checkpoints", "tensorboard", "csv", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / "curves.png").touch()
    clear_traces(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", "mine"}


def test_a_run_that_left_nothing_is_cleared_too(tmp_path: Path) -> None:
    begin_run(tmp_path)
    clear_traces(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
