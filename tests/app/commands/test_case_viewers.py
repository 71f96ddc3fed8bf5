"""Which cases of an evaluation have a page, and that it shows what was scored."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from html_kit import read_page

from lts.app.commands.case_viewers import write_viewers
from lts.app.commands.mask_pairs import MaskPair
from lts.base import MaskLabels
from lts.evaluation import ScoringRules, Summary, summarize
from lts.scores import CaseMasks
from lts.volume import read_ct, read_mask, write_mask

REGIONS = ("liver", "tumor")


def told(path: Path) -> dict[str, Any]:
    return json.loads(read_page(path).one("script", id="scan").text)


@pytest.fixture
def evaluation(make_case, tmp_path: Path) -> tuple[list[MaskPair], Summary]:
    """Three cases: of b no tumor was found, of c half of it, and of a all."""
    pairs, scored = [], []
    for seed, (name, share) in enumerate({"a": 1.0, "b": 0.0, "c": 0.5}.items()):
        case = make_case(name, seed=seed, depth=10)
        scan = read_ct(case.image)
        reference = read_mask(case.mask, image=scan.geometry).voxels
        prediction = reference.copy()
        tumor = np.argwhere(reference == 2)
        prediction[tuple(tumor[round(share * len(tumor)) :].T)] = 1
        write_mask(tmp_path / f"{name}-predicted.nii.gz", prediction, geometry=scan.geometry)
        pairs.append(MaskPair(name, tmp_path / f"{name}-predicted.nii.gz", case.mask, case.image))
        masks = CaseMasks(
            case=name,
            prediction=prediction,
            reference=reference,
            image=scan.voxels,
            voxel=scan.geometry.voxel,
        )
        scored.append(ScoringRules().score_case(masks))
    return pairs, summarize(scored)


def write(pairs: list[MaskPair], summary: Summary, folder: Path, *, most: int) -> dict[str, str]:
    return write_viewers(pairs, summary, regions=REGIONS, modality="ct", output_dir=folder, most=most)


def test_the_worst_cases_have_a_page_and_those_of_an_earlier_run_are_gone(
    evaluation: tuple[list[MaskPair], Summary], tmp_path: Path
) -> None:
    viewer = tmp_path / "out" / "viewer"
    viewer.mkdir(parents=True)
    for name in ("a.html", "other.html"):
        (viewer / name).write_text("old")
    found = write(*evaluation, tmp_path / "out", most=2)
    assert found == {"b": "viewer/b.html", "c": "viewer/c.html"}
    # What is no case of this evaluation is none of its files.
    assert sorted(path.name for path in viewer.iterdir()) == ["b.html", "c.html", "other.html"]
    assert [one["told"].partition(":")[0] for one in told(viewer / "b.html")["lesions"]] == ["missed"]
    assert read_page(viewer / "b.html").one("a", class_="quiet").attrs["href"] == "../report.html"


def test_all_cases_have_one_or_none(evaluation: tuple[list[MaskPair], Summary], tmp_path: Path) -> None:
    assert sorted(write(*evaluation, tmp_path / "out", most=99)) == ["a", "b", "c"]
    assert write(*evaluation, tmp_path / "none", most=0) == {}
    assert not (tmp_path / "none").exists()


def test_voxels_that_did_not_count_are_not_shown(
    evaluation: tuple[list[MaskPair], Summary], tmp_path: Path
) -> None:
    pairs, summary = evaluation
    first = pairs[0]
    labels = MaskLabels(liver=(1,), tumor=(), ignore=(2,))
    ignoring = MaskPair(first.case, first.prediction, first.reference, None, reference_labels=labels)
    write([ignoring, *pairs[1:]], summary, tmp_path / "out", most=3)
    scan = told(tmp_path / "out" / "viewer" / "a.html")
    assert scan["modality"] is None
    # The prediction has a tumor where the reference says nothing.
    assert sum(scan["pixels_per_slice"]["tumor"]) == sum(scan["differing_pixels_per_slice"]) == 0
