"""Cases scored from masks and from probabilities, and put together."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from lts.base import ConfigError
from lts.evaluation import Bootstrap, CaseScorer, ProbabilityScores, ScoringRules, Summary, summarize
from lts.scores import CaseMasks, CaseScores
from lts.volume import Volume, read_ct, read_mask

REGIONS = ("liver", "tumor")


def rules(**changes: Any) -> ScoringRules:
    settings = {
        "regions": REGIONS,
        "nsd_mm": (2.0,),
        "lits": False,
        "overlay_dir": None,
        "window_hu": (40, 400),
    }
    return ScoringRules(**{**settings, **changes})


def score_case(case: CaseMasks, by: ScoringRules) -> CaseScores:
    return by.score_case(case)


@pytest.fixture
def scan_and_mask(make_case) -> tuple[Volume, Volume]:
    case = make_case()
    scan = read_ct(case.image)
    return scan, read_mask(case.mask, image=scan.geometry)


def masks(scan: Volume, mask: Volume, prediction: np.ndarray | None = None, case: str = "a") -> CaseMasks:
    return CaseMasks(
        case=case,
        prediction=mask.voxels if prediction is None else prediction,
        reference=mask.voxels,
        image=scan.voxels,
        is_ct=True,
        voxel=scan.geometry.voxel,
    )


def summary(scored, probabilities=None, **changes: Any) -> Summary:
    return summarize(
        scored,
        rules=rules(**changes),
        probabilities=probabilities,
        batch_size=4,
        bootstrap=Bootstrap(level=0.95, resamples=50, seed=0),
    )


def slabs(probs: torch.Tensor, size: int):
    for start in range(0, len(probs), size):
        part = slice(start, min(start + size, len(probs)))
        yield SimpleNamespace(slices=part, probs=probs[part])


def reference_probs(mask: Volume) -> torch.Tensor:
    labels = torch.from_numpy(mask.voxels)
    return torch.stack([labels >= 1, labels == 2], 1).float()


def test_the_reference_itself_is_perfect(scan_and_mask) -> None:
    scan, mask = scan_and_mask
    found = summary([score_case(masks(scan, mask), rules())])
    for region in REGIONS:
        scores = found.metrics["regions"][region]
        for name in ("dice_per_case", "dice_global", "iou_global", "precision", "recall", "nsd_2mm"):
            assert scores[name] == 1, (region, name)
        for name in ("assd_mm", "hd95_mm", "msd_mm", "voe", "rvd", "volume_error_ml"):
            assert scores[name] == 0, (region, name)
    tumor = found.metrics["regions"]["tumor"]
    assert (tumor["lesion_f1"], tumor["lesion_tp"], tumor["burden_rmse"]) == (1, 1, 0)
    volume_ml = (mask.voxels == 2).sum() * 1.5 * 1.5 * 4.0 / 1000
    assert found.rows[1]["reference_ml"] == pytest.approx(volume_ml)
    (lesion,) = found.findings
    assert (lesion.outcome, lesion.volume_ml) == ("found", pytest.approx(volume_ml))
    assert lesion.mean_hu == pytest.approx(20, abs=1)


def test_a_mask_moved_by_one_voxel_is_off_by_one_spacing(scan_and_mask) -> None:
    scan, mask = scan_and_mask
    for axis, spacing_mm in enumerate((4.0, 1.5, 1.5)):
        prediction = np.roll(mask.voxels, 1, axis)
        found = summary([score_case(masks(scan, mask, prediction), rules())])
        assert found.metrics["regions"]["liver"]["msd_mm"] == spacing_mm
        row = found.rows[0]
        assert (row["rvd"], row["volume_error_ml"]) == (0, 0)
        assert row["nsd_2mm"] == (1 if spacing_mm < 2 else pytest.approx(row["nsd_2mm"]))
        assert (row["nsd_2mm"] < 1) == (spacing_mm > 2)


def test_a_prediction_without_a_region_leaves_its_surfaces_undefined(scan_and_mask) -> None:
    scan, mask = scan_and_mask
    prediction = np.minimum(mask.voxels, 1)
    found = summary([score_case(masks(scan, mask, prediction), rules())])
    liver, tumor = (found.metrics["regions"][region] for region in REGIONS)
    assert liver["msd_mm"] == 0  # a liver holds its tumors, whatever they are called
    assert (tumor["assd_mm"], tumor["assd_mm_n"], tumor["dice_per_case"]) == (None, 0, 0)
    assert (tumor["rvd"], tumor["voe"], tumor["lesion_fn"]) == (-1, 1, 1)
    assert tumor["volume_abs_error_ml"] == -tumor["volume_error_ml"] == found.rows[1]["reference_ml"]
    burden = found.rows[1]["reference_ml"] / found.rows[0]["reference_ml"]
    assert tumor["burden_rmse"] == pytest.approx(burden)
    assert [finding.outcome for finding in found.findings] == ["missed"]


def test_burdens_are_of_cases_with_a_liver_on_both_sides(scan_and_mask) -> None:
    scan, mask = scan_and_mask
    nothing = score_case(masks(scan, mask, np.zeros_like(mask.voxels)), rules())
    assert summary([nothing]).metrics["regions"]["tumor"]["burden_rmse"] is None
    both = summary([nothing, score_case(masks(scan, mask, case="b"), rules())])
    assert both.metrics["regions"]["tumor"]["burden_rmse_n"] == 1
    missed = score_case(masks(scan, mask, np.minimum(mask.voxels, 1)), rules())
    volumes = [row["reference_ml"] for row in both.rows[2:]]
    found = summary([missed, score_case(masks(scan, mask, case="b"), rules())])
    burden = volumes[1] / volumes[0]  # the error of one case of two
    assert found.metrics["regions"]["tumor"]["burden_rmse"] == pytest.approx(burden / 2**0.5)


def pool(mask: Volume, probs: torch.Tensor, size: int) -> ProbabilityScores:
    pooled = ProbabilityScores(REGIONS)
    for slab in slabs(probs, size):
        pooled.add(mask.voxels, slab)
    return pooled


def test_the_size_of_slabs_changes_nothing(scan_and_mask) -> None:
    _, mask = scan_and_mask
    shape = (len(mask.voxels), 2, *mask.voxels.shape[1:])
    probs = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    found = [pool(mask, probs, size).auroc.compute() for size in (1, 4, 100)]
    assert found[0] == found[1] == found[2]
    exact = roc_auc_score((mask.voxels >= 1).ravel(), probs[:, 0].numpy().ravel())
    assert found[0]["liver/auroc"].item() == pytest.approx(exact, abs=1e-3)


def test_a_summary_of_probabilities_has_curves_and_one_of_masks_has_none(scan_and_mask) -> None:
    scan, mask = scan_and_mask
    scored = [score_case(masks(scan, mask), rules())]
    pooled = pool(mask, reference_probs(mask), 4)
    with_probabilities, without = summary(scored, pooled), summary(scored)
    assert with_probabilities.metrics["regions"]["tumor"]["auroc"] == 1
    assert with_probabilities.metrics["calibration"]["tumor"]["ece"] == 0
    assert with_probabilities.roc is not None
    assert without.metrics["regions"]["tumor"]["auroc"] is None
    assert "calibration" not in without.metrics
    assert without.roc is without.reliability is None


def test_intervals_hold_the_score_and_are_none_for_fewer_than_ten_cases(scan_and_mask) -> None:
    scan, mask = scan_and_mask
    cases = [masks(scan, mask, np.roll(mask.voxels, n, 1), case=str(n)) for n in range(10)]
    scored = [score_case(case, rules()) for case in cases]
    metrics = summary(scored).metrics
    for region in REGIONS:
        counts = metrics["intervals_n"][region]
        for name, interval in metrics["intervals"][region].items():
            # volumes do not change where a mask moves
            if counts[name] < 10 or name in ("rvd", "volume_error_ml", "volume_abs_error_ml"):
                assert interval is None, name
            else:
                low, high = interval
                assert low <= metrics["regions"][region][name] <= high, name
            assert counts[name] == metrics["regions"][region].get(f"{name}_n", 10), name
    few = summary(scored[:9]).metrics
    assert set(few["intervals"]["tumor"].values()) == {None}
    assert (few["intervals_n"]["tumor"]["dice_global"], few["intervals_min_cases"]) == (9, 10)
    # a case where neither mask holds a region says nothing of its scores
    alone = Volume(np.minimum(mask.voxels, 1), mask.geometry)
    told = summary([*scored[:9], score_case(masks(scan, alone, case="10"), rules())]).metrics["intervals_n"]
    for name in ("dice_global", "iou_global", "precision", "recall"):
        assert (told["tumor"][name], told["liver"][name]) == (9, 10), name


def test_the_challenge_is_scored_where_it_was_asked_for(scan_and_mask) -> None:
    scan, mask = scan_and_mask
    scored = [score_case(masks(scan, mask), rules(lits=True))]
    assert summary(scored, lits=True).metrics["lits"]["lesion_recall"] == 1
    assert "lits" not in summary(scored).metrics


def test_the_binary_task_has_no_liver(scan_and_mask) -> None:
    scan, mask = scan_and_mask
    scored = [score_case(masks(scan, mask), rules(regions=("tumor",)))]
    found = summary(scored, regions=("tumor",))
    assert list(found.metrics["regions"]) == ["tumor"]
    assert found.metrics["regions"]["tumor"]["burden_rmse"] is None
    assert found.findings[0].edge_mm is None


def test_rules_that_cannot_be_followed_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^nsd_mm: tolerances must be >= 0, got \[-1\]"):
        rules(nsd_mm=(-1,))
    with pytest.raises(ConfigError, match=r"^lits: needs the regions .* got \['tumor'\]"):
        rules(lits=True, regions=("tumor",))


@pytest.mark.parametrize("workers", [1, 2])
def test_cases_keep_their_order_on_any_number_of_processes(
    scan_and_mask, workers: int, tmp_path: Path
) -> None:
    scan, mask = scan_and_mask
    done: list[int] = []
    drawn = rules(overlay_dir=tmp_path / "overlays")
    with CaseScorer(drawn, workers=workers, on_scored=done.append) as scorer:
        for n in range(5):
            scorer.add(masks(scan, mask, np.roll(mask.voxels, n, 1), case=f"case {n}"))
        scored = scorer.result()
    assert done == [1, 2, 3, 4, 5]
    assert [case.counts.case for case in scored] == [f"case {n}" for n in range(5)]
    assert scored[0].surfaces[0]["msd_mm"] == 0 < scored[4].surfaces[0]["msd_mm"]
    for n in range(5):
        with Image.open(tmp_path / "overlays" / f"case {n}.png") as picture:
            assert min(picture.size) > 300
