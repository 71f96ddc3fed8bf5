"""The parts of a run, put together and not run."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import command_kit
import pytest
import settings_kit
import torch
from run_kit import ON_CPU

from lts.app.commands.cases import open_cohort, split_cohort
from lts.app.commands.training import budget
from lts.app.commands.training.budget import measure_pace
from lts.app.commands.training.parts import (
    fit,
    make_task_and_trainer,
    members_of,
    print_store,
    set_up_data,
)
from lts.app.config.settings import TrainSettings
from lts.app.run.distributed import StopOnSignal
from lts.app.run.signals import StopSignals
from lts.base import ConfigError
from lts.cohort import Case, Cohort, Split
from lts.data import SliceDataModule
from lts.slices import content_hash
from lts.task import (
    BestCheckpoint,
    DescribeCheckpoint,
    EpochHistory,
    PrintEpochs,
    PrintTimeLeft,
    WatchLoss,
    WholeCheckpointIO,
    WholeLogs,
)

MONITOR = "val/tumor/dice_per_case"

Parts = tuple[TrainSettings, SliceDataModule, Cohort, Split]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """Config, data, cohort and split of five phantoms, three of them to train on."""
    home = tmp_path_factory.mktemp("home")
    folders = (f"paths.output_dir={home}/run", f"paths.data_dir={home}/data")
    changes = ("seed=3", "task.encoder_lr_scale=0.25", "data.num_workers=2")
    monitor = (f"callbacks.best.monitor={MONITOR}", "callbacks.best.mode=max")
    settings = settings_kit.compose("train", *ON_CPU, *folders, *changes, *monitor)
    cohort = open_cohort(settings.data)
    split = split_cohort(cohort, settings.split)
    return settings, set_up_data(settings, cohort, split), cohort, split


def test_a_process_is_seeded_before_anything_is_drawn(parts: Parts) -> None:
    settings, _, cohort, split = parts
    torch.rand(7)
    set_up_data(settings, cohort, split)
    drawn = torch.rand(5)
    assert torch.equal(drawn, torch.rand(5, generator=torch.Generator().manual_seed(3)))


def test_members_are_told_by_the_content_of_their_scans(parts: Parts) -> None:
    _, data, cohort, split = parts
    members = members_of(data, cohort, split)
    assert [len(members[name]) for name in ("train", "val", "test")] == [3, 1, 1]
    for name, cases in (("train", split.train), ("val", split.val), ("test", split.test)):
        expected = [
            (case, cohort.case(case).patient, content_hash(cohort.case(case).image)) for case in cases
        ]
        assert [(one["case"], one["patient"], one["sha256"]) for one in members[name]] == expected


def test_what_is_notable_of_stored_cases_is_said_before_the_plan(
    parts: Parts, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, data, _, split = parts
    for name in ("train", "val"):
        for stored in data.stored(name):
            monkeypatch.setitem(stored.__dict__, "notes", ("labels were rounded",))
    print_store(settings, data)
    *notes, plan = capsys.readouterr().out.splitlines()
    assert notes == [f"{case}: labels were rounded" for case in (*split.train, *split.val)]
    assert plan.startswith("store ")
    assert f" for 4 cases in {settings.paths.store_dir}; loader workers 2, each with about 20 MiB" in plan


def test_the_end_of_an_epoch_is_timed_with_its_checkpoints(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings, data, *_ = parts
    settings = replace(settings, paths=replace(settings.paths, output_dir=tmp_path))
    written = []

    def save_slowly(_io: object, state: dict[str, Any], path: Path) -> None:
        written.append(set(state))
        path.touch()
        time.sleep(0.3)

    monkeypatch.setattr(WholeCheckpointIO, "save_checkpoint", save_slowly)
    pace = measure_pace(settings, data, compiled=False, most_s=0.1)
    assert written == [{"weights", "optimizer"}]
    assert pace.step_s > 0
    assert pace.epoch_end_s > 2 * 0.3 + budget._LOGS_S  # the last checkpoint and the best, and validation
    assert list(tmp_path.iterdir()) == []


def callback(trainer: Any, kind: type) -> Any:
    (found,) = [one for one in trainer.callbacks if isinstance(one, kind)]
    return found


@pytest.mark.parametrize("signals", [StopSignals(), None], ids=["first process", "another"])
def test_a_trainer_has_all_that_keeps_a_run_whole(parts: Parts, signals: StopSignals | None) -> None:
    settings, data, cohort, split = parts
    members = members_of(data, cohort, split)
    task, trainer = make_task_and_trainer(settings, data, members=members, signals=signals)
    assert isinstance(trainer.strategy.checkpoint_io, WholeCheckpointIO)
    for kind in (BestCheckpoint, WholeLogs, PrintTimeLeft, WatchLoss):
        callback(trainer, kind)
    # Lightning calls them in this order: what is told of an epoch comes after its checkpoints.
    assert isinstance(trainer.callbacks[-1], PrintEpochs)
    assert isinstance(trainer.callbacks[-3], BestCheckpoint)
    assert callback(trainer, DescribeCheckpoint)._description["split"] == members
    assert any(isinstance(one, StopOnSignal) for one in trainer.callbacks) == (signals is not None)
    history = callback(trainer, EpochHistory)
    history.epochs = {1: {MONITOR: 0.25}, 2: {MONITOR: 0.75}, 3: {MONITOR: 0.5}}
    assert history.best_epoch() == 2
    assert history._path == Path(settings.paths.output_dir) / "curves.png"
    assert Path(trainer.default_root_dir) == Path(settings.paths.output_dir)
    assert task.regions == ("liver", "tumor")
    assert task._encoder_lr_scale == 0.25
    assert len(task.overlap.counts) == 1  # validation cases


def test_a_share_of_copied_lesions_without_a_lesion_ends_a_training_before_it_begins(
    make_case: Callable[..., Case], tmp_path: Path
) -> None:
    for n in range(4):
        case = make_case(f"volume-{n}", tumor=False, seed=n)
        assert case.mask is not None
        case.mask.rename(tmp_path / f"segmentation-{n}.nii.gz")
    small = [each for each in ON_CPU if "phantom" not in each]
    settings = (
        "data=lits",
        f"data.root={tmp_path}",
        "paths.output_dir=run",
        "augment.tumor_copied_share=0.5",
    )
    ended = command_kit.run("train", *small, *settings, cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].endswith(
        "augment.tumor_copied_share: must be 0 where no training slice holds a tumor within liver, got 0.5"
    )
    assert "warning" not in ended.stderr.lower()
    assert not list(tmp_path.glob("run/**/*.ckpt"))


def test_a_share_of_slices_that_do_not_exist_is_told_by_its_key() -> None:
    class Trainer:
        def fit(self, *_: object, **__: object) -> None:
            raise ConfigError("region_share: must be 0 where no training slice holds tumor, got 0.5")

    with pytest.raises(
        ConfigError, match=r"^data\.region_share: must be 0 where no training slice holds tumor"
    ):
        fit(Trainer(), None, None, None)  # type: ignore[arg-type]
