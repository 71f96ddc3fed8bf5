"""A first network that finds the liver: its own training within a run, and what becomes of it."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import settings_kit
import torch
from run_kit import ON_CPU, ON_TWO, read, same_weights, saved, start, wait_for

from lts.app.commands.training.locator import (
    open_locator,
    recipe_of,
    share_of_budget,
    training_of_locator,
)
from lts.app.commands.training.rehearsal import rehearse
from lts.app.config.settings import TrainSettings
from lts.base import CheckpointError, ConfigError
from lts.inference import load_checkpoint
from lts.slices import Recipe

SMALL = ("model.width=4", "model.depth=2", "locator.model.width=4", "locator.model.depth=2", "compile=false")
OUTPUT = "paths.output_dir=/runs/one"
BOTH = (
    *ON_CPU,
    "trainer.max_epochs=4",
    "locator=coarse",
    "locator.share=0.5",
    "locator.image_size=32",
    "locator.model.width=4",
    "locator.model.depth=3",
    "data.slices_per_epoch=48",
)


def compose(*overrides: str, choice: str = "coarse") -> TrainSettings:
    small = SMALL if choice == "coarse" else SMALL[:2]
    return settings_kit.compose("train", f"locator={choice}", *small, OUTPUT, "data.root=/scans", *overrides)


def test_without_a_locator_slices_are_whole() -> None:
    settings = compose(choice="none")
    assert settings.locator is None
    assert recipe_of(settings) == Recipe(image_size=128)
    assert share_of_budget(settings) == 1
    assert open_locator(settings) is None


def test_the_locator_is_trained_as_the_run_is_but_coarsely_and_on_the_liver_alone() -> None:
    settings = compose(
        "experiment=phantom_cpu",  # a cosine over 16 epochs
        "budget_minutes=10",
        "data.context=1",
        "data.pixel_mm=0.8",
        "locator.image_size=48",
        "locator.margin_mm=15",
        "callbacks=freeze_encoder",
        "callbacks.best.monitor=val/tumor/dice_global",
        "callbacks.best.mode=max",
        "pruning=median",
        "+trainer.check_val_every_n_epoch=8",
        "task.encoder_lr_scale=0.5",
        "init=a.ckpt",
    )
    assert recipe_of(settings) == Recipe(image_size=128, pixel_mm=0.8, focus="liver", margin_mm=15)
    own = training_of_locator(settings)
    assert recipe_of(own) == Recipe(image_size=48)
    assert own.data.regions == ("liver",)
    assert (own.data.context, own.data.root) == (0, "/scans")
    assert (own.locator, own.init, own.ckpt) == (None, None, None)
    assert own.model.arguments["width"] == 4
    assert (own.max_epochs, own.scheduler.arguments["T_max"], own.budget_minutes) == (4, 4, 2.5)
    assert share_of_budget(settings) == 0.75
    assert own.trainer.arguments["check_val_every_n_epoch"] == 4
    assert own.task.encoder_lr_scale == 1
    assert set(own.callbacks) == {"best", "last", "learning_rate", "overlays"}
    assert own.callbacks["best"].arguments["monitor"] == "???"
    assert own.callbacks["best"].arguments["dirpath"] == "/runs/one/locator/checkpoints"
    assert own.paths.output_dir == "/runs/one/locator"
    assert own.paths.store_dir == settings.paths.store_dir
    for name in ("seed", "split", "augment", "loss", "optimizer", "intensity"):
        assert getattr(own, name) == getattr(settings, name)


def test_scans_and_store_in_the_folder_of_the_run_stay_there() -> None:
    settings = compose("data.root=/runs/one/scans", "paths.store_dir=/runs/one/store")
    own = training_of_locator(settings)
    assert (own.data.root, own.paths.store_dir) == ("/runs/one/scans", "/runs/one/store")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("locator.margin_mm=-1", "locator.margin_mm: must be from 0 to 500 mm, got -1"),
        ("locator.share=1", "locator.share: must lie between 0 and 1, got 1"),
        ("locator.image_size=8", "locator.image_size: must be from 16 to 4096 pixels, got 8"),
        ("locator.model.width=0", "locator.model.width: must be .*, got 0"),
        ("locator.model.norm=layer", "locator.model.norm: must be .*, got 'layer'"),
        ("trainer.devices=2", "locator: is trained on one device, got trainer.devices=2; train it in a run"),
        ("+trainer.num_nodes=2", "locator: is trained on one device, got trainer.num_nodes=2"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_key_before_anything_is_read(setting: str, told: str) -> None:
    with pytest.raises(ConfigError, match=f"^{told}"):
        rehearse(compose("data.image_size=32", setting))


def test_a_locator_of_another_run_may_be_used_on_several_devices(make_checkpoint: Any) -> None:
    path = make_checkpoint(regions=["liver", "tumor"])
    settings = compose(f"locator.ckpt={path}", "data.image_size=32", "trainer=ddp", "trainer.devices=2")
    rehearse(settings_kit.compose("train", "locator=coarse", *SMALL, f"locator.ckpt={path}", "trainer=cpu"))
    assert share_of_budget(settings) == 1
    locator = open_locator(settings)
    assert locator is not None
    assert locator.description["recipe"] == {"image_size": 32, "pixel_mm": None, "modality": "ct"}
    assert "head.weight" in locator.description["weights"]


def test_a_locator_is_no_other_file(tmp_path: Path, make_content: Any) -> None:
    with pytest.raises(CheckpointError, match=r"^locator.ckpt: .*none.ckpt: no such file"):
        open_locator(compose(f"locator.ckpt={tmp_path}/none.ckpt"))
    path = tmp_path / "a.ckpt"
    for described, network, told in (
        ({"regions": ["tumor"]}, 1, f"locator.ckpt: {path} must segment the liver, got a model of tumor"),
        (
            {"recipe": {"image_size": 32, "pixel_mm": None, "modality": "mr"}},
            2,
            f"locator.ckpt: {path} must be for ct, got mr",
        ),
        ({"context": None}, 2, "locator.ckpt: int"),
        ({"split": None}, 2, f"locator.ckpt: {path} does not describe a model: "),
    ):
        content = make_content()
        spec = {**content["lts"]["network"], "out_channels": network}
        torch.save(make_content({**described, "network": spec}, network=spec), path)
        with pytest.raises((CheckpointError, ConfigError)) as caught:
            open_locator(compose(f"locator.ckpt={path}"))
        assert str(caught.value).startswith(told)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are run; scans and store are made there once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def whole(succeed: Any, home: Path) -> tuple[Path, str]:
    """A run of two networks that was left alone, and what it printed."""
    printed = succeed("train", *BOTH, "paths.output_dir=whole", cwd=home)
    return home / "whole", printed


@pytest.mark.slow
def test_one_command_trains_both_and_one_checkpoint_holds_both(whole: tuple[Path, str]) -> None:
    folder, printed = whole
    lines = printed.splitlines()
    own = folder / "locator" / "checkpoints" / "best.ckpt"
    first = f"locator: learns the liver on whole slices of 32 x 32 pixels first, in {folder}/locator"
    then = (
        "locator: the network sees the slices and the square that hold the liver and 20 mm around it; "
        f"in training and validation by the reference, in prediction by that of {own}"
    )
    places = [lines.index(first), lines.index(then)]
    epochs = [n for n, line in enumerate(lines) if line.startswith("epoch ")]
    assert [line.split()[1] for line in lines if line.startswith("epoch ")] == [
        "1/2",
        "2/2",
        *(f"{n}/4" for n in range(1, 5)),
    ]
    assert places[0] < epochs[0] < epochs[1] < places[1] < epochs[2]
    alone, both = load_checkpoint(own), load_checkpoint(folder / "checkpoints" / "best.ckpt")
    assert alone.regions == ("liver",)
    assert both.recipe.focus == "liver"
    assert both.locator is not None
    assert both.locator.recipe == alone.recipe
    for name, weight in alone.network.state_dict().items():
        assert torch.equal(both.locator.network.state_dict()[name], weight)
    for name, value in alone.intensity.state_dict().items():
        assert torch.equal(both.locator.intensity.state_dict()[name], value)
    described = saved(folder)["lts"]
    assert described["start_cases"] == []  # those of the locator are those of the run
    assert saved(folder / "locator")["lts"]["split"] == described["split"]
    facts = read(folder / "run.json")["locator"]
    assert (facts["checkpoint"], facts["max_epochs"]) == (str(own), 2)


@pytest.mark.slow
def test_evaluating_and_predicting_need_the_checkpoint_alone(
    succeed: Any, whole: tuple[Path, str], home: Path, tmp_path: Path
) -> None:
    folder, _ = whole
    shutil.copy(folder / "checkpoints" / "best.ckpt", tmp_path / "best.ckpt")
    ckpt = f"ckpt={tmp_path}/best.ckpt"
    succeed("evaluate", ckpt, "paths.output_dir=scores", cwd=tmp_path)
    assert read(tmp_path / "scores" / "metrics.json") == read(folder / "metrics.json")
    (scans,) = (home / "data").glob("phantom-*")
    (case,) = read(folder / "split.json")["test"]
    scan = nib.load(scans / f"{case}.nii.gz")
    nib.save(scan, tmp_path / "scan.nii.gz")
    empty = np.full(scan.shape, -1000, np.int16)
    nib.save(nib.Nifti1Image(empty, scan.affine), tmp_path / "air.nii.gz")
    printed = succeed("predict", ckpt, "input=.", "output=masks", cwd=tmp_path)
    rows = {row["case"]: row for row in read(tmp_path / "masks" / "predictions.json")["cases"]}
    (found,) = rows["scan"]["located"]
    labels = np.asarray(nib.load(tmp_path / "masks" / "scan_mask.nii.gz").dataobj)
    assert found["slices_from_feet"][0] <= found["slices_from_feet"][1] < max(scan.shape)
    assert 0 < found["share"] <= 1
    assert labels.shape == scan.shape
    assert rows["air"]["located"] == [None]
    assert rows["air"]["liver_ml"] == 0
    line = "The first network found no liver, so the second was not run."
    assert line in rows["air"]["warnings"]
    assert f"air: {line}" in printed


@pytest.mark.slow
def test_a_run_killed_at_any_moment_ends_as_one_left_alone(
    succeed: Any, whole: tuple[Path, str], home: Path
) -> None:
    expected, _ = whole
    folder = home / "killed"
    settings = (*BOTH, f"paths.output_dir={folder}", "ckpt=auto")
    for line in ("epoch 1/2", "epoch 2/2", "epoch 1/4", "epoch 3/4"):
        process = start(*settings, cwd=home)
        wait_for(process, line)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        if line == "epoch 1/4":
            shutil.rmtree(folder / "locator")  # is within the checkpoint
    printed = succeed("train", *settings, cwd=home)
    assert "in prediction by that of the checkpoint" in printed
    for name in ("last", "best"):
        ours, theirs = saved(folder, name), saved(expected, name)
        assert same_weights(ours, theirs)
        for tensor, weight in theirs["lts"]["locator"]["weights"].items():
            assert torch.equal(ours["lts"]["locator"]["weights"][tensor], weight)
    assert read(folder / "metrics.json") == read(expected / "metrics.json")


@pytest.mark.slow
def test_a_finished_locator_is_used_again_and_its_settings_are_kept(
    run: Any, succeed: Any, whole: tuple[Path, str], home: Path
) -> None:
    expected, _ = whole
    folder = home / "begun"
    shutil.copytree(expected / "locator", folder / "locator")
    shutil.copy(expected / "run.json", folder / "run.json")
    own = "ckpt=last", f"paths.output_dir={folder}"
    stamp = (folder / "locator" / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    changed = run("train", *BOTH, *own, "locator.image_size=48", cwd=home)
    assert changed.returncode == 2
    assert changed.stderr.startswith("train: locator.image_size: must be 32 as in ")
    changed = run("train", *BOTH, *own, "split.seed=1", cwd=home)
    assert changed.returncode == 2
    assert changed.stderr.startswith("train: locator: ")
    printed = succeed("train", *BOTH, *own, cwd=home)
    assert f"locator: is trained already, in {folder}/locator" in printed
    assert same_weights(saved(folder), saved(expected))
    assert (folder / "locator" / "checkpoints" / "last.ckpt").stat().st_mtime_ns == stamp
    changed = run("train", *BOTH, *own, "locator.margin_mm=25", "trainer.max_epochs=5", cwd=home)
    assert changed.returncode == 2
    assert changed.stderr.startswith("train: locator.margin_mm: must be 20 as in ")
    changed = run("train", *ON_CPU, *own, "data.slices_per_epoch=48", "trainer.max_epochs=5", cwd=home)
    assert changed.returncode == 2
    assert changed.stderr.startswith("train: locator: must be set as in ")


@pytest.mark.slow
def test_the_locator_of_another_run_is_taken_and_its_cases_remembered(
    run: Any, succeed: Any, whole: tuple[Path, str], home: Path
) -> None:
    expected, _ = whole
    taken = (*BOTH, f"locator.ckpt={expected}/locator/checkpoints/best.ckpt", "trainer.max_epochs=1")
    refused = run("train", *taken, "split.seed=1", "paths.output_dir=refused", cwd=home)
    assert refused.returncode == 2
    assert refused.stderr.startswith(
        f"train: locator.ckpt: {expected}/locator/checkpoints/best.ckpt was trained on "
    )
    printed = succeed("train", *taken, "paths.output_dir=taken", cwd=home)
    assert not (home / "taken" / "locator").exists()
    assert f"in prediction by that of {expected}/locator/checkpoints/best.ckpt" in printed
    found = saved(home / "taken")["lts"]["locator"]["weights"]
    for name, weight in saved(expected)["lts"]["locator"]["weights"].items():
        assert torch.equal(found[name], weight)
    # Of a run of two networks it is the first; other cases than one's own are remembered.
    of_both = (*BOTH, f"locator.ckpt={expected}/checkpoints/best.ckpt", "trainer.max_epochs=1")
    fewer = home / "split.json"
    split = read(expected / "split.json")
    gone = split["train"].pop()
    split["unused"] = [gone]
    fewer.write_text(json.dumps(split))
    succeed("train", *of_both, f"split.file={fewer}", "paths.output_dir=fewer", cwd=home)
    described = saved(home / "fewer")["lts"]
    assert [case["case"] for case in described["start_cases"]] == [gone]
    for name, weight in saved(expected)["lts"]["locator"]["weights"].items():
        assert torch.equal(described["locator"]["weights"][name], weight)


@pytest.mark.slow
def test_several_processes_train_with_a_given_locator_and_train_none(
    run: Any, succeed: Any, whole: tuple[Path, str], home: Path
) -> None:
    expected, _ = whole
    two = (*ON_TWO, *BOTH[len(ON_CPU) :], "trainer.max_epochs=1", "paths.output_dir=two")
    refused = run("train", *two, cwd=home)
    assert refused.returncode == 2
    assert refused.stderr.startswith("train: locator: is trained on one device, got trainer.devices=2; ")
    assert not (home / "two").exists()
    succeed("train", *two, f"locator.ckpt={expected}/locator/checkpoints/best.ckpt", cwd=home)
    assert load_checkpoint(home / "two" / "checkpoints" / "best.ckpt").locator is not None


@pytest.mark.slow
def test_each_fold_trains_a_locator_on_its_own_cases(succeed: Any, home: Path) -> None:
    folds = ("split.folds=2", "split.fold=0,1", "split.val_share=0.25", "hydra.sweep.dir=cv")
    succeed("train", "-m", *BOTH, *folds, "trainer.max_epochs=2", cwd=home)
    found = []
    for job in ("0", "1"):
        own, both = saved(home / "cv" / job / "locator", "best"), saved(home / "cv" / job, "best")
        assert own["lts"]["split"] == both["lts"]["split"]
        assert own["lts"]["config"]["split"]["fold"] == int(job)
        found.append({case["case"] for case in own["lts"]["split"]["test"]})
    assert not found[0] & found[1]
    printed = succeed("evaluate", "folds=cv", "paths.output_dir=cv-scores", cwd=home)
    assert "2 folds" in printed
    assert read(home / "cv-scores" / "metrics.json")["n_cases"] == 5
