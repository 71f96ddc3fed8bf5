"""However a run ends, `run.json` says so."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lts.app.run.provenance import RunRecord
from lts.app.run.recording import recorded_run
from lts.app.run.signals import Interrupted
from lts.base import CohortError

ROOT = Path(__file__).parents[3]


def end_by(folder: Path, command: str, end: BaseException | signal.Signals) -> None:
    with recorded_run(command) as stop:
        stop.record = RunRecord(folder, command=command, overrides=())
        if isinstance(end, signal.Signals):
            signal.raise_signal(end)
        else:
            raise end


def record(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_written_down_and_what_begins_anew_says_so(signum: signal.Signals, tmp_path: Path) -> None:
    with pytest.raises(Interrupted) as told:
        end_by(tmp_path, "evaluate", signum)
    assert told.value.exit_code == 128 + signum
    assert str(told.value) == (
        "interrupted; the same command begins anew, in another folder where paths.output_dir is named"
    )
    assert record(tmp_path)["state"] == "interrupted"


@pytest.mark.parametrize(("error", "code"), [(CohortError("a: is bad"), 2), (RuntimeError("ours"), 1)])
def test_a_failure_is_written_down_with_its_reason(error: Exception, code: int, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        end_by(tmp_path, "check", error)
    found = record(tmp_path)
    assert (found["state"], found["exit_code"]) == ("failed", code)
    assert str(error) in found["reason"]


def test_before_there_is_a_record_a_stop_says_that_nothing_was_begun() -> None:
    with pytest.raises(Interrupted, match="nothing was begun"), recorded_run("check"):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.slow
def test_ctrl_c_while_masks_are_scored_ends_in_one_line(make_case, tmp_path: Path) -> None:
    for folder in ("predictions", "references"):
        (tmp_path / folder).mkdir()
    for number in range(6):
        case = make_case(f"case-{number}", depth=40, side=160, seed=number)
        for folder in ("predictions", "references"):
            os.link(case.mask, tmp_path / folder / f"case-{number}.nii.gz")
    evaluation = subprocess.Popen(
        [
            *(sys.executable, str(ROOT / "evaluate.py"), "predictions=predictions", "references=references"),
            *("paths.output_dir=scores", "scoring.workers=3"),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (tmp_path / "scores" / "run.json").exists():
        assert evaluation.poll() is None, evaluation.communicate()[1]
        time.sleep(0.02)
    time.sleep(0.3)  # the workers are interpreters that import
    os.killpg(evaluation.pid, signal.SIGINT)
    _, said = evaluation.communicate()
    advice = "the same command begins anew, in another folder where paths.output_dir is named"
    assert (evaluation.returncode, said) == (130, f"evaluate: interrupted; {advice}\n")
    assert record(tmp_path / "scores")["state"] == "interrupted"
