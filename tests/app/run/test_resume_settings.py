"""Every setting is either taken when a run goes on, or refused by name."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import settings_kit
import torch

from lts.app.config.serialization import settings_to_dict
from lts.app.config.settings import TrainSettings
from lts.app.run.resume_settings import (
    RULES,
    Change,
    check_cases,
    check_fixed_settings,
    check_nothing_left,
    rule_of,
    settings_changed,
)
from lts.base import CheckpointError, ConfigError

CKPT = Path("run/checkpoints/last.ckpt")


def compose(*overrides: str, settled: bool = True) -> TrainSettings:
    best = ["callbacks.best.monitor=val/loss", "callbacks.best.mode=min"] if settled else []
    paths = [f"paths.{key}=/runs/one/{key}" for key in ("output_dir", "store_dir", "data_dir")]
    return settings_kit.compose("train", "data.root=scans", *paths, *best, *overrides)


def changed(*overrides: str, before: tuple[str, ...] = (), settled: bool = True) -> dict[str, Change]:
    found = settings_changed(settings_to_dict(compose(*before)), compose(*overrides, settled=settled))
    return {change.key: change for change in found}


def leaves(config: Mapping[str, Any], prefix: str = "") -> list[str]:
    return [
        key
        for name, value in config.items()
        for key in (leaves(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [f"{prefix}{name}"])
    ]


def test_every_key_of_a_training_has_a_rule_that_was_thought_of() -> None:
    groups = (
        *("model=resnet50", "scheduler=cosine", "pruning=median", "trainer=ddp", "loss=focal_dice"),
        "callbacks=weight_averaging",
    )
    keys = {key for chosen in ((), groups) for key in leaves(settings_to_dict(compose(*chosen)))}
    assert len(keys) > 100
    for key in keys:
        ancestors = [".".join(key.split(".")[:n]) for n in range(1, key.count(".") + 2)]
        assert RULES.keys() & set(ancestors), key
        assert rule_of(key) == next(RULES[name] for name in reversed(ancestors) if name in RULES)
    assert rule_of("a_key_of_tomorrow") == "fixed"
    for section in RULES:
        assert any(key == section or key.startswith(f"{section}.") for key in keys), section


def test_settings_that_came_after_a_checkpoint_were_null_there() -> None:
    saved = settings_to_dict(compose())
    del saved["locator"], saved["data"]["labels"]
    assert settings_changed(saved, compose()) == []
    (change,) = settings_changed(saved, compose("data.labels={liver: [5]}"))
    assert (change.key, change.saved, change.rule) == ("data.labels", None, "fixed")


def test_an_unchanged_run_changes_nothing_wherever_its_folder_is() -> None:
    assert changed() == {}
    assert changed(settled=False) == {}  # what the run has yet to choose
    assert changed("paths.output_dir=/elsewhere/two") == {}


@pytest.mark.parametrize(
    ("setting", "key", "rule"),
    [
        ("optimizer.lr=1e-6", "optimizer.lr", "taken"),
        ("optimizer.weight_decay=0", "optimizer.weight_decay", "taken"),
        ("scheduler.patience=1", "scheduler.patience", "taken"),
        ("+scheduler.threshold=0.5", "scheduler.threshold", "taken"),
        ("trainer.max_epochs=70", "trainer.max_epochs", "taken"),
        ("trainer.gradient_clip_val=0.5", "trainer.gradient_clip_val", "taken"),
        ("trainer.devices=2", "trainer.devices", "taken"),
        ("data.batch_size=3", "data.batch_size", "taken"),
        ("data.region_share=0.1", "data.region_share", "taken"),
        ("augment.flip_left_right=0.5", "augment.flip_left_right", "taken"),
        ("callbacks=freeze_encoder", "callbacks.freeze_encoder", "taken"),
        ("callbacks=early_stopping", "callbacks.early_stopping", "taken"),
        ("callbacks=weight_averaging", "callbacks.weight_averaging", "fixed"),
        ("data.num_workers=7", "data.num_workers", "free"),
        ("logger=csv", "logger.csv", "free"),
        ("scoring.lits=true", "scoring.lits", "free"),
        ("compile=false", "compile", "free"),
        ("ckpt=last", "ckpt", "free"),
        ("pruning=median", "callbacks.prune", "free"),
        ("split.seed=7", "split.seed", "cases"),
        ("data.root=elsewhere", "data.root", "cases"),
        ("data.phantom.seed=3", "data.phantom.seed", "cases"),
        ("optimizer=adamw", "optimizer._target_", "fixed"),
        ("scheduler=cosine", "scheduler._target_", "fixed"),
        ("scheduler=none", "scheduler", "fixed"),
        ("loss.dice_weight=0.1", "loss.dice_weight", "fixed"),
        ("loss=tversky", "loss._target_", "fixed"),
        ("model.width=8", "model.width", "fixed"),
        ("data.regions=[liver]", "data.regions", "fixed"),
        ("data.image_size=64", "data.image_size", "fixed"),
        ("intensity=ct_plain", "intensity._target_", "fixed"),
        ("intensity.channels.0.level_hu=31", "intensity.channels", "fixed"),
        ("seed=1", "seed", "fixed"),
        ("task.encoder_lr_scale=0.5", "task.encoder_lr_scale", "fixed"),
        ("callbacks.best.monitor=val/accuracy", "callbacks.best.monitor", "fixed"),
    ],
)
def test_each_setting_is_taken_or_refused_by_its_name(setting: str, key: str, rule: str) -> None:
    found = changed(setting)
    assert found[key].rule == rule
    fixed = [change for change in found.values() if change.rule == "fixed"]
    if not fixed:
        check_fixed_settings(list(found.values()), CKPT, same_folder=True)
        return
    with pytest.raises(ConfigError) as refused:
        check_fixed_settings(list(found.values()), CKPT, same_folder=True)
    told = str(refused.value)
    assert all(change.key in told for change in fixed)
    assert f" as in {CKPT}, got " in told
    assert "\n" not in told


def test_a_refusal_names_both_values_and_at_most_three_in_full() -> None:
    settings = ("seed=1", "model.width=8", "model.depth=3", "model.norm=group", "model.dropout=0.5")
    with pytest.raises(ConfigError) as refused:
        check_fixed_settings(list(changed(*settings).values()), CKPT, same_folder=True)
    told = str(refused.value)
    assert (
        told.startswith(f"seed: must be 0 as in {CKPT}, got 1; ")
        or f"seed: must be 0 as in {CKPT}, got 1" in told
    )
    assert told.count("must be") == 3
    assert "; so must " in told
    assert all(setting.split("=")[0] in told for setting in settings)
    assert Change(key="a", saved=None, asked="x" * 500).refused(CKPT).endswith("x" * 80 + "...")
    assert Change(key="a", saved={"_target_": "A"}, asked=None).summary() == "a null (was A)"


def test_a_run_in_another_folder_chooses_its_best_by_what_it_likes() -> None:
    found = list(changed("callbacks.best.monitor=val/accuracy").values())
    check_fixed_settings(found, CKPT, same_folder=False)
    with pytest.raises(ConfigError, match="callbacks.best.monitor: must be val/loss as in"):
        check_fixed_settings(found, CKPT, same_folder=True)
    with pytest.raises(ConfigError, match="seed: must be 0"):
        check_fixed_settings(list(changed("seed=1").values()), CKPT, same_folder=False)


def test_a_section_that_is_empty_is_none() -> None:
    saved = {**settings_to_dict(compose("scheduler=none")), "scheduler": {}}
    assert settings_changed(saved, compose("scheduler=none")) == []


def test_a_key_that_only_the_checkpoint_has_is_refused() -> None:
    saved = {**settings_to_dict(compose()), "budget": 3}
    found = settings_changed(saved, compose(settled=False))
    with pytest.raises(ConfigError, match=f"^budget: must be 3 as in {CKPT}, got nothing$"):
        check_fixed_settings(found, CKPT, same_folder=True)


def test_a_section_that_only_one_of_the_two_has_is_judged_as_another_class() -> None:
    for values in ((None, {"_target_": "A"}), ({"_target_": "A"}, "nothing")):
        assert Change(key="scheduler", saved=values[0], asked=values[1]).rule == "fixed"
    assert Change(key="callbacks.stop", saved="nothing", asked={"_target_": "A"}).rule == "taken"


def test_a_longer_cosine_is_a_longer_curve() -> None:
    found = changed("scheduler=cosine", "trainer.max_epochs=70", before=("scheduler=cosine",))
    assert set(found) == {"trainer.max_epochs", "scheduler.T_max"}
    assert {change.rule for change in found.values()} == {"taken"}


@pytest.mark.parametrize(
    ("setting", "refused"),
    [
        ("optimizer.lr=1e-6", True),
        ("data.batch_size=3", True),
        ("trainer.devices=2", False),
        ("callbacks=freeze_encoder", False),
        ("ckpt=a", False),
    ],
)
def test_where_all_epochs_are_done_nothing_can_be_learned_otherwise(setting: str, refused: bool) -> None:
    taken = [change for change in changed(setting).values() if change.rule == "taken"]
    if not refused:
        check_nothing_left(taken, CKPT)
        return
    with pytest.raises(ConfigError, match="all epochs are done, a higher trainer.max_epochs would make more"):
        check_nothing_left(taken, CKPT)


CASES = {"train": ["a", "b"], "val": [], "test": ["c"]}


def test_the_same_cases_may_be_told_by_other_settings() -> None:
    found = list(changed("split.seed=7", "data.root=elsewhere").values())
    check_cases(found, CKPT, saved=CASES, asked={part: tuple(ids) for part, ids in CASES.items()})


def test_other_cases_are_refused_by_the_settings_that_lead_to_them_or_as_changed_files() -> None:
    in_another_order = ("train", ["b", "a"])
    for part, ids in (*itertools.product(CASES, (["d"], ["c", "d"])), in_another_order):
        other = {**CASES, part: ids}
        with pytest.raises(ConfigError, match=f"^split.seed: must be 0 as in {CKPT}, got 7$"):
            check_cases(list(changed("split.seed=7").values()), CKPT, saved=CASES, asked=other)
        with pytest.raises(
            CheckpointError, match=f"was trained with another split: its {part} cases are no longer"
        ):
            check_cases(list(changed("optimizer.lr=1").values()), CKPT, saved=CASES, asked=other)


def test_a_checkpoint_without_its_settings_is_refused() -> None:
    for saved in ({}, {"paths": {}}, {"paths": None}):
        with pytest.raises(CheckpointError, match="ckpt: must hold the settings of a training to go on from"):
            settings_changed(saved, compose(settled=False))


def test_settings_survive_a_checkpoint(tmp_path: Path) -> None:
    torch.save(settings_to_dict(compose()), tmp_path / "settings")
    saved = torch.load(tmp_path / "settings", weights_only=True)
    assert settings_changed(saved, compose(settled=False)) == []
