"""What a user sees of a check: the table, `doctor.json`, exit codes, and lines before a training."""

import json
import shutil
from pathlib import Path

import pytest
from fault_kit import plant_fault

from lts.app.commands.check import check_not_learned_from
from lts.base import ConfigError
from lts.cohort import find_cases
from lts.cohort.doctor.findings import CHECKS
from lts.phantom import make_phantom_cohort

TINY = (
    *("data=lits", "data.root=cohort", "data.image_size=48", "data.num_workers=0", "data.slices_per_epoch=8"),
    *("data.batch_size=8", "model.width=4", "model.depth=3", "trainer=cpu", "trainer.max_epochs=1"),
    *("intensity=ct_plain", "paths.output_dir=run", "split.file=split.json"),
)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "phantom"
    return make_phantom_cohort(root, cases=3, matrix=48, seed=11)


@pytest.fixture
def cohort(healthy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(healthy, tmp_path / "cohort"))


def plant(code: str, cohort: Path) -> None:
    case, other, _ = find_cases(cohort, layout="lits").cases
    plant_fault(code, case=case, other=other)


def diagnosis(folder: Path) -> dict:
    return json.loads((folder / "doctor.json").read_text())


def test_a_cohort_with_errors_and_notes(run, cohort: Path, tmp_path: Path) -> None:
    plant("mirrored", cohort)
    case, other, third = find_cases(cohort, layout="lits").cases
    plant_fault("labels-unknown", case=other, other=case)
    plant_fault("labels-rounded", case=third, other=case)
    done = run("check", "data=lits", "data.root=cohort", "paths.output_dir=out", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("check: 2 errors: volume-0: mirrored: the liver's center lies ")
    assert done.stderr.count("\n") == 1
    assert "volume-1: labels-unknown: " in done.stderr
    assert str(tmp_path / "out" / "doctor.json") in done.stderr
    assert "checking cases: 3/3" in done.stdout
    told = diagnosis(tmp_path / "out")
    assert set(told) == {"root", "layout", "n_cases", "findings", "checks"}
    assert (told["root"], told["layout"], told["n_cases"]) == (str(cohort), "lits", 3)
    assert [(one["case"], one["code"], one["severity"]) for one in told["findings"]] == [
        ("volume-0", "mirrored", "error"),
        ("volume-1", "labels-unknown", "error"),
        ("volume-2", "labels-rounded", "note"),
    ]
    assert {key for one in told["findings"] for key in one} == {
        *("case", "code", "severity", "message", "remedy")
    }
    assert told["checks"]["mirrored"] == told["checks"]["labels-rounded"] == 1
    assert told["checks"]["truncated"] == 0
    table = [line.split("│")[1:-1] for line in done.stdout.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in table] == [
        [one["case"], one["code"], one["severity"], one["message"]] for one in told["findings"]
    ]
    again = run("check", "data=lits", "data.root=cohort", "paths.output_dir=out", cwd=tmp_path)
    assert again.returncode == 2
    assert "holds a run already" in again.stderr


def test_masks_are_read_with_the_labels_that_are_named(run, cohort: Path, tmp_path: Path) -> None:
    case, other, third = find_cases(cohort, layout="lits").cases
    plant_fault("labels-unknown", case=other, other=case)
    refused = run("check", "data=lits", "data.root=cohort", cwd=tmp_path)
    assert refused.returncode == 2
    assert "; others can be named by settings" in refused.stderr
    named = "data.labels={liver: [1], tumor: [2]}"
    done = run("check", "data=lits", "data.root=cohort", named, cwd=tmp_path)
    assert done.returncode == 0, done.stderr

    (tmp_path / "organs").mkdir()
    assert third.mask is not None
    shutil.copy(third.mask, tmp_path / "organs" / "liver.nii.gz")
    (tmp_path / "cases.csv").write_text(f"case,patient,image,mask\na,a,{third.image},organs\n")
    files = "data.labels={liver: [liver.nii.gz]}"
    done = run("check", "data=pairs", "data.root=cases.csv", files, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_warnings_and_notes_end_well(succeed, cohort: Path, tmp_path: Path) -> None:
    plant("tumor-outside-liver", cohort)
    case, other, _ = find_cases(cohort, layout="lits").cases
    plant_fault("no-tumor", case=other, other=case)
    printed = succeed("check", "data=lits", "data.root=cohort", "paths.output_dir=out", cwd=tmp_path)
    assert printed.index("tumor-outside-liver") < printed.index("no-tumor")
    for code in ("tumor-outside-liver", "no-tumor"):  # its correction once, below the table
        assert printed.splitlines().count(f"{code}: {CHECKS[code].remedy}") == 1
    assert "no error in 3 cases, 1 warning, 1 note; all are in" in printed


def test_a_sound_cohort_has_no_table(succeed, cohort: Path, tmp_path: Path) -> None:
    printed = succeed("check", "data=lits", "data.root=cohort", cwd=tmp_path)
    assert "no error in 3 cases, 0 warnings, 0 notes" in printed
    assert "findings" not in printed
    (written,) = (tmp_path / "checks").glob("*/doctor.json")
    assert diagnosis(written.parent)["findings"] == []
    assert json.loads((written.parent / "run.json").read_text())["state"] == "done"


def test_a_mask_that_is_missing_is_told_and_the_others_are_checked(run, cohort: Path, tmp_path: Path) -> None:
    plant("cohort-incomplete", cohort)
    done = run("check", "data=lits", "data.root=cohort", "paths.output_dir=out", cwd=tmp_path)
    assert done.returncode == 2
    assert "check: 1 error: cohort: cohort-incomplete: " in done.stderr
    assert "images without mask: volume-0.nii.gz" in done.stderr
    assert diagnosis(tmp_path / "out")["n_cases"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("data=lits",), "data.root"),
        (("data=lits", "data.root=absent"), "absent does not exist"),
        (("data=lits", "data.root=."), "holds no case of layout lits"),
        (("data=msd", "data.root=cohort"), "looks like data=lits"),
        (("data=checkpoint",), "data: must name a data set"),
        (("data=lits", "data.rot=cohort"), "Did you mean data.root?"),
        (("data=lits", "data.root=cohort", "split.fil=s.json"), "Did you mean split.file?"),
        (("data=litz", "data.root=cohort"), "litz"),
        (
            ("data=lits", "data.root=cohort", "split.file=absent.json"),
            "split.file: no such file: absent.json",
        ),
        (("data=lits", "data.root=cohort", "paths.output_dir=note.txt"), "paths.output_dir"),
    ],
)
def test_what_cannot_be_checked_is_told_in_one_line_and_nothing_is_written(
    arguments: tuple[str, ...], message: str, run, cohort: Path, tmp_path: Path
) -> None:
    if arguments[-1] == "data.root=.":
        shutil.rmtree(cohort)
    (tmp_path / "note.txt").touch()
    before = sorted(tmp_path.rglob("*"))
    refused = run("check", *arguments, cwd=tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert message in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("choice", ["data=mri", "data=pairs"])
def test_other_data_sets_can_be_checked(choice: str, succeed, cohort: Path, tmp_path: Path) -> None:
    rows = [f"{n},{n},volume-{n}.nii.gz,segmentation-{n}.nii.gz" for n in range(2)]
    (cohort / "cases.csv").write_text("\n".join(["case,patient,image,mask", *rows]))
    printed = succeed("check", choice, "data.root=cohort", "paths.output_dir=out", cwd=tmp_path)
    assert "no error in 2 cases" in printed
    assert ("mirrored" in diagnosis(tmp_path / "out")["checks"]) == (choice == "data=pairs")


def write_split(folder: Path, *parts: str) -> None:
    content = dict(zip(("train", "val", "test"), ([part] for part in parts), strict=True))
    (folder / "split.json").write_text(json.dumps(content))


def test_a_split_that_shares_a_scan_is_told(run, cohort: Path, tmp_path: Path) -> None:
    plant("duplicate", cohort)
    write_split(tmp_path, "volume-0", "volume-1", "volume-2")
    arguments = ("data=lits", "data.root=cohort", "split.file=split.json", "paths.output_dir=out")
    done = run("check", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "volume-1: split-shares-content: holds the voxels of volume-0, under another header" in done.stderr
    assert "they are in train and val" in done.stderr


def test_a_training_stops_before_anything_is_written_at_a_header_that_is_refused(
    run, cohort: Path, tmp_path: Path
) -> None:
    write_split(tmp_path, "volume-1", "volume-2", "volume-0")  # the test case, which is read last
    plant("grids-differ", cohort)
    done = run("train", *TINY, cwd=tmp_path)
    assert done.returncode == 2
    assert "1 error: volume-0: grids-differ: " in done.stderr
    assert done.stderr.count("\n") == 1
    assert "volume-0: error grids-differ: " in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cohort", "split.json"]


def test_a_training_stops_at_a_scan_in_two_parts_before_an_epoch(run, cohort: Path, tmp_path: Path) -> None:
    shutil.copyfile(cohort / "volume-0.nii.gz", cohort / "volume-1.nii.gz")
    shutil.copyfile(cohort / "segmentation-0.nii.gz", cohort / "segmentation-1.nii.gz")
    write_split(tmp_path, "volume-2", "volume-0", "volume-1")
    done = run("train", *TINY, cwd=tmp_path)
    assert done.returncode == 2
    assert (
        "volume-1: split-shares-content: holds the voxels of volume-0; they are in val and test"
        in done.stderr
    )
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert "epoch" not in done.stdout


def test_a_training_goes_on_beside_a_duplicate_of_the_same_part(
    succeed, cohort: Path, tmp_path: Path
) -> None:
    for kind in ("volume", "segmentation"):
        shutil.copyfile(cohort / f"{kind}-0.nii.gz", cohort / f"{kind}-3.nii.gz")
    content = {"train": ["volume-0", "volume-3"], "val": ["volume-1"], "test": ["volume-2"]}
    (tmp_path / "split.json").write_text(json.dumps(content))
    printed = succeed("train", *TINY, cwd=tmp_path)
    assert "volume-3: warning duplicate: holds the voxels of volume-0 (" in printed
    assert "epoch 1/1" in printed


def test_a_network_that_learned_from_a_case_that_judges_is_refused() -> None:
    known = {"case": "volume-1", "patient": "1", "sha256": "ab"}
    other = {"case": "scan-7", "patient": "7", "sha256": "ab"}  # the same scan by another name
    for subset in ("val", "test"):
        members = {"train": [], "val": [], "test": [], subset: [other]}
        told = rf"^init: a\.ckpt was trained on scan-7, here among the {subset} cases; split.file can"
        with pytest.raises(ConfigError, match=told):
            check_not_learned_from([known], members, by="init: a.ckpt")
    same_name = {**known, "sha256": "cd"}
    check_not_learned_from([known], {"train": [other], "val": [same_name], "test": [same_name]}, by="init: a")
