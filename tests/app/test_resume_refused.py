"""Files that training does not go on from: each is told of in one line, and nothing is written."""

import re
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


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("setting", "rule"),
    [
        ("split.seed=7", "split.seed: must be 0 as in {ckpt}, got 7"),
        ("model.width=8", "model.width: must be 4 as in {ckpt}, got 8"),
        (
            "callbacks.best.monitor=val/accuracy",
            "callbacks.best.monitor: must be {chosen} as in {ckpt}, got val/acc",
        ),
    ],
)
def test_a_run_that_is_refused_to_go_on_is_left_as_it_was_to_the_last_byte(
    run, trained: Path, setting: str, rule: str
) -> None:
    before = bytes_of(trained)
    settings = (*ON_CPU, "ckpt=auto", setting, "trainer.max_epochs=2", "paths.output_dir=run")
    refused = run("train", *settings, cwd=trained.parent)
    chosen = read(trained / "run.json")["monitor"]
    assert refused.returncode == 2
    assert refused.stderr.startswith(
        f"train: {rule.format(ckpt=trained / 'checkpoints/last.ckpt', chosen=chosen)}"
    )
    assert refused.stderr.count("\n") == 1
    assert bytes_of(trained) == before


def test_a_lost_best_checkpoint_is_told(run, trained: Path) -> None:
    best = trained / "checkpoints" / "best.ckpt"
    aside = best.rename(best.with_suffix(".aside"))
    before = bytes_of(trained)
    settings = (*ON_CPU, "ckpt=last", "trainer.max_epochs=2", "paths.output_dir=run")
    refused = run("train", *settings, cwd=trained.parent)
    assert bytes_of(trained) == before
    aside.rename(best)
    line = f"train: {best}: is missing, and the run cannot end without its best checkpoint\n"
    assert (refused.returncode, refused.stderr) == (2, line)


def test_another_rate_is_taken_and_remembered_and_one_that_diverges_costs_no_checkpoint(
    run, succeed, trained: Path
) -> None:
    settings = (*ON_CPU, "ckpt=last", "paths.output_dir=run")
    printed = succeed("train", *settings, "optimizer.lr=1e-6", "trainer.max_epochs=2", cwd=trained.parent)
    assert "with optimizer.lr 1e-06 (was 0.01), trainer.max_epochs 2 (was 1)" in printed
    last = saved(trained)
    assert [group["lr"] for group in last["optimizer_states"][0]["param_groups"]] == [1e-6, 1e-6]
    changes = [
        {"after_epoch": 1, "key": "optimizer.lr", "from": 1e-2, "to": 1e-6},
        {"after_epoch": 1, "key": "trainer.max_epochs", "from": 1, "to": 2},
    ]
    assert last["lts"]["changes"] == changes
    assert read(trained / "run.json")["changes"] == changes

    kept = bytes_of(trained / "checkpoints")
    diverged = run("train", *settings, "optimizer.lr=1e35", "trainer.max_epochs=3", cwd=trained.parent)
    assert diverged.returncode == 2
    assert diverged.stderr.startswith(
        "train: train/loss: must be finite, got NaN or infinity in step 2 of epoch 3: "
    )
    assert re.search(
        r"the checkpoints of epoch 2 are kept; try a lower optimizer\.lr than 1e\+35, "
        r"a lower trainer\.gradient_clip_val than 1\.0(, trainer\.precision=32-true)?\n$",
        diverged.stderr,
    )
    assert bytes_of(trained / "checkpoints") == kept
    record = read(trained / "run.json")
    assert (record["state"], record["exit_code"]) == ("failed", 2)
    assert diverged.stderr == f"train: {record['reason']}\n"
    assert [change["to"] for change in record["changes"]] == [1e-6, 2, 1e35, 3]
