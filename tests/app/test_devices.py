"""Training on several processes, as on several devices or hosts: gloo on the CPU in place of GPUs."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import settings_kit
import torch
from command_kit import ROOT
from pytorch_lightning.strategies import DDPStrategy
from run_kit import ON_CPU, ON_TWO, all_ended_in, read, same_weights, saved, start, wait_for

from lts.app.commands.training.trainer_factory import make_trainer
from lts.app.config.settings import TrainSettings
from lts.networks import UNet

# Means over slices, so that a batch in two halves has the loss of the whole; bfloat16 would round them apart.
PLAIN = (
    "model.norm=group",
    "loss.dice_weight=0",
    "optimizer.lr=1e-3",
    "trainer.max_epochs=2",
    "trainer.precision=32-true",
)

SLURM = {
    "SLURM_JOB_ID": "4077",
    "SLURM_JOB_NAME": "train",
    "SLURM_NTASKS": "1",
    "SLURM_NTASKS_PER_NODE": "1",
    "SLURM_NNODES": "1",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
    "MASTER_ADDR": "127.0.0.1",
}


def compose(*overrides: str) -> TrainSettings:
    return settings_kit.compose("train", *overrides)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are run; scans and store are made there once."""
    return tmp_path_factory.mktemp("home")


@pytest.mark.slow
def test_two_processes_score_as_one_does_on_the_same_batches(succeed, home: Path) -> None:
    succeed("train", *ON_CPU, *PLAIN, "paths.output_dir=one", cwd=home)
    printed = succeed("train", *ON_TWO, *PLAIN, "data.batch_size=4", cwd=home)  # a folder named by the time
    (two,) = (home / "runs").iterdir()
    assert printed.count("\nepoch ") == 2
    assert {path.name for path in two.iterdir()} == {path.name for path in (home / "one").iterdir()}
    for name, expected in epochs_of(home / "one")[2].items():
        assert epochs_of(two)[2][name] == pytest.approx(expected, abs=1e-5, nan_ok=True), name
    one, other = saved(home / "one")["state_dict"], saved(two)["state_dict"]
    assert max((one[name] - other[name]).abs().max() for name in one) < 1e-4
    assert saved(home / "one")["global_step"] == saved(two)["global_step"]


@pytest.mark.slow
def test_processes_that_torchrun_starts_are_one_run(succeed, home: Path) -> None:
    settings = (*ON_TWO, *PLAIN, "data.batch_size=4")
    succeed("train", *settings, "paths.output_dir=ours", cwd=home)
    line = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", str(ROOT / "train.py")]
    begun_by_torchrun = subprocess.run(
        [*line, *settings, "paths.output_dir=theirs"], cwd=home, capture_output=True, text=True, check=False
    )
    assert begun_by_torchrun.returncode == 0, begun_by_torchrun.stderr
    assert begun_by_torchrun.stdout.count("\nepoch ") == 2
    assert same_weights(saved(home / "ours"), saved(home / "theirs"))
    assert read(home / "theirs" / "run.json")["state"] == "done"


@pytest.mark.slow
def test_processes_that_torchrun_stops_leave_whole_checkpoints_and_one_line(succeed, home: Path) -> None:
    folder = home / "stopped-by-torchrun"
    settings = (*ON_TWO, "data.num_workers=1", f"paths.output_dir={folder}")
    line = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", str(ROOT / "train.py")]
    process = subprocess.Popen(
        [*line, *settings, "trainer.max_epochs=100000"],
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(process, "epoch 2/")
    process.send_signal(signal.SIGTERM)
    # All hold the other end of what it says: it reads to its end when they are gone, loader workers too.
    _, told = process.communicate(timeout=60)
    advice = f"train: interrupted; go on by the same command with paths.output_dir={folder} ckpt=last\n"
    assert told.count("train: ") == told.count(advice) == 1
    assert "DataLoader worker" not in told
    assert "race condition" not in told
    assert read(folder / "run.json")["state"] == "interrupted"
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    for name in ("best", "last"):
        assert saved(folder, name)["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"] >= 1


@pytest.mark.slow
def test_each_job_of_a_grid_has_two_processes_of_its_own(succeed, home: Path) -> None:
    short = (*PLAIN, "trainer.max_epochs=1", "data.slices_per_epoch=8", "scoring.resamples=20")
    grid = ("data.batch_size=1,2", "hydra.sweep.dir=sweep")
    printed = succeed("train", "-m", *ON_TWO, *short, *grid, cwd=home)
    jobs = [home / "sweep" / str(number) for number in range(2)]
    assert all_ended_in(home)
    assert {path for path in (home / "sweep").iterdir() if path.is_dir()} == set(jobs)
    assert [printed.count(f"run {job}: ") for job in jobs] == [1] * 2
    assert printed.count("epoch 1/1") == 2
    settings = [saved(job)["lts"]["config"] for job in jobs]
    assert [each["data"]["batch_size"] for each in settings] == [1, 2]
    assert [each["paths"]["output_dir"] for each in settings] == [str(job) for job in jobs]
    # 8 slices in two processes are 4 steps of one slice, or 2 of two.
    assert [saved(job)["global_step"] for job in jobs] == [4, 2]
    with (home / "sweep" / "leaderboard.csv").open() as file:
        rows = {row["job"]: row for row in csv.DictReader(file)}
    assert {job: row["state"] for job, row in rows.items()} == dict.fromkeys("01", "done")
    scores = [read(job / "run.json")["best_score"] for job in jobs]
    assert [float(rows[job.name]["score"]) for job in jobs] == scores
    # The first job is what one process does with two slices a step.
    alone = ("data.batch_size=2", "optimizer.lr=1e-3", "paths.output_dir=alone")
    succeed("train", *ON_CPU, *short, *alone, cwd=home)
    for name, expected in epochs_of(home / "alone")[1].items():
        assert epochs_of(jobs[0])[1][name] == pytest.approx(expected, abs=1e-5, nan_ok=True), name


def epochs_of(folder: Path) -> dict:
    return saved(folder)["callbacks"]["EpochHistory"]["epochs"]


@pytest.mark.slow
def test_an_odd_number_of_validation_slices_holds_nobody_up(succeed, home: Path) -> None:
    # 61 slices in batches of one, with norms whose statistics the processes share.
    split = {"train": ["volume-0", "volume-1", "volume-2"], "val": ["volume-3"], "test": ["volume-4"]}
    (home / "split.json").write_text(json.dumps(split))
    settings = (*ON_TWO, "trainer.max_epochs=1", "data.batch_size=1", "data.slices_per_epoch=4")
    succeed("train", *settings, "split.file=split.json", "paths.output_dir=odd", cwd=home)
    assert read(home / "odd" / "metrics.json")["n_cases"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_two_processes_end_together_and_go_on_together(succeed, home: Path, signum: signal.Signals) -> None:
    folder = home / f"stopped-{signum.name}"
    settings = (*ON_TWO, f"paths.output_dir={folder}")
    process = start(*settings, "trainer.max_epochs=100000", cwd=home)
    wait_for(process, "epoch 2/")
    others = children_of(process.pid)
    process.send_signal(signum)
    # Both hold the other end of what it says: it reads to its end when both are gone.
    _, told = process.communicate(timeout=60)
    assert len(others) == 1
    assert process.returncode == (-signum if signum == signal.SIGKILL else 128 + signum)
    if signum == signal.SIGTERM:
        assert told == (
            f"train: interrupted; go on by the same command with paths.output_dir={folder} ckpt=last\n"
        )
    epochs = saved(folder)["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    printed = succeed("train", *settings, f"trainer.max_epochs={epochs + 1}", "ckpt=last", cwd=home)
    assert printed.count(f"epoch {epochs + 1}/{epochs + 1}") == 1


def children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    if not tasks.is_dir():
        pytest.skip("processes are listed in /proc")
    return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]


def test_synchronized_norms_are_refused_on_cpus_before_anything_is_written(run, tmp_path: Path) -> None:
    settings = [setting for setting in ON_TWO if "sync_batchnorm" not in setting]
    refused = run("train", *settings, cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith("train: trainer.sync_batchnorm: must be false on CPUs, got true")
    assert not list(tmp_path.iterdir())


def test_a_synchronized_norm_sees_a_batch_once() -> None:
    def step(network: torch.nn.Module) -> torch.nn.Module:
        torch.manual_seed(0)
        network(torch.rand(2, 1, 16, 16)).sum().backward()
        return network

    torch.manual_seed(0)
    plain = UNet(in_channels=1, out_channels=1, width=4, depth=2, norm="batch", dropout=0.0)
    synchronized = torch.nn.SyncBatchNorm.convert_sync_batchnorm(plain)
    torch.manual_seed(0)
    plain = UNet(in_channels=1, out_channels=1, width=4, depth=2, norm="batch", dropout=0.0)
    one, other = step(plain), step(synchronized)
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    for (name, parameter), (_, twin) in zip(one.named_parameters(), other.named_parameters(), strict=True):
        assert torch.allclose(parameter.grad, twin.grad, atol=1e-6), name


def test_ddp_and_slurm_build_a_trainer_of_one_process_a_device(monkeypatch, tmp_path: Path) -> None:
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    for choice in ("ddp", "slurm"):
        on_cpu = ("trainer.accelerator=cpu", "trainer.devices=1", f"paths.output_dir={tmp_path}")
        assert compose(f"trainer={choice}", *on_cpu).trainer.arguments["sync_batchnorm"] is True
        settings = compose(f"trainer={choice}", *on_cpu, "trainer.sync_batchnorm=false")  # CPUs cannot
        built = make_trainer(settings, callbacks=[], loggers=[])
        assert isinstance(built.strategy, DDPStrategy)
        assert built.max_epochs == 50
    assert built.strategy.cluster_environment.auto_requeue


def test_a_slurm_job_means_the_same_folder_whenever_it_starts(monkeypatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4077")
    settings = compose("trainer=slurm")
    assert (settings.ckpt, settings.paths.output_dir) == ("auto", "runs/slurm-4077")
    assert settings.paths.store_dir == "data/store"
    assert compose("trainer=slurm", "paths.output_dir=mine").paths.output_dir == "mine"


def test_a_slurm_job_at_its_time_limit_is_requeued_and_goes_on(succeed, home: Path, tmp_path: Path) -> None:
    called = tmp_path / "called"
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {called}\n')
    scontrol.chmod(0o755)
    env = {**SLURM, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    settings = [setting for setting in ON_TWO if "trainer=" not in setting and "devices" not in setting]
    line = (*settings, "trainer=slurm", "trainer.devices=1")
    process = start(*line, "trainer.max_epochs=100000", cwd=home, env=env)
    wait_for(process, "epoch 2/")
    process.send_signal(signal.SIGUSR1)
    _, told = process.communicate(timeout=60)
    folder = home / "runs" / "slurm-4077"
    assert process.returncode == 128 + signal.SIGUSR1, told
    assert called.read_text() == "requeue 4077\n"
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert not list(folder.glob("hpc_ckpt*"))
    epochs = saved(folder)["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    again = start(*line, f"trainer.max_epochs={epochs + 1}", cwd=home, env=env)
    printed, told = again.communicate(timeout=120)
    assert again.returncode == 0, told
    assert f"epoch {epochs + 1}/{epochs + 1}" in printed
    assert "epoch 1/" not in printed
