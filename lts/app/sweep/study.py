"""An Optuna study in a file: what is done of it counts, what was interrupted or failed is tried first."""

import importlib.metadata
import logging
import os
import warnings
from typing import Any, Literal

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from lts.app.run.console import print_line
from lts.base import ConfigError

_INSTALL = 'pip install ".[sweep]"'


def be_quiet() -> None:
    """Keep the libraries' advice to their own developers out of the lines of a sweep."""
    os.environ["SQLALCHEMY_SILENCE_UBER_WARNING"] = "1"
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("hydra_plugins").setLevel(logging.ERROR)  # failed jobs have told it themselves
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def direction_of_study() -> Literal["min", "max"] | None:
    """Which end of the scale the study of this job looks for: `min`, `max`, or None for no study."""
    if not HydraConfig.initialized():
        return None
    hydra: Any = HydraConfig.get()
    direction = OmegaConf.select(hydra, "sweeper.direction") if hydra.mode == RunMode.MULTIRUN else None
    modes: dict[str, Literal["min", "max"]] = {"minimize": "min", "maximize": "max"}
    return modes.get(str(getattr(direction, "name", direction)))


def as_handed(score: float | None, mode: str | None) -> float | None:
    """A score as a study wants it: its sign is turned where the study looks for the other end of the scale.

    Args:
        score: None where there is none.
        mode: Which end of the scale is the best, `min` or `max`; None where there is no score.
    """
    if score is None or mode is None or direction_of_study() in (None, mode):
        return score
    return -score


def go_on_with_study(config: DictConfig, arguments: list[str]) -> None:
    """Count the trials of an earlier time into `hydra.sweeper.n_trials`; put unfinished ones first in line.

    Hydra's sweeper would do `n_trials` more, draw the first numbers of its seed again and forget what was
    interrupted.

    Args:
        config: The config with `hydra`; `n_trials` and the sampler's seed are changed.
        arguments: What is swept over, as on the command line.

    Raises:
        ConfigError: The file cannot be opened, or its study has other choices.
    """
    be_quiet()
    import optuna

    sweeper = config.hydra.sweeper
    if not sweeper.storage or not sweeper.study_name:
        return
    if (found := importlib.metadata.version("sqlalchemy")).split(".")[0] != "1":
        raise ConfigError(f"Optuna needs sqlalchemy 1.4 for a study in a file, got {found}: {_INSTALL}")
    try:
        study = optuna.load_study(study_name=sweeper.study_name, storage=sweeper.storage)
    except KeyError:
        return
    except Exception as error:
        told = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(f"hydra.sweeper.storage: {sweeper.storage} cannot be opened: {told}") from error
    _check_choices(study, arguments, storage=sweeper.storage)
    done = _queue_unfinished(study)
    wanted, drawn = sweeper.n_trials, len(study.trials)
    with open_dict(config):
        sweeper.n_trials = max(0, wanted - done)
        if sweeper.sampler.get("seed") is not None:
            sweeper.sampler.seed += drawn
    print_line(f"study {sweeper.study_name}: {done} of {wanted} trials are done, {sweeper.n_trials} to go")


def _queue_unfinished(study: Any) -> int:
    """Put what was interrupted or failed, and not done since, first in line; count what is done."""
    from optuna.trial import TrialState

    trials = study.get_trials()
    settled = [trial.params for trial in trials if trial.state == TrialState.COMPLETE]
    done = len(settled)
    settled += [
        trial.system_attrs.get("fixed_params") for trial in trials if trial.state == TrialState.WAITING
    ]
    for trial in trials:
        if trial.state == TrialState.RUNNING:
            study.tell(trial.number, state=TrialState.FAIL)
        if trial.state in (TrialState.RUNNING, TrialState.FAIL) and trial.params not in settled:
            settled.append(trial.params)
            study.enqueue_trial(trial.params)
    return done


def _check_choices(study: Any, arguments: list[str], *, storage: str) -> None:
    from hydra_plugins.hydra_optuna_sweeper._impl import create_params_from_overrides
    from optuna.distributions import check_distribution_compatibility

    known = {name: found for trial in study.get_trials() for name, found in trial.distributions.items()}
    wanted, _ = create_params_from_overrides(arguments)
    for name, distribution in wanted.items():
        try:
            if name in known:
                check_distribution_compatibility(known[name], distribution)
        except ValueError as error:
            rule = "has other choices; take another hydra.sweep.dir or hydra.sweeper.study_name"
            raise ConfigError(f"{name}: the study in {storage} {rule}") from error
