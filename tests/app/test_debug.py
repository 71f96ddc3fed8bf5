"""Runs that are tried on little, by `debug=`."""

import re
from pathlib import Path

import pytest
from run_kit import TINY, read

SMALL = (*[word for word in TINY if not word.startswith(("data.slices", "optimizer."))], "trainer=cpu")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are run; scans and store are made there once."""
    return tmp_path_factory.mktemp("home")


def folder_in(home: Path, printed: str) -> Path:
    """The folder of a run, which is named by the time."""
    found = re.search(rf"^run ({home}/debug/\S+): 5 cases", printed, flags=re.M)
    assert found
    return Path(found[1])


def test_one_batch_goes_through_all_of_a_run(succeed, home: Path) -> None:
    printed = succeed("train", *SMALL, "debug=batch", cwd=home)
    folder = folder_in(home, printed)
    assert "5 cases (1 train, 1 val, 1 test)" in printed
    assert len(re.findall(r"^epoch ", printed, flags=re.M)) == 1
    assert {name: len(ids) for name, ids in read(folder / "split.json").items()} == {
        **{"train": 1, "val": 1, "test": 1},
        "unused": 2,
    }
    assert read(folder / "metrics.json")["n_cases"] == 1
    assert (folder / "checkpoints" / "best.ckpt").is_file()


def test_one_scan_is_learned_by_heart(succeed, home: Path) -> None:
    printed = succeed("train", *SMALL, "model.width=8", "model.depth=4", "debug=overfit", cwd=home)
    losses = [float(loss) for loss in re.findall(r"train/loss (\S+)", printed)]
    assert losses[0] > 0.4
    assert losses[-1] < 0.1
    assert not (folder_in(home, printed) / "metrics.json").exists()
