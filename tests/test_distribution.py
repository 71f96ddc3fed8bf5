"""The name that pip knows the project by, and the one place of its version."""

import subprocess
import tomllib
from pathlib import Path

import pytest

import lts
from lts.app.provenance import library_versions

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_development_extra_names_the_project_itself() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    own = [need for need in extras["dev"] if need.startswith(PROJECT["project"]["name"])]
    assert own == ["lts-liver[dicom,export,serve,sweep]"]
    assert {"dicom", "export", "serve", "sweep"} <= extras.keys()


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
