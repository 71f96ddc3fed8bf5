"""An Optuna study: what is done of it counts, what was interrupted or failed is tried first."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import optuna
from hydra.core.utils import JobReturn
from omegaconf import OmegaConf
from optuna import Study, Trial
from optuna.distributions import check_distribution_compatibility
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.pool import NullPool

from lts.app.config.instantiate import build_component
from lts.app.config.values import fits, shown, words
from lts.app.run.console import print_line
from lts.app.sweep.grid import GridSampler
from lts.app.sweep.search_space import SearchSpace
from lts.app.sweep.study_settings import StudyEndedError, StudySettings
from lts.base import ConfigError, write_utf8

RESULTS_FILE = "optimization_results.yaml"

_RETRY_OF = "retry_of"
"""Says, of a trial that was put in line, the number of the one that it repeats."""

Launch = Callable[[Sequence[Sequence[str]]], Sequence[JobReturn]]
"""Runs at once the jobs of which it gets the arguments."""


class OptunaStudy:
    """A study that can be run.

    Args:
        settings: Where it is kept, and how much is done at once.
        space: What it searches.

    Raises:
        ConfigError: A setting of the sampler is wrong.
    """

    def __init__(self, settings: StudySettings, space: SearchSpace) -> None:
        self._settings, self._space = settings, space
        self._sampler(n_drawn=0)

    def run(self, launch: Launch, *, folder: str) -> None:
        """Run the trials to go, and write the best one into a folder.

        Args:
            launch: Runs jobs.
            folder: Of the sweep.

        Raises:
            ConfigError: The study cannot be opened, or was begun with another direction or other choices.
            StudyEndedError: Too many jobs failed, or no trial has a score.
        """
        study = self._open()
        self._check_unchanged(study)
        most = self._settings.max_failure_rate
        for n_at_once in self._batches(study):
            n_failed = self._run_trials(study, n_at_once, launch)
            if n_failed / n_at_once > most:
                raise StudyEndedError(
                    f"hydra.sweeper.max_failure_rate: {n_failed} of {n_at_once} jobs at once failed, "
                    f"more than the share {most}"
                )
        self._write_results(study, Path(folder) / RESULTS_FILE)

    def _sampler(self, *, n_drawn: int) -> BaseSampler:
        """The sampler for what follows on `n_drawn` trials; the seed of the first would draw them again."""
        sampler = self._settings.sampler
        seed = sampler.arguments.get("seed")
        if not fits(seed, int | None):
            raise ConfigError(f"hydra.sweeper.sampler.seed: must be {words(int | None)}, got {shown(seed)}")
        if seed is not None:
            sampler = sampler.with_arguments(seed=seed + n_drawn)
        if sampler.target == f"{GridSampler.__module__}.{GridSampler.__name__}":
            sampler = sampler.with_arguments(distributions=self._space.distributions)
        made: BaseSampler = build_component(sampler, key="hydra.sweeper.sampler", kind=BaseSampler)
        return made

    def _open(self) -> Study:
        """The study, new or as it was left."""
        settings = self._settings
        try:
            return optuna.create_study(
                study_name=settings.study_name,
                # No connection stays open between two requests.
                storage=settings.storage
                and RDBStorage(settings.storage, engine_kwargs={"poolclass": NullPool}),
                direction=settings.direction,
                load_if_exists=True,
            )
        except Exception as error:  # a driver of any kind of database
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            reason = reason.replace("$STORAGE_URL", str(settings.storage))
            raise ConfigError(
                f"hydra.sweeper.storage: {settings.storage} cannot be opened: {reason}"
            ) from error

    def _check_unchanged(self, study: Study) -> None:
        settings, place = self._settings, f"the study in {self._settings.storage}"
        other = "take another hydra.sweep.dir or hydra.sweeper.study_name"
        if (begun_with := study.direction.name.lower()) != settings.direction:
            raise ConfigError(f"hydra.sweeper.direction: {place} has {begun_with}; {other}")
        trials = study.get_trials(deepcopy=False)
        known = {key: found for trial in trials for key, found in trial.distributions.items()}
        for key, distribution in self._space.distributions.items():
            try:
                if key in known:
                    check_distribution_compatibility(known[key], distribution)
            except ValueError as error:
                raise ConfigError(f"{key}: {place} has other choices; {other}") from error

    def _batches(self, study: Study) -> Iterator[int]:
        """How many trials are run at once, time and again until all are done."""
        begun = bool(study.get_trials(deepcopy=False))
        n_done = self._queue_unfinished(study)
        study.sampler = sampler = self._sampler(n_drawn=len(study.get_trials(deepcopy=False)))
        n_wanted = self._settings.n_trials
        if isinstance(sampler, GridSampler):
            n_wanted = min(n_wanted, sampler.n_points)
        to_go = max(0, n_wanted - n_done)
        if begun:
            print_line(f"study {study.study_name}: {n_done} of {n_wanted} trials are done, {to_go} to go")
        while to_go:
            n_at_once = min(to_go, self._settings.n_jobs)
            yield n_at_once
            to_go -= n_at_once

    def _queue_unfinished(self, study: Study) -> int:
        """Put what was interrupted or failed, and not done since, first in line; count what is done."""
        trials = study.get_trials(deepcopy=False)
        settled = [trial.params for trial in trials if trial.state == TrialState.COMPLETE]
        n_done = len(settled)
        # A trial has no values of its own while it waits.
        waiting = {trial.user_attrs.get(_RETRY_OF) for trial in trials if trial.state == TrialState.WAITING}
        settled += [trial.params for trial in trials if trial.number in waiting]
        for trial in trials:
            if trial.state not in (TrialState.RUNNING, TrialState.FAIL):
                continue
            if trial.state == TrialState.RUNNING:
                study.tell(trial.number, state=TrialState.FAIL)
            if trial.params not in settled and self._space.holds(trial.params):
                settled.append(trial.params)
                study.enqueue_trial(trial.params, user_attrs={_RETRY_OF: trial.number})
        return n_done

    def _run_trials(self, study: Study, n_at_once: int, launch: Launch) -> int:
        """Draw trials and run them, tell the study what came of each, and count those that failed."""
        untold = [study.ask(dict(self._space.distributions)) for _ in range(n_at_once)]
        for trial in untold:
            _note_fixed(trial, self._space.fixed)
        n_failed = 0
        try:
            for done in launch([self._space.arguments(trial.params) for trial in untold]):
                score = done.return_value
                has_failed = not isinstance(score, int | float) or math.isnan(score)
                n_failed += has_failed
                trial = untold.pop(0)
                if has_failed:
                    study.tell(trial, state=TrialState.FAIL)
                else:
                    study.tell(trial, float(score))
        finally:
            for trial in untold:
                study.tell(trial, state=TrialState.FAIL)
        return n_failed

    def _write_results(self, study: Study, file: Path) -> None:
        if not study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
            raise StudyEndedError(f"hydra.sweeper: no trial of the study {study.study_name} has a score")
        best = study.best_trial
        results = {"name": "optuna", "best_params": self._space.values(best.params), "best_value": best.value}
        write_utf8(file, OmegaConf.to_yaml(OmegaConf.create(results)))


def _note_fixed(trial: Trial, fixed: dict[str, str]) -> None:
    """Have the study show the settings that all its trials have."""
    for key, argument in fixed.items():
        trial.set_user_attr(key, argument.partition("=")[2])
