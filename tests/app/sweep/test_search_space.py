"""What arguments in Hydra's grammar mean for a study, and what its jobs get of it."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from lts.app.sweep.search_space import search_space
from lts.base import ConfigError


@pytest.mark.parametrize(
    ("value", "distribution"),
    [
        ("interval(1, 5)", FloatDistribution(1, 5)),
        ("interval(1, 5.5)", FloatDistribution(1, 5.5)),
        ("int(interval(1.0, 5.0))", IntDistribution(1, 5)),
        ("float(interval(1, 5))", FloatDistribution(1, 5)),
        ("tag(log, interval(1e-5, 1e-2))", FloatDistribution(1e-5, 1e-2, log=True)),
        ("tag(log, int(interval(1, 64)))", IntDistribution(1, 64, log=True)),
        ("tag(any, interval(1, 64))", FloatDistribution(1, 64)),
        ("range(1, 5)", IntDistribution(1, 4)),
        ("range(4)", IntDistribution(0, 3)),
        ("range(1, 10, 4)", IntDistribution(1, 9, step=4)),
        ("range(5, 1, -1)", IntDistribution(2, 5)),
        ("shuffle(range(1, 5))", IntDistribution(1, 4)),
        ("tag(log, range(1, 65))", IntDistribution(1, 64, log=True)),
        ("range(0, 1, 0.25)", FloatDistribution(0, 0.75, step=0.25)),
        ("choice(4, 8, 16)", CategoricalDistribution([4, 8, 16])),
        ("4,8,16", CategoricalDistribution([4, 8, 16])),
        ("choice(a, 0.5, true)", CategoricalDistribution(["a", 0.5, True])),
        ("a,0.5,null", CategoricalDistribution(["a", 0.5, None])),
        ("choice(4, 4)", CategoricalDistribution([4])),
        ("sort(b, a)", CategoricalDistribution(["a", "b"])),
        ("shuffle(b, a)", CategoricalDistribution(["a", "b"])),
    ],
)
def test_what_a_value_is_drawn_from(value: str, distribution: BaseDistribution) -> None:
    assert search_space([f"key={value}"]).distributions == {"key": distribution}


@pytest.mark.parametrize(
    "choices",
    [
        [1, True, "1", "true", 1.0, "null", "none", False, 0],
        ["a b", "it's", 'a "quote"', "a,b", "a=b", "[a]", "\\", ""],
        [[1, 2], [True], {"a": 1, "b": ["x", None]}, []],
        [1e-5, 1e300, -0.5, 10**18],
    ],
)
def test_choices_reach_jobs_with_their_types(choices: list) -> None:
    def written(value: object) -> str:
        if isinstance(value, str):
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        if isinstance(value, list):
            return f"[{','.join(map(written, value))}]"
        if isinstance(value, dict):
            return "{" + ",".join(f"{key}:{written(item)}" for key, item in value.items()) + "}"
        return "null" if value is None else str(value)

    space = search_space([f"key=choice({','.join(map(written, choices))})"])
    distribution = space.distributions["key"]
    assert isinstance(distribution, CategoricalDistribution)
    found = []
    for kept in distribution.choices:
        # As a study in a file gives it back.
        drawn = {"key": distribution.to_external_repr(distribution.to_internal_repr(kept))}
        assert space.holds(drawn)
        (argument,) = space.arguments(drawn)
        (override,) = OverridesParser.create().parse_overrides([argument])
        assert repr(override.value()) == repr(space.values(drawn)["key"])
        found.append(override.value())
    assert list(map(repr, found)) == list(map(repr, choices))


def test_numbers_reach_jobs_exactly_and_those_of_a_range_as_a_grid_has_them() -> None:
    space = search_space(["a=interval(0, 1.0)", "b=range(0, 1, 0.1)", "c=range(9)"])
    drawn = {"a": 1 / 3, "b": 0.1 + 0.2, "c": 3}
    assert space.arguments(drawn) == ("a=0.3333333333333333", "b=0.3", "c=3")


def test_the_last_of_several_arguments_of_a_key_counts() -> None:
    arguments = ["a=choice(1,2)", "b=interval(0,1)", "c=3", "a=5", "++b=7", "c=choice(8,9)", "~d", "+e=1,2"]
    space = search_space(arguments)
    assert space.distributions.keys() == {"c", "e"}
    assert space.arguments({"c": 8, "e": 2}) == ("c=8", "+e=2", "a=5", "++b=7", "~d")


def test_what_was_drawn_at_another_time_is_held_where_it_still_may_be_drawn() -> None:
    space = search_space(["a=interval(0, 1.0)", "b=choice(x,y)"])
    assert space.holds({"a": 1.0, "b": "x"})
    assert not space.holds({"a": 1.1, "b": "x"})
    assert not space.holds({"a": 1.0, "b": "z"})
    assert not space.holds({"a": 1.0})
    assert not space.holds({"a": 1.0, "b": "x", "c": 1})


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("a=interval(2, 1)", r"a: interval\(2, 1\) cannot be searched: "),
        ("a=tag(log, interval(0, 1.0))", "a: tag.* cannot be searched: "),
        ("a=tag(log, range(1, 9, 2))", "a: tag.* cannot be searched: "),
        ("a=range(1, 1)", r"a: range\(1, 1\) cannot be searched: it is empty"),
    ],
)
def test_what_cannot_be_drawn_from_is_told(argument: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        search_space([argument])
