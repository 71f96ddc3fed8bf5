"""A sampler that goes through a grid: Optuna's own one ends its own loop, where ours asks for trials."""

import itertools
import math
import random
from collections.abc import Mapping
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from lts.base import ConfigError


class GridSampler(BaseSampler):
    """Draws each combination of choices and ranges once, and then any of them.

    Args:
        distributions: What is searched, by key.
        seed: Of the order; None for one that is new each time.

    Attributes:
        n_points: How many combinations there are.

    Raises:
        ConfigError: There is no end of values of a key.
    """

    def __init__(self, distributions: Mapping[str, Any], seed: int | None = None) -> None:
        self._distributions: dict[str, BaseDistribution] = dict(distributions)
        self._values = {key: _values(key, found) for key, found in self._distributions.items()}
        self._random = random.Random(seed)
        self.n_points = math.prod(map(len, self._values.values()))

    def infer_relative_search_space(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        """All keys: they are drawn together."""
        return self._distributions

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],  # noqa: ARG002
    ) -> dict[str, Any]:
        """A combination that no other trial has, if one is left."""
        known = [other.params for other in study.get_trials(deepcopy=False) if other.number != trial.number]
        points = [
            dict(zip(self._values, each, strict=True)) for each in itertools.product(*self._values.values())
        ]
        return self._random.choice([point for point in points if point not in known] or points)

    def sample_independent(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
        param_name: str,
        param_distribution: BaseDistribution,  # noqa: ARG002
    ) -> Any:
        """A value for a trial that was put in line without it."""
        return self._random.choice(self._values[param_name])


def _values(key: str, distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    assert isinstance(distribution, FloatDistribution)
    if distribution.step is None:
        raise ConfigError(
            f"{key}: must be choices or a range for hydra/sweeper/sampler=grid, got an interval"
        )
    n_steps = round((distribution.high - distribution.low) / distribution.step)
    return [distribution.low + number * distribution.step for number in range(n_steps + 1)]
