"""An Optuna study that goes on: what counts, what comes first, what is refused."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from lts.app.sweep.study import be_quiet, go_on_with_study
from lts.base import ConfigError

ARGUMENTS = ["optimizer.lr=tag(log, interval(1e-5, 1e-2))", "loss=choice(a,b)", "seed=3"]


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/study.db"


@pytest.fixture
def study(storage: str) -> Any:
    """A study of four: done, failed, done, and one that was interrupted."""
    be_quiet()
    import optuna

    found = optuna.create_study(study_name="lts", storage=storage, direction="maximize")
    for score in (0.5, None, 0.25, ...):
        trial = found.ask()
        trial.suggest_float("optimizer.lr", 1e-5, 1e-2, log=True)
        trial.suggest_categorical("loss", ["a", "b"])
        if score is None:
            found.tell(trial, state=optuna.trial.TrialState.FAIL)
        elif score is not ...:
            found.tell(trial, score)
    return found


def config(storage: str | None, *, n_trials: int = 6, seed: int | None = 0) -> DictConfig:
    sweeper = {"storage": storage, "study_name": "lts", "n_trials": n_trials, "sampler": {"seed": seed}}
    return OmegaConf.create({"hydra": {"sweeper": sweeper}})


def test_what_is_done_counts_and_new_numbers_are_drawn(study, storage: str, capsys) -> None:
    settings = config(storage)
    go_on_with_study(settings, ARGUMENTS)
    assert settings.hydra.sweeper.n_trials == 4
    # 4 that were drawn, and 2 that wait.
    assert settings.hydra.sweeper.sampler.seed == 6
    assert capsys.readouterr().out == "study lts: 2 of 6 trials are done, 4 to go\n"


def test_what_was_interrupted_or_failed_comes_first(study, storage: str) -> None:
    unfinished = [study.trials[number].params for number in (1, 3)]
    go_on_with_study(config(storage), ARGUMENTS)
    for params in unfinished:
        trial = study.ask()
        assert trial.suggest_float("optimizer.lr", 1e-5, 1e-2, log=True) == params["optimizer.lr"]
        assert trial.suggest_categorical("loss", ["a", "b"]) == params["loss"]
        study.tell(trial, 0.1)
    import optuna

    opened_anew = optuna.load_study(study_name="lts", storage=storage)
    assert {trial.state.name for trial in opened_anew.trials} == {"COMPLETE", "FAIL"}


def test_what_waits_or_was_done_since_is_not_put_in_line_again(study, storage: str) -> None:
    for _ in range(2):
        go_on_with_study(config(storage), ARGUMENTS)
    assert len(study.trials) == 6
    trial = study.ask()
    trial.suggest_float("optimizer.lr", 1e-5, 1e-2, log=True)
    trial.suggest_categorical("loss", ["a", "b"])
    study.tell(trial, 0.1)
    go_on_with_study(config(storage), ARGUMENTS)
    assert len(study.trials) == 6


def test_what_was_interrupted_twice_is_put_in_line_once(study, storage: str) -> None:
    study.enqueue_trial(study.trials[3].params)
    again = study.ask()
    again.suggest_float("optimizer.lr", 1e-5, 1e-2, log=True)
    again.suggest_categorical("loss", ["a", "b"])
    go_on_with_study(config(storage), ARGUMENTS)
    assert [trial.state.name for trial in study.trials[5:]] == ["WAITING", "WAITING"]


def test_a_study_that_has_all_its_trials_starts_none(study, storage: str) -> None:
    settings = config(storage, n_trials=1)
    go_on_with_study(settings, ARGUMENTS)
    assert settings.hydra.sweeper.n_trials == 0


def test_a_sampler_without_a_seed_keeps_none(study, storage: str) -> None:
    settings = config(storage, seed=None)
    go_on_with_study(settings, ARGUMENTS)
    assert settings.hydra.sweeper.sampler.seed is None


def test_a_new_study_and_one_in_memory_are_left_alone(storage: str) -> None:
    for where in (storage, None):
        settings = config(where)
        go_on_with_study(settings, ARGUMENTS)
        assert settings == config(where)


def test_other_choices_are_refused_and_other_bounds_are_not(study, storage: str) -> None:
    with pytest.raises(ConfigError, match="loss: the study in sqlite:.* has other choices; take another"):
        go_on_with_study(config(storage), ["loss=choice(a,c)"])
    assert len(study.trials) == 4
    go_on_with_study(config(storage), ["optimizer.lr=tag(log, interval(1e-6, 1))", "model.width=choice(4,8)"])


def test_a_file_that_is_no_study_is_refused(tmp_path: Path, storage: str) -> None:
    (tmp_path / "study.db").write_text("not a database, and long enough to be looked at as one" * 20)
    with pytest.raises(
        ConfigError, match="hydra.sweeper.storage: sqlite:.*cannot be opened: .*not a database"
    ):
        go_on_with_study(config(storage), ARGUMENTS)


def test_a_sqlalchemy_that_optuna_cannot_use_is_named(monkeypatch, storage: str) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.1.9")
    go_on_with_study(config(None), ARGUMENTS)  # in memory it needs none
    with pytest.raises(ConfigError, match=r'needs sqlalchemy 1.4 .*, got 2.1.9: pip install "\.\[sweep\]"'):
        go_on_with_study(config(storage), ARGUMENTS)
