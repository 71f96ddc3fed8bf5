"""The examples of docstrings run and tell the truth, and what a floor gives has one."""

import doctest
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).parents[1]
WITH_EXAMPLES = sorted(
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for file in (ROOT / "lts").rglob("*.py")
    if ">>> " in file.read_text(encoding="utf-8")
)
COMPLETE = (
    *("cohort.archive", "cohort.case", "cohort.layouts", "cohort.scans", "cohort.series", "cohort.splits"),
    *("components", "data", "evaluation", "figures", "intensity", "losses", "metrics", "phantom", "scores"),
    *("slices", "task", "volume"),
)
"""Floors, and files of floors, in which nothing public lacks an example."""


def imported(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if str(error.name).startswith("lts"):
            raise
        pytest.skip(f"needs {error.name}, which an extra brings")


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Files of examples lie in a folder of their own, and their random numbers are nobody else's."""
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        yield


@pytest.mark.filterwarnings("ignore:GPU available but not used")
@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_show_what_happens(name: str) -> None:
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    told: list[str] = []
    for example in doctest.DocTestFinder().find(imported(name), name):
        runner.run(example, out=told.append)
    assert runner.summarize(verbose=False).attempted > 0
    assert not told, "".join(told)


def public(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Classes and functions that a floor gives: those it names, else those that begin with no underscore."""
    for name in getattr(module, "__all__", vars(module)):
        found = getattr(module, name)
        is_own = str(getattr(found, "__module__", "")).startswith(module.__name__)
        if is_own and not name.startswith("_") and (inspect.isclass(found) or inspect.isfunction(found)):
            yield name, found


@pytest.mark.parametrize("floor", COMPLETE)
def test_what_a_floor_gives_is_shown_by_an_example(floor: str) -> None:
    given = dict(public(imported(f"lts.{floor}")))
    assert given
    assert [name for name, found in given.items() if ">>> " not in (found.__doc__ or "")] == []
