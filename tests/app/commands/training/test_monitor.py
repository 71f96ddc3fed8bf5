"""What best.ckpt is chosen by, for cohorts of every kind."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import settings_kit
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf
from run_kit import write_record

from lts.app.commands.training.monitor import check_search, facts_of_choice, finite_or_none, settle_monitor
from lts.app.config.component import OPEN
from lts.app.config.settings import TrainSettings
from lts.app.sweep import study
from lts.app.sweep.study import direction_of_study, score_for_sweeper
from lts.base import ConfigError

PRESENT = "val/tumor/dice_where_present"


def compose(*overrides: str) -> TrainSettings:
    return settings_kit.compose("train", *overrides)


def chosen(settings: TrainSettings, callback: str = "best") -> tuple[Any, Any]:
    given = settings.callbacks[callback].arguments
    return given["monitor"], given["mode"]


def cohort(*, val: int, with_tumor: int) -> Any:
    """Data whose validation cases hold a liver each, and some of them a tumor."""
    return SimpleNamespace(
        stored=lambda subset: ["case"] * val,
        holders=lambda subset, region: {"liver": val, "tumor": with_tumor}[region],
    )


@pytest.mark.parametrize(
    ("val", "with_tumor", "regions", "monitor", "mode", "told"),
    [
        (4, 3, "[liver,tumor]", PRESENT, "max", f"the highest {PRESENT}: 3 of 4 validation cases hold tumor"),
        (4, 0, "[liver,tumor]", "val/loss", "min", "the lowest val/loss: no validation case holds tumor"),
        (4, 0, "[liver]", "val/liver/dice_where_present", "max", "4 of 4 validation cases hold liver"),
        (0, 0, "[liver,tumor]", None, "min", "the last epoch: there is no validation case; the plateau"),
    ],
)
def test_the_monitor_is_what_can_tell_models_apart(
    val: int, with_tumor: int, regions: str, monitor: str | None, mode: str, told: str
) -> None:
    settings = compose(f"data.regions={regions}", "pruning=median")
    settled, line = settle_monitor(settings, cohort(val=val, with_tumor=with_tumor))
    assert told in line
    assert chosen(settled) == chosen(settled, "prune") == (monitor, mode)
    assert chosen(settings) == (OPEN, OPEN)
    facts = facts_of_choice(settled)
    assert (facts["monitor"], facts["mode"]) == (monitor, mode if monitor else None)
    assert facts["loss"]["_target_"] == "lts.losses.BCEDiceLoss"


def test_what_a_plateau_follows_without_validation_is_told_where_there_is_one() -> None:
    for scheduler in ("cosine", "none"):
        _, told = settle_monitor(compose(f"scheduler={scheduler}"), cohort(val=0, with_tumor=0))
        assert "plateau" not in told


@pytest.mark.parametrize(
    ("monitor", "mode", "with_tumor"),
    [
        ("val/loss", "min", 2),
        ("train/loss", "min", 0),
        ("val/tumor/dice_per_case", "max", 0),
        ("val/liver/dice_global", "max", 0),
        (PRESENT, "max", 1),
        ("null", "min", 2),
    ],
)
def test_a_score_that_was_set_brings_its_mode(monitor: str, mode: str, with_tumor: int) -> None:
    data = cohort(val=2, with_tumor=with_tumor)
    settled, told = settle_monitor(compose(f"callbacks.best.monitor={monitor}"), data)
    assert chosen(settled)[1] == mode
    assert told.endswith(": as was set")
    assert "plateau" not in told
    # What one process has settled is settled alike by the others, which read it.
    assert settle_monitor(settled, data) == (settled, told)


@pytest.mark.parametrize(
    ("settings", "val", "rule"),
    [
        (("callbacks.best.monitor=val/los",), 2, "got 'val/los'; did you mean val/loss?"),
        (
            ("callbacks.best.monitor=7",),
            2,
            "must be a score of each epoch, got 7; did you mean one of",
        ),
        (
            ("callbacks.best.monitor=val/loss",),
            0,
            "must be no score of validation where there is no validation case, got",
        ),
        (
            (f"callbacks.best.monitor={PRESENT}",),
            2,
            f"must be val/loss where no validation case holds tumor, got {PRESENT}",
        ),
        (("callbacks.best.monitor=val/tumor/recall",), 2, "where no validation case holds tumor"),
        (
            ("callbacks.best.monitor=val/loss", "callbacks.best.mode=max"),
            2,
            "callbacks.best.mode: must be min for val/loss, got max",
        ),
        (
            ("+callbacks.stop._target_=EarlyStopping", f"+callbacks.stop.monitor={PRESENT}"),
            2,
            f"callbacks.stop.monitor: must be val/loss where no validation case holds tumor, got {PRESENT}",
        ),
        (("callbacks.best.mode=max",), 2, "callbacks.best.mode: must be min for val/loss, got max"),
    ],
)
def test_a_score_that_cannot_choose_is_refused(settings: tuple[str, ...], val: int, rule: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settle_monitor(compose(*settings), cohort(val=val, with_tumor=0))
    assert rule in str(refused.value)


def test_a_score_that_was_never_defined_is_none() -> None:
    assert finite_or_none(0.5) == 0.5
    assert finite_or_none(float("-inf")) is finite_or_none(float("nan")) is None


@pytest.fixture
def in_study(monkeypatch: pytest.MonkeyPatch):
    """`in_study("maximize")` makes Hydra's state that of a job of a study."""

    def enter(direction: str | None, mode: RunMode = RunMode.MULTIRUN) -> None:
        sweeper = {} if direction is None else {"direction": direction}
        state = OmegaConf.create({"sweeper": sweeper, "mode": mode})
        monkeypatch.setattr(study.HydraConfig, "initialized", staticmethod(lambda: True))
        monkeypatch.setattr(HydraConfig, "get", staticmethod(lambda: state))

    return enter


@pytest.mark.parametrize(
    ("direction", "mode", "handed"),
    [
        ("maximize", "max", 0.25),
        ("maximize", "min", -0.25),
        ("minimize", "max", -0.25),
        ("minimize", "min", 0.25),
        (None, "min", 0.25),
        ("maximize", None, 0.25),
    ],
)
def test_a_study_looks_for_the_best_whichever_end_that_is(
    in_study, direction: str | None, mode: str | None, handed: float
) -> None:
    in_study(direction)
    assert score_for_sweeper(0.25, mode) == handed
    assert score_for_sweeper(None, mode) is None
    in_study(direction, RunMode.RUN)
    assert direction_of_study() is None
    assert score_for_sweeper(0.25, mode) == 0.25


def test_without_hydra_there_is_no_study() -> None:
    assert direction_of_study() is None


def test_a_study_needs_a_score_that_compares_its_jobs(tmp_path: Path) -> None:
    folder = f"paths.output_dir={tmp_path}/1"

    def settled(monitor: str, *overrides: str) -> TrainSettings:
        settings = compose(f"callbacks.best.monitor={monitor}", folder, *overrides)
        return settle_monitor(settings, cohort(val=2, with_tumor=2))[0]

    none, by_loss, by_dice = settled("null"), settled("val/loss"), settled(PRESENT, "loss=tversky")
    write_record(tmp_path / "0", **facts_of_choice(settled("val/loss", "loss=tversky")))
    for settings in (none, by_loss):
        check_search(settings, direction=None)
    check_search(by_dice, direction="max")
    with pytest.raises(ConfigError, match="hydra.sweeper: a study must have a score to compare jobs by"):
        check_search(none, direction="max")
    with pytest.raises(ConfigError, match="got val/loss of another loss than that of job 0; fix the loss"):
        check_search(by_loss, direction="max")
    write_record(tmp_path / "0", **facts_of_choice(by_loss))
    check_search(by_loss, direction="max")
