"""What the folds of a cross-validation must be to be scored as one cohort."""

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lts.app.commands import folds as module
from lts.app.commands.folds import choose_models, load_folds
from lts.base import CheckpointError, CohortError, ConfigError
from lts.cohort import Cohort
from lts.inference import Checkpoint
from lts.slices import Recipe, content_hash

CONFIG = {
    "seed": 0,
    "data": {"regions": ["liver", "tumor"], "num_workers": 2},
    "optimizer": {"lr": 1e-3},
    "split": {"folds": 3, "fold": None},
    "ckpt": None,
    "scoring": {"workers": None},
    "sweep": {"stop_on_failure": False},
}


def members(names: str) -> list[dict[str, str]]:
    """A member a letter; `a` and `A` are two scans of one patient."""
    return [{"case": name, "patient": name.lower(), "sha256": f"scan {name}"} for name in names]


class Sweep:
    """A sweep on disk; its checkpoints are opened out of `checkpoints`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoints: dict[Path, Checkpoint] = {}

    def add(
        self,
        job: str,
        fold: int | None,
        *,
        train: str,
        val: str,
        test: str,
        state: str = "done",
        chosen: dict[str, object] | None = None,
        **changes: object,
    ) -> Path:
        run = self.folder / job
        run.mkdir(parents=True)
        (run / "run.json").write_text(json.dumps({"state": state}))
        config = copy.deepcopy(CONFIG)
        config["split"]["fold"] = fold
        config["paths"] = {"output_dir": str(run), "data_dir": "a"}
        config["logger"] = {"save_dir": f"{run}/tensorboard"}
        for key, value in changes.items():
            section, _, name = key.partition("__")
            config[section] = {**config[section], name: value} if name else value
        path = run / "checkpoints" / "best.ckpt"
        self.checkpoints[path] = Checkpoint(
            path=path,
            network=None,
            intensity=None,
            regions=("liver", "tumor"),
            recipe=Recipe(image_size=64, pixel_mm=None, modality="ct"),
            context=0,
            split={"train": members(train), "val": members(val), "test": members(test)},
            config=config,
            versions={},
            chosen=chosen or {},
        )
        return path


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    found = Sweep(tmp_path / "cv")
    monkeypatch.setattr(module, "load_checkpoint", lambda path, **_: found.checkpoints[path])
    return found


@pytest.fixture
def sound(sweep: Sweep) -> Sweep:
    """Two of three folds; the third is for the test to add."""
    sweep.add("0", 1, train="ef", val="ab", test="cd")
    sweep.add("1", 0, train="cd", val="ef", test="ab", data__num_workers=0)
    return sweep


def test_folds_are_put_in_order_whatever_their_jobs_are_called(sound: Sweep) -> None:
    own = {"ckpt": "last", "scoring__workers": 3, "paths__data_dir": "b", "sweep__stop_on_failure": True}
    own["callbacks"] = {"best": {"monitor": "val/loss", "mode": "min"}}  # it validates on no tumor
    path = sound.add("7", 2, train="ab", val="cd", test="ef", **own)
    found = load_folds(sound.folder)
    assert [fold.number for fold in found] == [0, 1, 2]
    assert found[2].checkpoint.path == path


def test_what_each_fold_chose_by_its_own_cases_may_differ_and_nothing_else(sweep: Sweep) -> None:
    def add(job: str, fold: int, pixel_mm: float, *, chosen: bool = True, **parts: str) -> None:
        keys = {"data.pixel_mm": pixel_mm} if chosen else {}
        sweep.add(job, fold, chosen=keys, data__pixel_mm=pixel_mm, **parts)

    add("0", 0, 0.7, train="ef", val="cd", test="ab")
    add("1", 1, 0.8, train="ab", val="ef", test="cd")
    add("2", 2, 0.9, train="cd", val="ab", test="ef")
    assert [fold.number for fold in load_folds(sweep.folder)] == [0, 1, 2]
    shutil.rmtree(sweep.folder / "2")
    add("2", 2, 0.9, chosen=False, train="cd", val="ab", test="ef")
    with pytest.raises(CheckpointError, match=r"data.pixel_mm of .* is 0.7 and 0.9"):
        load_folds(sweep.folder)


@pytest.mark.parametrize(
    ("fold", "changes", "rule"),
    [
        (1, {}, "fold 1 is there twice, .*/0/checkpoints/best.ckpt and .*/2/checkpoints/best.ckpt"),
        (None, {}, "/2 is no fold, its split.fold is null"),
        (2, {"state": "running"}, "every fold must be done, .*/2 is running"),
        (2, {"state": "pruned"}, "every fold must be done, .*/2 is pruned"),
    ],
)
def test_folds_that_are_no_set_are_refused(sound: Sweep, fold: int | None, changes: dict, rule: str) -> None:
    sound.add("2", fold, train="ab", val="cd", test="ef", **changes)
    with pytest.raises(ConfigError, match=f"folds: .*{rule}"):
        load_folds(sound.folder)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 1}, "seed of .* is 0 and 1"),
        ({"data__regions": ["tumor"]}, r"data.regions of .* is \['liver', 'tumor'\] and \['tumor'\]"),
        ({"optimizer__lr": 1e-4}, "optimizer.lr of .* is 0.001 and 0.0001"),
        ({"split__folds": 5}, "split.folds of .* is 3 and 5"),
        ({"optimizer__eps": 1}, "optimizer.eps of .* is None and 1"),
    ],
)
def test_folds_that_differ_in_a_setting_are_refused(sound: Sweep, changes: dict, told: str) -> None:
    sound.add("2", 2, train="ab", val="cd", test="ef", **changes)
    with pytest.raises(CheckpointError, match=f"folds: must differ in split.fold alone; {told}"):
        load_folds(sound.folder)


def test_the_second_of_two_folds_is_compared_too(sweep: Sweep) -> None:
    sweep.add("0", 0, train="c", val="d", test="ab")
    sweep.add("1", 1, train="a", val="b", test="cd", seed=1)
    with pytest.raises(CheckpointError, match="seed of .* is 0 and 1"):
        load_folds(sweep.folder)


@pytest.mark.parametrize(
    ("train", "val", "test", "told"),
    [
        ("abe", "cd", "ef", "/2/checkpoints/best.ckpt knew cases that it tests: e$"),
        ("ab", "cdf", "ef", "/2/checkpoints/best.ckpt knew cases that it tests: f$"),
        ("abE", "cd", "ef", "/2/checkpoints/best.ckpt knew cases that it tests: e$"),
        ("b", "cd", "efa", "a is tested by both .*/1/checkpoints/best.ckpt and .*/2/checkpoints/best.ckpt"),
        ("ab", "cdf", "e", "no fold tests f of .*/0/checkpoints/best.ckpt"),
        ("ab", "cd", "efg", "/2/checkpoints/best.ckpt tests cases that .*/0/.*best.ckpt does not have"),
    ],
)
def test_folds_that_do_not_divide_the_same_cases_are_refused(
    sound: Sweep, train: str, val: str, test: str, told: str
) -> None:
    sound.add("2", 2, train=train, val=val, test=test)
    with pytest.raises(CheckpointError, match=f"folds: .*{told}"):
        load_folds(sound.folder)


def test_a_scan_that_the_model_knew_under_another_patient_is_refused(sound: Sweep) -> None:
    path = sound.add("2", 2, train="ab", val="cd", test="ef")
    sound.checkpoints[path].split["train"].append({"case": "x", "patient": "x", "sha256": "scan e"})
    with pytest.raises(CheckpointError, match="/2/checkpoints/best.ckpt knew cases that it tests: e$"):
        load_folds(sound.folder)


def test_a_scan_that_the_weights_of_the_start_knew_is_refused_and_a_namesake_of_its_patient_is_not(
    sound: Sweep,
) -> None:
    path = sound.add("2", 2, train="ab", val="cd", test="ef")
    of_other_data = sound.checkpoints[path].start_cases
    of_other_data.append({"case": "e", "patient": "e", "sha256": "phantom e"})
    assert len(load_folds(sound.folder)) == 3
    of_other_data.append({"case": "x", "patient": "x", "sha256": "scan e"})
    with pytest.raises(CheckpointError, match="/2/checkpoints/best.ckpt knew cases that it tests: e$"):
        load_folds(sound.folder)


def test_a_missing_fold_is_named(sound: Sweep) -> None:
    with pytest.raises(ConfigError, match=r"must hold all 3 folds, missing: 2"):
        load_folds(sound.folder)


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be the folder of a sweep over split.fold, .* holds no runs"):
        load_folds(tmp_path)


def test_each_case_goes_to_the_fold_that_tests_its_content(sweep: Sweep, make_case, capsys) -> None:
    cases = [make_case(f"volume-{number}", seed=number) for number in range(3)]
    contents = [content_hash(case.image) for case in cases]
    for fold in range(3):
        sweep.add(str(fold), fold, train="", val="", test="")
        split = sweep.checkpoints[sweep.folder / str(fold) / "checkpoints" / "best.ckpt"].split
        # Renamed since: only the content tells.
        for number, content in enumerate(contents):
            split["test" if number == fold else "train"].append(
                {"case": f"old-{number}", "patient": str(number), "sha256": content}
            )
    found = load_folds(sweep.folder)
    cohort = Cohort(layout="pairs", root=cases[0].image.parent, cases=tuple(cases))
    chosen = choose_models(cohort, found)
    assert [(case.id, fold.number) for case, fold in chosen] == [(f"volume-{n}", n) for n in range(3)]
    grown = Cohort(layout="pairs", root=cohort.root, cases=(*cases, make_case("new", seed=7)))
    assert choose_models(grown, found) == chosen
    assert "holds the voxels" not in capsys.readouterr().out
    twins = Cohort(layout="pairs", root=cohort.root, cases=(*cases, replace(cases[0], id="twin")))
    assert len(choose_models(twins, found)) == 4
    assert "volume-0: holds the voxels of twin" in capsys.readouterr().out  # in the order of the cohort
    with pytest.raises(CohortError, match="cases are missing or have changed since training: old-1"):
        choose_models(Cohort(layout="pairs", root=cohort.root, cases=(cases[0], cases[2])), found)
