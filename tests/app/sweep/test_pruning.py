"""The median rule, and the callback that applies it."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lts.app.sweep.pruning import PruneHopeless, best_by_epoch, is_hopeless, pruned_at, sibling_scores
from lts.base import ConfigError

MONITOR = "val/tumor/dice_per_case"


@pytest.mark.parametrize(
    ("best", "others", "highest_is_best", "hopeless"),
    [
        (0.3, [0.2, 0.4, 0.6], True, True),
        (0.4, [0.2, 0.4, 0.6], True, False),  # the median itself is not below it
        (0.39, [0.2, 0.4, 0.6], True, True),
        (0.35, [0.2, 0.4, 0.6, 0.3], True, False),  # between the two in the middle: their mean, 0.35
        (0.34, [0.2, 0.4, 0.6, 0.3], True, True),
        (0.5, [0.2, 0.4, 0.6], False, True),
        (0.3, [0.2, 0.4, 0.6], False, False),
        (0.4, [0.2, 0.4, 0.6], False, False),
        (None, [0.2, 0.4, 0.6], True, True),
        (0.0, [0.4, 0.6], True, False),  # too few
        (None, [], True, False),
    ],
)
def test_worse_than_the_median_is_hopeless_once_there_are_enough_others(
    best: float | None, others: list[float], highest_is_best: bool, hopeless: bool
) -> None:
    assert is_hopeless(best, others, highest_is_best=highest_is_best, min_siblings=3) == hopeless


def test_the_best_score_so_far_is_that_of_the_epochs_up_to_it() -> None:
    scores = [math.nan, 0.2, 0.1, math.inf, 0.3]
    assert best_by_epoch(scores, highest_is_best=True) == [None, 0.2, 0.2, 0.2, 0.3]
    assert best_by_epoch(scores, highest_is_best=False) == [None, 0.2, 0.1, 0.1, 0.1]
    assert best_by_epoch([], highest_is_best=True) == []


def sibling(
    sweep: Path,
    name: str,
    best: list[float | None],
    *,
    state: str = "done",
    monitor: str = MONITOR,
    mode: str = "max",
) -> Path:
    (sweep / name).mkdir(parents=True)
    progress = {"monitor": monitor, "mode": mode, "best_by_epoch": best}
    (sweep / name / "progress.json").write_text(json.dumps(progress))
    (sweep / name / "run.json").write_text(json.dumps({"state": state}))
    (sweep / name / "job.json").write_text("{}")
    return sweep / name


def test_siblings_count_at_the_same_epoch_whether_they_run_or_are_done(tmp_path: Path) -> None:
    own = sibling(tmp_path, "0", [0.9, 0.9])
    sibling(tmp_path, "1", [0.1, 0.2, 0.8])
    sibling(tmp_path, "2", [0.3, 0.4], state="running")
    sibling(tmp_path, "3", [0.5], state="running")  # has not come so far
    sibling(tmp_path, "4", [0.6, 0.7], state="failed")
    sibling(tmp_path, "5", [0.6, 0.7], monitor="val/loss")
    sibling(tmp_path, "6", [0.6, 0.7], mode="min")
    sibling(tmp_path, "7", [None, None])
    sibling(tmp_path, "8", [0.5, 0.5, 0.5], state="pruned")
    (sibling(tmp_path, "9", [0.7, 0.8]) / "run.json").unlink()  # about to start anew
    assert sibling_scores(own, epoch=2, monitor=MONITOR, mode="max") == [0.2, 0.4, 0.5, 0.8]
    assert sibling_scores(own, epoch=1, monitor=MONITOR, mode="max") == [0.1, 0.3, 0.5, 0.5, 0.7]


def test_a_loss_is_compared_with_those_of_the_same_loss_alone(tmp_path: Path) -> None:
    for number, loss in enumerate(("bce", "tversky", "bce")):
        folder = sibling(tmp_path, str(number), [0.1 * number], monitor="val/loss", mode="min")
        (folder / "run.json").write_text(json.dumps({"state": "done", "loss": {"_target_": loss}}))
    assert sibling_scores(tmp_path / "0", epoch=1, monitor="val/loss", mode="min") == [0.2]
    assert sibling_scores(tmp_path / "1", epoch=1, monitor="val/loss", mode="min") == []


class Trainer(SimpleNamespace):
    """What the callback asks of a trainer."""

    def __init__(self, *, max_epochs: int = 9, first: bool = True, agreed: bool | None = None) -> None:
        broadcast = (lambda verdict: verdict) if agreed is None else (lambda verdict: agreed)
        super().__init__(
            callback_metrics={},
            is_global_zero=first,
            max_epochs=max_epochs,
            should_stop=False,
            enable_validation=True,
            check_val_every_n_epoch=1,
            current_epoch=0,
            strategy=SimpleNamespace(broadcast=broadcast),
        )


def prune(folder: Path, **settings: object) -> PruneHopeless:
    common = {"monitor": MONITOR, "mode": "max", "warmup_epochs": 1, "min_siblings": 2}
    return PruneHopeless(folder=str(folder), **{**common, **settings})


def epochs(callback: PruneHopeless, trainer: Trainer, scores: list[float]) -> None:
    for score in scores:
        trainer.callback_metrics = {MONITOR: torch.tensor(score)}
        callback.on_train_epoch_end(trainer, None)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The folder of a job beside two that score 0.5 and 0.7 from their first epoch on."""
    sibling(tmp_path, "1", [0.5] * 9)
    sibling(tmp_path, "2", [0.7] * 9)
    return sibling(tmp_path, "0", [])


def test_a_hopeless_job_ends_after_the_warm_up_and_not_before(own: Path) -> None:
    callback, trainer = prune(own, warmup_epochs=2), Trainer()
    epochs(callback, trainer, [0.1, 0.1])
    assert not trainer.should_stop
    epochs(callback, trainer, [0.1])
    assert trainer.should_stop
    assert callback.pruned_after_epoch == 3
    trainer.callbacks = [object(), callback]
    assert pruned_at(trainer) == 3


def test_a_good_job_goes_on_by_its_best_score_and_not_its_last(own: Path) -> None:
    callback, trainer = prune(own), Trainer()
    epochs(callback, trainer, [0.65, 0.1, 0.1])
    assert not trainer.should_stop
    trainer.callbacks = [callback]
    assert pruned_at(trainer) is None
    progress = json.loads((own / "progress.json").read_text())
    assert progress["best_by_epoch"] == pytest.approx([0.65, 0.65, 0.65])


def test_where_the_lowest_is_best_the_highest_is_hopeless(tmp_path: Path) -> None:
    for number in ("1", "2"):
        sibling(tmp_path, number, [0.5] * 3, monitor="val/loss", mode="min")
    (tmp_path / "0").mkdir()
    for score, ends in ((0.9, True), (0.1, False)):
        callback, trainer = prune(tmp_path / "0", monitor="val/loss", mode="min", warmup_epochs=0), Trainer()
        trainer.callback_metrics = {"val/loss": torch.tensor(score)}
        callback.on_train_epoch_end(trainer, None)
        assert trainer.should_stop == ends


def test_a_job_at_its_last_epoch_is_done_and_not_pruned(own: Path) -> None:
    callback, trainer = prune(own), Trainer(max_epochs=2)
    epochs(callback, trainer, [0.1, 0.1])
    assert not trainer.should_stop
    assert callback.pruned_after_epoch is None


def test_with_too_few_siblings_none_is_ended(own: Path) -> None:
    callback, trainer = prune(own, min_siblings=3), Trainer()
    epochs(callback, trainer, [0.1, 0.1, 0.1])
    assert not trainer.should_stop


def test_a_resumed_job_goes_on_with_the_scores_that_it_had(own: Path) -> None:
    first = prune(own)
    epochs(first, Trainer(), [0.9, 0.1])
    resumed, trainer = prune(own), Trainer()
    resumed.load_state_dict(first.state_dict())
    epochs(resumed, trainer, [0.1])
    assert json.loads((own / "progress.json").read_text())["best_by_epoch"] == pytest.approx([0.9] * 3)
    assert not trainer.should_stop


def test_one_process_decides_for_all(own: Path) -> None:
    other = Trainer(first=False, agreed=True)
    callback = prune(own)
    epochs(callback, other, [0.9])
    assert other.should_stop
    assert json.loads((own / "progress.json").read_text())["best_by_epoch"] == []


def test_jobs_without_a_score_cannot_be_pruned(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pruning: compares jobs by callbacks.best.monitor, .* got null"):
        prune(tmp_path, monitor=None)


def test_a_run_without_siblings_cannot_be_pruned(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pruning: compares the jobs of a sweep, start one with -m"):
        prune(tmp_path).setup(Trainer(), None, "fit")


@pytest.mark.parametrize(
    ("setting", "rule"),
    [
        ({"warmup_epochs": -1}, "callbacks.prune.warmup_epochs: must be 0 or more, got -1"),
        ({"min_siblings": 0}, "callbacks.prune.min_siblings: must be 1 or more, got 0"),
    ],
)
def test_numbers_outside_their_range_are_refused(setting: dict, rule: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rule):
        prune(tmp_path, **setting)
