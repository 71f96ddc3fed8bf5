"""A run folder is one run's at a time."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_kit import ROOT
from filelock import FileLock
from hydra.core.utils import setup_globals
from omegaconf import OmegaConf
from run_kit import ON_CPU, read, start, wait_for

from lts.app.run.lock import alone_in, alone_in_folder_of
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


def config_of(folder: str):
    setup_globals()  # what Hydra knows of the time
    return OmegaConf.create({"paths": {"output_dir": folder}})


def test_runs_of_one_second_get_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = config_of("runs/${now:%Y}")  # a second that lasts
    with alone_in_folder_of(config) as first, alone_in_folder_of(config) as second:
        year = first.name
        assert (first, second) == (tmp_path / "runs" / year, tmp_path / "runs" / f"{year}-2")
        (first / "run.json").touch()
    assert not second.exists()  # nothing was written into it
    with alone_in_folder_of(config) as later:
        assert later.name == f"{year}-2"


def test_a_folder_that_was_named_is_not_changed_for_another(tmp_path: Path) -> None:
    config = config_of(str(tmp_path / "a"))
    for _ in range(2):
        with alone_in_folder_of(config) as folder:
            assert folder == tmp_path / "a"
            (folder / "run.json").touch()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("file/${now:%Y}", "file/a"):
        config = config_of(f"{tmp_path}/{name}")
        with pytest.raises(ConfigError, match="paths.output_dir: .* cannot be written to"):  # noqa: SIM117
            with alone_in_folder_of(config):
                pass


def test_two_checks_that_begin_together_write_into_two_folders(tmp_path: Path) -> None:
    line = [sys.executable, str(ROOT / "check.py"), "data.phantom.cases=1", "data.phantom.matrix=32"]
    name = "paths.output_dir=checks/${now:%Y}"
    started = [
        subprocess.Popen(
            [*line, name], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    ended = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0], ended
    folders = sorted((tmp_path / "checks").iterdir())
    assert [folder.name.partition("-")[2] for folder in folders] == ["", "2"]
    assert all((folder / "doctor.json").is_file() for folder in folders)
