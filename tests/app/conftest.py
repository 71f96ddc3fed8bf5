"""The commands as a user runs them, each in a process of its own."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import command_kit
import pytest
from run_kit import end_all_started


@pytest.fixture(scope="session")
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`run("predict", "ckpt=a.ckpt", ..., cwd=folder)`, whatever its exit code."""
    return command_kit.run


@pytest.fixture(scope="session")
def succeed(run) -> Callable[..., str]:
    """`run`, held to end well without a warning; returns what was printed."""

    def succeed(command: str, *arguments: str, cwd: Path) -> str:
        done = run(command, *arguments, cwd=cwd)
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
        return done.stdout

    return succeed


@pytest.fixture(autouse=True)
def no_training_outlives_its_test() -> Iterator[None]:
    """Whatever a failed test left running would disturb the next."""
    yield
    end_all_started()
