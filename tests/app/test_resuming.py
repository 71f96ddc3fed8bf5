import json
from pathlib import Path

import pytest

from lts.app import resuming
from lts.app.resuming import check_epochs_left, checkpoint_to_go_on_from, clear_traces, resume_from
from lts.base import CheckpointError, ConfigError


def begin_run(folder: Path, command: str = "train") -> None:
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"command": command, "state": "running"}))


def saved_after(epochs: int) -> dict:
    progress = {"current": {"processed": epochs}}
    parts = ("global_step", "callbacks", "optimizer_states", "lr_schedulers")
    return {"loops": {"fit_loop": {"epoch_progress": progress}}, **dict.fromkeys(parts)}


def test_no_checkpoint_is_no_checkpoint(tmp_path: Path) -> None:
    begin_run(tmp_path)
    assert checkpoint_to_go_on_from(None, tmp_path) is None


@pytest.mark.parametrize("ckpt", ["last", "auto"])
def test_a_run_goes_on_from_its_last_checkpoint_and_one_without_begins(tmp_path: Path, ckpt: str) -> None:
    begin_run(tmp_path)
    assert checkpoint_to_go_on_from(ckpt, tmp_path) is None
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.parent.mkdir()
    last.touch()
    assert checkpoint_to_go_on_from(ckpt, tmp_path) == last


def test_a_folder_without_a_run_is_for_auto_alone(tmp_path: Path) -> None:
    assert checkpoint_to_go_on_from("auto", tmp_path / "new") is None
    with pytest.raises(ConfigError, match=r"ckpt: no such file: .*last.ckpt"):
        checkpoint_to_go_on_from("last", tmp_path / "new")


@pytest.mark.parametrize("ckpt", ["last", "auto"])
def test_an_evaluation_is_no_training_to_go_on_with(tmp_path: Path, ckpt: str) -> None:
    begin_run(tmp_path, "evaluate")
    with pytest.raises(ConfigError, match="must hold a training to go on with, got one of evaluate"):
        checkpoint_to_go_on_from(ckpt, tmp_path)


def test_a_file_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    with pytest.raises(ConfigError, match=r"ckpt: no such file: .*a.ckpt"):
        checkpoint_to_go_on_from(str(path), tmp_path)
    path.touch()
    assert checkpoint_to_go_on_from(str(path), tmp_path) == path


def test_there_must_be_epochs_left_unless_the_run_is_scored_again(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    check_epochs_left(saved_after(2), path, max_epochs=3, ckpt=str(path))
    check_epochs_left(saved_after(3), path, max_epochs=3, ckpt="last")
    for epochs, ckpt in ((3, str(path)), (4, str(path)), (4, "last")):
        with pytest.raises(ConfigError, match=rf"max_epochs: must exceed the {epochs} epochs of .*, got 3"):
            check_epochs_left(saved_after(epochs), path, max_epochs=3, ckpt=ckpt)


def test_a_run_that_goes_on_knows_the_steps_behind_it(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "checkpoints").mkdir()
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.touch()
    monkeypatch.setattr(resuming, "read_checkpoint", lambda _: {**saved_after(2), "global_step": 14})
    assert resume_from("last", tmp_path, max_epochs=3) == (last, 14)
    assert resume_from(None, tmp_path, max_epochs=3) == (None, 0)
    with pytest.raises(ConfigError, match=r"trainer.max_epochs: must exceed the 2 epochs of .*, got 1"):
        resume_from("last", tmp_path, max_epochs=1)


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
