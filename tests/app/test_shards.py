"""Scans divided among jobs: the same record as without, whoever is killed or fails."""

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_kit import Started
from filelock import FileLock
from slurm_kit import install_fake_slurm

from lts.app.commands.predict import predict
from lts.app.commands.predictions import CaseRequest, Predictions, merge_part
from lts.app.commands.shared_output import locked_output
from lts.app.config.serialization import settings_from_dict
from lts.app.config.settings import PredictSettings
from lts.app.config.shard import Shard
from lts.app.run.records import LOCK_FILE
from lts.base import ConfigError, write_json
from lts.cohort import ScanSource
from lts.volume import write_volume


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where commands are run; scans c0 to c4 are in `scans`."""
    (tmp_path / "scans").mkdir()
    for shift in range(5):
        hu = np.full((32, 32, 6), -1000, np.int16)
        hu[2:30, 4:28], hu[4:24, 10:22, 1:5], hu[8 + shift : 12 + shift, 12:16, 2:4] = 30, 100, 200
        write_volume(tmp_path / "scans" / f"c{shift}.nii.gz", hu, affine=np.diag([1.5, 1.5, 4, 1]))
    return tmp_path


@pytest.fixture
def common(make_checkpoint: Callable[..., Path]) -> list[str]:
    return [f"ckpt={make_checkpoint()}", "input=scans", "device=cpu"]


def record_of(folder: Path) -> dict[str, Any]:
    """`predictions.json` without what differs from run to run."""
    content: dict[str, Any] = json.loads((folder / "predictions.json").read_text())
    for row in content["cases"]:
        del row["seconds"]
    return content


def test_shards_leave_what_one_process_does(run: Any, succeed: Any, home: Path, common: list[str]) -> None:
    succeed("predict", *common, "output=whole", cwd=home)
    printed = succeed("predict", "-m", *common, "output=masks", "shards=2", cwd=home)
    assert record_of(home / "masks") == record_of(home / "whole")
    names = [sorted(path.name for path in (home / name).iterdir()) for name in ("masks", "whole")]
    assert names[0] == names[1] == [*(f"c{number}_mask.nii.gz" for number in range(5)), "predictions.json"]
    assert printed.count("masks in masks") == 1
    assert "[1/3] c0" in printed
    assert "[2/2] c3" in printed
    again = succeed("predict", "-m", *common, "output=masks", "shards=3", cwd=home)
    assert "kept 2 masks" in again
    assert "c0:" not in again.partition("masks in")[0]
    done = run("predict", "-m", *common, "output=masks", "shards=3", "postprocess.min_lesion_ml=9", cwd=home)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("predict: all 3 of 3: output: masks holds masks made with")


def test_a_scan_that_fails_is_told_once_and_stops_no_other(run: Any, home: Path, common: list[str]) -> None:
    (home / "scans" / "c1.nii.gz").write_bytes(b"no scan")
    done = run("predict", "-m", *common, "output=masks", "shards=2", cwd=home)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("predict: 1 of 5 scans could not be predicted: scans/c1.nii.gz")
    record = record_of(home / "masks")
    assert [row["case"] for row in record["cases"]] == ["c0", "c2", "c3", "c4"]
    assert [row["case"] for row in record["failed"]] == ["c1"]
    shutil.copyfile(home / "scans" / "c2.nii.gz", home / "scans" / "c1.nii.gz")
    assert run("predict", "-m", *common, "output=masks", "shards=2", cwd=home).returncode == 0
    assert record_of(home / "masks")["failed"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("shards=2",), "shards: 2 are done by the command with -m, or one of them with shard=NUMBER"),
        (("shards=2", "shard=2"), "shard: must be a whole number from 0 to 1, got 2"),
        (("shard=1",), "shard: must be a whole number from 0 to 0, got 1"),
        (("-m", "shards=0"), "shards: must be from 1 to 100000, got 0"),
        (("-m", "shards=many"), "shards: must be a whole number, got 'many'"),
        (("-m", "shards=2", "shard=0,7"), "shard: must be a whole number from 0 to 1, got 7"),
        (("-m", "shards=2", "device=cpu,auto"), "device: must have one value with shards=2, got several"),
    ],
)
def test_wrong_shards_are_refused_before_anything_is_made(
    run: Any, arguments: tuple[str, ...], message: str, home: Path
) -> None:
    ckpt = ["ckpt=model.ckpt", "input=scans", "output=masks"]
    done = run("predict", *ckpt, *arguments, cwd=home)
    assert (done.returncode, done.stderr) == (2, f"predict: {message}\n")
    assert not (home / "masks").exists()


def test_what_is_wrong_with_all_shards_is_told_once_at_the_end(run: Any, home: Path) -> None:
    done = run("predict", "-m", "ckpt=none.ckpt", "input=scans", "output=masks", "shards=3", cwd=home)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("predict: all 3 of 3: none.ckpt: ")
    assert not (home / "masks").exists()


def test_one_shard_of_a_sweep_over_something_else_is_all_scans(
    run: Any, home: Path, common: list[str]
) -> None:
    done = run("predict", "-m", *common, "output=a,b", cwd=home)
    assert done.returncode == 0, done.stderr
    assert record_of(home / "a") == record_of(home / "b")
    assert len(record_of(home / "a")["cases"]) == 5


@pytest.fixture
def again(home: Path, common: list[str]) -> Callable[..., dict[str, Any]]:
    """Predicts into `masks` in this process; returns the record."""
    given = dict(setting.split("=") for setting in common)

    def again(**changes: object) -> dict[str, Any]:
        paths = {"input": str(home / "scans"), "output": str(home / "masks")}
        predict(settings_from_dict(PredictSettings, {**given, **paths, **changes}))
        return record_of(home / "masks")

    return again


def test_a_shard_alone_predicts_its_part_and_the_command_without_shards_the_rest(
    again: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert [row["case"] for row in again(shards=2, shard=1)["cases"]] == ["c1", "c3"]
    assert "without a mask yet: c0, c2, c4, 3 of 5 scans;" in capsys.readouterr().out
    again(shards=2, shard=0)
    assert "without a mask" not in capsys.readouterr().out


def test_what_a_shard_leaves_the_command_without_shards_predicts(
    again: Callable[..., dict[str, Any]],
) -> None:
    again(shards=2, shard=1)
    whole = again()
    assert sorted(row["case"] for row in whole["cases"]) == [f"c{number}" for number in range(5)]


DYING = """
import os
from pathlib import Path
from lts.app.command import run_command
from lts.app.commands.scan_job import ScanJob

def run(job, progress):
    if job.source.case == "c2":
        Path("masks/c2_mask.nii.gz").write_bytes(b"half of a mask")
        os._exit(9)
    return real(job, progress)

real, ScanJob.run = ScanJob.run, run
run_command("predict")
"""


@pytest.mark.slow
@pytest.mark.parametrize("takes_up", ["its shard", "another shard", "the command without shards"])
def test_what_a_killed_shard_had_done_is_kept(
    again: Callable[..., dict[str, Any]], run: Any, home: Path, common: list[str], takes_up: str
) -> None:
    (home / "dying.py").write_text(DYING)
    died = run(home / "dying.py", *common, "output=masks", "shards=2", "shard=0", cwd=home)
    assert died.returncode == 9
    assert not (home / "masks" / "predictions.json").exists()
    first = (home / "masks" / "c0_mask.nii.gz").stat().st_mtime_ns
    if takes_up == "another shard":
        record = again(shards=2, shard=1)
        assert [row["case"] for row in record["cases"]] == ["c0", "c1", "c3"]
        assert record["in_progress"] == ["c2"]
    record = again(shards=2, shard=0) if takes_up == "its shard" else again()
    assert (home / "masks" / "c0_mask.nii.gz").stat().st_mtime_ns == first
    expected = ["c0", "c2", "c4"] if takes_up == "its shard" else [f"c{number}" for number in range(5)]
    assert sorted(row["case"] for row in record["cases"]) == expected
    assert "in_progress" not in record
    assert not (home / "masks" / "shards").exists()


def test_shards_and_the_command_without_them_refuse_each_other(
    run: Any, home: Path, common: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = home / "masks"
    shard = ("predict", *common, "output=masks", "shards=3", "shard=1")
    with locked_output(output, Shard(number=1, count=3)) as part:
        assert part == output / "shards" / "1-of-3" / "predictions.json"
        done = run("predict", *common, "output=masks", cwd=home)
        assert done.stderr == (
            "predict: output: masks is being predicted into by shard 1-of-3; wait for its end\n"
        )
        done = run(*shard, cwd=home)
        assert done.stderr.startswith("predict: output: masks/shards/1-of-3 must be of one run at a time")
        with locked_output(output, Shard(number=0, count=3)):
            pass
    with locked_output(output, None) as part:
        assert part is None
        done = run(*shard, cwd=home)
        assert done.stderr.startswith("predict: output: masks must be of one run at a time")
    assert not output.exists()


def test_a_shard_that_begins_as_another_looks_for_what_was_left_stops_neither(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("lts.app.commands.shared_output.is_locked", lambda _: False)  # a moment ago
    with (
        FileLock(make_folder(tmp_path / "shards" / "1-of-2") / LOCK_FILE),
        locked_output(tmp_path, Shard(number=0, count=2)) as part,
    ):
        assert part == tmp_path / "shards" / "0-of-2" / "predictions.json"


def make_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def test_masks_of_other_settings_are_replaced_shard_by_shard(
    again: Callable[..., dict[str, Any]], home: Path
) -> None:
    again()
    write_volume(home / "scans" / "d.nii.gz", np.full((8, 8, 4), -1000, np.int16), affine=np.eye(4))
    other = {"postprocess": {"largest_liver": True}}
    with pytest.raises(ConfigError, match="holds masks made with postprocess.largest_liver=false, now true"):
        again(**other, shards=2, shard=0)
    first = again(**other, shards=2, shard=0, overwrite=True)
    assert [row["case"] for row in first["cases"]] == ["c0", "c2", "c4"]
    assert first["settings"]["postprocess"]["largest_liver"]
    second = again(**other, shards=2, shard=1, overwrite=True)
    assert [row["case"] for row in second["cases"]] == [*(f"c{number}" for number in range(5)), "d"]
    (home / "scans" / "c1.nii.gz").unlink()
    with pytest.raises(ConfigError, match="holds masks of other scans than the input's, c1"):
        again(shards=2, shard=0, overwrite=True)


def test_a_shard_records_its_own_cases_alone(home: Path) -> None:
    common = {
        "regions": ["liver"],
        "checkpoints": [],
        "settings": {},
        "device": "cpu",
        "versions": {"lts": "1"},
    }
    failed = [{"case": "c1", "input": "c1.nii.gz", "reason": "another shard may have predicted it by now"}]
    write_json(home / "predictions.json", {**common, "cases": [], "failed": failed, "passed_over": []})
    source = ScanSource("c0", home / "scans" / "c0.nii.gz")
    one = CaseRequest(source=source, input="c0.nii.gz", files=("c0_mask.nii.gz",))
    record = Predictions(home, common, latest={"passed_over": []}, part=home / "part.json")
    assert record.to_do([one], overwrite=False, named=["c1"]) == [one]
    record.begin(one)
    part = json.loads((home / "part.json").read_text())
    assert (part["failed"], part["in_progress"]) == ([], ["c0"])
    assert json.loads((home / "predictions.json").read_text())["failed"] == failed


def test_a_shard_that_would_make_other_masks_than_one_beside_it_does_not_begin(tmp_path: Path) -> None:
    common = {"regions": ["liver"], "checkpoints": [], "device": "cpu", "versions": {"lts": "1"}}
    (tmp_path / "scans").mkdir()
    for case in "ab":
        (tmp_path / "scans" / f"{case}.nii.gz").touch()

    def begin(case: str, precision: str) -> None:
        part = tmp_path / "shards" / case / "predictions.json"
        part.parent.mkdir(parents=True)
        source = ScanSource(case, tmp_path / "scans" / f"{case}.nii.gz")
        one = CaseRequest(source=source, input=source.path.name, files=(f"{case}_mask.nii.gz",))
        facts = {**common, "settings": {"precision": precision}}
        record = Predictions(tmp_path, facts, latest={"passed_over": []}, part=part)
        record.to_do([one], overwrite=False, named=["a", "b", "c"])
        record.begin(one)

    begin("a", "float32")
    begin("b", "float32")
    told = r'shards/a is being made with precision="float32", now "bfloat16"; give all shards the same$'
    with pytest.raises(ConfigError, match=told):
        begin("c", "bfloat16")


def test_two_shards_of_two_models_are_not_merged_and_nothing_is_lost(tmp_path: Path) -> None:
    common = {
        "regions": ["liver"],
        "checkpoints": [],
        "device": "cpu",
        "versions": {"lts": "1"},
        "passed_over": [],
    }
    row = {"scan_sha256": "0", "files_sha256": {}, "outputs": {}}
    for case, size in (("a", 1), ("b", 2)):
        part = {**common, "settings": {"least": size}, "cases": [{**row, "case": case}], "failed": []}
        write_json(tmp_path / f"{case}.json", {**part, "overwrites": False})
    merge_part(tmp_path, tmp_path / "a.json")
    before = (tmp_path / "predictions.json").read_bytes()
    with pytest.raises(
        ConfigError, match=r"masks made with least=1, now 2; the latter are those of .*b\.json: remove it"
    ):
        merge_part(tmp_path, tmp_path / "b.json")
    assert (tmp_path / "predictions.json").read_bytes() == before
    assert (tmp_path / "b.json").exists()
    assert "overwrites" not in json.loads(before)


def test_a_row_keeps_the_device_and_versions_that_differ_from_those_of_the_record(tmp_path: Path) -> None:
    common = {"regions": ["liver"], "checkpoints": [], "settings": {}, "passed_over": []}
    for host, case in (("cpu", "b"), ("cuda:1", "a")):
        row = {"case": case, "scan_sha256": "0", "files_sha256": {}, "outputs": {}}
        facts = {**common, "device": host, "versions": {"lts": "1"}}
        write_json(tmp_path / "part.json", {**facts, "cases": [row], "failed": []})
        merge_part(tmp_path, tmp_path / "part.json")
    record = json.loads((tmp_path / "predictions.json").read_text())
    assert record["device"] == "cpu"
    assert [(row["case"], row.get("device")) for row in record["cases"]] == [("a", "cuda:1"), ("b", None)]
    assert not (tmp_path / "part.json").exists()


@pytest.mark.slow
def test_joblib_predicts_shards_at_once(succeed: Any, home: Path, common: list[str]) -> None:
    succeed("predict", *common, "output=whole", cwd=home)
    at_once = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    printed = succeed("predict", "-m", *common, "output=masks", "shards=2", *at_once, cwd=home)
    assert record_of(home / "masks") == record_of(home / "whole")
    assert printed.count("masks in masks") == 1


@pytest.mark.slow
def test_submitit_predicts_shards_in_processes_of_its_own(
    succeed: Any, home: Path, common: list[str]
) -> None:
    succeed("predict", *common, "output=whole", cwd=home)
    local = ("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5")
    succeed("predict", "-m", *common, "output=masks", "shards=2", *local, cwd=home)
    assert record_of(home / "masks") == record_of(home / "whole")


@pytest.mark.slow
def test_a_shard_that_a_cluster_lost_is_named_and_taken_up_again(
    run: Any, home: Path, common: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install_fake_slurm(home / "slurm", monkeypatch)
    shards = ("predict", "-m", *common, "output=masks", "shards=2")
    done = run(*shards, "hydra/launcher=slurm", cwd=home)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("predict: shard 0 of 2: job 17_0 of the cluster was lost in state NODE_FAIL")
    assert line.endswith("; the same command goes on with what is left")
    assert [row["case"] for row in record_of(home / "masks")["cases"]] == ["c1", "c3"]
    assert run(*shards, cwd=home).returncode == 0
    assert len(record_of(home / "masks")["cases"]) == 5


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_shards_that_are_interrupted_say_how_to_go_on(
    home: Path, common: list[str], run: Any, launcher: str
) -> None:
    for number in range(60):
        shutil.copyfile(home / "scans" / "c0.nii.gz", home / "scans" / f"d{number}.nii.gz")
    arguments = ["-m", *common, "output=masks", "shards=2", f"hydra/launcher={launcher}"]
    process = Started("predict", *arguments, cwd=home)
    try:
        deadline = time.monotonic() + 120
        while len(list(home.glob("masks/*_mask.nii.gz"))) < 3:  # two of them are in the record
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    finally:
        process.close()
    assert process.returncode == 130
    assert told.splitlines()[-1] == "predict: interrupted; the same command goes on with what is left"
    done = run(*["predict", "-m", *common, "output=masks", "shards=2"], cwd=home)
    assert done.returncode == 0, done.stderr
    assert "kept" in done.stdout
    assert len(record_of(home / "masks")["cases"]) == 65
    assert not (home / "masks" / "shards").exists()
