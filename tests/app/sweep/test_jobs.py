"""Jobs of a sweep: how they are known, where they write, what becomes of their failures."""

import json
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from filelock import FileLock
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from lts.app.run.environment import SWEEP_BEGAN_VARIABLE
from lts.app.sweep.jobs import claim_folder, note_lost_job, run_job, settings_hash
from lts.base import ConfigError, write_json

SETTINGS = {
    "seed": 0,
    "ckpt": None,
    "optimizer": {"lr": 1e-3},
    "callbacks": {"best": {"monitor": "???", "dirpath": "${paths.output_dir}/checkpoints"}},
    "scoring": {"workers": None},
    "data": {"num_workers": 2, "root": "scans"},
    "paths": {"output_dir": "runs/now", "store_dir": "store"},
    "sweep": {"stop_on_failure": False},
}


def settings(**changes: object) -> DictConfig:
    config = OmegaConf.create(SETTINGS)
    for key, value in changes.items():
        OmegaConf.update(config, key.replace("__", "."), value)
    return config


def enter_job(monkeypatch: pytest.MonkeyPatch, sweep: Path, number: int) -> None:
    """Make Hydra's state that of a job, its folder made as Hydra makes it."""
    (sweep / str(number)).mkdir(parents=True, exist_ok=True)
    state = {
        "job": {"num": number},
        "sweep": {"dir": str(sweep)},
        "runtime": {"output_dir": str(sweep / str(number))},
        "overrides": {"task": [f"number={number}"]},
    }
    monkeypatch.setattr(HydraConfig, "get", staticmethod(lambda: OmegaConf.create(state)))


def now() -> str:
    return datetime.now(UTC).isoformat()


@pytest.fixture
def do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """`do(3, config, run)` is job 3 of a sweep in `tmp_path` that began just now."""
    monkeypatch.setenv(SWEEP_BEGAN_VARIABLE, now())

    def do(number: int, config: DictConfig, run) -> float | None:
        enter_job(monkeypatch, tmp_path, number)

        def in_folder(config: DictConfig, folder: Path, *, goes_on: bool) -> float | None:
            changes = {"paths": {"output_dir": str(folder)}, **({"ckpt": "last"} if goes_on else {})}
            return run(OmegaConf.merge(config, changes))

        return run_job(config, in_folder, name="train")

    return do


def record(folder: Path, **facts: object) -> None:
    (folder / "run.json").write_text(json.dumps(facts))


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def done_with(score: float, *, state: str = "done"):
    def run(config: DictConfig) -> float:
        record(Path(config.paths.output_dir), state=state, best_score=score, overrides=[])
        return score

    return run


def never(config: DictConfig) -> float:
    pytest.fail("a finished job was run again")


def fail(config: DictConfig) -> float:
    raise ConfigError("model.width: must be >= 1, got 0")


@pytest.mark.parametrize(
    "change",
    [
        {"paths__output_dir": "elsewhere"},
        {"paths__store_dir": "elsewhere"},
        {"data__num_workers": 7},
        {"scoring__workers": 3},
        {"sweep__stop_on_failure": True},
    ],
)
def test_settings_of_the_run_itself_do_not_make_another_job(change: dict) -> None:
    assert settings_hash(settings(**change)) == settings_hash(settings())


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"optimizer__lr": 1e-4}, {"data__root": "others"}, {"ckpt": "a.ckpt"}]
)
def test_any_other_setting_makes_another_job(change: dict) -> None:
    assert settings_hash(settings(**change)) != settings_hash(settings())


def test_the_order_of_settings_makes_no_other_job() -> None:
    turned = OmegaConf.create(dict(reversed(SETTINGS.items())))
    assert settings_hash(turned) == settings_hash(settings())


def test_what_follows_from_a_setting_that_the_run_fills_in_makes_no_other_job() -> None:
    follows = {"callbacks__best": {"monitor": "???", "same": "${callbacks.best.monitor}"}}
    assert settings_hash(settings(**follows)) == settings_hash(settings(**follows))


def test_a_finished_job_is_skipped_with_its_score_under_whatever_number(do, tmp_path: Path, capsys) -> None:
    assert do(0, settings(), done_with(0.25)) == 0.25
    assert do(4, settings(), never) == 0.25
    assert f"job 4: {tmp_path}/0 is done already with score 0.2500; skipped" in capsys.readouterr().out
    assert not (tmp_path / "4").exists()


def test_a_pruned_job_is_finished_too(do, capsys) -> None:
    do(0, settings(), done_with(0.0, state="pruned"))
    assert do(0, settings(), never) == 0.0
    assert "is pruned already with score 0.0000; skipped" in capsys.readouterr().out


def test_a_finished_job_without_a_score_is_skipped(do, tmp_path: Path, capsys) -> None:
    def run(config: DictConfig) -> None:
        record(tmp_path / "0", state="done", overrides=[])

    do(0, settings(), run)
    assert do(1, settings(), never) is None
    assert "is done already; skipped" in capsys.readouterr().out


def test_other_settings_never_get_the_folder_of_a_job(do, tmp_path: Path) -> None:
    do(0, settings(), done_with(0.25))
    do(1, settings(seed=1), done_with(0.5))
    before = (tmp_path / "0" / "run.json").stat().st_mtime_ns
    assert do(0, settings(seed=2), done_with(0.75)) == 0.75
    assert read(tmp_path / "2" / "run.json")["best_score"] == 0.75
    assert (tmp_path / "0" / "run.json").stat().st_mtime_ns == before


def test_a_folder_that_holds_anything_is_not_taken(do, tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "notes.txt").write_text("mine")
    do(0, settings(), done_with(0.25))
    assert [path.name for path in (tmp_path / "0").iterdir()] == ["notes.txt"]
    assert (tmp_path / "1" / "run.json").is_file()


def test_a_new_folder_is_numbered_beyond_all_that_are_there(do, tmp_path: Path) -> None:
    for name in ("0", "2", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "0" / "notes.txt").write_text("mine")
    do(0, settings(), done_with(0.25))
    assert (tmp_path / "3" / "run.json").is_file()
    assert not list((tmp_path / "2").iterdir())


def test_where_folders_have_names_of_their_own_numbers_begin_with_0(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    enter_job(monkeypatch, tmp_path / "elsewhere", 0)
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "notes.txt").write_text("mine")
    assert claim_folder(tmp_path, wished=tmp_path / "first", settings="") == tmp_path / "0"


def test_an_unfinished_job_goes_on_from_its_last_checkpoint(do, tmp_path: Path, capsys) -> None:
    def die(config: DictConfig) -> float:
        record(Path(config.paths.output_dir), state="running", overrides=[])
        (tmp_path / "0" / "checkpoints").mkdir()
        (tmp_path / "0" / "checkpoints" / "last.ckpt").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        do(0, settings(), die)
    assert read(tmp_path / "0" / "run.json")["state"] == "interrupted"

    def go_on(config: DictConfig) -> float:
        assert (config.ckpt, config.paths.output_dir) == ("last", str(tmp_path / "0"))
        return 0.5

    assert do(3, settings(), go_on) == 0.5
    assert f"job 3: goes on from {tmp_path}/0/checkpoints/last.ckpt" in capsys.readouterr().out


def test_an_unfinished_job_without_a_checkpoint_starts_anew_and_keeps_its_record(
    do, monkeypatch, tmp_path: Path, capsys
) -> None:
    for _ in range(2):
        do(0, settings(), fail)
        monkeypatch.setenv(SWEEP_BEGAN_VARIABLE, now())  # another sweep, in the same folder

    def start(config: DictConfig) -> float:
        assert config.ckpt is None
        assert not (tmp_path / "0" / "run.json").exists()
        return 0.5

    assert do(0, settings(), start) == 0.5
    assert {path.name for path in (tmp_path / "0").glob("run*")} == {"run-1.json", "run-2.json"}
    assert "left no checkpoint; starts anew" in capsys.readouterr().out


def test_a_study_is_handed_scores_from_the_end_that_it_looks_for(do, lose, monkeypatch) -> None:
    def by_loss(config: DictConfig) -> float:
        record(Path(config.paths.output_dir), state="done", best_score=0.25, mode="min", overrides=[])
        return 0.25

    monkeypatch.setattr("lts.app.sweep.jobs.score_for_sweeper", lambda score, mode: (score, mode))
    assert do(0, settings(), by_loss) == (0.25, "min")
    assert do(1, settings(), never) == (0.25, "min")
    assert lose(2, settings()) == (0.25, "min")


def test_a_failure_of_the_users_is_written_down_in_one_line(do, tmp_path: Path, capsys) -> None:
    assert do(2, settings(), fail) is None
    told = capsys.readouterr().err
    assert told == "train: job 2: model.width: must be >= 1, got 0\n"
    facts = read(tmp_path / "2" / "run.json")
    assert (facts["state"], facts["exit_code"]) == ("failed", 2)
    assert facts["reason"] == "model.width: must be >= 1, got 0"
    assert facts["overrides"] == ["number=2"]


def test_what_failed_is_not_tried_again_in_the_same_sweep(do, tmp_path: Path, capsys) -> None:
    do(0, settings(), fail)
    assert do(1, settings(), never) is None
    said = capsys.readouterr()
    assert f"job 1: has the settings of {tmp_path}/0, which failed in this sweep; skipped" in said.out
    assert said.err.count("\n") == 1


def test_what_failed_is_tried_again_where_a_job_is_not_told_when_its_sweep_began(do, monkeypatch) -> None:
    do(0, settings(), fail)
    monkeypatch.delenv(SWEEP_BEGAN_VARIABLE)
    assert do(0, settings(), done_with(0.25)) == 0.25


def test_a_reason_that_was_told_is_not_told_again(do, monkeypatch, capsys) -> None:
    def fail_otherwise(config: DictConfig) -> float:
        raise ConfigError("seed: must be >= 0, got -1")

    def break_down(config: DictConfig) -> float:
        raise RuntimeError("a bug")

    for number, run in enumerate((fail, fail_otherwise, fail, break_down, break_down)):
        do(number, settings(seed=number), run)
    told = capsys.readouterr().err
    assert told.count("Traceback") == 1
    assert [line for line in told.splitlines() if line.startswith("train: ")] == [
        "train: job 0: model.width: must be >= 1, got 0",
        "train: job 1: seed: must be >= 0, got -1",
        "train: job 2: failed as job 0 did",
        "train: job 3: RuntimeError: a bug",
        "train: job 4: failed as job 3 did",
    ]
    monkeypatch.setenv(SWEEP_BEGAN_VARIABLE, now())
    do(2, settings(seed=2), fail)
    assert capsys.readouterr().err == "train: job 2: model.width: must be >= 1, got 0\n"


def test_a_run_that_noted_its_failure_itself_is_told_of_like_any_other(do, capsys) -> None:
    def note_and_fail(config: DictConfig) -> float:
        facts = {"state": "failed", "reason": "seed: must be >= 0", "exit_code": 2, "ended": now()}
        write_json(Path(config.paths.output_dir) / "run.json", facts)
        raise ConfigError("seed: must be >= 0")

    do(0, settings(), note_and_fail)
    assert capsys.readouterr().err == "train: job 0: seed: must be >= 0\n"


@pytest.fixture
def lose(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """`lose(3, config)` finds that job 3 of a sweep in `tmp_path` left no result."""

    def lose(number: int, config: DictConfig) -> float | None:
        enter_job(monkeypatch, tmp_path, number)
        return note_lost_job(config, "lost", name="train")

    return lose


def test_a_lost_job_has_failed_whether_it_had_begun_or_not(do, lose, tmp_path: Path, capsys) -> None:
    def die(config: DictConfig) -> float:
        record(Path(config.paths.output_dir), state="running", started="then", overrides=["number=0"])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        do(0, settings(), die)
    for number in (0, 1):
        assert lose(number, settings(seed=number)) is None
        facts = read(tmp_path / str(number) / "run.json")
        assert (facts["state"], facts["reason"], facts["exit_code"]) == ("failed", "lost", 2)
        assert facts["overrides"] == [f"number={number}"]
    assert read(tmp_path / "0" / "run.json")["started"] == "then"
    assert capsys.readouterr().err == "train: job 0: lost\ntrain: job 1: failed as job 0 did\n"


def test_a_lost_job_is_what_its_record_says_where_that_says_how_it_ended(do, lose, tmp_path: Path) -> None:
    do(0, settings(), done_with(0.25))
    assert lose(0, settings()) == 0.25
    assert read(tmp_path / "0" / "run.json")["state"] == "done"
    do(1, settings(seed=1), fail)
    assert lose(1, settings(seed=1)) is None
    assert read(tmp_path / "1" / "run.json")["reason"] == "model.width: must be >= 1, got 0"


def test_a_job_that_was_lost_this_time_did_not_fail_last_time(do, lose, monkeypatch, tmp_path: Path) -> None:
    do(0, settings(), fail)
    monkeypatch.setenv(SWEEP_BEGAN_VARIABLE, now())
    lose(0, settings())
    assert read(tmp_path / "0" / "run.json")["reason"] == "lost"


@pytest.mark.parametrize("told_itself", [True, False])
def test_a_lost_job_ends_the_sweep_where_that_is_asked(do, lose, told_itself: bool) -> None:
    asked = settings(sweep__stop_on_failure=True)
    if told_itself:
        with pytest.raises(SystemExit):
            do(0, asked, fail)
    with pytest.raises(SystemExit) as ended:
        lose(0, asked)
    assert ended.value.code == 2


def test_a_bug_is_told_with_its_traceback_and_named_in_one_line(do, tmp_path: Path, capsys) -> None:
    def break_down(config: DictConfig) -> float:
        record(Path(config.paths.output_dir), state="running", started="then", overrides=[])
        raise RuntimeError("first line\nsecond line")

    assert do(0, settings(), break_down) is None
    assert "Traceback" in capsys.readouterr().err
    facts = read(tmp_path / "0" / "run.json")
    assert (facts["reason"], facts["exit_code"]) == ("RuntimeError: first line", 1)
    assert facts["started"] == "then"


def test_a_bug_without_a_message_is_named_by_its_kind(do, tmp_path: Path) -> None:
    def break_down(config: DictConfig) -> float:
        raise RuntimeError

    assert do(0, settings(), break_down) is None
    assert read(tmp_path / "0" / "run.json")["reason"] == "RuntimeError"


def test_settings_that_cannot_be_resolved_fail_their_job_alone(do, tmp_path: Path) -> None:
    assert do(0, settings(seed="${nowhere}"), never) is None
    assert read(tmp_path / "0" / "run.json")["state"] == "failed"


def test_a_failure_ends_the_sweep_where_that_is_asked(do, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        do(0, settings(sweep__stop_on_failure=True), fail)
    assert ended.value.code == 2
    assert read(tmp_path / "0" / "run.json")["state"] == "failed"


def test_a_job_with_the_settings_of_one_that_runs_waits_and_takes_its_score(
    do, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(0, settings(), fail)
    held, waits, told = threading.Event(), threading.Event(), []

    def tell(line: str) -> None:
        told.append(line)
        waits.set()

    def the_other() -> None:
        with FileLock(tmp_path / "0" / ".lock"):
            held.set()
            waits.wait(60)
            record(tmp_path / "0", state="done", best_score=0.5)

    monkeypatch.setattr("lts.app.sweep.jobs.print_line", tell)
    other = threading.Thread(target=the_other)
    other.start()
    held.wait()
    assert do(1, settings(), never) == 0.5
    other.join()
    assert told[0].startswith(f"job 1: has the settings of {tmp_path}/0, which is being run; waits")


def test_jobs_that_start_at_once_get_folders_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    enter_job(monkeypatch, tmp_path, 0)
    (tmp_path / "0" / "notes.txt").write_text("mine")
    found: list[Path] = []

    make = Path.mkdir

    def make_slowly(folder: Path, **settings: bool) -> None:
        time.sleep(0.02)  # all others look for a free folder meanwhile
        make(folder, **settings)

    monkeypatch.setattr(Path, "mkdir", make_slowly)

    def claim(number: int) -> None:
        found.append(claim_folder(tmp_path, wished=tmp_path / "0", settings=str(number)))

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(folder.name for folder in found) == list("12345678")
    assert {read(folder / "job.json")["settings"] for folder in found} == set("01234567")
