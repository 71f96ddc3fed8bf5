"""A run folder is one run's at a time."""

import os
import signal
from pathlib import Path

import pytest
from filelock import FileLock
from run_kit import ON_CPU, read, start, wait_for

from lts.app.alone import alone_in
from lts.app.leaderboard import LOCK_FILE
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
    with pytest.raises(ConfigError, match="must be of one run at a time"), alone_in(tmp_path):
        pass
    with alone_in(tmp_path, before_waiting=lock.release):
        pass


def test_who_has_a_folder_may_take_it_once_more(tmp_path: Path) -> None:
    with alone_in(tmp_path):
        with alone_in(tmp_path):
            pass
        other = FileLock(tmp_path / LOCK_FILE, blocking=False)
        with pytest.raises(TimeoutError):
            other.acquire()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_stays_empty_is_taken_away_and_one_with_content_is_not(tmp_path: Path) -> None:
    with alone_in(tmp_path / "a" / "b"):
        pass
    assert not (tmp_path / "a").exists()
    with alone_in(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "file").touch()
    assert (tmp_path / "a" / "b" / "file").exists()


def test_a_lock_that_a_killed_process_left_stands_in_nobodys_way(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        FileLock(tmp_path / LOCK_FILE).acquire()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert (tmp_path / LOCK_FILE).exists()
    with alone_in(tmp_path):
        pass


def test_a_folder_that_cannot_be_locked_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(self: FileLock, **_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", no_locks)
    with (
        pytest.raises(ConfigError, match="must be on a file system that has locks: No locks available"),
        alone_in(tmp_path),
    ):
        pass
