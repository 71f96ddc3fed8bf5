"""The commands as a user meets them: each test runs one in a process of its own."""

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from command_kit import ROOT, run, run_anew

from lts.app.run import failures
from lts.app.run.failures import catch_thread_failures, exit_code_of
from lts.base import ConfigError


@pytest.mark.parametrize(
    ("command", "told", "left_out"),
    [
        (
            "train",
            [
                "python train.py data=lits",
                "model: attention_unet, monai_basicunet, resnet50, smp_unet, unet",
                "  lr: 0.0001",
            ],
            "Hydra",
        ),
        ("predict", ["python predict.py ckpt=FILE input=FILE", "flips: []"], "optimizer"),
    ],
)
def test_help_shows_how_a_command_is_used_and_its_keys(
    command: str, told: list[str], left_out: str, tmp_path: Path
) -> None:
    done = run(command, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert all(each in done.stdout for each in told)
    assert left_out not in done.stdout
    assert not list(tmp_path.iterdir())


def test_help_that_is_not_read_to_its_end_is_no_bug(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, str(ROOT / "train.py"), "--help"]
    done = subprocess.run(command, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_misspelt_key_fails_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    done = run_anew("-X", "importtime", str(ROOT / "train.py"), "optimizer.lrr=1", cwd=tmp_path)
    assert done.returncode == 2
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "hydra" in imported
    assert not imported & {"torch", "numpy", "pytorch_lightning"}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data.rot=3"], "train: data.rot: no such key. Did you mean data.root?"),
        (
            ["model=unt"],
            "train: model: must be one of attention_unet, monai_basicunet, resnet50, smp_unet, unet, got ",
        ),
        (["data.regions=[liver"], "train: data.regions=[liver: must be KEY=VALUE"),
        (["data.batch_size", "=", "4"], "train: =: must be KEY=VALUE without spaces around ="),
        (
            ["optimizer.lr=1,2"],
            "optimizer.lr: must be one value, got several: optimizer.lr=[1,2] where it takes",
        ),
        (["model=unet", "--epochs", "3", "seed=1"], "Did you mean trainer.max_epochs=3?"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = run("train", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("train", ["data=lits"], "data.root"),
        ("train", ["data=lits", "data.root=nowhere"], "nowhere"),
        ("train", ["data.regions=[kidney]"], "data.regions: must name one or more of"),
        ("evaluate", [], "ckpt"),
        ("evaluate", ["ckpt=nowhere.ckpt"], "nowhere.ckpt: no such file"),
        (
            "evaluate",
            ["ckpt=x.ckpt", "subset=tset"],
            "subset: must be one of train, val, test, all or null, got 'tset'",
        ),
        (
            "evaluate",
            ["ckpt=x.ckpt", "data=lits", "data.root=nowhere", "data.image_size=64"],
            "data.image_size: is fixed by the checkpoint",
        ),
        ("evaluate", ["ckpt=x.ckpt", "intensity=ct_plain"], "intensity: is fixed by the checkpoint"),
    ],
)
def test_wrong_input_is_told_in_one_line(
    command: str, arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = run(command, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "epochs", "batch_size"),
    [
        (["model=unet"], 50, 16),
        (["model=attention_unet"], 50, 16),
        (["model=resnet50"], 10, 4),
        (["model=resnet50", "trainer.max_epochs=3", "data.batch_size=2"], 3, 2),
    ],
)
def test_a_model_brings_its_recipe_and_the_command_line_wins(
    arguments: list[str], epochs: int, batch_size: int, tmp_path: Path
) -> None:
    done = run("train", *arguments, "data=lits", "data.root=X", "--cfg", "job", cwd=tmp_path)
    assert done.returncode == 0
    assert f"  max_epochs: {epochs}\n" in done.stdout
    assert f"  batch_size: {batch_size}\n" in done.stdout


def test_a_bug_ends_with_a_traceback_and_code_1(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "from lts.app import command\n"
        "def fail(*_):\n    raise RuntimeError('ours')\n"
        "command._run = fail\n"
        "command.run_command('train')\n"
    )
    done = run_anew(str(script), cwd=tmp_path)
    assert done.returncode == 1
    assert "RuntimeError: ours" in done.stderr
    assert "Traceback" in done.stderr


def test_the_sweep_preset_is_a_grid_of_four(tmp_path: Path) -> None:
    done = run("train", "sweep=lr_batch", "data=lits", "data.root=X", "--cfg", "hydra", cwd=tmp_path)
    assert done.returncode == 0
    assert "mode: MULTIRUN" in done.stdout
    assert "optimizer.lr: 1e-3,1e-4" in done.stdout


def _fail_in_a_library(number: int) -> None:
    try:
        raise OSError(number, os.strerror(number), "metrics.json")
    except OSError as error:
        raise RuntimeError("archive is broken") from error


def _end(fail: Callable[[], object]) -> int:
    with exit_code_of("train"):
        fail()
    raise AssertionError("did not fail")


@pytest.mark.parametrize(
    ("number", "told"),
    [
        *((number, "cannot be written") for number in (errno.ENOSPC, errno.EROFS, errno.EDQUOT)),
        *((number, "cannot be used") for number in (errno.EACCES, errno.ENAMETOOLONG, errno.ELOOP)),
        *((number, "cannot be used") for number in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EMFILE)),
    ],
)
def test_a_disk_or_path_that_stands_in_the_way_is_told_in_one_line(number: int, told: str, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        _end(lambda: _fail_in_a_library(number))
    line = f"train: metrics.json: {told}: {os.strerror(number)}\n"
    assert (end.value.code, capsys.readouterr().err) == (2, line)


def test_an_error_of_the_disk_itself_stays_a_bug(capsys) -> None:
    with pytest.raises(SystemExit) as end:
        _end(lambda: _fail_in_a_library(errno.EIO))
    assert end.value.code == 1
    assert "Traceback" in capsys.readouterr().err


def _want_memory() -> None:
    import numpy as np

    np.empty((1 << 50,), np.int64)


def _want_memory_of_torch() -> None:
    import torch

    torch.empty(1 << 58)


def _misconfigure() -> None:
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    raise MisconfigurationException("the monitor\nis not there")


@pytest.mark.parametrize(
    ("fail", "line"),
    [
        (_want_memory, "train: memory: Unable to allocate "),
        (_want_memory_of_torch, "train: memory: "),
        (_misconfigure, "train: the monitor is not there\n"),
    ],
)
def test_what_libraries_find_wrong_in_a_run_is_told_in_one_line(
    fail: Callable[[], object], line: str, capsys
) -> None:
    with pytest.raises(SystemExit) as end:
        _end(fail)
    told = capsys.readouterr().err
    assert (end.value.code, told.count("\n")) == (2, 1)
    assert told.startswith(line)


def _raise_a_cause_anew() -> None:
    try:
        try:
            raise ConfigError("loss.smooth: must be > 0, got 0")
        except ConfigError as cause:
            raise RuntimeError("wrapped") from cause
    except RuntimeError as error:
        raise error.__cause__ or error from None


def test_an_error_that_leads_to_itself_ends_the_command(capsys) -> None:
    with pytest.raises(SystemExit) as end:
        _end(_raise_a_cause_anew)
    assert (end.value.code, capsys.readouterr().err) == (2, "train: loss.smooth: must be > 0, got 0\n")


def test_a_full_disk_that_ends_a_thread_is_no_traceback(capsys, monkeypatch) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(failures, "_failed_in_threads", heard := [])
    catch_thread_failures()

    def fail(error: Exception) -> None:
        raise error

    for error in (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyError("bug")):
        thread = threading.Thread(target=fail, args=(error,))
        thread.start()
        thread.join()
    assert heard == ["a file of the run: cannot be written: No space left on device"]
    told = capsys.readouterr().err
    assert "KeyError: 'bug'" in told
    assert "OSError" not in told


def test_too_little_memory_says_so_without_words_of_a_library(capsys) -> None:
    def fail() -> None:
        raise MemoryError

    with pytest.raises(SystemExit):
        _end(fail)
    assert capsys.readouterr().err.startswith(
        "train: memory: there is too little for what was asked; a smaller"
    )
