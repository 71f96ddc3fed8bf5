"""What a value of a config may be, by annotation, and how that is said."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest
from torch import nn

from lts.app.config.values import Place, Placeholder, fits, shown, words

T = TypeVar("T")
NAN, INF = float("nan"), float("inf")
FITS: list[tuple[Any, list[Any], list[Any], str]] = [
    (int, [0, -5, 2**63 - 1], [True, 1.0, "1", None, 2**63, -(2**63) - 1, [1], NAN], "a whole number"),
    (float, [0, -1.5, 1e300], [False, "1", None, NAN, INF, -INF, 10**400, [1.0]], "a number"),
    (bool, [True, False], [0, 1, "true", None], "true or false"),
    (str, ["", "a b"], [1, None, "a\0b", ["a"]], "text"),
    (Place, ["a/b", "ü" * 127], ["", "a\0", "a" * 256, "a/" * 2048, "ü" * 128, 3, None], "a path"),
    (Path, ["a"], ["", 3], "a path"),
    (int | None, [3, None], [0.5, "null"], "a whole number or null"),
    (
        float | Sequence[float] | None,
        [1, [1, 2.5], None],
        ["1", [NAN], [[1]]],
        "a number or a list of numbers or null",
    ),
    (Literal["a", "b"], ["a"], ["c", None], "a or b"),
    (bool | Literal["auto"], [True, "auto"], [1, "true"], "true or false or auto"),
    (Literal["a", "b", "c"] | None, ["c", None], ["d"], "one of a, b, c or null"),
    (Literal[1, True], [1, True], [1.0, "1"], "1 or true"),
    (list[str], [[], ["a"]], ["a", [1], None], "a list of text"),
    (list[Literal["x", "y"]], [["x", "x"]], ["x", ["z"]], "a list of x or y"),
    (tuple[float, float], [[1, 2]], [[1], [1, 2, 3], [1, "2"], 1], "a list of 2 numbers"),
    (tuple[int, ...], [[], [1, 2]], [[1.5]], "a list of whole numbers"),
    (dict[str, int], [{}, {"a": 1}], [{"a": 1.5}, [], 3], "a section of settings"),
    (Mapping[str, Any], [{"a": None}], [None], "a section of settings"),
    (
        nn.Module,
        [Placeholder(nn.ReLU)],
        [Placeholder(Path), Placeholder(None), {"_target_": "x"}, None, 3],
        "an object (a section with _target_)",
    ),
    (
        Sequence[nn.Module],
        [[Placeholder(nn.ReLU)]],
        [[Placeholder(int)], [3], Placeholder(nn.ReLU)],
        "a list of objects (sections with _target_)",
    ),
    (str | datetime.timedelta, ["1", Placeholder(datetime.timedelta)], [3, Placeholder(int)], "text"),
    (Any, [None, 3, "x", Placeholder(None)], [], "an object (a section with _target_)"),
    (T, [3, Placeholder(None)], [], "an object (a section with _target_)"),
    (float, [], [Placeholder(None), Placeholder(str)], "a number"),
]


@pytest.mark.parametrize(("hint", "good", "bad", "told"), FITS)
def test_values_are_held_against_an_annotation(hint: Any, good: list[Any], bad: list[Any], told: str) -> None:
    assert all(fits(value, hint) for value in good), [value for value in good if not fits(value, hint)]
    assert not any(fits(value, hint) for value in bad), [value for value in bad if fits(value, hint)]
    assert words(hint) == told


def test_a_callable_is_made_and_no_plain_value_is_one() -> None:
    assert fits(Placeholder(nn.ReLU), Callable)
    assert not fits("relu", Callable)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "null"),
        (True, "true"),
        ("a\nb\x1b", r"'a\nb\x1b'"),
        ("x" * 500, f"'{'x' * 79}..."),
        ([None], "[None]"),
    ],
)
def test_a_value_is_shown_short_and_escaped(value: Any, told: str) -> None:
    assert shown(value) == told


def test_a_number_that_python_does_not_write_is_shown_without_its_digits() -> None:
    assert shown(10**5000) == "a number of thousands of digits"
