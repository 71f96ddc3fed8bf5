"""Which commit of the code a run says it was made by."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lts.app.run.provenance import git_commit


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_is_that_of_the_code_and_not_of_a_project_around_it(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        given = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *given, *arguments], cwd=tmp_path, check=True, capture_output=True)

    own, installed = tmp_path / "own.py", tmp_path / ".venv" / "installed.py"
    own.write_text("")
    assert git_commit(own) is None  # outside a checkout
    git("init")
    git("add", "own.py")
    git("commit", "-m", "own")
    installed.parent.mkdir()
    installed.write_text("")
    commit = git_commit(own)
    assert re.fullmatch("[0-9a-f]{40}", commit or "")
    assert git_commit(installed) is None
    own.write_text("changed")
    assert git_commit(own) == f"{commit}+changes"
