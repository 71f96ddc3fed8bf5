"""The bench of accuracy: what it scores, tells, runs again and leaves out."""

import json
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import accuracy_kit
import numpy as np
import pytest
from scipy.stats import wilcoxon

from benchmarks.accuracy import changes, parts, pictures, running
from benchmarks.accuracy.__main__ import main
from benchmarks.accuracy.child import processors
from benchmarks.accuracy.job import Job
from benchmarks.accuracy.page import gather
from benchmarks.accuracy.parts import LIVER_AND_TUMOR, PARTS, Fold, Part
from benchmarks.accuracy.records import FILE, Record, Run, add_record, read_records
from benchmarks.accuracy.systems import SYSTEMS, Known, absent, lts_training, nnunet_2d
from benchmarks.accuracy.tables import (
    Results,
    compared,
    dice_table,
    effort_table,
    lesion_table,
    patient_table,
)
from lts.base import ConfigError
from lts.figures import overlay_sheet
from lts.volume import read_geometry, read_mask

SMALL: dict[str, Any] = {"part": "c", "recipe": "phantom_cpu", "regions": LIVER_AND_TUMOR}
KITS = Path(__file__).parents[1] / "kits"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "bench"


@pytest.fixture(autouse=True)
def small_part(monkeypatch: pytest.MonkeyPatch, make_case: Any) -> list[Fold]:
    """Part c with two folds of small scans; parts a and b lack their data."""
    first, second, third = (make_case(f"case-{number}", seed=number) for number in range(3))
    folds = [
        Fold(number=0, train=(second, third), test=(first,), **SMALL),
        Fold(number=1, train=(first,), test=(second, third), **SMALL),
    ]
    part = Part(
        name="c",
        label="Part c",
        title="Small scans",
        data=(),
        folds=lambda _made, _real: folds,
        minutes=8,
        recipe="phantom_cpu",
        about="The scans are those of a test.",
    )
    monkeypatch.setitem(PARTS, "c", part)
    monkeypatch.setenv("LTS_REAL_DATA", "/nowhere")
    return folds


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Runs the system of the kit whatever the name, without a process; the jobs that it had."""
    jobs: list[Job] = []

    def run(job: Job, _own: Path) -> Any:
        jobs.append(job)
        return accuracy_kit.run(job), 1.0

    monkeypatch.setattr(running, "_in_fresh_process", run)
    return jobs


def bench(folder: Path, *arguments: str) -> int:
    return main(["--parts", "c", "--minutes", "0.5", "--folder", str(folder), *arguments])


def record(system: str, dice: dict[str, float], *, fold: int = 0, seed: int = 0) -> Record:
    rows = [
        {"case": case, "patient": case, "rows": {"liver": {"dice": value}}, "lesions": None}
        for case, value in dice.items()
    ]
    run = Run(part="c", fold=fold, system=system, seed=seed, minutes=8, cores=1)
    return Record(
        run=run, slices_seen=10, train_s=480, all_s=500, cpu_s=490, at_once=1, cases=rows, machine={}
    )


def test_a_fresh_process_runs_a_system_and_its_masks_are_scored(
    folder: Path, monkeypatch: pytest.MonkeyPatch, small_part: list[Fold]
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(KITS), os.environ.get("PYTHONPATH", "")]))
    assert bench(folder, "--folds", "0", "--systems", "accuracy_kit:half") == 0
    (found,) = read_records(folder).values()
    (case,) = found.cases
    (scan,) = small_part[0].test
    assert scan.mask is not None
    labels = read_mask(scan.mask, image=read_geometry(scan.image)).voxels
    voxels = np.count_nonzero(labels, axis=(1, 2))
    kept = voxels[len(labels) // 2 :].sum()
    assert 0 < kept < voxels.sum()
    assert case["rows"]["liver"]["dice"] == pytest.approx(2 * kept / (kept + voxels.sum()))
    assert (found.slices_seen, found.train_s) == (7, 30)
    assert (case["case"], found.run.system) == ("case-0", "accuracy_kit:half")


@pytest.mark.usefixtures("in_this_process")
def test_tumors_that_are_missed_are_told_as_lesions(folder: Path) -> None:
    assert bench(folder, "--systems", "lts:perfect", "smp:no_tumors") == 0
    by_system: dict[str, list[Record]] = {}
    for run, found in sorted(read_records(folder).items(), key=lambda item: item[0]):
        by_system.setdefault(run.system, []).append(found)
    results = [Results(system, found) for system, found in by_system.items()]
    perfect, blind = lesion_table(results)[2:]
    assert perfect.startswith("| lts:perfect | 1.00 | 1.00 |")
    assert blind.startswith("| smp:no_tumors | 0.00 | none |")
    assert results[1].dice("liver") == dict.fromkeys(("case-0", "case-1", "case-2"), 1.0)
    assert results[1].dice("tumor") == dict.fromkeys(("case-0", "case-1", "case-2"), 0.0)


def test_what_is_there_is_not_run_again(folder: Path, in_this_process: list[Job], capsys: Any) -> None:
    assert bench(folder, "--folds", "0", "--systems", "lts:perfect") == 0
    assert bench(folder, "--systems", "lts:perfect") == 0
    assert [job.test[0].id for job in in_this_process] == ["case-0", "case-1"]
    assert "fold 0, lts:perfect, seed 0, 0.5 min: exists" in capsys.readouterr().out
    assert bench(folder, "--folds", "0", "--systems", "lts:perfect", "--seeds", "1") == 0
    assert len(in_this_process) == 3


def test_runs_at_once_have_processors_of_their_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("benchmarks.accuracy.options.usable_processors", lambda: 4)
    meet, lanes = threading.Barrier(2, timeout=20), []

    def run(job: Job, _own: Path) -> Any:
        lanes.append(job.lane)
        meet.wait()  # both are running
        return accuracy_kit.run(job), 1.0

    monkeypatch.setattr(running, "_in_fresh_process", run)
    assert bench(folder, "--cores", "2", "--at-once", "2", "--systems", "lts:perfect", "smp:half") == 0
    assert sorted(lanes) == [0, 0, 1, 1]
    assert [found.at_once for found in read_records(folder).values()] == [2] * 4
    assert processors({5, 0, 1, 4, 7}, cores=2, lane=0) == [7, 5]
    assert processors({5, 0, 1, 4, 7}, cores=2, lane=1) == [4, 1]


@pytest.mark.usefixtures("in_this_process")
def test_each_part_has_its_minutes_unless_told(folder: Path) -> None:
    asked = ["--parts", "c", "--folds", "0", "--systems", "lts:perfect", "--folder", str(folder)]
    assert main(asked) == 0
    assert main([*asked, "--minutes", "3"]) == 0
    assert [run.minutes for run in read_records(folder)] == [8, 3]


def test_a_line_that_a_kill_cut_short_is_run_again(folder: Path, in_this_process: list[Job]) -> None:
    bench(folder, "--folds", "0", "--systems", "lts:perfect")
    results = folder / FILE
    whole = results.read_text()
    results.write_text(whole[: len(whole) // 2])
    assert read_records(folder) == {}
    assert bench(folder, "--folds", "0", "--systems", "lts:perfect") == 0
    assert len(in_this_process) == 2
    assert [json.loads(line)["slices_seen"] for line in results.read_text().splitlines()[1:]] == [7]


def test_what_is_absent_is_skipped_in_one_line(
    folder: Path, in_this_process: list[Job], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setitem(SYSTEMS, "nnunet", Known("nowhere", "no_such_package", "nnunet", "nothing"))
    asked = ["--parts", "a", "c", "--systems", "nnunet", "lts:perfect", "--folder", str(folder)]
    assert main([*asked, "--page", "--docs", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("skipped part a: no scans at /nowhere/liver_slices")
    assert lines[1] == 'skipped nnunet: not installed: pip install ".[nnunet]"'
    assert {job.system for job in in_this_process} == {"lts:perfect"}
    page = (folder / "accuracy.md").read_text()
    assert '- nnunet: not installed: pip install ".[nnunet]"' in page
    assert "- part a: no scans at" in page


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(("system", "why"), [("smp:none", "case-0.nii.gz"), ("smp:fail", "SystemExit")])
def test_a_run_without_masks_brings_no_result(folder: Path, system: str, why: str, capsys: Any) -> None:
    if why == "SystemExit":
        with pytest.raises(SystemExit):
            bench(folder, "--folds", "0", "--systems", system)
    else:
        assert bench(folder, "--folds", "0", "--systems", system) == 1
        assert why in capsys.readouterr().out
    assert read_records(folder) == {}


def test_a_process_that_fails_brings_no_result_and_names_its_output(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(KITS), os.environ.get("PYTHONPATH", "")]))
    assert bench(folder, "--folds", "0", "--systems", "accuracy_kit:fail") == 1
    (log,) = folder.rglob("log.txt")
    assert "it was asked to fail" in log.read_text()
    assert f"failed: exit code 1, its output is in {log}" in capsys.readouterr().out
    assert read_records(folder) == {}


def test_lts_is_held_against_another_case_by_case() -> None:
    ours = {f"case-{number}": 0.90 + number / 100 for number in range(6)}
    gains = [0.10, 0.02, -0.01, 0.05, 0.04, 0.03]
    other = {case: value - gain for (case, value), gain in zip(ours.items(), gains, strict=True)}
    results = [Results(name, [record(name, dice)]) for name, dice in (("lts", ours), ("monai", other))]
    found = compared(*results, "liver")
    assert found.mean_difference == pytest.approx(np.mean(gains))
    assert found.p_value == pytest.approx(wilcoxon(gains).pvalue)
    mine, theirs = dice_table(results, "liver")[2:]
    assert mine == "| lts | 6 | 0.925 | 0.925 | 0.900 (case-0) |  | |  |"
    assert theirs.startswith("| monai | 6 | 0.887 | 0.895 | 0.800 (case-0) | +0.038 | 5 of 6 | 0.062")


def test_the_worst_of_many_alike_is_no_single_patient() -> None:
    (row,) = dice_table(
        [Results("lts", [record("lts", {"case-0": 0.0, "case-1": 0.5, "case-2": 0.0})])], "liver"
    )[2:]
    assert row.startswith("| lts | 3 | 0.167 | 0.000 | 0.000 (2 cases) |")


def test_a_patient_in_whom_nothing_was_predicted_is_told() -> None:
    found = record("lts", {"case-0": 0.0, "case-1": 0.0})
    for case, predicted_ml in zip(found.cases, (0.0, 0.1), strict=True):
        case["rows"]["liver"] |= {"reference_ml": 1500.0, "predicted_ml": predicted_ml}
    assert patient_table([Results("lts", [found])], "liver")[2:] == [
        "| case-0 | 1500.0 | 0.000 (none predicted) |",
        "| case-1 | 1500.0 | 0.000 |",
    ]


def test_a_patient_counts_once_however_many_seeds() -> None:
    of_seeds = [record("lts", {"case-0": value}, seed=seed) for seed, value in enumerate((0.5, 0.7))]
    assert Results("lts", of_seeds).dice("liver") == {"case-0": pytest.approx(0.6)}


def test_the_run_that_waited_most_is_told() -> None:
    quiet, waited = record("lts", {"case-0": 0.5}), record("lts", {"case-1": 0.5}, fold=1)
    results = Results("lts", [quiet, replace(waited, cpu_s=300.0)])
    (row,) = effort_table([results])[2:]
    assert row == "| lts | 10 | 8.0 | 8.3 | 60% |"


def test_the_page_has_complete_results_alone() -> None:
    records = [record("lts", {"case-0": 0.9}), record("smp", {"case-0": 0.8})]
    records.append(record("lts", {"case-1": 0.9}, fold=1))
    found = {one.run: one for one in records}
    runs = {
        system: [record(system, {}, fold=fold).run for fold in (0, 1)] for system in ("lts", "smp", "monai")
    }
    page = gather({"c": runs}, found, ["part a: no scans"])
    assert [one.system for one in page.parts["c"]] == ["lts"]
    assert page.missing == [
        "part a: no scans",
        "part c, smp: left out, 1 of 2 runs are missing",
        "part c, monai: left out, 2 of 2 runs are missing",
    ]


@pytest.mark.usefixtures("in_this_process")
def test_the_page_tells_what_was_run(folder: Path) -> None:
    asked = ("--systems", "lts:perfect", "smp:half", "--page", "--docs", str(folder))
    (folder / "kept").mkdir(parents=True)
    assert bench(folder, *asked, "--keep", str(folder / "kept" / FILE)) == 0
    assert read_records(folder / "kept") == read_records(folder)
    page = (folder / "accuracy.md").read_text()
    missing = page.partition("What is missing:")[2].partition("![")[0].split("\n- ")
    assert [line.strip() for line in missing[1:]] == [
        f"part a ({PARTS['a'].title}): not run",
        f"part b ({PARTS['b'].title}): not run",
        "monai: not run",
        "nnunet: not run",
    ]
    for told in (
        "- processor: ",
        "- lts: this project's U-Net",
        "- smp: the ResNet-18 Unet",
        "## Part c: small scans",
        "### Lesions",
        "Folds: 0, 1. Each training: 0.5 minutes. Recipe of lts: `phantom_cpu`. The scans are those of",
    ):
        assert told in page
    assert "- monai: MONAI" not in page
    assert "| 1.000 |" in page.partition("| case-2 |")[2].partition("\n")[0]
    assert (folder / "accuracy.png").stat().st_size > 1000
    assert bench(folder, *asked, "--folds", "1") == 0
    assert "- part c: folds not run: 0\n" in (folder / "accuracy.md").read_text()
    assert bench(folder, *asked, "--folds", "5") == 1


@pytest.mark.usefixtures("in_this_process")
def test_the_worst_patients_of_lts_are_drawn_with_all_systems(
    folder: Path, monkeypatch: pytest.MonkeyPatch, small_part: list[Fold]
) -> None:
    monkeypatch.setattr(pictures, "_WORST", 2)
    sheets: list[dict[str, Any]] = []

    def keep(views: Any, **settings: Any) -> Any:
        sheets.append({"views": views, **settings})
        return overlay_sheet(views, **settings)

    monkeypatch.setattr(pictures, "overlay_sheet", keep)
    asked = ("--systems", "lts:half", "smp:perfect", "--page", "--docs", str(folder))
    assert bench(folder, *asked) == 0
    (sheet,) = sheets
    found = Results(
        "lts:half", [one for run, one in read_records(folder).items() if run.system == "lts:half"]
    )
    worst = sorted(found.dice("tumor").items(), key=lambda item: item[1])[:2]
    views = sheet["views"]
    assert sheet["columns"] == 2
    assert [view.title.partition(",")[0] for view in views] == [case for case, _ in worst for _ in "ab"]
    assert f"lts:half liver {found.dice('liver')[worst[0][0]]:.2f}, tumor {worst[0][1]:.2f}" in views[0].title
    scans = {scan.id: scan for fold in small_part for scan in fold.test}
    for view, (case, _) in zip(views[1::2], worst, strict=True):  # smp, who knows all
        mask = scans[case].mask
        assert mask is not None
        labels = read_mask(mask, image=read_geometry(scans[case].image)).voxels
        most = labels[np.argmax((labels == 2).sum(axis=(1, 2)))]
        assert np.array_equal(view.reference[1], most == 2)
        assert np.array_equal(view.prediction, view.reference)
        assert np.array_equal(view.reference[0], most > 0)
    assert (folder / "pictures" / "c.png").stat().st_size > 1000
    shutil.rmtree(folder / "runs")  # results may be kept without the masks
    assert bench(folder, *asked) == 0
    assert len(sheets) == 1


def test_without_a_complete_system_there_is_no_page(folder: Path, capsys: Any) -> None:
    asked = ["--parts", "b", "--systems", "lts", "--folder", str(folder), "--page", "--docs", str(folder)]
    assert main(asked) == 1
    assert "no page: no system has complete results" in capsys.readouterr().out
    assert not (folder / "accuracy.md").exists()


@pytest.mark.parametrize(
    "wrong",
    [["--systems", "nope"], ["--minutes", "0"], ["--cores", "0"], ["--at-once", "999"], ["--parts", "d"]],
)
def test_a_wrong_argument_is_refused(folder: Path, wrong: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        bench(folder, *wrong)
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_nnunet_takes_the_size_of_a_batch_alone() -> None:
    assert nnunet_2d._batch_size(("batch_size=2",)) == 2
    for wrong in ("batch_size=two", "lr=1"):
        with pytest.raises(ConfigError, match=wrong):
            nnunet_2d._batch_size((wrong,))


def test_a_job_is_read_as_it_was_written(tmp_path: Path, small_part: list[Fold]) -> None:
    job = Job(
        system="lts:a=1 b=2",
        recipe="phantom_cpu",
        train=small_part[0].train,
        test=small_part[0].test,
        regions=LIVER_AND_TUMOR,
        minutes=0.5,
        cores=1,
        lane=0,
        seed=3,
        folder=tmp_path / "work",
        masks=tmp_path / "masks",
    )
    job.save(tmp_path / "job.json")
    assert Job.load(tmp_path / "job.json") == job
    assert job.options == ("a=1", "b=2")


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = [record("lts", {"case-0": 0.5}), record("smp", {"case-0": 0.25})]
    for one in written:
        add_record(tmp_path, one)
    assert list(read_records(tmp_path).values()) == written


@pytest.mark.parametrize("part", ["a", "b"])
def test_no_patient_is_learned_from_and_tested(
    part: str, tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    folds = PARTS[part].folds(tmp_path, real_data)
    for fold in folds:
        assert not {case.patient for case in fold.train} & {case.patient for case in fold.test}
    tested = [(case.id, case.image) for fold in folds for case in fold.test]
    assert len(tested) == len(set(tested)) == {"a": 80, "b": 3}[part]
    if part == "b":
        assert all({"volume-2", "volume-3"} <= {case.id for case in fold.train} for fold in folds)


def test_options_win_over_what_the_bench_sets(tmp_path: Path, small_part: list[Fold]) -> None:
    job = Job(
        recipe="liver_closely",
        system="lts:data.num_workers=3 +trainer.max_time=00:00:00:05 model.norm=instance",
        train=small_part[0].train,
        test=small_part[0].test,
        regions=LIVER_AND_TUMOR,
        minutes=0.5,
        cores=1,
        lane=0,
        seed=3,
        folder=tmp_path,
        masks=tmp_path / "masks",
    )
    arguments = lts_training.command_line(job, tmp_path / "run")
    keys = [argument.partition("=")[0].lstrip("+") for argument in arguments]
    assert len(keys) == len(set(keys))
    assert arguments[-3:] == list(job.options)
    assert {"experiment=liver_closely", "data.regions=[liver,tumor]", "seed=3"} <= set(arguments)
    split = json.loads((tmp_path / "split.json").read_text())
    assert split == {"train": ["case-1", "case-2"], "val": [], "test": []}


def test_a_quarter_of_the_phantoms_is_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(parts, "PHANTOMS", 4)
    monkeypatch.setattr(parts, "MATRIX", 32)
    (fold,) = PARTS["c"].folds(tmp_path, tmp_path)
    assert (len(fold.train), len(fold.test)) == (3, 1)
    assert {case.id for case in (*fold.train, *fold.test)} == {f"volume-{number}" for number in range(4)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("system", "minutes"),
    [("lts:model.width=4 data.image_size=32 locator=none", "0.2"), ("monai", "0.02"), ("smp", "0.02")],
)
def test_a_system_trains_and_writes_masks(system: str, minutes: str, folder: Path, capsys: Any) -> None:
    if absent(system):
        pytest.skip(f"{system}: {absent(system)}")
    asked = ["--parts", "c", "--folds", "0", "--systems", system, "--folder", str(folder)]
    assert main([*asked, "--minutes", minutes]) == 0, capsys.readouterr().out
    (found,) = read_records(folder).values()
    assert found.slices_seen >= 8
    assert 0 <= found.cases[0]["rows"]["liver"]["dice"] <= 1


def test_a_change_is_held_against_its_recipe_over_seeds(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    plan = changes.Plan(
        slices=80, epochs=4, folds=(0, 1), changes=("loss=tversky", "data.slices_per_epoch=5")
    )
    monkeypatch.setitem(changes.PLANS, "c", plan)
    assert plan.system("") == "lts:budget_minutes=null trainer.max_epochs=4 data.slices_per_epoch=20"
    assert (
        plan.system(plan.changes[1]) == "lts:budget_minutes=null trainer.max_epochs=4 data.slices_per_epoch=5"
    )
    dice = {"": (0.5, 0.6), plan.changes[0]: (0.6, 0.9)}  # of the seeds
    folder.mkdir()
    for change, of_seeds in dice.items():
        for seed, value in enumerate(of_seeds):
            for fold, cases in enumerate((("case-0",), ("case-1", "case-2"))):
                made = record(plan.system(change), dict.fromkeys(cases, value), fold=fold, seed=seed)
                add_record(folder, replace(made, run=replace(made.run, minutes=0)))
    monkeypatch.setattr(changes, "run_missing", lambda wanted, *_, **__: len(wanted) < 1)
    asked = ["--parts", "c", "--seeds", "0", "1", "--folder", str(folder), "--docs", str(folder)]
    assert changes.main(asked) == 1  # the last change has no results
    rows = [line for line in (folder / "changes.md").read_text().splitlines() if line.startswith("| ")]
    assert rows[2:] == [
        "| none | 0.550 | 0.500, 0.600 | 0.550 | 0.550 | | | |",
        "| `loss=tversky` | 0.750 | 0.600, 0.900 | 0.750 | 0.750 | +0.200 | 3 of 3 | 0.25 |",
    ]
