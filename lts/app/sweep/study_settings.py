"""What a study is asked for, and how one ends that cannot do it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lts.app.config.component import Component
from lts.base import ConfigError, LtsError


class StudyEndedError(LtsError):
    """A study ends early, or found nothing, because of its jobs."""


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """What `hydra.sweeper` says of a study; `conf/hydra/sweeper/optuna.yaml` tells of each.

    Raises:
        ConfigError: A number is outside its range.
    """

    direction: Literal["minimize", "maximize"]
    study_name: str | None
    storage: str | None
    n_trials: int
    n_jobs: int
    max_failure_rate: float
    params: Mapping[str, Any] | None
    sampler: Component

    def __post_init__(self) -> None:
        """Check the ranges of numbers."""
        for name in ("n_trials", "n_jobs"):
            if (value := getattr(self, name)) < 1:
                raise ConfigError(f"hydra.sweeper.{name}: must be a whole number >= 1, got {value}")
        if not 0 <= self.max_failure_rate <= 1:
            raise ConfigError(
                f"hydra.sweeper.max_failure_rate: must be from 0 to 1, got {self.max_failure_rate}"
            )
