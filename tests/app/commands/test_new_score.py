"""A score that is added to the table is everywhere: one entry and one function are all it takes."""

import csv
import json
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from docs_kit import lines_missing

from lts.app.commands.compare import compare_runs
from lts.app.commands.results import write_results
from lts.app.commands.scoring import bootstrap_of, rules_of
from lts.app.config.settings import ScoringSettings
from lts.evaluation import CaseRegion, CaseScorer, CohortRegion, CohortScore, Score, summarize, table
from lts.evaluation.report import headline
from lts.scores import CaseMasks
from lts.volume import Voxel

VOXEL = Voxel.of_spacing((5.0, 2.0, 1.0))
SETTINGS = ScoringSettings(resamples=20, workers=1)
RUN = SimpleNamespace(origins=dict, finish=lambda **facts: None)


def wrong_ml(region: CaseRegion) -> np.float32:
    _, fp, fn = region.overlap
    return np.float32((fp + fn) * region.case.counts.voxel_volume_ml)  # any kind of number will do


def most_wrong(cohort: CohortRegion) -> CohortScore:
    _, fp, fn = cohort.by_case
    return CohortScore(int((fp + fn).max()))


WRONG = Score(
    "wrong_ml",
    "Wrong volume",
    "Volume that is in one mask alone.",
    unit="ml",
    decimals=1,
    family="volumes",
    best="low",
    of_case=wrong_ml,
)
FARTHEST = replace(
    WRONG,
    name="farthest_mm",
    label="Farthest",
    meaning="The same as MSD.",
    unit="mm",
    of_case=None,
    of_surfaces=attrgetter("msd_mm"),
)
MOST_WRONG = replace(
    WRONG,
    name="most_wrong",
    label="Most wrong",
    meaning="Voxels that are in one mask alone, of the worst case.",
    unit="",
    of_case=None,
    of_cohort=most_wrong,
)


def labels(*, shift: int) -> np.ndarray:
    drawn = np.zeros((4, 24, 24), np.uint8)
    drawn[1:3, 4 + shift : 16 + shift, 4:16] = 1
    drawn[2, 6 + shift : 10 + shift, 6:10] = 2
    return drawn


def evaluate(folder: Path, shift: int) -> None:
    rules = rules_of(SETTINGS, ("liver", "tumor"), output_dir=folder, window_hu=None)
    with CaseScorer(rules) as scorer:
        for case in "ab":
            scorer.add(
                CaseMasks(case=case, prediction=labels(shift=shift), reference=labels(shift=0), voxel=VOXEL)
            )
        summary = summarize(scorer.result(), rules=rules, bootstrap=bootstrap_of(SETTINGS))
    told = {"title": "new", "subset": "masks", "facts": {}, "level": 0.95, "record": RUN}
    write_results(summary, rules, output_dir=folder, **told)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Two evaluations and their comparison, with scores that nobody has known before."""
    monkeypatch.setattr(table, "SCORES", (*table.SCORES, WRONG, FARTHEST, MOST_WRONG))
    monkeypatch.setattr(headline, "TILES", (*headline.TILES, "wrong_ml"))
    for name, shift in (("a", 2), ("b", 1)):
        evaluate(tmp_path / name, shift)
    compare_runs(
        [tmp_path / "a", tmp_path / "b"],
        settings=SETTINGS,
        allow_unpaired=False,
        output_dir=tmp_path,
        begin=lambda: RUN,
    )
    return tmp_path


def test_it_stands_in_every_file(folder: Path) -> None:
    with (folder / "a" / "cases.csv").open() as file:
        rows = list(csv.DictReader(file))
    # two rows of 12 pixels on each side in two slices, of 10 mm3
    assert [float(row["wrong_ml"]) for row in rows][::2] == pytest.approx([0.96, 0.96])
    assert [float(row["farthest_mm"]) for row in rows] == [4.0] * 4
    assert "most_wrong" not in rows[0]
    metrics = json.loads((folder / "a" / "metrics.json").read_text())
    liver = metrics["regions"]["liver"]
    assert (liver["wrong_ml"], liver["wrong_ml_n"]) == (pytest.approx(0.96), 2)
    assert (liver["farthest_mm"], liver["farthest_mm_n"], liver["most_wrong"]) == (4.0, 2, 96)
    assert metrics["intervals_n"]["liver"]["wrong_ml"] == 2
    comparisons = json.loads((folder / "comparison.json").read_text())["comparisons"]
    (found,) = (one for one in comparisons if (one["region"], one["score"]) == ("liver", "wrong_ml"))
    assert (found["mean_b"], found["wins"], found["losses"]) == (pytest.approx(0.48), 2, 0)


def test_it_stands_in_the_report(folder: Path) -> None:
    page = (folder / "a" / "report.html").read_text()
    sections = {part.partition('"')[0]: part for part in page.split('<section id="')[1:]}
    for title in ("Wrong volume (ml)", "Farthest (mm)"):
        assert title in sections["cases"]
    for score in (WRONG, FARTHEST, MOST_WRONG):
        assert score.title in sections["scores"]
        assert score.meaning in sections["definitions"]
    assert '<div class="tile-label">Wrong volume</div>' in sections["scores"]


def test_the_docs_are_told_which_lines_they_lack(folder: Path) -> None:
    assert lines_missing() == [
        "| `wrong_ml` | case and cohort | ml | lower | Volume that is in one mask alone. | |",
        "| `farthest_mm` | case and cohort | mm | lower | The same as MSD. | |",
        "| `most_wrong` | cohort | | lower | Voxels that are in one mask alone, of the worst case. | |",
    ]
