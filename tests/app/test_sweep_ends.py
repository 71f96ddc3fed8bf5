"""How a sweep ends: what is written and said, and with which exit code."""

import csv
import json
import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from filelock import FileLock
from omegaconf import OmegaConf

from lts.app.run.environment import SWEEP_BEGAN_VARIABLE
from lts.app.run.failures import exit_code_of
from lts.app.run.signals import Interrupted
from lts.app.sweep.lifecycle import Sweep, begin_sweep, sweep_ends
from lts.app.sweep.study_settings import StudyEndedError
from lts.base import ConfigError


@pytest.fixture(autouse=True)
def left_as_found(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each sweep gives back the signals that it took."""
    monkeypatch.setenv(SWEEP_BEGAN_VARIABLE, "")
    before = [*map(signal.getsignal, (signal.SIGINT, signal.SIGTERM)), sys.unraisablehook]
    yield
    assert [*map(signal.getsignal, (signal.SIGINT, signal.SIGTERM)), sys.unraisablehook] == before


def job(sweep: Path, name: str, **facts: object) -> None:
    (sweep / name).mkdir(parents=True, exist_ok=True)
    (sweep / name / "run.json").write_text(json.dumps({"overrides": [f"seed={name}"], **facts}))


def failed(reason: str = "no", code: int = 2) -> dict:
    ended = datetime.now(UTC).isoformat()
    return {"state": "failed", "reason": reason, "exit_code": code, "ended": ended}


def states(sweep: Path) -> list[str]:
    with (sweep / "leaderboard.csv").open() as file:
        return [row["state"] for row in csv.DictReader(file)]


def end(sweep: Path, error: BaseException | None = None, **jobs: dict) -> object:
    """Begin a sweep, write records of jobs, and end it by an error; the exit code."""
    try:
        with exit_code_of("train"), sweep_ends("train"):
            begin_sweep(sweep)
            for name, facts in jobs.items():
                job(sweep, name.removeprefix("_"), **facts)
            if error:
                raise error
    except SystemExit as ended:
        return ended.code
    return None


DONE = {"state": "done", "best_score": 0.5}


def test_a_sweep_of_which_all_is_done_ends_well(tmp_path: Path, capsys) -> None:
    assert end(tmp_path, _0=DONE, _1={**DONE, "state": "pruned"}) is None
    said = capsys.readouterr()
    assert said.err == ""
    assert "goes on by" not in said.out
    assert states(tmp_path) == ["done", "pruned"]


@pytest.mark.parametrize(
    ("jobs", "code", "told"),
    [
        ({"_0": failed("a")}, 2, "jobs that failed: 0 (a)"),
        ({"_0": failed("a"), "_1": DONE}, 2, "jobs that failed: 0 (a)"),
        ({"_0": failed("a"), "_1": failed("a")}, 2, "all 2 jobs failed: a"),
        ({"_0": failed("a"), "_1": failed("b"), "_2": failed("a")}, 2, "jobs that failed: 0, 2 (a); 1 (b)"),
        ({"_0": failed("a"), "_1": failed("a"), "_2": DONE}, 2, "jobs that failed: 0, 1 (a)"),
        ({"_0": failed("a"), "_1": failed("b", 1)}, 1, "jobs that failed: 0 (a); 1 (b)"),
    ],
)
def test_each_reason_is_told_once_and_a_bug_decides_the_exit_code(
    jobs: dict, code: int, told: str, tmp_path: Path, capsys
) -> None:
    assert end(tmp_path, **jobs) == code
    said = capsys.readouterr()
    assert said.err == f"train: {told}\n"
    assert f"what is not done goes on by the same command with hydra.sweep.dir={tmp_path}\n" in said.out


def test_only_what_failed_this_time_is_told(tmp_path: Path, capsys) -> None:
    job(tmp_path, "0", **failed("before"))
    assert end(tmp_path, _1=DONE) is None
    assert capsys.readouterr().err == ""
    assert end(tmp_path, _0=failed("before"), _1=DONE) == 2
    assert capsys.readouterr().err == "train: jobs that failed: 0 (before)\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Interrupted(signal.SIGTERM, "go on with this job"), 143),
        (Interrupted(signal.SIGINT), 130),
        (KeyboardInterrupt(), 130),
    ],
)
def test_a_stop_within_a_job_ends_the_sweep_and_says_how_the_sweep_goes_on(
    error: BaseException, code: int, tmp_path: Path, capsys
) -> None:
    assert end(tmp_path, error, _0=failed(), _1={"state": "interrupted"}) == code
    said = capsys.readouterr()
    way_on = f"go on by the same command with hydra.sweep.dir={tmp_path}"
    assert said.err == f"train: interrupted; {way_on}\n"
    assert way_on not in said.out
    assert sorted(states(tmp_path)) == ["failed", "interrupted"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_between_jobs_is_heard_too(signum: signal.Signals, tmp_path: Path, capsys) -> None:
    job(tmp_path, "0", **DONE)

    def stop() -> None:
        begin_sweep(tmp_path)
        try:
            os.kill(os.getpid(), signum)
            threading.Event().wait(5)
        except Interrupted as error:
            raise RuntimeError("a process is gone") from error  # follows from the stop

    with pytest.raises(SystemExit) as ended, exit_code_of("train"), sweep_ends("train"):
        stop()
    assert ended.value.code == 128 + signum
    assert capsys.readouterr().err.startswith("train: interrupted; go on by the same command")
    assert states(tmp_path) == ["done"]


def test_a_stop_that_python_lost_in_a_destructor_is_silent_and_ends_the_sweep_with_the_next_job(
    tmp_path: Path, capsys
) -> None:
    class Dying:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(0.01)

    class Broken:
        def __del__(self) -> None:
            raise RuntimeError("said as ever")

    # Looked at outside: what is raised after a stop counts as the stop.
    begun: list[int] = []
    told: list[str] = []

    def jobs() -> None:
        begin_sweep(tmp_path)
        Sweep().on_job_start(OmegaConf.create())
        Dying()
        told.append(capsys.readouterr().err)
        Broken()
        told.append(capsys.readouterr().err)
        begun.append(0)
        Sweep().on_job_start(OmegaConf.create())
        begun.append(1)

    with pytest.raises(Interrupted) as stopped, sweep_ends("train"):
        jobs()
    assert stopped.value.exit_code == 143
    assert begun == [0]
    assert told[0] == ""
    assert "said as ever" in told[1]


def test_a_fork_does_not_hear_a_stop(tmp_path: Path) -> None:
    with sweep_ends("train"):
        begin_sweep(tmp_path)
        fork = os.fork()
        if fork == 0:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                threading.Event().wait(0.01)
            except BaseException:
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(fork, 0)
    assert status == 0


def test_a_sweep_that_a_failed_job_ended_tells_it_as_any_other(tmp_path: Path, capsys) -> None:
    assert end(tmp_path / "a", SystemExit(2), _0=failed("a"), _1=DONE) == 2
    assert capsys.readouterr().err == "train: jobs that failed: 0 (a)\n"
    assert end(tmp_path / "b", SystemExit(3), _0=DONE) == 3
    assert capsys.readouterr().err == ""


def test_a_stop_that_was_lost_in_the_last_job_decides_the_exit_code(tmp_path: Path, capsys) -> None:
    def lose_a_stop() -> None:
        begin_sweep(tmp_path)
        with suppress(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(5)

    with pytest.raises(SystemExit) as ended, exit_code_of("train"), sweep_ends("train"):
        lose_a_stop()
    assert ended.value.code == 143
    assert capsys.readouterr().err.startswith("train: interrupted; go on by")


def test_a_second_signal_does_not_keep_the_leaderboard_from_being_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def write(folder: Path) -> list:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        (folder / "written").touch()
        return []

    monkeypatch.setattr("lts.app.sweep.lifecycle.write_leaderboard", write)
    assert end(tmp_path, Interrupted(signal.SIGTERM)) == 143
    assert (tmp_path / "written").is_file()


def test_an_interruption_survives_the_way_from_another_process() -> None:
    told = pickle.loads(pickle.dumps(Interrupted(signal.SIGTERM, "go on so")))
    assert (told.exit_code, told.signum, str(told)) == (143, signal.SIGTERM, "interrupted; go on so")
    assert str(Interrupted(signal.SIGINT)) == "interrupted"


def test_why_a_study_ended_is_the_error_only_where_no_job_failed(tmp_path: Path, capsys) -> None:
    nothing = StudyEndedError("no trial has a score")
    assert end(tmp_path / "a", nothing, _0=failed("a")) == 2
    said = capsys.readouterr()
    assert said.err == "train: jobs that failed: 0 (a)\n"
    assert said.out.endswith("no trial has a score\n")
    assert end(tmp_path / "b", nothing, _0={"state": "interrupted"}) == 2
    assert capsys.readouterr().err == "train: no trial has a score\n"


def test_any_other_error_is_a_bug_with_its_traceback_whatever_failed(tmp_path: Path, capsys) -> None:
    assert end(tmp_path, ValueError("else"), _0=failed()) == 1
    assert "Traceback" in capsys.readouterr().err
    assert states(tmp_path) == ["failed"]


def test_a_process_that_was_killed_is_told_in_one_line(tmp_path: Path, capsys) -> None:
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    assert end(tmp_path, TerminatedWorkerError("said at length"), _0=DONE, _1={"state": "running"}) == 2
    said = capsys.readouterr()
    assert said.err.startswith("train: a process of joblib was killed")
    assert said.err.count("\n") == 1
    assert "what is not done goes on" in said.out
    assert states(tmp_path) == ["done", "killed"]


def test_a_sweep_that_did_not_begin_ends_as_it_does(capsys) -> None:
    with pytest.raises(KeyboardInterrupt), sweep_ends("train"):
        raise KeyboardInterrupt
    with sweep_ends("train"):
        pass
    assert capsys.readouterr().out == ""


def test_one_sweep_at_a_time_has_a_folder(tmp_path: Path) -> None:
    with sweep_ends("train"):
        begin_sweep(tmp_path)
        with pytest.raises(ConfigError, match="hydra.sweep.dir: .* is in use by a sweep that is running"):
            begin_sweep(tmp_path)
    with FileLock(tmp_path / ".sweep.lock", blocking=False):
        pass


def test_jobs_are_told_when_their_sweep_began(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    with sweep_ends("train"):
        begin_sweep(tmp_path)
    assert before <= datetime.fromisoformat(os.environ[SWEEP_BEGAN_VARIABLE]) <= datetime.now(UTC)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="hydra.sweep.dir: .*/file/sweep cannot be written to: "):
        begin_sweep(tmp_path / "file" / "sweep")
