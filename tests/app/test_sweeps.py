"""Sweeps as a user runs them: failed, interrupted, searched, pruned, on several processes, over folds."""

import csv
import signal
import time
from pathlib import Path

import pytest
import yaml
from command_kit import ROOT, Started, run_anew
from run_kit import ON_CPU, all_ended_in, read, same_weights, saved
from settings_kit import compose
from slurm_kit import install_fake_slurm
from sqlalchemy.pool import NullPool

from lts.base import LtsError

TINY = (*ON_CPU, "trainer.max_epochs=2", "scoring.resamples=20", "scoring.workers=1")
LOSS_DECIDES = ("callbacks.best.monitor=val/loss", "callbacks.best.mode=min")


def rows(sweep: Path) -> dict[str, dict[str, str]]:
    with (sweep / "leaderboard.csv").open() as file:
        return {row["job"]: row for row in csv.DictReader(file)}


def tiny_without(*keys: str) -> list[str]:
    """For a study, in which what is set once more is not searched."""
    return [setting for setting in TINY if not setting.startswith(keys)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are run; the phantom scans and the store are made there once."""
    return tmp_path_factory.mktemp("home")


def interrupt(*arguments: str, home: Path, job: str, with_signal: signal.Signals) -> tuple[int, str]:
    """Start a sweep, and send it a signal when a job has done two epochs; its exit code and output."""
    printed = home / "printed"
    printed.write_text("")
    unbuffered = {"PYTHONUNBUFFERED": "1"}
    process = Started("train", "-m", *arguments, cwd=home, env=unbuffered, output=printed)
    try:
        deadline = time.monotonic() + 240
        while "epoch 2/" not in printed.read_text().partition(f"{job}: 5 cases")[2]:
            assert process.poll() is None, printed.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(with_signal)
        code = process.wait()
    finally:
        process.close()
    return code, printed.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("optimizer.lrr=1,2",), "optimizer.lrr: no such key. Did you mean optimizer.lr?"),
        (("loss=bce_dice,bce",), "loss: must be one of bce_dice, focal_dice, tversky, got 'bce'"),
        (("sweep=optuna", "optimizer.lrr=interval(1,2)"), "Did you mean optimizer.lr?"),
        (
            ("sweep=optuna", "loss=choice(tversky,bce)"),
            "loss: must be one of bce_dice, focal_dice, tversky, got 'bce'",
        ),
    ],
)
def test_a_misspelt_key_or_choice_ends_a_sweep_before_anything_is_made(
    run, arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    done = run("train", "-m", *TINY, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_root_without_cases_ends_a_sweep_before_anything_is_made(run, tmp_path: Path) -> None:
    done = run("train", "-m", "data=lits", "data.root=nowhere", "optimizer.lr=1e-3,1e-2", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"train: data.root: {tmp_path}/nowhere does not exist (layout lits looks for"
    )
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("argument", "what", "package", "content"),
    [
        ("sweep=optuna", "Optuna", "optuna", "raise ModuleNotFoundError"),
        # A package of this name hides the plugins, which share a namespace.
        ("hydra/launcher=joblib", "joblib", "hydra_plugins", ""),
        ("hydra/launcher=slurm", "submitit", "hydra_plugins", ""),
    ],
)
def test_without_the_extra_one_line_says_what_to_install(
    monkeypatch, argument: str, what: str, package: str, content: str, tmp_path: Path
) -> None:
    (tmp_path / "hidden" / package).mkdir(parents=True)
    (tmp_path / "hidden" / package / "__init__.py").write_text(content)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hidden"))
    done = run_anew(str(ROOT / "train.py"), "-m", argument, "optimizer.lr=1,2", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.endswith(f'{what} needs pip install ".[sweep]"\n')
    assert done.stderr.count("\n") == 1


def test_failed_jobs_end_no_sweep_and_are_named_at_its_end(run, home: Path) -> None:
    grid = (*TINY, "model.width=0,4", "trainer.max_epochs=1", "hydra.sweep.dir=failing")
    done = run("train", "-m", *grid, cwd=home)
    assert done.returncode == 2
    reason = "model.width: must be a whole number >= 1, got 0"
    assert done.stderr == f"train: job 0: {reason}\ntrain: jobs that failed: 0 ({reason})\n"
    found = rows(home / "failing")
    assert {job: (row["state"], row["reason"]) for job, row in found.items()} == {
        "1": ("done", ""),
        "0": ("failed", reason),
    }
    assert f"same command with hydra.sweep.dir={home}/failing" in done.stdout
    # Again: what is done is skipped, what failed is tried anew and fails anew.
    again = run("train", "-m", *grid, cwd=home)
    assert again.returncode == 2
    assert f"job 1: {home}/failing/1 is done already with score" in again.stdout
    assert again.stderr == done.stderr
    # Only jobs of this time are named.
    other = run("train", "-m", *grid, "model.width=4", cwd=home)
    assert (other.returncode, other.stderr) == (0, "")


def test_a_failed_job_ends_the_sweep_where_that_is_asked(run, home: Path) -> None:
    grid = (*TINY, "model.width=0,4", "sweep.stop_on_failure=true", "hydra.sweep.dir=stopping")
    done = run("train", "-m", *grid, cwd=home)
    assert done.returncode == 2
    assert set(rows(home / "stopping")) == {"0"}


@pytest.mark.slow
def test_an_interrupted_grid_goes_on_where_it_stopped(succeed, run, home: Path) -> None:
    common = (*TINY, "trainer.max_epochs=8")
    grid = (*common, "optimizer.lr=1e-3,1e-2,3e-2", "hydra.sweep.dir=grid")
    code, printed = interrupt(*grid, home=home, job="grid/1", with_signal=signal.SIGINT)
    assert code == 130
    assert "Traceback" not in printed
    assert {job: row["state"] for job, row in rows(home / "grid").items()} == {
        "0": "done",
        "1": "interrupted",
    }
    assert printed.endswith(
        f"train: interrupted; go on by the same command with hydra.sweep.dir={home}/grid\n"
    )
    before = (home / "grid" / "0" / "run.json").stat().st_mtime_ns

    printed = succeed("train", "-m", *grid, cwd=home)
    assert f"job 0: {home}/grid/0 is done already with score" in printed
    assert f"job 1: goes on from {home}/grid/1/checkpoints/last.ckpt" in printed
    assert "epoch 1/8" not in printed.partition("grid/2: 5 cases")[0]
    assert {row["state"] for row in rows(home / "grid").values()} == {"done"}
    assert (home / "grid" / "0" / "run.json").stat().st_mtime_ns == before
    succeed("train", *common, "optimizer.lr=1e-2", "paths.output_dir=whole", cwd=home)
    assert same_weights(saved(home / "whole"), saved(home / "grid" / "1"))

    # A grid that grew: old numbers for new settings.
    printed = succeed("train", "-m", *grid, "optimizer.lr=5e-2,1e-3", "trainer.max_epochs=8", cwd=home)
    assert f"run {home}/grid/3: " in printed
    assert f"job 1: {home}/grid/0 is done already" in printed
    assert set(rows(home / "grid")) == {"0", "1", "2", "3"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "states"),
    [
        (("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"), {"killed"}),
        (("sweep=optuna", "loss=bce_dice", "hydra.sweeper.n_trials=2"), {"interrupted"}),
    ],
    ids=["joblib", "optuna"],
)
def test_a_sweep_that_is_told_to_stop_says_how_to_go_on(
    home: Path, how: tuple[str, ...], states: set[str], request
) -> None:
    sweep = home / f"stopped-{request.node.callspec.id}"
    small = tiny_without("data.batch_size", "model.width", "optimizer.lr")
    settings = (*small, "model.width=4,5", "data.batch_size=8", "trainer.max_epochs=100000")
    if "sweep=optuna" in how:
        settings = (*settings, "optimizer.lr=1e-3", "pruning=none", "model.width=choice(4,5)")
    settings = (*settings, *how, f"hydra.sweep.dir={sweep}")
    code, printed = interrupt(*settings, home=home, job=f"{sweep}/0", with_signal=signal.SIGTERM)
    assert code == 143, printed
    assert printed.endswith(f"train: interrupted; go on by the same command with hydra.sweep.dir={sweep}\n")
    assert "Traceback" not in printed
    assert {row["state"] for row in rows(sweep).values()} == states
    assert all_ended_in(home)


def trials(study: Path) -> list[tuple[str, dict]]:
    import optuna

    storage = optuna.storages.RDBStorage(f"sqlite:///{study}", engine_kwargs={"poolclass": NullPool})
    found = optuna.load_study(study_name="lts", storage=storage)
    return [(trial.state.name, trial.params) for trial in found.trials]


@pytest.mark.slow
def test_a_killed_study_goes_on_and_can_be_extended(succeed, run, home: Path) -> None:
    small = tiny_without("data.batch_size", "model.width", "optimizer.lr")
    search = ("sweep=optuna", *small, "model.width=choice(4,6)", "trainer.max_epochs=8", "pruning=none")
    search = (*search, "hydra.sweep.dir=study", "hydra.sweeper.n_trials=3")
    code, _ = interrupt(*search, home=home, job="study/1", with_signal=signal.SIGKILL)
    assert code == -signal.SIGKILL
    states = trials(home / "study" / "study.db")
    assert [state for state, _ in states] == ["COMPLETE", "RUNNING"]

    printed = succeed("train", "-m", *search, cwd=home)
    assert "study lts: 1 of 3 trials are done, 2 to go" in printed
    assert f"goes on from {home}/study/1/checkpoints/last.ckpt" in printed
    after = trials(home / "study" / "study.db")
    assert [state for state, _ in after] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert after[2][1] == states[1][1]
    assert after[3][1] not in [params for _, params in after[:3]]
    found = rows(home / "study")
    assert {row["state"] for row in found.values()} == {"done"}
    assert set(found) == {"0", "1", "2"}
    best = yaml.safe_load((home / "study" / "optimization_results.yaml").read_text())
    scores = [read(home / "study" / job / "run.json")["best_score"] for job in found]
    assert best["best_value"] == max(scores)

    printed = succeed("train", "-m", *search, "hydra.sweeper.n_trials=4", cwd=home)
    assert "study lts: 3 of 4 trials are done, 1 to go" in printed
    assert set(rows(home / "study")) == {"0", "1", "2", "3"}
    other = run("train", "-m", *search, "model.width=choice(4,8)", cwd=home)
    assert other.returncode == 2
    assert "model.width: the study in sqlite:///study/study.db has other choices" in other.stderr


@pytest.mark.slow
def test_a_study_draws_as_many_trials_at_once_as_its_launcher_runs(succeed, home: Path) -> None:
    small = tiny_without("data.batch_size", "model.width", "optimizer.lr", "trainer.max_epochs")
    search = ("sweep=optuna", *small, "trainer.max_epochs=1", "hydra/sweeper/sampler=grid", "pruning=none")
    fixed = ("optimizer.lr=1e-2", "loss=bce_dice", "data.batch_size=8", "hydra.sweep.dir=at-once")
    at_once = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2")
    printed = succeed("train", "-m", *search, *fixed, *at_once, "model.width=range(4,7,2)", cwd=home)
    assert "leaderboard of 2 runs" in printed
    found = rows(home / "at-once").values()
    assert {(row["state"], row["model.width"]) for row in found} == {("done", "4"), ("done", "6")}
    assert [state for state, _ in trials(home / "at-once" / "study.db")] == ["COMPLETE", "COMPLETE"]


def test_a_study_of_which_every_job_failed_ends_with_their_reasons(run, home: Path) -> None:
    small = tiny_without("optimizer.lr")
    search = ("sweep=optuna", *small, "model.width=0", "optimizer.lr=interval(1e-3,1e-2)", "loss=bce_dice")
    done = run("train", "-m", *search, "hydra.sweep.dir=lost", "hydra.sweeper.n_trials=1", cwd=home)
    assert done.returncode == 2
    assert "train: jobs that failed: 0 (model.width: must be" in done.stderr
    assert "Traceback" not in done.stderr
    assert rows(home / "lost")["0"]["state"] == "failed"


def test_a_hopeless_job_is_pruned_and_keeps_its_score(succeed, run, home: Path) -> None:
    prune = ("pruning=median", "callbacks.prune.warmup_epochs=1", "callbacks.prune.min_siblings=1")
    grid = (*TINY, *LOSS_DECIDES, *prune, "trainer.max_epochs=5", "optimizer.lr=1e-2,1e-8")
    printed = succeed("train", "-m", *grid, "scheduler=none", "hydra.sweep.dir=pruned", cwd=home)
    assert "pruned after epoch 2: below the median of the sweep; no test scores" in printed
    found = rows(home / "pruned")
    assert {job: row["state"] for job, row in found.items()} == {"0": "done", "1": "pruned"}
    assert float(found["1"]["score"]) > float(found["0"]["score"]) > 0
    assert found["1"]["tumor_dice_per_case"] == ""
    facts = read(home / "pruned" / "1" / "run.json")
    assert facts["pruned_after_epoch"] == 2
    assert (home / "pruned" / "1" / "checkpoints" / "best.ckpt").is_file()
    assert not (home / "pruned" / "1" / "metrics.json").exists()
    # It is finished: started again, both are skipped.
    printed = succeed("train", "-m", *grid, "scheduler=none", "hydra.sweep.dir=pruned", cwd=home)
    assert f"job 1: {home}/pruned/1 is pruned already with score" in printed
    alone = run("train", *TINY, *prune, "paths.output_dir=alone", cwd=home)
    assert (alone.returncode, alone.stderr.count("\n")) == (2, 1)
    assert "train: pruning: compares the jobs of a sweep, start one with -m" in alone.stderr


@pytest.mark.slow
def test_joblib_runs_jobs_at_once_and_tells_of_failures_alike(run, home: Path) -> None:
    at_once = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=joblib")
    at_once += ("+hydra.launcher.idle_worker_timeout=30",)  # of loky, which Hydra does not know
    # The first and the last are one job.
    grid = (*TINY, "trainer.max_epochs=1", "model.width=4,0", "optimizer.lr=1e-2,0.01")
    done = run("train", "-m", *grid, *at_once, cwd=home)
    assert done.returncode == 2
    assert "Warning" not in done.stderr
    found = rows(home / "joblib")
    assert sorted(row["state"] for row in found.values()) == ["done", "failed"]
    assert "train: jobs that failed: " in done.stderr


@pytest.mark.slow
def test_slurm_gets_an_array_of_jobs_and_those_that_it_loses_have_failed(
    run, monkeypatch, home: Path
) -> None:
    install_fake_slurm(home / "slurm", monkeypatch)
    cluster = ("hydra/launcher=slurm", "hydra.launcher.partition=gpu", "hydra.sweep.dir=cluster")
    grid = (*TINY, "optimizer.lr=1e-2,1e-3", "trainer.max_epochs=1")
    done = run("train", "-m", *grid, *cluster, cwd=home)
    asked = set((home / "submitted.sh").read_text().splitlines())
    assert asked >= {
        "#SBATCH --array=0-1%2",
        "#SBATCH --partition=gpu",
        "#SBATCH --gpus-per-node=1",
        "#SBATCH --cpus-per-task=8",
        "#SBATCH --mem=32GB",
        "#SBATCH --time=1440",
    }
    assert "Warning" not in (home / "tasks").read_text() + done.stderr
    found = rows(home / "cluster")
    lost, other = found["0"], found["1"]
    assert (other["state"], float(other["optimizer.lr"])) == ("done", 1e-3)
    assert (lost["state"], float(lost["optimizer.lr"])) == ("failed", 1e-2)
    assert lost["reason"].startswith("job 17_0 of the cluster was lost in state NODE_FAIL; its output is in ")
    assert done.returncode == 2
    assert done.stderr == f"train: job 0: {lost['reason']}\ntrain: jobs that failed: 0 ({lost['reason']})\n"


def test_two_sweeps_in_one_folder_are_refused(run, home: Path) -> None:
    from filelock import FileLock

    (home / "busy").mkdir()
    with FileLock(home / "busy" / ".sweep.lock"):
        done = run("train", "-m", *TINY, "seed=0,1", "hydra.sweep.dir=busy", cwd=home)
    assert done.returncode == 2
    assert done.stderr == f"train: hydra.sweep.dir: {home}/busy is in use by a sweep that is running\n"


@pytest.fixture(scope="module")
def folds(succeed, home: Path) -> Path:
    """A cross-validation of three folds."""
    fold = ("split.folds=3", "split.fold=0,1,2", "optimizer.lr=3e-2", "hydra.sweep.dir=cv")
    succeed("train", "-m", *TINY, *fold, cwd=home)
    return home / "cv"


def case_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "cases.csv").open() as file:
        return list(csv.DictReader(file))


def test_each_case_is_scored_by_the_model_that_did_not_know_it(succeed, folds: Path, home: Path) -> None:
    printed = succeed("evaluate", "folds=cv", "scoring.resamples=20", "paths.output_dir=all", cwd=home)
    assert "3 folds, each case by the model that did not know it, cases: 5" in printed
    metrics = read(home / "all" / "metrics.json")
    assert (metrics["subset"], metrics["n_cases"]) == ("folds", 5)
    of_folds = [row for fold in range(3) for row in case_rows(folds / str(fold))]
    key = ["case", "region"]
    assert sorted(case_rows(home / "all"), key=lambda row: [row[name] for name in key]) == sorted(
        of_folds, key=lambda row: [row[name] for name in key]
    )
    assert [fold["cases"] for fold in metrics["folds"]] == [
        read(folds / str(fold) / "split.json")["test"] for fold in range(3)
    ]
    assert len(read(home / "all" / "run.json")["checkpoints"]) == 3
    assert (home / "all" / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("folds=cv", "subset=test"), "subset: has no meaning for folds=..., got 'test'"),
        (("folds=cv", "allow_training_cases=true"), "allow_training_cases: has no meaning for folds=..."),
        (("folds=cv", "ckpt=a"), "give one of them to say what is scored, got ckpt and folds"),
        (("folds=cv/0",), "folds: must be the folder of a sweep over split.fold"),
        (("ckpt=cv/*/nothing.ckpt",), "ckpt: no file matches cv/*/nothing.ckpt"),
    ],
)
def test_folds_that_cannot_be_scored_are_refused_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, folds: Path, home: Path, arguments: tuple[str, ...], message: str
) -> None:
    from lts.app.commands.evaluate import evaluate

    monkeypatch.chdir(home)
    with pytest.raises(LtsError) as refused:
        evaluate(compose("evaluate", *arguments, "paths.output_dir=refused"))
    assert message in str(refused.value)
    assert not (home / "refused").exists()


def test_the_models_of_all_folds_predict_as_one(succeed, folds: Path, home: Path) -> None:
    scan = next((home / "data").glob("phantom-*/volume-0.nii.gz"))
    succeed("predict", "ckpt=cv/*/checkpoints/best.ckpt", f"input={scan}", "output=masks", cwd=home)
    paths = [Path(one["path"]).parts[-3] for one in read(home / "masks" / "predictions.json")["checkpoints"]]
    assert paths == ["0", "1", "2"]
