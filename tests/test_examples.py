"""Everything public has an example, and all examples are true."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

FLOORS = ("lts.scores", "lts.metrics", "lts.evaluation")


MODULES = [
    found.name
    for floor in FLOORS
    for found in pkgutil.walk_packages(importlib.import_module(floor).__path__, f"{floor}.")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("floor", FLOORS)
def test_everything_public_has_an_example(floor: str) -> None:
    face = importlib.import_module(floor)
    public = {name: getattr(face, name) for name in face.__all__}
    lacking = [
        name
        for name, thing in public.items()
        if (inspect.isclass(thing) or inspect.isfunction(thing)) and ">>> " not in (thing.__doc__ or "")
    ]
    assert not lacking
