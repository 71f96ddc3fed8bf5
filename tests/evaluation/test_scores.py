import math

import numpy as np
import pytest
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score

from lts.evaluation import Bootstrap, ScoringRules
from lts.evaluation.scores import CohortScores, case_rows, cohort_scores, intervals, plain_scores
from lts.scores import CaseCounts, CaseScores, count_overlap

REGIONS = ("liver", "tumor")
NO_AUROC = {"liver": 0.75, "tumor": math.nan}


def random_masks(seed: int, slices: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    prediction, reference = (rng.random((slices, 2, 6, 7)) < 0.3 for _ in range(2))
    return prediction, reference


def counts(case: str, prediction: np.ndarray, reference: np.ndarray, ml: float = 0.5) -> CaseCounts:
    return CaseCounts.join(case, ml, [count_overlap(prediction, reference)])


def overlap_only(cases: list[CaseCounts]) -> list[CaseScores]:
    return [CaseScores(case, (None, None)) for case in cases]


def rows_of(cases: list[CaseCounts]) -> list[dict]:
    return case_rows(overlap_only(cases), rules=ScoringRules())


def found_in(cases: list[CaseCounts]) -> CohortScores:
    return cohort_scores(overlap_only(cases), rows_of(cases), rules=ScoringRules(), auroc=NO_AUROC)


def scores_of(cases: list[CaseCounts]) -> dict[str, dict]:
    return {region: plain_scores(scores) for region, scores in found_in(cases).items()}


def test_slabs_put_together_are_the_whole() -> None:
    prediction, reference = random_masks(0)
    whole = counts("a", prediction, reference)
    slabs = [count_overlap(prediction[part], reference[part]) for part in (slice(0, 2), slice(2, 5))]
    joined = CaseCounts.join("a", 0.5, slabs)
    for name in ("tp", "fp", "fn", "reference", "predicted"):
        assert np.array_equal(getattr(whole, name), getattr(joined, name))


def test_cohort_scores_are_those_of_scikit_learn() -> None:
    masks = [random_masks(seed) for seed in range(3)]
    cases = [counts(str(n), *both) for n, both in enumerate(masks)]
    scores = scores_of(cases)
    for channel, region in enumerate(REGIONS):
        flat = [(r[:, channel].ravel(), p[:, channel].ravel()) for p, r in masks]
        reference, prediction = (np.concatenate(side) for side in zip(*flat, strict=True))
        slices = [(r[z, channel].ravel(), p[z, channel].ravel()) for p, r in masks for z in range(5)]
        assert all(r.any() for r, _ in slices)
        expected = {
            "dice_per_case": np.mean([f1_score(*both) for both in flat]),
            "iou_per_case": np.mean([jaccard_score(*both) for both in flat]),
            "dice_global": f1_score(reference, prediction),
            "iou_global": jaccard_score(reference, prediction),
            "dice_per_slice": np.mean([f1_score(*both) for both in slices]),
            "precision": precision_score(reference, prediction),
            "recall": recall_score(reference, prediction),
        }
        for name, value in expected.items():
            assert scores[region][name] == pytest.approx(value, abs=1e-12), name
    assert scores["liver"]["auroc"] == 0.75
    assert scores["tumor"]["auroc"] is None


def empty_and_full() -> list[CaseCounts]:
    """Three cases of two slices of 2x2 pixels: both sides empty, prediction alone, reference alone."""
    nothing = np.zeros((2, 2, 2, 2), bool)
    something = nothing.copy()
    something[0, :, 0, 0] = True
    return [
        counts("both empty", nothing, nothing),
        counts("false alarm", something, nothing),
        counts("missed", nothing, something),
    ]


def test_a_case_empty_on_both_sides_counts_one_and_on_one_side_zero() -> None:
    scores = scores_of(empty_and_full())["tumor"]
    assert scores["dice_per_case"] == pytest.approx(1 / 3)
    assert scores["iou_per_case"] == pytest.approx(1 / 3)
    assert scores["dice_per_case_n"] == 3
    # One slice holds the region in the reference and is missed; four of all six are empty on both sides.
    assert scores["dice_per_slice"] == 0
    assert scores["dice_per_slice_n"] == 1
    assert scores["dice_per_slice_with_empty"] == pytest.approx(4 / 6)
    assert scores["dice_per_slice_with_empty_n"] == 6
    assert scores["dice_global"] == 0
    assert scores["precision"] == 0
    assert scores["recall"] == 0


def test_a_score_that_is_not_defined_is_none_and_never_zero() -> None:
    scores = scores_of(empty_and_full()[:1])["tumor"]
    for name in ("dice_global", "iou_global", "precision", "recall", "dice_per_slice", "auroc"):
        assert scores[name] is None, name
    assert scores["dice_per_slice_n"] == 0
    assert not any(isinstance(value, float) and math.isnan(value) for value in scores.values())


def test_a_mean_over_cases_is_not_a_mean_of_pooled_voxels() -> None:
    # A large case without error and a small one that is missed: per case 1/2, pooled 200 / 201.
    large, small = np.zeros((1, 2, 20, 20), bool), np.zeros((1, 2, 20, 20), bool)
    large[..., :10, :10] = True
    small[..., 0, 0] = True
    cases = [counts("large", large, large), counts("small", np.zeros_like(small), small)]
    scores = scores_of(cases)["liver"]
    assert scores["dice_per_case"] == 0.5
    assert scores["dice_global"] == pytest.approx(200 / 201)


def test_rows_give_volumes_in_ml_and_scores_of_each_case() -> None:
    rows = rows_of(empty_and_full())
    assert [(row["case"], row["region"]) for row in rows][:2] == [
        ("both empty", "liver"),
        ("both empty", "tumor"),
    ]
    missed = rows[-1]
    assert missed == {
        "case": "missed",
        "region": "tumor",
        "dice": 0.0,
        "iou": 0.0,
        "precision": None,
        "recall": 0.0,
        "assd_mm": None,
        "hd95_mm": None,
        "msd_mm": None,
        "nsd_2mm": None,
        "voe": 1.0,
        "rvd": -1.0,
        "volume_error_ml": -0.5,
        "volume_abs_error_ml": 0.5,
        "reference_ml": 0.5,
        "predicted_ml": 0.0,
        "dice_per_slice": 0.0,
        "lesion_tp": None,
        "lesion_fp": None,
        "lesion_fn": None,
    }
    both_empty, false_alarm = rows[1], rows[3]
    assert (both_empty["dice"], both_empty["iou"], both_empty["voe"], both_empty["rvd"]) == (1, 1, 0, None)
    assert (false_alarm["dice"], false_alarm["voe"], false_alarm["rvd"]) == (0, 1, None)


def test_a_mean_is_over_the_cases_that_have_the_score() -> None:
    scores = scores_of(empty_and_full())["tumor"]
    assert (scores["rvd"], scores["rvd_n"]) == (-1, 1)
    assert (scores["voe"], scores["voe_n"]) == (pytest.approx(2 / 3), 3)
    assert (scores["assd_mm"], scores["assd_mm_n"]) == (None, 0)


def test_columns_and_keys_keep_their_order() -> None:
    cases = empty_and_full()
    surfaces = ["assd_mm", "hd95_mm", "msd_mm", "nsd_2mm"]
    volumes = ["voe", "rvd", "volume_error_ml", "volume_abs_error_ml"]
    assert list(rows_of(cases)[0]) == [
        *("case", "region", "dice", "iou", "precision", "recall"),
        *surfaces,
        *volumes,
        *("reference_ml", "predicted_ml", "dice_per_slice", "lesion_tp", "lesion_fp", "lesion_fn"),
    ]
    means = ["dice_per_case", "iou_per_case", "dice_per_slice", "dice_per_slice_with_empty"]
    pooled = ["dice_global", "iou_global", "precision", "recall"]
    liver, tumor = map(list, scores_of(cases).values())
    assert liver == [
        *means,
        *pooled,
        "auroc",
        *(f"{name}_n" for name in means),
        *(key for name in (*surfaces, *volumes) for key in (name, f"{name}_n")),
    ]
    lesions = [f"lesion_{kind}" for kind in ("precision", "recall", "f1", "tp", "fp", "fn")]
    assert tumor[: len(liver)] == liver
    assert tumor[len(liver) :][:6] == lesions
    assert tumor[-3:] == ["lesion_any_fn_gt20mm", "burden_rmse", "burden_rmse_n"]
    told = intervals(found_in(cases), bootstrap=Bootstrap(resamples=1, level=0.9))
    assert told["intervals_level"] == 0.9
    assert list(told["intervals"]["tumor"]) == list(told["intervals_n"]["liver"])
    assert list(told["intervals"]["tumor"]) == [*means[:2], *surfaces, *volumes, *pooled]
