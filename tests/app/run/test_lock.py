"""A run folder is one run's at a time."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest
from command_kit import Started
from filelock import FileLock
from run_kit import ON_CPU, read, start, wait_for

from lts.app.run.lock import locked_folder, locked_run_folder
from lts.app.run.records import LOCK_FILE
from lts.base import ConfigError


@pytest.mark.slow
def test_a_second_run_of_a_folder_is_refused_and_the_first_goes_on(run, tmp_path: Path) -> None:
    settings = (*ON_CPU, "trainer.max_epochs=500", "paths.output_dir=a", "ckpt=auto")
    first = start(*settings, cwd=tmp_path)
    wait_for(first, "epoch 2/")
    second = run("train", *settings, cwd=tmp_path)
    rule = "must be of one run at a time, and one is using it; wait for its end, or choose another folder"
    line = f"train: paths.output_dir: {tmp_path / 'a'} {rule}\n"
    assert (second.returncode, second.stderr) == (2, line)
    wait_for(first, "epoch ")  # it still trains
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=60)
    assert first.returncode == 143
    assert read(tmp_path / "a" / "run.json")["state"] == "interrupted"
    assert not (tmp_path / "a" / LOCK_FILE).exists()


def test_a_folder_in_use_is_refused_or_waited_for(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / LOCK_FILE)
    lock.acquire()
    with pytest.raises(ConfigError, match="must be of one run at a time"), locked_folder(tmp_path):
        pass
    with locked_folder(tmp_path, before_waiting=lock.release):
        pass


def test_who_has_a_folder_may_take_it_once_more(tmp_path: Path) -> None:
    with locked_folder(tmp_path):
        with locked_folder(tmp_path):
            pass
        other = FileLock(tmp_path / LOCK_FILE, blocking=False)
        with pytest.raises(TimeoutError):
            other.acquire()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_stays_empty_is_taken_away_and_one_with_content_is_not(tmp_path: Path) -> None:
    with locked_folder(tmp_path / "a" / "b"):
        pass
    assert not (tmp_path / "a").exists()
    with locked_folder(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "file").touch()
    assert (tmp_path / "a" / "b" / "file").exists()


def test_a_lock_that_a_killed_process_left_stands_in_nobodys_way(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        FileLock(tmp_path / LOCK_FILE).acquire()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert (tmp_path / LOCK_FILE).exists()
    with locked_folder(tmp_path):
        pass


def test_a_folder_that_cannot_be_locked_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(self: FileLock, **_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", no_locks)
    with (
        pytest.raises(ConfigError, match="must be on a file system that has locks: No locks available"),
        locked_folder(tmp_path),
    ):
        pass


def test_runs_of_one_second_get_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = partial(locked_run_folder, "runs/2026", is_named_by_time=True)  # a second that lasts
    with asked() as first, asked() as second:
        assert (first, second) == (tmp_path / "runs" / "2026", tmp_path / "runs" / "2026-2")
        (first / "run.json").touch()
    assert not second.exists()  # nothing was written into it
    with asked() as later:
        assert later.name == "2026-2"


def test_a_folder_that_was_named_is_not_changed_for_another(tmp_path: Path) -> None:
    for _ in range(2):
        with locked_run_folder(tmp_path / "a") as folder:
            assert folder == tmp_path / "a"
            (folder / "run.json").touch()


@pytest.mark.parametrize("is_named_by_time", [False, True])
def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, is_named_by_time: bool) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="paths.output_dir: .* cannot be written to"):  # noqa: SIM117
        with locked_run_folder(tmp_path / "file" / "a", is_named_by_time=is_named_by_time):
            pass


def test_two_checks_that_begin_together_write_into_two_folders(tmp_path: Path) -> None:
    small = ("data.phantom.cases=1", "data.phantom.matrix=32")
    name = "paths.output_dir=checks/${now:%Y}"
    started = [Started("check", *small, name, cwd=tmp_path) for _ in range(2)]
    try:
        ended = [process.communicate(timeout=300) for process in started]
    finally:
        for process in started:
            process.close()
    assert [process.returncode for process in started] == [0, 0], ended
    folders = sorted((tmp_path / "checks").iterdir())
    assert [folder.name.partition("-")[2] for folder in folders] == ["", "2"]
    assert all((folder / "doctor.json").is_file() for folder in folders)
