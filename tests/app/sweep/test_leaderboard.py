import csv
import json
import math
from pathlib import Path

import pytest
from filelock import FileLock

from lts.app.sweep.leaderboard import rank_jobs, read_runs, write_leaderboard


def job(
    folder: Path,
    number: int,
    overrides: list[str],
    *,
    score: float | None,
    dice: float | None = None,
    mode: str = "max",
) -> None:
    (folder / str(number)).mkdir(parents=True)
    run = {"overrides": overrides, "state": "running" if score is None else "done"}
    if score is not None:
        run |= {"monitor": "val/tumor/dice_per_case", "mode": mode, "best_score": score, "duration_s": 1.5}
    (folder / str(number) / "run.json").write_text(json.dumps(run))
    if dice is not None:
        metrics = {"regions": {"tumor": {"dice_per_case": dice, "dice_global": dice / 2}}}
        (folder / str(number) / "metrics.json").write_text(json.dumps(metrics))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    common = "model=unet"
    job(tmp_path, 0, [common, "optimizer.lr=1e-3"], score=0.4, dice=0.5)
    job(tmp_path, 1, [common, "optimizer.lr=1e-4"], score=0.6, dice=0.3)
    job(tmp_path, 2, [common, "optimizer.lr=1e-5"], score=None)
    job(tmp_path, 10, [common, "optimizer.lr=1e-6"], score=0.0, dice=0.1)
    return tmp_path


def test_jobs_are_ranked_by_their_best_score_and_unfinished_ones_come_last(sweep: Path) -> None:
    rows = rank_jobs(sweep)
    assert [row["job"] for row in rows] == ["1", "0", "10", "2"]
    assert rows[0] == {
        "job": "1",
        "optimizer.lr": "1e-4",
        "state": "done",
        "reason": None,
        "monitor": "val/tumor/dice_per_case",
        "mode": "max",
        "score": 0.6,
        "tumor_dice_per_case": 0.3,
        "tumor_dice_global": 0.15,
        "duration_s": 1.5,
    }
    assert rows[-1]["state"] == "killed"
    assert rows[-1]["score"] is None


def test_settings_of_two_values_are_columns_and_reasons_are_told(tmp_path: Path) -> None:
    job(tmp_path, 0, ["loss=a", "split.file='x=1'", "seed=0"], score=0.5)
    job(tmp_path, 1, ["loss=b", "split.file='x=2'", "seed=0"], score=None)
    run = json.loads((tmp_path / "1" / "run.json").read_text())
    (tmp_path / "1" / "run.json").write_text(json.dumps({**run, "state": "failed", "reason": "too large"}))
    done, failed = rank_jobs(tmp_path)
    assert (done["loss"], done["split.file"], done["reason"]) == ("a", "'x=1'", None)
    assert (failed["loss"], failed["split.file"], failed["reason"]) == ("b", "'x=2'", "too large")
    assert "seed" not in done


def test_only_a_job_whose_lock_is_held_is_running(sweep: Path) -> None:
    with FileLock(sweep / "2" / ".lock"), FileLock(sweep / "0" / ".lock"):
        assert [run["state"] for run in read_runs(sweep)] == ["done", "done", "running", "done"]
    assert [run["state"] for run in read_runs(sweep)] == ["done", "done", "killed", "done"]
    assert [run["job"] for run in read_runs(sweep)] == ["0", "1", "2", "10"]


def test_a_sweep_ends_with_a_table_and_a_picture(sweep: Path, capsys) -> None:
    write_leaderboard(sweep)
    with (sweep / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["optimizer.lr"] for row in rows] == ["1e-4", "1e-3", "1e-6", "1e-5"]
    assert (sweep / "leaderboard.png").stat().st_size > 1000
    printed = capsys.readouterr().out
    assert "leaderboard of 4 runs" in printed
    assert "optimizer.lr" in printed
    assert "reason" not in printed  # no job has one


@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_picture_has_a_bar_a_job_named_by_its_settings_the_best_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: str
) -> None:
    drawn: list[tuple] = []
    monkeypatch.setattr("lts.figures.save_leaderboard", lambda *given, **named: drawn.append((given, named)))
    for number, score in enumerate((0.0, 0.5, None)):
        job(tmp_path, number, ["model=unet", f"seed={number}", f"loss={number}"], score=score, mode=mode)
    write_leaderboard(tmp_path)
    ((path, bars), named) = drawn[0]
    assert path == tmp_path / "leaderboard.png"
    best_first = [("seed=1, loss=1", 0.5), ("seed=0, loss=0", 0.0)]
    assert bars[:2] == (best_first if mode == "max" else best_first[::-1])
    assert bars[2][0] == "seed=2, loss=2"
    assert math.isnan(bars[2][1])
    assert named == {"score": "val/tumor/dice_per_case", "maximize": mode == "max"}


def test_a_single_job_is_named_by_its_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drawn: list[tuple] = []
    monkeypatch.setattr("lts.figures.save_leaderboard", lambda *given, **named: drawn.append((given, named)))
    job(tmp_path, 7, ["seed=0"], score=None)
    write_leaderboard(tmp_path)
    ((_, bars), named) = drawn[0]
    assert bars[0][0] == "job 7"
    assert named == {"score": "score", "maximize": True}


def test_where_the_lowest_is_best_the_lowest_comes_first(tmp_path: Path) -> None:
    for number, score in enumerate((0.4, 0.1, 0.3)):
        job(tmp_path, number, [f"seed={number}"], score=score, mode="min")
    job(tmp_path, 3, ["seed=3"], score=None)
    assert [row["job"] for row in rank_jobs(tmp_path)] == ["1", "2", "0", "3"]


def test_scores_that_do_not_compare_are_ranked_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys
) -> None:
    drawn: list[tuple] = []
    monkeypatch.setattr("lts.figures.save_leaderboard", lambda *given, **named: drawn.append(given))
    kinds = {
        0: ("val/loss", "a"),
        1: ("val/loss", "b"),
        2: ("dice", "a"),
        3: ("dice", "b"),
        4: ("val/loss", "a"),
    }
    for number, (monitor, loss) in kinds.items():
        mode, score = ("min" if monitor == "val/loss" else "max"), 0.1 + number / 10
        job(tmp_path, number, [f"seed={number}"], score=score, mode=mode)
        file = tmp_path / str(number) / "run.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "monitor": monitor, "loss": {"a": loss}}))
    job(tmp_path, 5, ["seed=5"], score=None)
    # Two of one loss, lowest first; two of Dice whatever their loss, highest first; one of another loss.
    assert [row["job"] for row in rank_jobs(tmp_path)] == ["0", "4", "3", "2", "1", "5"]
    write_leaderboard(tmp_path)
    assert [bar[0] for bar in drawn[0][1]] == ["seed=0", "seed=4", "seed=5"]
    assert "jobs 3, 2, 1: their scores do not compare with that of job 0" in capsys.readouterr().out


def test_a_folder_without_jobs_gets_no_leaderboard(tmp_path: Path) -> None:
    assert write_leaderboard(tmp_path) == []
    assert not list(tmp_path.iterdir())
