import json
from pathlib import Path

import pytest

from lts.app.commands.cases import open_cohort, split_cohort
from lts.app.config.settings import DataSettings, PhantomSettings, SplitSettings
from lts.base import CohortError, ConfigError
from lts.cohort import Case, Cohort

NOTHING = Path("nothing")
COHORT = Cohort("lits", NOTHING, tuple(Case(f"c{n}", f"p{n}", NOTHING, NOTHING) for n in range(10)))


def split(**changes):
    return split_cohort(COHORT, SplitSettings(**changes))


def test_shares_folds_and_files_divide_a_cohort(tmp_path: Path) -> None:
    assert [len(split().subset(name)) for name in ("train", "val", "test")] == [6, 2, 2]
    tested = [split(folds=5, fold=fold).test for fold in range(5)]
    assert sorted(case for cases in tested for case in cases) == [f"c{n}" for n in range(10)]
    file = tmp_path / "split.json"
    file.write_text(json.dumps(split(seed=3).to_dict()))
    assert split(file=str(file)) == split(seed=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fold": 1}, "split.fold and split.folds: go together, got 1 and None"),
        ({"folds": 5}, "split.fold and split.folds: go together, got None and 5"),
        ({"file": "x.json", "fold": 1, "folds": 5}, "split.file: excludes split.fold and split.folds"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split(**changes)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"val_share": 1}, "split.val_share: must be 0 or more and less than 1, got 1"),
        ({"val_share": 0.5, "test_share": 0.5}, "split.val_share and split.test_share: must leave cases"),
        ({"folds": 11, "fold": 0}, r"split.folds: must be at most the number of patients \(10\), got 11"),
    ],
)
def test_a_rule_of_the_cohort_is_told_by_the_keys_of_the_config(changes: dict, line: str) -> None:
    with pytest.raises(ConfigError, match=f"^{line}"):
        split(**changes)


@pytest.mark.parametrize("changes", [{}, {"folds": 2, "fold": 0}])
def test_too_few_patients_are_told_with_what_helps(changes: dict) -> None:
    two = Cohort("lits", NOTHING, COHORT.cases[:2])
    with pytest.raises(CohortError) as refused:
        split_cohort(two, SplitSettings(**changes))
    assert str(refused.value) == (
        "a split by patient into 3 parts needs 3 patients or more, got 2 (p0, p1); split.val_share=0 and "
        "split.test_share=0 leave a part empty, split.file chooses the parts"
    )


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_split_file_may_leave_nothing_to_choose_and_to_report_by(tmp_path: Path, part: str) -> None:
    content = split().to_dict()
    content["train"] += content[part]
    content[part] = []
    file = tmp_path / "split.json"
    file.write_text(json.dumps(content))
    assert split(file=str(file)).subset(part) == ()


def test_phantoms_are_made_on_first_use(tmp_path: Path) -> None:
    phantom = PhantomSettings(cases=1, matrix=48, seed=0)
    data = DataSettings(layout="lits", root=tmp_path / "made", phantom=phantom)
    cohort = open_cohort(data)
    assert [case.id for case in cohort.cases] == ["volume-0"]
    stamp = cohort.cases[0].image.stat().st_mtime_ns
    assert open_cohort(data).cases[0].image.stat().st_mtime_ns == stamp
