"""Runs that are told to stop, killed or short of disk, and go on."""

import random
import signal
import time
from pathlib import Path

import pytest
import torch
from run_kit import ON_CPU, logged, read, same_weights, saved, start, wait_for

SIX_EPOCHS = (*ON_CPU, "trainer.max_epochs=6")
ENDLESS = (*ON_CPU, "trainer.max_epochs=100000")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are run; scans and store are made there once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def whole(succeed, home: Path) -> Path:
    """A run of six epochs that was left alone."""
    succeed("train", *SIX_EPOCHS, "paths.output_dir=whole", cwd=home)
    return home / "whole"


def test_a_run_says_what_it_will_take(succeed, whole: Path, home: Path) -> None:
    printed = succeed(
        "train",
        *ON_CPU,
        "trainer.max_epochs=4",
        "data.num_workers=2",
        "data.batch_size=2",
        "paths.output_dir=told",
        cwd=home,
    )
    lines = printed.splitlines()
    (plan,) = [line for line in lines if line.startswith("store ")]
    assert f"MiB for 4 cases in {home / 'data' / 'store'}; loader workers 2, each with about 20 MiB" in plan
    (pace,) = [line for line in lines if line.startswith("training takes about ")]
    assert lines.index(plan) < lines.index(pace) < lines.index(next(_ for _ in lines if "epoch 1/4" in _))


@pytest.mark.slow
def test_a_run_killed_ten_times_ends_as_one_left_alone(succeed, whole: Path, home: Path) -> None:
    folder = home / "killed"
    moments, kills = random.Random(3), 0
    settings = (*SIX_EPOCHS, f"paths.output_dir={folder}", "ckpt=auto")
    for attempt in range(10):
        workers = (0, 0, 2, 1)[attempt % 4]  # batches are the same, whoever reads them
        process = start(*settings, f"data.num_workers={workers}", cwd=home)
        wait_for(process, "run ")
        # Whatever it does then: the first seconds hold some epochs, the last ones the scoring.
        time.sleep(moments.uniform(0, 3))
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
    assert kills > 0
    succeed("train", *settings, cwd=home)
    for name in ("last", "best"):
        assert same_weights(saved(folder, name), saved(whole, name))
    assert read(folder / "metrics.json") == read(whole / "metrics.json")
    assert read(folder / "run.json")["best_score"] == read(whole / "run.json")["best_score"]
    assert (folder / "curves.png").read_bytes() == (whole / "curves.png").read_bytes()
    for name in ("train/loss", "val/loss"):
        assert logged(folder, name) == pytest.approx(logged(whole, name))
        assert len(logged(folder, name)) == 6


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_told_to_stop_says_how_to_go_on(
    succeed, home: Path, whole: Path, signum: signal.Signals
) -> None:
    folder = home / f"stopped-{signum.name}"
    process = start(*ENDLESS, "data.num_workers=1", f"paths.output_dir={folder}", cwd=home)
    wait_for(process, "epoch 2/")  # said when its checkpoint is written
    process.send_signal(signum)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + signum
    advice = f"go on by the same command with paths.output_dir={folder} ckpt=last"
    assert told == f"train: interrupted; {advice}\n"
    assert read(folder / "run.json")["state"] == "interrupted"
    epochs = saved(folder)["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    assert epochs >= 2
    succeed(
        "train",
        *ON_CPU,
        f"trainer.max_epochs={epochs + 1}",
        f"paths.output_dir={folder}",
        "ckpt=last",
        cwd=home,
    )
    assert read(folder / "run.json")["state"] == "done"


def test_a_run_that_died_before_its_first_epoch_begins_anew(succeed, home: Path, whole: Path) -> None:
    folder = home / "unborn"
    for name in ("checkpoints", "tensorboard"):
        (folder / name).mkdir(parents=True)
    (folder / "checkpoints" / "best.ckpt").write_bytes(b"of an epoch that is gone")
    (folder / "tensorboard" / "left-over").touch()
    (folder / "run.json").write_text('{"command": "train", "state": "running"}')
    succeed("train", *SIX_EPOCHS, "paths.output_dir=unborn", "ckpt=last", cwd=home)
    assert same_weights(saved(folder, "best"), saved(whole, "best"))
    assert not (folder / "tensorboard" / "left-over").exists()


def test_a_run_killed_while_it_was_scored_is_scored_anew(succeed, home: Path, whole: Path) -> None:
    expected = {name: (whole / name).read_bytes() for name in ("metrics.json", "cases.csv")}
    for name in expected:
        (whole / name).write_bytes(b"half")
    succeed("train", *SIX_EPOCHS, "paths.output_dir=whole", "ckpt=last", cwd=home)
    assert {name: (whole / name).read_bytes() for name in expected} == expected
    assert read(whole / "run.json")["state"] == "done"


def test_averaged_weights_and_an_early_end_are_those_of_a_run_left_alone(
    succeed, home: Path, whole: Path
) -> None:
    settings = (
        *(*ON_CPU, "callbacks=[weight_averaging,early_stopping]"),
        *("callbacks.best.monitor=val/loss", "callbacks.early_stopping.monitor=val/accuracy"),
        *("callbacks.early_stopping.patience=2", "callbacks.early_stopping.min_delta=1"),
    )
    alone, resumed = (*settings, "paths.output_dir=alone"), (*settings, "paths.output_dir=resumed")
    printed = succeed("train", *alone, "trainer.max_epochs=6", cwd=home)
    told = "stopped after epoch 3: val/accuracy did not get better than"
    assert told in printed
    succeed("train", *resumed, "trainer.max_epochs=1", cwd=home)
    for _ in range(2):  # the second has nothing left to train
        assert told in succeed("train", *resumed, "trainer.max_epochs=6", "ckpt=last", cwd=home)
        for name in ("last", "best"):
            one, other = saved(home / "alone", name), saved(home / "resumed", name)
            assert same_weights(one, other)
            current, others = one["current_model_state"], other["current_model_state"]
            assert all(torch.equal(current[key], others[key]) for key in current)
            assert not same_weights(one, {"state_dict": current})
        assert read(home / "alone" / "metrics.json") == read(home / "resumed" / "metrics.json")
    assert read(home / "resumed" / "run.json")["stopped_after_epoch"] == 3


def test_a_csv_log_keeps_its_epochs_when_the_run_goes_on(succeed, home: Path, whole: Path) -> None:
    settings = (*ON_CPU, "logger=csv", "paths.output_dir=csv")
    succeed("train", *settings, "trainer.max_epochs=2", cwd=home)
    succeed("train", *settings, "trainer.max_epochs=3", "ckpt=last", cwd=home)
    rows = (home / "csv" / "csv" / "metrics.csv").read_text().splitlines()
    epoch, loss = (rows[0].split(",").index(name) for name in ("epoch", "val/loss"))
    assert {int(row.split(",")[epoch]) for row in rows[1:] if row.split(",")[loss]} == {0, 1, 2}


OF_SMALL_FILES = """
import resource, sys
from lts.app.command import run_command
most_bytes = int(sys.argv.pop())
resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
run_command("train")
"""


def test_a_full_disk_ends_a_run_in_one_line_and_keeps_its_checkpoints(
    succeed, run, home: Path, whole: Path
) -> None:
    folder = home / "full"
    settings = (*ON_CPU, "paths.output_dir=full")
    succeed("train", *settings, "trainer.max_epochs=1", cwd=home)
    kept = {path.name: path.read_bytes() for path in (folder / "checkpoints").iterdir()}
    most_bytes = len(kept["last.ckpt"]) - 1
    (home / "of_small_files.py").write_text(OF_SMALL_FILES)
    again = (*settings, "trainer.max_epochs=2", "ckpt=last", str(most_bytes))
    done = run(home / "of_small_files.py", *again, cwd=home)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"train: {folder}/checkpoints/")
    assert done.stderr.endswith(".ckpt: cannot be written: File too large\n")
    assert done.stderr.count("\n") == 1
    assert {path.name: path.read_bytes() for path in (folder / "checkpoints").iterdir()} == kept
    succeed("train", *settings, "trainer.max_epochs=2", "ckpt=last", cwd=home)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="memory and files are read from /proc")
def test_memory_and_open_files_stay_flat_over_two_hundred_epochs(home: Path, whole: Path) -> None:
    process = start(
        *ON_CPU,
        "trainer.max_epochs=201",
        "data.slices_per_epoch=8",
        "data.num_workers=1",
        "paths.output_dir='2026'",
        cwd=home,
    )
    resident_mib, files = [], []
    for epoch in range(1, 201):
        wait_for(process, f"epoch {epoch}/")
        status = Path(f"/proc/{process.pid}/status").read_text()
        resident_mib.append(int(status.split("VmRSS:")[1].split()[0]) / 1024)
        files.append(len(list(Path(f"/proc/{process.pid}/fd").iterdir())))
    process.kill()
    process.communicate()
    assert (home / "2026" / "run.json").is_file()  # a folder of digits is one like any other
    # Drawing the curves takes up to 80 MiB and gives them back many epochs later: what comes and goes lies
    # between the least and the most of fifty epochs, what is kept of each epoch lifts the least above that.
    assert min(resident_mib[150:]) - max(resident_mib[50:100]) < 32, resident_mib[50:]
    assert min(files[150:]) <= min(files[100:150]) + 1, files[100:]
