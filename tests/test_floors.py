"""The contract on imports holds, and would tell of an import against it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


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
        ("lts/task/module.py", "import lts.networks"),  # training is handed its network
        ("lts/task/module.py", "import hydra"),
        ("lts/inference/predictor.py", "import omegaconf"),
        ("lts/slices/store.py", "import pytorch_lightning"),
        ("lts/scores/case.py", "import torchmetrics"),
        ("lts/scores/case.py", "import lts.figures"),
        ("lts/inference/predictor.py", "import fastapi"),
        ("lts/inference/predictor.py", "import lts.service"),
        ("lts/utils.py", "import math"),  # a floor that is on no plan
        ("lts/app/utils.py", "import math"),
        ("lts/app/config/values.py", "import lts.app.run.console"),  # upward within the app
        ("lts/app/run/records.py", "import lts.app.run.lock"),  # in a circle
        ("lts/cohort/phantom/shapes.py", "import lts.cohort.phantom.torso"),
    ],
)
def test_an_import_against_the_floors_is_found(copy: Path, file: str, line: str) -> None:
    path = copy / file
    path.write_text((path.read_text() if path.exists() else "") + f"\n{line}\n")
    assert lint(copy).returncode == 1
