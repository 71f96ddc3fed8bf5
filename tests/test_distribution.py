"""The name that pip knows the project by, and the one place of its version."""

import os
import subprocess
import tomllib
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path

import pytest
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from packaging.requirements import Requirement
from packaging.version import Version

import lts
from lts.app.run.provenance import library_versions
from lts.app.sweep.study import SWEEPER

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
_FOR_BENCHMARKS_ALONE = {"line-profiler", "nnunetv2"}


def test_the_development_extra_names_the_project_itself() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    own = [need for need in extras["dev"] if need.startswith(PROJECT["project"]["name"])]
    assert own == ["lts-liver[dicom,docs,export,mlflow,pacs,serve,sweep,wandb,zoo]"]
    assert {"dicom", "docs", "export", "pacs", "serve", "sweep", "zoo"} <= extras.keys()


def test_nobody_is_sent_to_the_package_of_a_stranger() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    told = [
        path
        for name in files.splitlines()
        if (path := ROOT / name).suffix in {".py", ".md", ".yaml", ".toml"} and path != Path(__file__)
    ]
    if not told:
        pytest.skip("not a checkout")
    sent = [path for path in told if '"lts[' in (text := path.read_text()) or " install lts" in text]
    assert sent == []


def test_the_version_stands_in_one_place() -> None:
    assert "version" not in PROJECT["project"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "lts.__version__"}
    assert library_versions()["lts"] == lts.__version__


def test_a_wheel_has_the_sweeper_where_hydra_looks_for_it() -> None:
    patterns = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    # The namespace itself is named too: an editable installation shows only what it names.
    for package in ("hydra_plugins", SWEEPER.rpartition(".")[0]):
        assert (ROOT / package.replace(".", "/")).is_dir()
        assert any(fnmatchcase(package, pattern) for pattern in patterns)
    found = [f"{each.__module__}.{each.__name__}" for each in Plugins.instance().discover(Sweeper)]
    assert SWEEPER in found
    assert not (ROOT / "hydra_plugins" / "__init__.py").exists(), "would hide the plugins of others"


def test_each_lowest_version_is_one_that_can_be_installed() -> None:
    """`make test-lowest` installs them; one that is not there, or that another excludes, differs."""
    extras = PROJECT["project"]["optional-dependencies"]
    needs = [
        Requirement(need)
        for need in (
            *PROJECT["project"]["dependencies"],
            *(need for extra in extras.values() for need in extra),
        )
    ]
    bounds = {
        need.name: Version(spec.version)
        for need in needs
        for spec in need.specifier
        if spec.operator == ">=" and need.name not in _FOR_BENCHMARKS_ALONE
    }
    installed = {name: Version(version(name)) for name in bounds}
    assert {name for name in bounds if installed[name] < bounds[name]} == set()
    if os.environ.get("LTS_LOWEST_VERSIONS"):
        assert installed == bounds
