"""Which series of a PACS have been answered: in hand, remembered, and known to the next service."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from lts.base import ConfigError, StorageError
from lts.service.pacs import answered as module
from lts.service.pacs.answered import Answered, Verdict, sole_user_of

SERIES, INSTANCES = "1.2.826.0.1.77", {"1.2.826.0.1.77.1", "1.2.826.0.1.77.2"}


def answer(answered: Answered, series: str = SERIES, instances: set[str] = INSTANCES) -> None:
    answered.begin(series, instances)
    answered.finish(series, instances)


def test_what_is_in_hand_is_forgotten_and_what_is_answered_is_not() -> None:
    answered, part, whole = Answered(), {"1.1"}, {"1.1", "1.2"}
    answered.begin("1", part)
    answered.begin("1", whole)  # while the part is in hand
    answered.finish("1", part)
    assert answered.judge("1", part) is Verdict.KNOWN
    assert answered.judge("1", whole) is Verdict.IN_HAND
    answered.forget("1", whole)
    assert answered.judge("1", whole) is Verdict.NEW
    answered.forget("1", part)
    assert answered.judge("1", part) is Verdict.KNOWN
    answered.finish("1", whole)
    answered.finish("1", part)  # which was longer on its way
    assert answered.judge("1", whole) is Verdict.KNOWN


def test_what_is_remembered_is_known_to_the_next_service_that_answers_alike(tmp_path: Path) -> None:
    file = tmp_path / "answered.json"
    first = Answered(how="a model", file=file)
    answer(first)
    first.begin("1.9", {"1.9.1"})  # in hand when the service is killed
    answer(first, "1.8", {"1.8.1"})
    first.forget("1.8", {"1.8.1"})
    second = Answered(how="a model", file=file)
    assert second.judge(SERIES, INSTANCES) is Verdict.KNOWN
    assert second.judge(SERIES, INSTANCES | {"1"}) is Verdict.NEW
    assert second.judge(SERIES, {"1"}) is Verdict.PART
    assert second.judge("1.8", {"1.8.1"}) is Verdict.KNOWN
    assert second.judge("1.9", {"1.9.1"}) is Verdict.NEW
    assert Answered(how="another model", file=file).judge(SERIES, INSTANCES) is Verdict.NEW


def test_the_file_is_its_owners_and_tells_no_uid(tmp_path: Path) -> None:
    file = tmp_path / "answered.json"
    answer(Answered(file=file))
    assert file.stat().st_mode & 0o777 == 0o600
    assert "." not in file.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["answered.json"]
    ((series, instances),) = json.loads(file.read_text())["answered"].items()
    assert (len(series), len(instances)) == (16, 32)


def test_what_is_remembered_is_bounded_by_series_and_by_instances(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_INSTANCES", 4)
    file = tmp_path / "answered.json"
    answered = Answered(file=file, most=3)
    sizes = (2, 1, 1, 1, 3, 5)
    remembered = [(0,), (0, 1), (0, 1, 2), (1, 2, 3), (3, 4), ()]
    series = [(f"1.{one}", {f"1.{one}.{part}" for part in range(size)}) for one, size in enumerate(sizes)]
    for number, expected in enumerate(remembered):
        answer(answered, *series[number])
        known = Answered(file=file, most=3)
        assert tuple(one for one in range(6) if known.judge(*series[one]) is Verdict.KNOWN) == expected


@pytest.mark.parametrize(
    "content",
    [
        *("", "no JSON", "[]", "{}"),
        '{"format": 1, "answered": []}',
        '{"format": 1, "answered": {"00": 5}}',
        '{"format": 1, "answered": {"00": "xy"}}',
        '{"format": 1, "answered": {"00": "00"}}',
        '{"format": 2, "answered": {}}',
    ],
)
def test_a_file_of_something_else_is_refused_and_left_as_it_is(tmp_path: Path, content: str) -> None:
    file = tmp_path / "answered.json"
    file.write_text(content)
    with pytest.raises(ConfigError, match=f"^answered_file: {file}.* must "):
        Answered(file=file)
    assert file.read_text() == content


def test_a_place_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written: No such file or directory"):
        Answered(file=tmp_path / "nowhere" / "answered.json")


def test_a_disk_that_is_full_costs_the_next_service_its_memory_and_this_one_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "answered.json"
    answered = Answered(file=file)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(StorageError):
            answer(answered)
    assert answered.judge(SERIES, INSTANCES) is Verdict.KNOWN
    assert Answered(file=file).judge(SERIES, INSTANCES) is Verdict.NEW
    answered.finish(SERIES, INSTANCES)  # as with the next of its results
    assert Answered(file=file).judge(SERIES, INSTANCES) is Verdict.KNOWN


def test_a_file_is_of_one_service_at_a_time_whatever_it_is_called(tmp_path: Path) -> None:
    file, link = tmp_path / "answered.json", tmp_path / "link.json"
    link.symlink_to(file)
    with sole_user_of(file):
        answer(Answered(file=link))
        rule = "must be of one service at a time, and one is using it; wait for its end, or name another file"
        with pytest.raises(ConfigError, match=f"^answered_file: {link} {rule}$"), sole_user_of(link):
            pass
    with sole_user_of(link):
        assert Answered(file=file).judge(SERIES, INSTANCES) is Verdict.KNOWN
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answered.json", "link.json"]


def test_a_file_that_cannot_be_locked_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigError, match="nowhere/a.json must lie in a folder that exists, .*nowhere does not"
    ):
        sole_user_of(tmp_path / "nowhere" / "a.json").__enter__()
    assert not list(tmp_path.iterdir())

    def no_locks(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(module.FileLock, "acquire", no_locks)
    told = "^answered_file: .*/a.json.lock cannot be made and locked: No locks available$"
    with pytest.raises(StorageError, match=told):
        sole_user_of(tmp_path / "a.json").__enter__()
