"""What the loggers of a run hold at its end, after it was resumed, and in a sweep."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from run_kit import ON_CPU, read
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

ONE_EPOCH = (*ON_CPU, "trainer.max_epochs=1", "callbacks.overlays.every_n_epochs=1")
BEST = ("best/val/loss", "best/val/tumor/dice_where_present", "best/val/liver/dice_per_case")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are run; scans, slices and the store of MLflow are made there once."""
    return tmp_path_factory.mktemp("home")


def records_of_wandb(folder: Path) -> Iterator[Any]:
    """What a run without a server has written: a log of LevelDB's format in blocks of 32 KiB."""
    protocol = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    (path,) = folder.glob("*.wandb")
    data, at, whole = path.read_bytes(), 7, b""
    while at < len(data):
        if (rest := 2**15 - at % 2**15) < 7:
            at += rest
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or its last part
            record = protocol.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def told_wandb(folder: Path) -> dict[str, Any]:
    """The id, settings, last values and exit code of a run."""
    told: dict[str, Any] = {"settings": {}, "last": {}}
    for record in records_of_wandb(folder):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            told |= {"id": record.run.run_id, "name": record.run.display_name}
        elif kind == "config":
            told["settings"] |= {item.key: json.loads(item.value_json) for item in record.config.update}
        elif kind == "history":
            told["last"] |= {
                "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item
            }
        elif kind == "exit":
            told["exit_code"] = record.exit.exit_code
    return told


def runs_of_wandb(folder: Path) -> list[dict[str, Any]]:
    return [told_wandb(path) for path in sorted((folder / "wandb").glob("offline-run-*"))]


def test_wandb_is_told_settings_scores_and_pictures_and_goes_on_with_its_run(succeed, home: Path) -> None:
    pytest.importorskip("wandb")
    settings = (*ONE_EPOCH, "logger=wandb", "paths.output_dir=wandb-run")
    printed = succeed("train", *settings, cwd=home)
    folder = home / "wandb-run"
    (run,) = runs_of_wandb(folder)
    assert f"W&B: `wandb sync {folder}/wandb/offline-run-" in printed
    assert (run["name"], run["exit_code"]) == (f"{home.name}/wandb-run", 0)
    assert run["settings"]["optimizer.lr"] == 0.01
    assert run["settings"]["optimizer._target_"] == "torch.optim.Adam"
    assert run["last"]["best/val/loss"] == pytest.approx(run["last"]["val/loss"])
    assert run["last"].keys() >= {*BEST, "train/loss", "test/tumor/dice_per_case"}
    assert list(folder.glob("wandb/offline-run-*/files/media/images/val/case 0*.png"))
    succeed("train", *settings, "trainer.max_epochs=2", "ckpt=last", "optimizer.lr=5e-3", cwd=home)
    _, later = runs_of_wandb(folder)
    assert later["id"] == run["id"] == read(folder / "loggers.json")["wandb"]
    assert later["settings"]["optimizer.lr"] == 0.005
    assert later["last"]["epoch"] == 1


@pytest.mark.filterwarnings("ignore:.*noload.*")  # what MLflow asks of SQLAlchemy
def test_mlflow_is_told_settings_scores_and_pictures_and_goes_on_with_its_run(succeed, home: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    settings = (*ONE_EPOCH, "logger=mlflow", "paths.output_dir=mlflow-run")
    succeed("train", *settings, cwd=home)
    client = mlflow.MlflowClient(f"sqlite:///{home}/mlflow.db")
    run_id = read(home / "mlflow-run" / "loggers.json")["mlflow"]
    run = client.get_run(run_id)
    assert (run.info.run_name, run.info.status) == (f"{home.name}/mlflow-run", "FINISHED")
    assert run.data.params["optimizer.lr"] == "0.01"
    assert run.data.metrics["best/val/loss"] == pytest.approx(run.data.metrics["val/loss"])
    assert run.data.metrics.keys() >= {*BEST, "train/loss", "test/tumor/dice_per_case"}
    assert any("case 0" in path.name for path in (home / "mlruns").rglob("*.png"))
    # MLflow keeps the first value of a setting, and refuses another.
    succeed("train", *settings, "trainer.max_epochs=2", "ckpt=last", "optimizer.lr=5e-3", cwd=home)
    (found,) = client.search_runs([run.info.experiment_id])
    assert (found.info.run_id, found.info.status) == (run_id, "FINISHED")
    assert found.data.params["optimizer.lr"] == "0.01"
    assert [point.value for point in client.get_metric_history(run_id, "epoch")][-1] == 1


def test_each_job_of_a_sweep_has_a_run_of_its_own(succeed, home: Path) -> None:
    pytest.importorskip("wandb")
    sweep = ("-m", "seed=0,1", "logger=[csv,wandb]", "hydra.sweep.dir=sweep")
    succeed("train", *ONE_EPOCH, *sweep, cwd=home)
    jobs = [runs_of_wandb(path.parent) for path in sorted((home / "sweep").glob("*/run.json"))]
    assert [len(runs) for runs in jobs] == [1, 1]
    (first,), (second,) = jobs
    assert first["id"] != second["id"]
    assert (first["settings"]["seed"], second["settings"]["seed"]) == (0, 1)


def test_a_run_that_fails_says_so_to_wandb(run, home: Path) -> None:
    pytest.importorskip("wandb")
    settings = (*ONE_EPOCH, "logger=wandb", "optimizer.lr=1e30", "paths.output_dir=failed")
    done = run("train", *settings, cwd=home)
    assert done.returncode == 2, done.stderr
    assert "diverged" in done.stderr
    (failed,) = runs_of_wandb(home / "failed")
    assert failed["exit_code"] == 1


@pytest.mark.parametrize(
    ("logger", "package", "line"),
    [
        (
            ("logger=wandb", "logger.wandb.offline=false"),
            "wandb",
            "train: logger.wandb: No API key configured",
        ),
        (
            ("logger=mlflow", "logger.mlflow.tracking_uri=sqlite:////dev/null/a.db"),
            "mlflow",
            "train: logger.mlflow: ",
        ),
    ],
)
def test_a_service_that_refuses_a_run_is_told_in_a_line(
    run, home: Path, monkeypatch: pytest.MonkeyPatch, logger: tuple[str, ...], package: str, line: str
) -> None:
    pytest.importorskip(package)
    monkeypatch.setenv("HOME", str(home))  # where keys are kept
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    done = run("train", *ONE_EPOCH, *logger, f"paths.output_dir=refused-{package}", cwd=home)
    assert done.returncode == 2
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1


def test_tensorboard_shows_tuned_settings_beside_the_best_scores(succeed, home: Path) -> None:
    succeed("train", *ONE_EPOCH, "trainer.max_epochs=3", "paths.output_dir=board", cwd=home)
    events = EventAccumulator(str(home / "board" / "tensorboard"))
    events.Reload()
    found = {
        tag: plugin_data_pb2.HParamsPluginData.FromString(content)
        for tag, content in events.PluginTagToContent("hparams").items()
    }
    shown = found["_hparams_/session_start_info"].session_start_info.hparams
    assert shown["optimizer"].string_value == "Adam"
    assert shown["optimizer.lr"].number_value == 0.01
    assert shown["model.width"].number_value == 4
    assert "paths.output_dir" not in shown
    names = {info.name.tag for info in found["_hparams_/experiment"].experiment.metric_infos}
    assert names >= set(BEST)
    (mean,) = events.Scalars("test/tumor/dice_per_case")
    (cases,) = events.Histograms("test/tumor/dice")
    metrics = read(home / "board" / "metrics.json")
    assert cases.step == mean.step
    shown = cases.histogram_value
    assert shown.num == metrics["n_cases"]
    assert shown.sum / shown.num == pytest.approx(metrics["regions"]["tumor"]["dice_per_case"], abs=1e-4)
    best = max(event.value for event in events.Scalars("val/tumor/dice_where_present"))
    assert events.Scalars("best/val/tumor/dice_where_present")[-1].value == best
