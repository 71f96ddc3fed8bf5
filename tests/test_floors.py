"""The contracts on floors hold: what each may import, and that the app alone knows the keys of the config."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SECTIONS = [
    *(path.name for path in (ROOT / "conf").iterdir() if path.is_dir()),
    "postprocess",
    "split",
    "task",
]
A_KEY = re.compile(rf"(?<![\w./*])({'|'.join(SECTIONS)})\.([a-z_]+|$)(?<!prediction\.)")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [str(program), "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "lts", tmp_path / "lts", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_house_keeps_its_floors(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("lts/volume/__init__.py", "import lts.cohort"),  # upward
        ("lts/losses.py", "import lts.metrics"),  # sideways
        ("lts/phantom/scan.py", "import lts.cohort"),
        ("lts/task/module.py", "import lts.networks"),  # training is handed its network
        ("lts/task/module.py", "import hydra"),
        ("lts/inference/predictor.py", "import omegaconf"),
        ("lts/slices/store.py", "import pytorch_lightning"),
        ("lts/scores/case.py", "import torchmetrics"),
        ("lts/scores/case.py", "import lts.figures"),
        ("lts/inference/predictor.py", "import fastapi"),
        ("lts/volume/_read.py", "import pynetdicom"),
        ("lts/inference/predictor.py", "import lts.service"),
        ("lts/utils.py", "import math"),  # a floor that is on no plan
        ("lts/app/utils.py", "import math"),
        ("lts/app/commands/train.py", "import omegaconf"),
        ("lts/app/run/lock.py", "import hydra"),
        ("lts/app/config/values.py", "import lts.app.run.console"),  # upward within the app
        ("lts/app/run/records.py", "import lts.app.run.lock"),  # in a circle
        ("lts/phantom/shapes.py", "import lts.phantom.torso"),
    ],
)
def test_an_import_against_the_floors_is_found(copy: Path, file: str, line: str) -> None:
    path = copy / file
    path.write_text((path.read_text() if path.exists() else "") + f"\n{line}\n")
    assert lint(copy).returncode == 1


ADVICE = ("lts/cohort/doctor/findings.py", "lts/evaluation/failures.py")
"""What they say goes into tables and reports, beside what may be done at the command line."""


def texts(source: str) -> list[str]:
    """The strings of a module that are no docstrings."""
    tree = ast.parse(source)
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in told)
    return [node.value for node in strings if isinstance(node.value, str)]


def test_no_message_below_the_app_names_a_key_of_the_config() -> None:
    assert A_KEY.search(texts('raise ConfigError(f"data.{key}: must be 1")')[0])
    found = [
        f"{file.relative_to(ROOT)}: {text}"
        for file in sorted((ROOT / "lts").rglob("*.py"))
        for text in texts(file.read_text(encoding="utf-8"))
        if not file.is_relative_to(ROOT / "lts" / "app") and A_KEY.search(text)
    ]
    assert [line for line in found if not line.startswith(ADVICE)] == []
