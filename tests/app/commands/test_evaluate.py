import re
from dataclasses import replace
from pathlib import Path

import pytest
from settings_kit import compose
from torch import nn

from lts.app.commands.evaluate import choose_cases, task_of
from lts.base import CheckpointError, CohortError, ConfigError
from lts.cohort import Case, Cohort
from lts.inference import Checkpoint
from lts.intensity import Window
from lts.slices import Recipe, content_hash


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    cases = []
    for name in ("a", "b", "c", "d"):
        path = tmp_path / f"{name}.nii"
        path.write_text(name)
        cases.append(Case(name, name, path, path))
    return Cohort("lits", tmp_path, tuple(cases))


@pytest.fixture
def checkpoint(cohort: Cohort) -> Checkpoint:
    def members(*names: str) -> list[dict[str, str]]:
        return [{"case": n, "patient": n, "sha256": content_hash(cohort.case(n).image)} for n in names]

    split = {"train": members("a", "b"), "val": members("c"), "test": members("d")}
    return Checkpoint(
        path=Path("model.ckpt"),
        network=nn.Identity(),
        intensity=Window(level_hu=0, width_hu=400),
        regions=("liver", "tumor"),
        recipe=Recipe(image_size=32, pixel_mm=None, modality="ct"),
        context=0,
        split=split,
        config={},
        versions={},
    )


def choose(cohort, *checkpoints, subset: str, own: bool = True, allow: bool = False) -> list[str]:
    chosen = choose_cases(cohort, checkpoints, subset=subset, own_data=own, allow_training_cases=allow)
    return [case.id for case in chosen]


def test_subsets_are_those_of_the_checkpoint(cohort, checkpoint) -> None:
    assert choose(cohort, checkpoint, subset="test") == ["d"]
    assert choose(cohort, checkpoint, subset="val") == ["c"]
    assert choose(cohort, checkpoint, subset="train", allow=True) == ["a", "b"]
    assert choose(cohort, checkpoint, subset="all", allow=True) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("subset", ["train", "all"])
def test_training_cases_are_refused_by_name(cohort, checkpoint, subset: str) -> None:
    with pytest.raises(CheckpointError, match="model.ckpt: was trained on a, b; .*allow_training_cases=true"):
        choose(cohort, checkpoint, subset=subset)


def test_a_training_case_under_another_name_in_another_folder_is_known(
    cohort, checkpoint, tmp_path: Path
) -> None:
    copy = tmp_path / "new.nii"
    copy.write_text("b")
    other = Cohort("pairs", tmp_path, (Case("x", "x", copy, copy), cohort.case("d")))
    with pytest.raises(CheckpointError, match="was trained on x;"):
        choose(other, checkpoint, subset="all", own=False)
    assert choose(other, checkpoint, subset="test", own=False) == ["d"]


def test_new_cases_are_all_scored(checkpoint, tmp_path: Path) -> None:
    new = tmp_path / "new.nii"
    new.write_text("new")
    other = Cohort("pairs", tmp_path, (Case("n", "n", new, new),))
    assert choose(other, checkpoint, subset="all", own=False) == ["n"]
    with pytest.raises(CohortError, match="no case is of the checkpoint's test subset; use subset=all"):
        choose(other, checkpoint, subset="test", own=False)


def test_a_scan_that_is_scored_twice_is_told(checkpoint, tmp_path: Path, capsys) -> None:
    new = tmp_path / "new"
    new.mkdir()
    for name, content in (("x", "new"), ("y", "other"), ("z", "new")):
        (new / f"{name}.nii").write_text(content)
    cases = tuple(Case(name, name, new / f"{name}.nii", new / f"{name}.nii") for name in "xyz")
    assert choose(Cohort("lits", new, cases), checkpoint, subset="all", own=False) == ["x", "y", "z"]
    assert capsys.readouterr().out == "z: holds the voxels of x: scores count both\n"


def test_a_test_case_that_changed_since_training_is_named(cohort, checkpoint) -> None:
    cohort.case("d").image.write_text("edited")
    with pytest.raises(CohortError, match="missing or have changed since training: d"):
        choose(cohort, checkpoint, subset="test")


def test_a_test_case_that_is_gone_is_named(cohort, checkpoint) -> None:
    less = Cohort(cohort.layout, cohort.root, cohort.cases[:3])
    with pytest.raises(CohortError, match="missing or have changed since training: d"):
        choose(less, checkpoint, subset="test")


def test_no_member_of_an_ensemble_may_know_a_case(cohort, checkpoint) -> None:
    other = replace(checkpoint, path=Path("other.ckpt"), split={"train": checkpoint.split["test"]})
    with pytest.raises(CheckpointError, match="other.ckpt: was trained on d;"):
        choose(cohort, checkpoint, other, subset="test")
    assert choose(cohort, checkpoint, other, subset="test", allow=True) == ["d"]
    assert choose(cohort, checkpoint, other, subset="val") == ["c"]


@pytest.mark.parametrize(
    ("task", "setting", "told"),
    [
        ("ckpt=a", "references=b", "references: has no meaning for ckpt=..., got 'b'"),
        ("ckpt=a", "allow_unpaired=true", "allow_unpaired: has no meaning for ckpt"),
        ("folds=a", "references=b", "references: has no meaning for folds"),
        ("folds=a", "allow_unpaired=true", "allow_unpaired: has no meaning for folds"),
        (
            "predictions=a",
            "allow_training_cases=true",
            "allow_training_cases: has no meaning for predictions",
        ),
        ("compare=[a,b]", "reference_labels={liver: [5]}", "reference_labels: has no meaning for compare"),
        ("ckpt=a", "prediction_labels={liver: [5]}", "prediction_labels: has no meaning for ckpt"),
        ("compare=[a,b]", "allow_training_cases=true", "allow_training_cases: has no meaning for compare"),
        ("ckpt=a", "data.labels={liver: [5]}", "data.labels: has no meaning without data.root"),
        ("predictions=a", "data.labels={liver: [5]}", "data.labels: has no meaning without data.root"),
        ("compare=[a,b]", "data.root=c", "data: has no meaning for compare=..., got {'root': 'c'}"),
        ("compare=[a,b]", "overlays=true", "overlays: has no meaning for compare=..., got True"),
        ("compare=[a,b]", "viewers=all", "viewers: has no meaning for compare=..., got 'all'"),
        ("predictions=a", "viewers=-1", "viewers: must be 0 or more, or all, got -1"),
    ],
)
def test_a_setting_without_effect_is_refused(task: str, setting: str, told: str) -> None:
    assert task_of(compose("evaluate", task)) == task.partition("=")[0]
    with pytest.raises(ConfigError, match=re.escape(told)):
        task_of(compose("evaluate", task, setting))
