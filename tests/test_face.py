"""What `import lts` costs and gives."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import lts

ROOT = Path(__file__).parents[1]


def loaded_by(line: str) -> set[str]:
    """The modules that a new interpreter has after a line and had not before."""
    code = f"import sys; before = set(sys.modules); {line}; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_import_of_the_package_costs_nothing() -> None:
    assert loaded_by("import lts") - {"lts"} <= {
        "importlib",
        "importlib._bootstrap_external",
        "warnings",
        "_warnings",
    }


@pytest.mark.parametrize(
    ("line", "unneeded"),
    [
        (
            "import lts.losses",
            {"pytorch_lightning", "torchvision", "numpy.ma", "scipy", "matplotlib", "nibabel"},
        ),
        ("import lts.intensity", {"pytorch_lightning", "torchvision", "scipy", "matplotlib", "nibabel"}),
        ("import lts.components", {"torch", "matplotlib", "nibabel"}),
        ("import lts.figures", {"torch", "matplotlib.pyplot"}),
        ("import lts.cohort", {"torch", "matplotlib"}),
        ("import lts.slices", {"pytorch_lightning", "matplotlib", "albumentations"}),
        ("import lts.data", {"hydra", "omegaconf", "lts.networks", "lts.metrics", "lts.figures"}),
        ("import lts.task", {"hydra", "lts.networks", "lts.data", "lts.slices", "albumentations"}),
    ],
)
def test_a_floor_imports_what_it_needs(line: str, unneeded: set[str]) -> None:
    assert not loaded_by(line) & unneeded


def test_names_come_from_their_floors_when_they_are_asked_for() -> None:
    for name, home in lts._HOME.items():
        assert name in dir(lts)
        assert getattr(lts, name) is getattr(import_module(home), name)
    with pytest.raises(AttributeError, match="module 'lts' has no attribute 'predict_all'"):
        lts.predict_all  # type: ignore[attr-defined]  # noqa: B018


def test_type_checkers_are_told_of_the_same_names() -> None:
    imports = [
        node
        for node in ast.walk(ast.parse((ROOT / "lts" / "__init__.py").read_text()))
        if isinstance(node, ast.ImportFrom)
    ]
    told = {alias.name: node.module for node in imports for alias in node.names if node.module != "importlib"}
    assert told == lts._HOME
