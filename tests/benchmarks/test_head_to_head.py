"""lts and other systems on cases of the user's own: what is trained on, compared and refused."""

import csv
import json
from pathlib import Path
from typing import Any

import accuracy_kit
import numpy as np
import pytest
import SimpleITK

from benchmarks.accuracy import running
from benchmarks.accuracy.job import Job
from benchmarks.head_to_head import main
from lts.base import MaskLabels
from lts.volume import read_ct, read_mask


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Runs the system of the kit whatever the name, without a process; the jobs that it had."""
    found: list[Job] = []

    def run(job: Job, _own: Path) -> Any:
        found.append(job)
        return accuracy_kit.run(job), 1.0

    monkeypatch.setattr(running, "_in_fresh_process", run)
    return found


@pytest.fixture
def own(tmp_path: Path, make_case: Any) -> Path:
    """A CSV file of five cases of four patients."""
    rows = []
    for number, patient in enumerate("AABCD"):
        case = make_case(f"scan-{number}", seed=number)
        rows.append({"case": case.id, "patient": patient, "image": case.image, "mask": case.mask})
    with (tmp_path / "own.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "own.csv"


def head_to_head(own: Path, *arguments: str) -> int:
    line = ["--data", "pairs", "--root", str(own), "--folder", str(own.parent / "out"), "--minutes", "0.5"]
    return main([*line, *arguments])


def test_all_train_on_the_same_cases_and_are_compared(own: Path, jobs: list[Job]) -> None:
    asked = ("--folds", "4", "--systems", "lts:perfect", "smp:half", "monai:no_tumors")
    assert head_to_head(own, *asked) == 0
    assert len(jobs) == 3 * 4
    by_system: dict[str, list[tuple[set[str], set[str]]]] = {}
    for job in jobs:
        train, test = ({case.id for case in cases} for cases in (job.train, job.test))
        by_system.setdefault(job.system, []).append((train, test))
        assert not {case.patient for case in job.train} & {case.patient for case in job.test}
    assert by_system["lts:perfect"] == by_system["smp:half"] == by_system["monai:no_tumors"]
    tested = sorted(case for _, test in by_system["lts:perfect"] for case in test)
    assert tested == [f"scan-{number}" for number in range(5)]
    assert {job.recipe for job in jobs} == {"liver_closely"}

    out = own.parent / "out"
    ranked = json.loads((out / "comparison" / "comparison.json").read_text())["ranked"]
    (tumor,) = [one for one in ranked if (one["region"], one["score"]) == ("tumor", "dice")]
    assert tumor["cases"] == 5
    assert next(iter(tumor["mean_ranks"])) == "a"
    assert (tumor["means"]["a"], tumor["means"]["c"]) == (1, 0)
    assert 0 < tumor["means"]["b"] < 1
    assert (out / "comparison" / "comparison.html").is_file()
    assert (out / "scores" / "smp_half" / "report.html").is_file()
    page = " ".join((out / "head-to-head.md").read_text().split())
    assert "## Your cases: 5 cases of own.csv predicted" in page
    assert "Each training had 3 cases and 4 cases" in page or "4 cases and 3 cases" in page
    assert "![Dice of every patient by part, region and system](head-to-head.png)" in page
    assert (out / "head-to-head.png").is_file()


def test_the_same_command_goes_on_and_other_cases_need_another_folder(
    own: Path, jobs: list[Job], capsys: Any
) -> None:
    asked = ("--test-share", "0.25", "--region", "liver")
    assert head_to_head(own, *asked, "--systems", "smp:half") == 0
    assert head_to_head(own, *asked, "--systems", "smp:half", "lts:perfect") == 0
    assert [(job.system, job.recipe) for job in jobs] == [
        ("smp:half", "liver_cpu"),
        ("lts:perfect", "liver_cpu"),
    ]
    assert jobs[0].regions == ("liver",)
    assert "smp:half, seed 0, 0.5 min: exists" in capsys.readouterr().out
    (own.parent / "scan-0.nii.gz").touch()
    with pytest.raises(SystemExit) as ended:
        head_to_head(own, *asked, "--systems", "smp:half")
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told == (
        f"head_to_head: --folder: {own.parent}/out/cases holds other cases, or files of these have changed; "
        "name a new folder\n"
    )


def test_cases_of_any_format_and_labels_become_files_that_all_read(
    own: Path, jobs: list[Job], make_case: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case("odd", seed=9)
    image, mask = SimpleITK.ReadImage(str(case.image)), SimpleITK.ReadImage(str(case.mask))
    SimpleITK.WriteImage(image, str(own.parent / "odd.nrrd"))
    SimpleITK.WriteImage(SimpleITK.ChangeLabel(mask, {1.0: 5.0, 2.0: 26.0}), str(own.parent / "odd-mask.mha"))
    with own.open("a") as file:
        file.write("odd,E,odd.nrrd,odd-mask.mha\n")
    labels = MaskLabels(liver=(5, 1), tumor=(26, 2))
    split = own.parent / "split.json"
    ids = [f"scan-{number}" for number in range(5)]
    split.write_text(json.dumps({"train": ids[:2], "val": [ids[2]], "test": ["odd"], "unused": ids[3:]}))
    asked = ("--split", str(split), "--systems", "lts:perfect", "--labels", json.dumps(labels.to_dict()))
    assert head_to_head(own, *asked) == 0
    (job,) = jobs
    assert [case.id for case in job.train] == ids[:3]
    (made,) = job.test
    assert made.mask is not None
    assert (made.image.name, made.mask.name) == ("odd.nii.gz", "odd_mask.nii.gz")
    scan, truth = read_ct(made.image), read_ct(case.image)
    assert np.array_equal(scan.voxels, truth.voxels)
    assert np.allclose(scan.geometry.affine, truth.geometry.affine)
    expected = read_mask(case.mask, image=truth.geometry).voxels
    assert np.array_equal(read_mask(made.mask, image=scan.geometry).voxels, expected)
    assert not (own.parent / "out" / "cases" / "scan-4.nii.gz").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--folds", "9"), "folds: must be at most the number of patients (4), got 9"),
        (("--folds", "1"), "folds: must be 2 or more, got 1"),
        (("--test-share", "1.5"), "test_share: must be 0 or more and less than 1, got 1.5"),
        (("--test-share", "0"), "--test-share: must leave a case to test on, got 0"),
        (("--labels", "{liver"), "--labels: must be JSON"),
        (("--labels", '{"liver": ["a.nii.gz"], "tumor": [2]}'), "labels: must be all numbers or all names"),
        (("--labels", '{"liver": [1], "ignore": [3]}'), "--labels: must ignore nothing, as not all systems"),
        (("--labels", '{"spleen": [2]}'), "--labels: must be JSON"),
    ],
)
def test_what_cannot_be_run_is_told_in_one_line(
    own: Path, jobs: list[Job], capsys: Any, arguments: tuple[str, ...], told: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        head_to_head(own, *arguments, "--systems", "lts:perfect")
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("head_to_head: ")
    assert told in line
    assert not jobs
    assert not (own.parent / "out").exists()
