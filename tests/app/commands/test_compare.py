"""Several evaluations compared by the command: what is written, printed and refused."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Evaluations a, b and c of five cases; c has a sixth."""
    for name, gain in (("a", 0.0), ("b", 0.1), ("c", -0.05)):
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


def test_two_runs_are_paired_on_the_cases_that_both_have(run: Any, home: Path) -> None:
    done = run("evaluate", "compare=[a,c]", "allow_unpaired=true", "paths.output_dir=out", cwd=home)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads((home / "out" / "comparison.json").read_text())["comparisons"][:1]
    assert (found["pairs"], found["losses"]) == (5, 5)
    assert (home / "out" / "differences.csv").is_file()


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
