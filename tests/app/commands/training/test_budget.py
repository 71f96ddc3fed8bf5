"""What a budget of minutes makes of the settings of a run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import settings_kit
import torch
from run_kit import ON_CPU, read, same_weights, saved

from lts.app.commands.training import budget
from lts.app.commands.training.budget import (
    Pace,
    check_budget,
    epochs_and_steps,
    fit_to_budget,
    with_plan_of,
)
from lts.app.commands.training.locator import training_of_locator
from lts.app.config.settings import TrainSettings
from lts.base import CheckpointError, ConfigError

COSINE = ("experiment=phantom_cpu", "locator=none", "budget_minutes=10")  # 16 epochs, slices 8 at once


def compose(*overrides: str) -> TrainSettings:
    return settings_kit.compose("train", *overrides)


@pytest.mark.parametrize(
    ("pace", "most", "expected"),
    [
        # 970 s of 1000; 10 epochs end in 20 s, and 950 steps of a second are 95 an epoch
        (Pace(step_s=1, epoch_end_s=2), 10, (10, 95)),
        # Ends of 20 s may take 194 s: 9 epochs, and (970 - 180) / 9 = 87.8
        (Pace(step_s=1, epoch_end_s=20), 10, (9, 87)),
        (Pace(step_s=1, epoch_end_s=20, start_s=170), 10, (8, 80)),
        # Validation of more than the share allows: once
        (Pace(step_s=10, epoch_end_s=900), 10, (1, 7)),
    ],
)
def test_a_budget_is_filled_with_epochs_of_equal_length(
    pace: Pace, most: int, expected: tuple[int, int]
) -> None:
    assert epochs_and_steps(1000, pace, most_epochs=most) == expected


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("budget_minutes=0", r"^budget_minutes: must be > 0, got 0\.?0?$"),
        ("trainer.devices=2", "^budget_minutes: is for one device, got trainer.devices=2$"),
        ("+trainer.num_nodes=2", "^budget_minutes: is for one device, got trainer.num_nodes=2$"),
    ],
)
def test_what_no_machine_could_plan_is_refused_before_it_is_timed(setting: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        check_budget(compose(*COSINE, setting))
    check_budget(compose("trainer.devices=2"))


@pytest.fixture
def paces(monkeypatch: pytest.MonkeyPatch) -> dict[bool, Pace]:
    """By whether the network is compiled, what timing would find; this machine can compile."""
    found: dict[bool, Pace] = {}
    monkeypatch.setattr(budget, "measure_pace", lambda _settings, _data, *, compiled, most_s: found[compiled])
    monkeypatch.setattr(budget, "why_not_compiled", lambda: None)
    return found


def test_the_plan_becomes_ordinary_settings(paces: dict[bool, Pace]) -> None:
    paces[False] = Pace(step_s=0.5, epoch_end_s=2)  # 582 s: 16 ends take 32, and 1100 steps are 68 an epoch
    settings, data = compose(*COSINE), object()
    fitted = fit_to_budget(settings, data)  # type: ignore[arg-type]
    assert (fitted.settings.max_epochs, fitted.settings.data.slices_per_epoch) == (16, 68 * 8)
    assert fitted.settings.compile is False
    assert fitted.line() == (
        "budget 10 min: trainer.max_epochs=16 data.slices_per_epoch=544 compile=false, at 0.5 s a step and "
        "2 s for the end of an epoch; 1 s went into timing"
    )
    assert fitted.facts["max_epochs"] == 16
    paces[False] = Pace(step_s=0.5, epoch_end_s=20)
    shorter = fit_to_budget(settings, data).settings  # type: ignore[arg-type]
    assert (shorter.max_epochs, rate_falls_over(shorter)) == (5, 5)
    own = fit_to_budget(compose(*COSINE, "scheduler.T_max=99"), data)  # type: ignore[arg-type]
    assert rate_falls_over(own.settings) == 99
    assert (settings.max_epochs, settings.data.slices_per_epoch) == (16, 800)  # nothing is changed in place


@pytest.mark.parametrize("lacking", [{}, {"config": None}, {"config": {"budget_minutes": 10, "trainer": {}}}])
def test_a_checkpoint_without_a_plan_is_refused(lacking: dict[str, Any], tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "lts": {"format": 1, **lacking}}, path := tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match=f"^{path}: must hold the settings of a training to go on from"):
        with_plan_of(compose(*COSINE), path)


def test_a_budget_is_for_both_networks_of_a_run(paces: dict[bool, Pace]) -> None:
    paces[False] = Pace(step_s=0.5, epoch_end_s=2)  # 0.97 * 450 - 32 s, in steps of half a second
    settings = compose(*COSINE, "locator=coarse")
    fitted = fit_to_budget(settings, object())  # type: ignore[arg-type]
    assert fitted.settings.data.slices_per_epoch == 50 * 8
    assert fitted.facts["minutes"] == 7.5
    assert fitted.settings.budget_minutes == 10
    own = fit_to_budget(training_of_locator(settings), object())  # type: ignore[arg-type]
    assert own.facts["minutes"] == 2.5
    assert (own.settings.max_epochs, rate_falls_over(own.settings)) == (4, 4)
    assert own.settings.data.slices_per_epoch == 68 * 8  # (0.97 * 150 - 8) s
    taken = compose(*COSINE, "locator=coarse", "locator.ckpt=a.ckpt")
    assert fit_to_budget(taken, object()).facts["minutes"] == 10  # type: ignore[arg-type]
    paces[False] = Pace(step_s=100, epoch_end_s=25)
    with pytest.raises(ConfigError, match=r"^budget_minutes: must be at least 2\.9 .* got 2$"):  # 2.15 / 0.75
        fit_to_budget(compose("locator=coarse", "budget_minutes=2"), object())  # type: ignore[arg-type]


def test_a_budget_of_less_than_a_step_is_told_what_would_do(paces: dict[bool, Pace]) -> None:
    paces[False] = Pace(step_s=100, epoch_end_s=25)
    assert epochs_and_steps(100, paces[False], most_epochs=10) == (1, 0)
    with pytest.raises(
        ConfigError, match=r"^budget_minutes: must be at least 2\.2 on this machine .* one step, got 2$"
    ):
        fit_to_budget(compose(*COSINE, "budget_minutes=2"), object())  # type: ignore[arg-type]


def rate_falls_over(settings: TrainSettings) -> Any:
    assert settings.scheduler
    return settings.scheduler.arguments["T_max"]


@pytest.mark.parametrize(
    ("choice", "minutes", "step_s", "compiled_pace", "expected"),
    [
        ("auto", 30, 0.1, Pace(step_s=0.05, epoch_end_s=1, start_s=60), True),
        ("auto", 30, 0.1, Pace(step_s=0.098, epoch_end_s=1, start_s=60), False),  # gains 36 s and costs 60
        ("auto", 30, 1.0, Pace(step_s=0.05, epoch_end_s=1), False),  # few steps are not even tried
        ("auto", 29, 0.1, Pace(step_s=0.05, epoch_end_s=1), False),  # nor is it in little time
        ("false", 30, 0.1, Pace(step_s=0.05, epoch_end_s=1), False),
        ("true", 10, 1.0, Pace(step_s=2.0, epoch_end_s=1), True),
    ],
)
def test_a_network_is_compiled_where_the_budget_gains_by_it(
    paces: dict[bool, Pace], choice: str, minutes: int, step_s: float, compiled_pace: Pace, expected: bool
) -> None:
    paces |= {False: Pace(step_s=step_s, epoch_end_s=1), True: compiled_pace}
    settings = compose(*COSINE, f"budget_minutes={minutes}", f"compile={choice}")
    fitted = fit_to_budget(settings, object())  # type: ignore[arg-type]
    assert fitted.settings.compile is expected
    assert fitted.facts["step_s"] == (compiled_pace.step_s if expected else step_s)


@pytest.mark.slow
def test_a_run_with_a_budget_is_the_run_of_its_plan_and_keeps_it(succeed, run, tmp_path: Path) -> None:
    tiny = [setting for setting in ON_CPU if not setting.startswith("data.slices_per_epoch")]
    short = (*tiny, "trainer.max_epochs=2", "scheduler=cosine", "scoring.workers=1")
    timed = ("budget_minutes=0.1", "paths.output_dir=timed")
    printed = succeed("train", *short, *timed, cwd=tmp_path)
    plan = read(tmp_path / "timed" / "run.json")["budget"]
    arguments = [f"{key}={plan[name]}" for key, name in PLANNED.items()]
    assert " ".join(arguments) in printed
    assert plan["slices_per_epoch"] % 8 == 0
    succeed("train", *short, *arguments, "paths.output_dir=told", cwd=tmp_path)
    assert same_weights(saved(tmp_path / "timed"), saved(tmp_path / "told"))

    printed = succeed("train", *short, *timed, "ckpt=last", cwd=tmp_path)
    assert f"goes on after epoch {plan['max_epochs']} of" in printed
    assert "into timing" not in printed
    assert read(tmp_path / "timed" / "run.json")["budget"] == plan
    for budget_minutes, folder, told in (("0.2", "timed", "0.1"), ("0.1", "told", "null")):
        again = (f"budget_minutes={budget_minutes}", f"paths.output_dir={folder}", "ckpt=last")
        done = run("train", *short, *again, cwd=tmp_path)
        assert done.returncode == 2
        assert f"budget_minutes: must be {told} as in " in done.stderr


PLANNED = {"trainer.max_epochs": "max_epochs", "data.slices_per_epoch": "slices_per_epoch"}


@pytest.mark.parametrize(
    ("most_s", "steps", "pace"),
    [
        (1000, 63, 1.0),  # 3 first steps and 60 more, of which the later 30 take a second
        (70, 3 + 41, (10 * 2 + 11 * 1) / 21),  # until 70 s are over: 30 of two seconds, 11 of one
        (1, 3 + 1, 2.0),
    ],
)
def test_the_pace_is_that_of_the_later_steps(
    monkeypatch: pytest.MonkeyPatch, most_s: float, steps: int, pace: float
) -> None:
    now, done = 0.0, 0

    def step(_batch: Any) -> None:
        nonlocal now, done
        done += 1
        now += 10 if done <= 3 else 2 if done <= 33 else 1

    monkeypatch.setattr(budget.time, "perf_counter", lambda: now)
    data: Any = SimpleNamespace(on_after_batch_transfer=lambda batch, _: batch)
    loader: Any = [{}, {}]
    found, start_s = budget._time(step, loader, data, torch.device("cpu"), most_s=most_s)
    assert done == steps
    assert found == pytest.approx(pace)
    assert start_s == pytest.approx(now - steps * pace)
