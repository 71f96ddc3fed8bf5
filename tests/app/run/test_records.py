"""A record that a disk, another program or a hand has spoilt is refused in one line, wherever it is read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lts.app.commands.folds import load_folds
from lts.app.run.records import read_job, read_progress, read_run, read_scores
from lts.app.run.resuming import checkpoint_to_resume
from lts.app.sweep.leaderboard import rank_jobs, write_leaderboard
from lts.app.sweep.pruning import sibling_scores
from lts.base import ConfigError, LtsError, printable

RUN = {
    "command": "train",
    "state": "done",
    "overrides": ["seed=1"],
    "monitor": "val/loss",
    "mode": "min",
    "best_score": 0.5,
    "duration_s": 9,
}


def put(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def test_a_sound_record_is_read_whatever_else_it_holds(tmp_path: Path) -> None:
    put(tmp_path / "run.json", {**RUN, "versions": {"torch": "2.8"}, "reason": None})
    assert read_run(tmp_path) == {**RUN, "versions": {"torch": "2.8"}, "reason": None}
    assert read_run(tmp_path / "none") == {}


@pytest.mark.parametrize("overrides", [None, [], ["~callbacks.overlays"], ["seed=1", ""]])
def test_any_overrides_have_their_place_in_the_leaderboard(tmp_path: Path, overrides: object) -> None:
    put(tmp_path / "0" / "run.json", {**RUN, "overrides": overrides})
    put(tmp_path / "1" / "run.json", {**RUN, "best_score": 0.4})
    assert [row["job"] for row in rank_jobs(tmp_path)] == ["1", "0"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"command": "tra', "must be JSON in UTF-8: Unterminated string"),
        (b"", "must be JSON in UTF-8: Expecting value"),
        (b"\0" * 100, "must be JSON in UTF-8: Expecting value"),
        (b"[" * 10**5, "must be JSON nested at most 100 deep"),
        ([], "must hold a JSON object, got a list"),
        ({}, r"is damaged: must have 'state', has \[\]"),
        ({"state": "\x1b[31m"}, r"is damaged: 'state' must be one of running, .*, got '\\x1b\[31m'"),
        ({"state": ["done"]}, r"is damaged: 'state' must be one of running, .*, got \['done'\]"),
        ({**RUN, "overrides": "seed=1"}, "is damaged: 'overrides' must be a list of texts, got 'seed=1'"),
        ({**RUN, "command": 7}, "is damaged: 'command' must be a text, got 7"),
        ({**RUN, "best_score": "high"}, "is damaged: 'best_score' must be a number or null, got 'high'"),
        ({**RUN, "best_score": True}, "is damaged: 'best_score' must be a number or null, got True"),
        ({**RUN, "exit_code": 0}, "is damaged: 'exit_code' must be 1 or 2, got 0"),
    ],
)
def test_a_damaged_record_is_refused_wherever_it_is_read(
    tmp_path: Path, content: object, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put(tmp_path / "0" / "run.json", content)
    before = path.read_bytes()
    for read in (
        lambda: read_run(tmp_path / "0"),
        lambda: checkpoint_to_resume("last", tmp_path / "0"),
        lambda: load_folds(tmp_path),
    ):
        with pytest.raises(ConfigError, match=f"^{path}: {told}") as error:
            read()
        assert str(error.value).isprintable()
    write_leaderboard(tmp_path)  # tells of it beside the others
    (row,) = rank_jobs(tmp_path)
    assert (row["state"], row["score"]) == ("damaged", None)
    assert row["reason"] == str(error.value)
    assert "damaged" in capsys.readouterr().out
    assert path.read_bytes() == before


def test_a_damaged_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is damaged: 'settings' must be a text, got 7"):
        read_job(put(tmp_path / "job.json", {"settings": 7, "overrides": []}))
    with pytest.raises(ConfigError, match=r"is damaged: must have 'overrides', has \['settings'\]"):
        read_job(put(tmp_path / "job.json", {"settings": "a"}))


def test_damaged_progress_of_a_sibling_is_refused(tmp_path: Path) -> None:
    sound = {"monitor": "val/loss", "mode": "min", "best_by_epoch": [None, 0.5]}
    put(tmp_path / "0" / "progress.json", sound)
    assert sibling_scores(tmp_path / "1", epoch=2, monitor="val/loss", mode="min") == [0.5]
    for key, wrong in (("best_by_epoch", [["x"]]), ("best_by_epoch", 3), ("monitor", None)):
        path = put(tmp_path / "0" / "progress.json", {**sound, key: wrong})
        with pytest.raises(ConfigError, match=f"^{path}: is damaged: '{key}' must be"):
            sibling_scores(tmp_path / "1", epoch=2, monitor="val/loss", mode="min")
    with pytest.raises(ConfigError, match="must hold a JSON object"):
        read_progress(put(tmp_path / "progress.json", []))


def test_damaged_scores_are_refused(tmp_path: Path) -> None:
    assert read_scores(tmp_path / "metrics.json") == {}
    for wrong, told in (
        ({}, "must have 'regions'"),
        ({"regions": [1]}, "'regions' must be an object of objects"),
        (
            {"regions": {"liver": {"dice_global": "x"}}},
            "'liver.dice_global' must be a number or null, got 'x'",
        ),
    ):
        path = put(tmp_path / "metrics.json", wrong)
        with pytest.raises(ConfigError, match=f"^{path}: is damaged: {told}"):
            read_scores(path)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
READERS: list[tuple[str, dict[str, Any], Callable[[Path], object]]] = [
    ("run.json", RUN, lambda path: (read_run(path.parent), rank_jobs(path.parent.parent))),
    ("job.json", {"settings": "a", "overrides": []}, read_job),
    ("progress.json", {"monitor": "a", "mode": "max", "best_by_epoch": [0.1]}, read_progress),
    ("metrics.json", {"regions": {"liver": {"dice_global": 1}}}, read_scores),
]


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_value_in_any_place_is_read_or_refused_in_one_line(tmp_path: Path, data: st.DataObject) -> None:
    name, sound, read = data.draw(st.sampled_from(READERS))
    changed = {**sound, data.draw(st.sampled_from(sorted(sound))): data.draw(ANYTHING)}
    text = json.dumps(changed).encode()
    if data.draw(st.booleans()):
        text = text[: data.draw(st.integers(0, len(text)))]
    told = ""
    try:
        read(put(tmp_path / "0" / name, text))
    except LtsError as error:
        told = str(error)
    assert printable(told) == told
