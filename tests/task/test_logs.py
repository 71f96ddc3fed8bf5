"""How long a training takes, by a clock that a test moves."""

from types import SimpleNamespace
from typing import Any

import pytest

from lts.task import TellTimeLeft, logs
from lts.task.logs import as_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (40, "40 s"),
        (99.4, "99 s"),
        (100, "2 min"),
        (720, "12 min"),
        (5999, "100 min"),
        (6000, "1.7 h"),
        (19800, "5.5 h"),
    ],
)
def test_durations_are_told_as_a_person_would(seconds: float, text: str) -> None:
    assert as_duration(seconds) == text


def told_in(
    monkeypatch: pytest.MonkeyPatch,
    *,
    batches: int,
    epoch: int = 0,
    epochs: int = 10,
    batch_s: float = 0.5,
    first: bool = True,
) -> list[tuple[int, str]]:
    """Run one epoch of batches that take `batch_s`, the first three of them ten times as long."""
    now, at = 0.0, 0
    told: list[tuple[int, str]] = []
    monkeypatch.setattr(logs.time, "perf_counter", lambda: now)
    callback = TellTimeLeft(lambda line: told.append((at, line)))
    trainer: Any = SimpleNamespace(
        num_training_batches=batches, max_epochs=epochs, current_epoch=epoch, is_global_zero=first
    )
    for at in range(batches):
        now += batch_s * (10 if at < 3 else 1)
        callback.on_train_batch_end(trainer, None, None, None, at)  # type: ignore[arg-type]
    return told


def test_after_twenty_timed_batches_the_rest_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ((at, line),) = told_in(monkeypatch, batches=100)
    assert at == 22  # three are left out, twenty timed
    # 10 epochs of 100 batches less the 23 done, 0.5 s each, are 488.5 s.
    assert line == "training takes about 8 min more at 0.5 s a batch, and validation some on top"


def test_a_short_epoch_is_told_of_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ((at, line),) = told_in(monkeypatch, batches=6)
    assert at == 5
    assert line.startswith("training takes about 27 s more at 0.5 s a batch")


def test_a_resumed_run_is_told_of_the_epochs_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    ((_, line),) = told_in(monkeypatch, batches=24, epoch=8)
    assert line.startswith("training takes about 12 s more")  # 2 x 24 - 23 batches


def test_three_batches_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_in(monkeypatch, batches=3) == []


def test_the_first_process_alone_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_in(monkeypatch, batches=30, first=False) == []
