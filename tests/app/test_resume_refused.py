"""Files that training does not go on from: each is told of in one line, and nothing is written."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from run_kit import ON_CPU, read, saved


class _RunsCode:
    def __reduce__(self):
        return print, ("a checkpoint ran code",)


def cut_short(path: Path, content: dict) -> None:
    torch.save(content, path)
    path.write_bytes(path.read_bytes()[:-2000])


def of_another_format(path: Path, content: dict) -> None:
    torch.save({**content, "lts": {**content["lts"], "format": 2}}, path)


def running_code(path: Path, content: dict) -> None:
    torch.save({**content, "hyper_parameters": _RunsCode()}, path)


def without_its_optimizer(path: Path, content: dict) -> None:
    torch.save({key: value for key, value in content.items() if key != "optimizer_states"}, path)


@pytest.fixture(scope="module")
def trained(succeed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch."""
    home = tmp_path_factory.mktemp("home")
    succeed("train", *ON_CPU, "trainer.max_epochs=1", "paths.output_dir=run", cwd=home)
    return home / "run"


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (cut_short, "is damaged or holds more than weights and plain types, refused"),
        (running_code, "is damaged or holds more than weights and plain types, refused"),
        (of_another_format, "format must be 1 to be read here, got 2"),
        (
            without_its_optimizer,
            "must hold the state of a training to go on from, lacks ['optimizer_states']",
        ),
    ],
)
def test_a_spoiled_checkpoint_is_refused(
    run, trained: Path, tmp_path: Path, spoil: Callable[[Path, dict], None], rule: str
) -> None:
    path = tmp_path / "spoiled.ckpt"
    spoil(path, saved(trained))
    refused = run("train", *ON_CPU, f"ckpt={path}", "paths.output_dir=new", cwd=trained.parent)
    assert (refused.returncode, refused.stderr) == (2, f"train: {path}: {rule}\n")
    assert "a checkpoint ran code" not in refused.stdout
    assert not (trained.parent / "new").exists()


def test_weights_of_other_shapes_are_refused(run, trained: Path) -> None:
    path = trained / "checkpoints" / "last.ckpt"
    settings = (*ON_CPU, f"ckpt={path}", "model.width=8", "trainer.max_epochs=2", "paths.output_dir=wide")
    refused = run("train", *settings, cwd=trained.parent)
    assert refused.returncode == 2
    assert refused.stderr.startswith("train: ckpt: network.")
    assert "must be of shape (8, 16, 3, 3) for this network, got (4, 8, 3, 3)" in refused.stderr
    assert refused.stderr.count("\n") == 1
    record = read(trained.parent / "wide" / "run.json")
    assert (record["state"], record["exit_code"]) == ("failed", 2)
    assert refused.stderr == f"train: {record['reason']}\n"


def test_a_lost_best_checkpoint_is_told(run, trained: Path) -> None:
    best = trained / "checkpoints" / "best.ckpt"
    aside = best.rename(best.with_suffix(".aside"))
    settings = (*ON_CPU, "ckpt=last", "trainer.max_epochs=2", "paths.output_dir=run")
    refused = run("train", *settings, cwd=trained.parent)
    aside.rename(best)
    line = f"train: {best}: is missing, and the run cannot end without its best checkpoint\n"
    assert (refused.returncode, refused.stderr) == (2, line)
