"""Several evaluations compared by the command: what is written, printed and refused."""

import base64
import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from html_kit import Node, cells, read_page
from PIL import Image

from lts.volume import read_image, read_mask, write_mask


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Evaluations a, b and c of five cases; c has a sixth."""
    for name, gain in (("a", 0.0), ("b", 0.05), ("c", -0.05)):
        (tmp_path / name).mkdir()
        lines = ["case,region,dice,reference_ml"]
        lines += [f"case-{n},liver,{0.5 + n / 20 + gain * (n + 1):.3f},100" for n in range(5 + (name == "c"))]
        (tmp_path / name / "cases.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_three_runs_are_ranked_on_the_cases_that_all_have(run: Any, home: Path) -> None:
    folders = ("evaluate", "compare=[a,b,c]", "paths.output_dir=out")
    refused = run(*folders, cwd=home)
    assert refused.returncode == 2
    assert "only in c: ['case-5']" in refused.stderr
    done = run(*folders, "allow_unpaired=true", cwd=home)
    assert done.returncode == 0, done.stderr
    assert f"c: {home / 'c'}, without 1 case that others lack" in " ".join(done.stdout.split())
    with (home / "out" / "ranks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["run"], float(row["mean rank"])) for row in rows] == [("b", 1), ("a", 2), ("c", 3)]
    few = "cases that differ: 5, too few for p to reach 0.05"
    assert [row["remark"] for row in rows] == [
        "p (Friedman) is approximate, 5 cases are few for it",
        few,
        few,
    ]
    # five differences of one sign: p = 2 / 2^5, three pairs alike
    assert [row["p against the first (Holm)"] for row in rows] == ["", "0.1875", "0.1875"]
    found = json.loads((home / "out" / "comparison.json").read_text())
    assert (found["a"], found["left_out"]) == (str(home / "a"), {"a": 0, "b": 0, "c": 1})
    (ranked,) = found["ranked"]
    assert ranked["cases"] == 5
    assert [(pair["a"], pair["b"], pair["wins"]) for pair in ranked["pairs"]] == [
        *(("a", "b", 5), ("a", "c", 0), ("b", "c", 0))
    ]


def test_a_score_that_a_run_lacks_is_told(run: Any, home: Path) -> None:
    text = (home / "b" / "cases.csv").read_text()
    (home / "b" / "cases.csv").write_text(text.replace("dice", "iou"))
    for name in ("a", "c"):
        lines = ["case,region,dice,iou"] + [
            f"case-{n},liver,0.{n + 1},{'' if name == 'c' else 0.5}" for n in range(5)
        ]
        (home / name / "cases.csv").write_text("\n".join(lines) + "\n")
    done = run("evaluate", "compare=[a,b,c]", "paths.output_dir=out", cwd=home)
    assert done.returncode == 0, done.stderr
    cases = ", ".join(f"case-{n}" for n in range(5))
    told = [
        "b: its cases.csv has no dice",
        "liver: in no case do all runs have iou",
        f"c, liver: without iou in 5 cases in which another run has it: {cases}",
    ]
    assert done.stdout.splitlines()[-4:-1] == told  # before the folder
    assert (home / "out" / "ranks.csv").read_text().count("\n") == 1
    facts = json.loads((home / "out" / "comparison.json").read_text())["lacking"]
    assert facts[:2] == [
        {"run": "b", "region": None, "scores": ["dice"], "cases": []},
        {"run": None, "region": "liver", "scores": ["iou"], "cases": []},
    ]
    scores = read_page(home / "out" / "comparison.html").one("section", id="scores")
    assert [line.text for line in scores.one("ul", class_="remarks").all("li")] == told
    for name in "ab":  # of a score that is not among those that are shown
        (home / name / "cases.csv").write_text("case,region,recall\ncase-0,liver,0.5\n")
    done = run("evaluate", "compare=[a,b]", "paths.output_dir=recall", cwd=home)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:2] == [f"{name}: {home / name}" for name in "ab"]
    for name in "ab":
        (home / name / "cases.csv").write_text("case,region\ncase-0,liver\n")
    done = run("evaluate", "compare=[a,b]", "paths.output_dir=none", cwd=home)
    assert (done.returncode, done.stderr) == (2, "evaluate: compare: no score is in both runs, a and b\n")
    assert not (home / "none").exists()


def test_a_score_that_cannot_be_is_refused_with_its_file(run: Any, home: Path) -> None:
    file = home / "b" / "cases.csv"
    file.write_text(file.read_text().replace("0.550", "1e308"))
    done = run("evaluate", "compare=[a,b]", "paths.output_dir=out", cwd=home)
    told = f"{file}: case 'case-0', region 'liver': dice must be from 0 to 1, got '1e308'"
    assert (done.returncode, done.stderr) == (2, f"evaluate: {told}\n")
    assert not (home / "out").exists()


def test_two_runs_are_paired_on_the_cases_that_both_have(run: Any, home: Path) -> None:
    done = run("evaluate", "compare=[a,c]", "allow_unpaired=true", "paths.output_dir=out", cwd=home)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads((home / "out" / "comparison.json").read_text())["comparisons"][:1]
    assert (found["pairs"], found["losses"]) == (5, 5)
    assert (home / "out" / "differences.csv").is_file()
    runs = read_page(home / "out" / "comparison.html").one("table", id="runs-table")
    assert [(row[1], row[-1]) for row in cells(runs)] == [
        (str(home / "a"), "0 cases"),
        (str(home / "c"), "1 case"),
    ]


@pytest.fixture
def scored(run: Any, tmp_path: Path, make_case: Any) -> Path:
    """Two cases under the masks of two systems; of the second, b's mask of volume-1 lacks the tumor."""
    for number in range(2):
        case = make_case(f"volume-{number}", seed=number)
        scan = read_image(case.image, modality="ct")
        labels = read_mask(case.mask, image=scan.geometry).voxels
        for name in "ab":
            (tmp_path / name).mkdir(exist_ok=True)
            mask = np.minimum(labels, 1) if (name, number) == ("b", 1) else labels
            write_mask(tmp_path / name / f"volume-{number}.nii.gz", mask, geometry=scan.geometry)
        for kind, path in (("volume", case.image), ("segmentation", case.mask)):
            (tmp_path / "lits").mkdir(exist_ok=True)
            shutil.copy(path, tmp_path / "lits" / f"{kind}-{number}.nii.gz")
    for name in "ab":
        of = (f"predictions={name}", "data=lits", "data.root=lits", f"paths.output_dir=scored-{name}")
        done = run("evaluate", *of, "scoring.workers=1", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    return tmp_path


def compared(run: Any, home: Path, *folders: str) -> Node:
    out = home / "out"
    shutil.rmtree(out, ignore_errors=True)
    done = run("evaluate", f"compare=[{','.join(folders)}]", "paths.output_dir=out", cwd=home)
    assert done.returncode == 0, done.stderr
    return read_page(out / "comparison.html")


def test_the_case_that_differs_is_drawn_under_each_mask_at_the_slice_where_they_differ(
    run: Any, scored: Path
) -> None:
    page = compared(run, scored, "scored-a", "scored-b")
    section = page.one("section", id="differing")
    assert [row[0] for row in cells(section.one("table"))] == ["volume-1", "volume-0"]
    assert [image.attrs["alt"] for image in section.all("img")] == [
        "volume-1, reference",
        "volume-1, a: Dice 1.000",
        "volume-1, b: Dice 0.000",
    ]
    labels = np.asarray(nib.load(scored / "lits" / "segmentation-1.nii.gz").dataobj)
    most = int((labels == 2).sum(axis=(0, 1)).argmax()) + 1
    assert f"volume-1 slice {most} of {labels.shape[2]}" in section.text
    orange = (255, 106, 19)
    has_contour = []
    for image in section.all("img"):
        content = base64.b64decode(image.attrs["src"].partition(",")[2])
        with Image.open(io.BytesIO(content)) as picture:
            far = np.abs(np.asarray(picture).astype(int) - orange).max(axis=-1)
        has_contour.append(bool((far < 60).any()))
    assert has_contour == [False, True, False]
    made_by = [row[2] for row in cells(page.one("table", id="runs-table"))]
    assert made_by == [f"masks in {scored / name}" for name in "ab"]


def test_pictures_of_lesions_are_those_of_this_scoring(run: Any, scored: Path) -> None:
    (scored / "again" / "lesions").mkdir(parents=True)
    (scored / "again" / "lesions" / "volume-1-1.jpg").write_bytes(b"of an earlier one")
    others = {"volume-1.jpg", "volume-1-a.jpg", "volume-8-1.jpg", "volume-1_mask.nii.gz"}
    for name in others:
        (scored / "again" / "lesions" / name).write_bytes(b"somebody's")
    of = ("predictions=a", "data=lits", "data.root=lits", "paths.output_dir=again", "scoring.workers=1")
    done = run("evaluate", *of, cwd=scored)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (scored / "again" / "lesions").iterdir()} == others
    assert [path.name for path in (scored / "scored-b" / "lesions").iterdir()] == ["volume-1-1.jpg"]


def test_a_mask_that_has_changed_is_told_and_not_drawn(run: Any, scored: Path) -> None:
    shutil.copy(scored / "a" / "volume-1.nii.gz", scored / "b" / "volume-1.nii.gz")
    section = compared(run, scored, "scored-a", "scored-b").one("section", id="differing")
    assert not section.all("img")
    assert "has changed since run b scored it: Dice of tumor was 0.000000, is 1.000000" in section.text


def test_without_a_scan_the_ground_is_plain_and_without_sources_nothing_is_drawn(
    run: Any, scored: Path
) -> None:
    for path in (scored / "lits").glob("volume-*"):
        path.unlink()
    section = compared(run, scored, "scored-a", "scored-b").one("section", id="differing")
    assert len(section.all("img")) == 3
    assert "the scan is not at hand" in section.text
    (scored / "scored-b" / "sources.json").unlink()
    section = compared(run, scored, "scored-a", "scored-b").one("section", id="differing")
    assert f"{scored / 'scored-b'} has no sources.json" in section.text
    (scored / "scored-a" / "sources.json").write_text('{"cases": {}}')
    done = run("evaluate", "compare=[scored-a,scored-b]", "paths.output_dir=other", cwd=scored)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "sources.json: is damaged: KeyError" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("compare=[a]",), "compare: must be 2 to 26 folders, got 1"),
        (("compare=[a,b,nowhere]",), "holds no cases.csv: it is no finished evaluation"),
        (("compare=[a,b]", "reference_labels={liver: [5]}"), "reference_labels: "),
    ],
)
def test_what_cannot_be_compared_is_told(run: Any, home: Path, arguments: tuple[str, ...], told: str) -> None:
    done = run("evaluate", *arguments, "paths.output_dir=out", cwd=home)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (home / "out").exists()
