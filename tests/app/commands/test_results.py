"""What an evaluation writes, in which order, and which cases it shows."""

import csv
import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lts.app.commands import results
from lts.evaluation import ScoringRules, Summary
from lts.figures import save_png
from lts.figures.canvas import read_png
from lts.scores import LesionFinding

SCORES = dict.fromkeys(
    ("dice_per_case", "dice_global", "iou_per_case", "iou_global", "precision", "recall", "auroc"), 0.5
)


def finding() -> LesionFinding:
    values: dict[str, Any] = dict.fromkeys(field.name for field in fields(LesionFinding))
    return LesionFinding(**{**values, "case": "a", "outcome": "found"})


def summary(dice: dict[str, float], *, roc: bool = False, **changes: object) -> Summary:
    """Cases with both regions, by their Dice of the tumor; that of the liver is the other way round."""
    found = {
        "metrics": {
            "regions": {"liver": SCORES, "tumor": SCORES},
            "panel": [],
            "panel_remarks": ["few cases"],
        },
        "rows": [
            {
                "case": case,
                "region": region,
                "dice": score if region == "tumor" else 1 - score,
                "reference_ml": 2.0,
                "predicted_ml": 1.0,
            }
            for case, score in dice.items()
            for region in ("liver", "tumor")
        ],
        "findings": (),
        "roc": {"tumor": (torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0]), 0.5)} if roc else None,
        "reliability": None,
    }
    return Summary(**{**found, **changes})


@pytest.fixture
def write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[dict, Any]]:
    """Write results into a folder; what `metrics.json` holds, and what the report was given."""
    reports: list[Any] = []
    monkeypatch.setattr(results, "write_report", lambda path, data: reports.append(data))

    def write(found: Summary, *regions: str, sheet_dir: Path | None = None) -> tuple[dict, Any]:
        rules = ScoringRules(
            regions=regions or ("liver", "tumor"),
            nsd_mm=(2.0,),
            lits=False,
            overlay_dir=tmp_path / "overlays",
            lesion_dir=tmp_path / "lesions",
            sheet_dir=sheet_dir,
            window_hu=None,
        )
        metrics = results.write_results(
            found,
            rules,
            title="test cases",
            subset="test",
            facts={"temperature": 1.0},
            output_dir=tmp_path,
            level=0.9,
            record=SimpleNamespace(origins=lambda: {"seed": 0}),
        )
        return metrics, reports[-1]

    return write


def test_metrics_name_the_subset_and_count_cases_not_rows(write, tmp_path: Path, capsys) -> None:
    metrics, report = write(summary({"a": 0.1, "b": 0.2, "c": 0.3}))
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    assert list(metrics)[:3] == ["subset", "n_cases", "regions"]
    assert (metrics["subset"], metrics["n_cases"], metrics["temperature"]) == ("test", 3, 1.0)
    assert (report.title, report.level, report.provenance) == ("test cases, cases: 3", 0.9, {"seed": 0})
    printed = capsys.readouterr().out
    assert "test cases, cases: 3, on each scan's own grid" in printed
    assert printed.endswith("few cases\n")


def test_the_worst_and_the_best_by_the_last_region_are_shown_and_none_twice(write, tmp_path: Path) -> None:
    _, report = write(summary({"a": 0.5, "b": 0.1, "c": 0.9, "d": 0.3, "e": 0.7, "f": 0.2, "g": 0.6}))
    assert report.pictures == [
        (case, f"{how}: tumor Dice {dice:.3f}", tmp_path / "overlays" / f"{case}.png")
        for case, how, dice in (
            ("b", "worst", 0.1),
            ("f", "worst", 0.2),
            ("d", "worst", 0.3),
            ("c", "best", 0.9),
            ("e", "best", 0.7),
            ("g", "best", 0.6),
        )
    ]
    assert report.pictures_remark == (
        "Ranked by the Dice of tumor, of the 7 cases whose reference holds tumor."
    )


def test_a_sheet_of_all_cases_begins_with_the_worst(write, tmp_path: Path, capsys) -> None:
    write(summary({"a": 0.5}))
    assert not (tmp_path / "overlays.png").exists()
    for gray, case in ((50, "a"), (100, "b"), (150, "c")):
        save_png(tmp_path / "sheet" / f"{case}.png", np.full((8, 8, 3), gray, np.uint8))
    write(summary({"a": 0.5, "b": 0.1, "c": 0.9}), sheet_dir=tmp_path / "sheet")
    sheet = read_png(tmp_path / "overlays.png")[..., 0]
    assert (sheet[0, 0], sheet[0, -1], sheet[-1, 0]) == (100, 50, 150)
    assert f"{tmp_path}/overlays.png shows 3 cases, the worst first\n" in capsys.readouterr().out


def test_lesions_are_listed_where_tumors_are_asked_for_even_if_there_are_none(write, tmp_path: Path) -> None:
    lesions = tmp_path / "lesions.csv"
    write(summary({"a": 0.5}), "liver")
    assert not lesions.exists()
    write(summary({"a": 0.5}))
    assert lesions.read_text().splitlines() == [",".join(field.name for field in fields(LesionFinding))]
    _, report = write(summary({"a": 0.5}, findings=(finding(),)))
    with lesions.open() as file:
        assert [row["outcome"] for row in csv.DictReader(file)] == ["found"]
    assert report.lesions[0]["case"] == "a"


def test_the_largest_failures_of_each_kind_are_shown_and_found_lesions_are_not(
    write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "SHOWN_LESIONS", 2)
    sizes = {
        "a": (("missed", 5), ("found", 9), ("missed", 7)),
        "b": (("missed", 6), ("false alarm", 1), ("missed", 99)),
    }
    findings = tuple(
        replace(finding(), case=case, outcome=outcome, diameter_mm=float(size))
        for case, found in sizes.items()
        for outcome, size in found
    )
    (tmp_path / "lesions").mkdir()
    for name in ("a-1", "a-2", "a-3", "b-1", "b-2"):  # the largest of all was not drawn
        (tmp_path / "lesions" / f"{name}.jpg").touch()
    _, report = write(summary({"a": 0.5, "b": 0.5}, findings=findings))
    drawn = {number: path.stem for number, path in report.lesion_pictures.items()}
    assert drawn == {2: "a-3", 3: "b-1", 4: "b-2"}


def test_curves_are_drawn_where_there_are_probabilities(write, tmp_path: Path) -> None:
    _, report = write(summary({"a": 0.5}))
    assert report.roc is None
    assert not (tmp_path / "roc.png").exists()
    _, report = write(summary({"a": 0.5}, roc=True))
    assert report.roc == {"tumor": ([0.0, 1.0], [0.0, 1.0], 0.5)}
    assert (tmp_path / "roc.png").stat().st_size > 1000


def test_advice_and_failures_reach_the_report_and_advice_the_user(write, capsys) -> None:
    told = {"advice": ["look at small lesions"], "failures": {"missed": 2}, "lits": {"rank": 1}}
    found = summary({"a": 0.5})
    _, report = write(summary({"a": 0.5}, metrics={**found.metrics, **told}))
    assert (report.advice, report.failure_totals, report.lits) == (*told.values(),)
    assert capsys.readouterr().out.endswith("few cases\nlook at small lesions\n")
