"""What a study searches, from arguments as on a command line to distributions of Optuna and back."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    IntervalSweep,
    Override,
    Quote,
    QuotedString,
    RangeSweep,
    Transformer,
)
from hydra.errors import HydraException
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from lts.base import ConfigError

_LOG = "log"
"""The tag of what is drawn by its logarithm, `tag(log, interval(1e-5, 1e-2))`."""


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """What the jobs of a study are given.

    Attributes:
        distributions: Of what is searched, by key.
        fixed: Arguments that all jobs have, by key.
        written: Of each choice of a key, in its order, the key and value as a job gets them.
        prefixes: `+` or `++` of the keys that are added.
    """

    distributions: dict[str, BaseDistribution] = field(default_factory=dict)
    fixed: dict[str, str] = field(default_factory=dict)
    written: dict[str, list[str]] = field(default_factory=dict)
    prefixes: dict[str, str] = field(default_factory=dict)

    def arguments(self, drawn: Mapping[str, Any]) -> tuple[str, ...]:
        """The arguments of the job that tries what was drawn."""
        searched = (f"{self.prefixes[key]}{key}={self._written(key, value)}" for key, value in drawn.items())
        return (*searched, *self.fixed.values())

    def values(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """What was drawn, as the values that jobs get: of a choice that is a list, the list."""
        return {
            key: _value_of(self._written(key, value)) if key in self.written else value
            for key, value in drawn.items()
        }

    def holds(self, drawn: Mapping[str, Any]) -> bool:
        """Whether what was drawn at another time lies in this space."""
        return drawn.keys() == self.distributions.keys() and all(
            _holds(self.distributions[key], value) for key, value in drawn.items()
        )

    def _written(self, key: str, value: Any) -> str:
        distribution: Any = self.distributions.get(key)
        if key in self.written:
            place: int = distribution.choices.index(value)
            return self.written[key][place]
        step = getattr(distribution, "step", None)
        return repr(_on_step(value, distribution.low, step) if isinstance(step, float) else value)


def search_space(arguments: Sequence[str], *, config_loader: ConfigLoader | None = None) -> SearchSpace:
    """The space that arguments span; of several for one key the last counts.

    Args:
        arguments: In Hydra's grammar. `choice(...)` and `a,b` are choices, `interval(a, b)` all between,
            and `range(...)` what a grid goes through. One value fixes a key.
        config_loader: What knows the choices that `glob(...)` stands for.

    Raises:
        ConfigError: Nothing can be drawn from one of them.
    """
    space = SearchSpace()
    for override in OverridesParser.create(config_loader=config_loader).parse_overrides(list(arguments)):
        written = override.get_key_element()
        key = written.lstrip("+")
        _forget(space, key)
        if override.is_delete():
            space.fixed[key] = str(override.input_line)
            continue
        if not override.is_sweep_override():
            space.fixed[key] = f"{written}={override.get_value_element_as_str()}"
            continue
        space.prefixes[key] = written.removesuffix(key)
        try:
            space.distributions[key] = _distribution(override, space.written.setdefault(key, []))
        except ValueError as error:
            raise ConfigError(f"{key}: {override.get_value_string()} cannot be searched: {error}") from error
        if not space.written[key]:
            del space.written[key]
    return space


def _forget(space: SearchSpace, key: str) -> None:
    kept: tuple[dict[str, Any], ...] = (space.distributions, space.fixed, space.written, space.prefixes)
    for each in kept:
        each.pop(key, None)


def _distribution(override: Override, written: list[str]) -> BaseDistribution:
    """What a value is drawn from; of choices, `written` gets the texts.

    Raises:
        ValueError: Nothing can be drawn.
    """
    swept = override.value()
    if isinstance(swept, IntervalSweep):
        return _numbers(swept.start, swept.end, log=_LOG in swept.tags)
    if isinstance(swept, RangeSweep):
        found = [*swept.range()]
        if not found:
            raise ValueError("it is empty")
        ends = sorted((found[0], found[-1]))
        return _numbers(*ends, step=abs(swept.step), log=_LOG in swept.tags)
    return _choices(override, written)


def _numbers(low: Any, high: Any, *, log: bool, step: float | None = None) -> BaseDistribution:
    if all(isinstance(number, int) for number in (low, high, 1 if step is None else step)):
        return IntDistribution(low, high, log=log, step=1 if step is None else int(step))
    return FloatDistribution(low, high, log=log, step=step)


def _choices(override: Override, written: list[str]) -> BaseDistribution:
    """A study tells choices by `==`, so `1` and `true` would be one; the second is kept as its text there."""
    texts = dict.fromkeys(map(_text_of, override.sweep_iterator()))
    # A shuffled order would make other choices each time.
    shuffled = getattr(override.value(), "shuffle", False)
    kept: list[Any] = []
    for text in sorted(texts) if shuffled else texts:
        value = _value_of(text)
        is_plain = value is None or isinstance(value, bool | int | float | str)
        kept.append(value if is_plain and value not in kept else text)
        written.append(text)
    return CategoricalDistribution(kept)


def _holds(distribution: Any, value: Any) -> bool:
    if choices := getattr(distribution, "choices", None):
        return value in choices
    return bool(distribution.low <= value <= distribution.high)


def _on_step(value: float, low: float, step: float) -> float:
    """The number of a range that was drawn: 0.3, where adding up made 0.30000000000000004."""
    return float(Decimal(str(low)) + round((value - low) / step) * Decimal(str(step)))


def _text_of(choice: Any) -> str:
    """A choice as an argument has it; Hydra forgets that `'4'` within `choice(...)` was no number."""
    text = Transformer.str(choice)
    if isinstance(choice, str):
        with suppress(HydraException):
            if _value_of(text) == choice:
                return text
        return QuotedString(choice, Quote.single).with_quotes()
    return text


def _value_of(text: str) -> Any:
    return OverridesParser.create().parse_override(f"key={text}").value()
