from dataclasses import asdict
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lts.base import CohortError
from lts.evaluation.compare import PairedComparison, check_scores, compare_cases
from lts.evaluation.confidence import Bootstrap, mean_interval

BOOTSTRAP = Bootstrap(resamples=300, seed=5)


def rows(score: str, values: list[Any], *, region: str = "tumor", **more: Any) -> list[dict[str, Any]]:
    return [
        {"case": f"case {n}", "region": region, score: value, **more} for n, value in enumerate(values, 1)
    ]


def compare(a: list[Any], b: list[Any], *, score: str = "dice") -> PairedComparison:
    (found,) = compare_cases(rows(score, a), rows(score, b), scores=[score], bootstrap=BOOTSTRAP)
    return found


def test_figures_of_a_pair_of_runs_are_those_by_hand() -> None:
    found = compare([0.5, 0.6, 0.9, 0.2], [0.7, 0.5, 0.9, 0.6])
    assert (found.region, found.score, found.pairs, found.left_out) == ("tumor", "dice", 4, 0)
    assert found.mean_a == pytest.approx(0.55)
    assert found.mean_b == pytest.approx(0.675)
    assert found.mean_difference == pytest.approx(0.125)
    assert found.median_difference == pytest.approx(0.1)
    assert (found.wins, found.ties, found.losses) == (2, 1, 1)
    assert found.differences == pytest.approx({"case 1": 0.2, "case 2": -0.1, "case 3": 0, "case 4": 0.4})
    # Ranks 2, 1 and 3 of three differences: of 8 ways to sign them, 4 have a sum of at most 1 on a side.
    assert found.p_value == pytest.approx(4 / 8)


def test_the_interval_is_that_of_the_mean_difference() -> None:
    a, b = np.random.default_rng(0).random((2, 12)).round(3)
    found = compare(a.tolist(), b.tolist())
    assert found.interval == mean_interval((b - a).round(10), **asdict(BOOTSTRAP))
    assert found.interval is not None
    assert found.interval.low < found.mean_difference < found.interval.high
    assert compare(a[:9].tolist(), b[:9].tolist()).interval is None


def signed_rank_p(differences: np.ndarray) -> float:
    """Two-sided p of the signed-rank test by all signs that the differences could have."""
    kept = differences[differences != 0]
    ranks = stats.rankdata(np.abs(kept))
    sums = np.array([ranks @ signs for signs in product((0, 1), repeat=len(kept))])
    observed = ranks @ (kept > 0)
    return min(1.0, 2 * min((sums <= observed).mean(), (sums >= observed).mean()))


@pytest.mark.parametrize("seed", range(4))
def test_p_is_that_of_all_signs_the_differences_could_have(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.random(10), rng.random(10) + 0.2
    b[:2] = a[:2]
    found = compare(a.tolist(), b.tolist())
    assert found.p_value == pytest.approx(signed_rank_p(b - a))
    assert found.ties == 2


def test_cases_without_a_difference_do_not_make_p_coarser() -> None:
    differences = [0.5, 0.3, -0.1, 0.7, 0.2, -0.4, 0.6, 0.8, *[0.0] * 60]
    assert compare([0] * 68, differences).p_value == pytest.approx(signed_rank_p(np.array(differences)))


def test_differences_alike_but_for_rounding_share_their_rank() -> None:
    a, b = [0.1, 0.2, 0.3, 0.7, 0.5, 0.3, 0.6, 0.9], [0.2, 0.3, 0.4, 0.6, 0.6, 0.2, 0.7, 0.8]
    differences = [1, 1, 1, -1, 1, -1, 1, -1]
    assert len(set(np.abs(np.subtract(b, a)))) > 1
    found = compare(a, b)
    assert found.p_value == pytest.approx(signed_rank_p(np.array(differences)))
    assert found.p_value == compare([0] * 8, differences).p_value


def test_sums_in_another_order_are_no_difference() -> None:
    found = compare([0.1 + 0.2 + 0.3], [0.3 + 0.2 + 0.1])
    assert (found.ties, found.mean_difference, found.p_value) == (1, 0, 1)
    assert compare([0.1 + 0.2 + 0.3], [0.3 + 0.2 + 0.1], score="hd95_mm").ties == 1


def test_runs_without_any_difference_have_a_p_of_one() -> None:
    found = compare([0.5, 0.6, 0.7], [0.5, 0.6, 0.7])
    assert (found.p_value, found.wins, found.ties, found.losses) == (1, 0, 3, 0)
    assert found.interval is None  # how far others would differ, cases that are all alike do not tell
    assert found.remark is None


@pytest.mark.parametrize(("unlike", "p"), [(1, 1.0), (2, 0.5), (5, 0.0625), (6, 0.03125)])
def test_too_few_cases_that_differ_are_remarked(unlike: int, p: float) -> None:
    a = [0.5] * 8
    b = [0.5 + 0.01 * n if n <= unlike else 0.5 for n in range(1, 9)]
    found = compare(a, b)
    assert found.p_value == pytest.approx(p)
    if unlike < 6:
        assert found.remark == f"cases that differ: {unlike}, too few for p to reach 0.05"
    else:
        assert found.remark is None


@pytest.mark.parametrize(
    "score", ["dice", "dice_per_slice", "iou", "precision", "recall", "nsd_2mm", "lesion_tp"]
)
def test_the_higher_overlap_wins(score: str) -> None:
    found = compare([0.5, 0.5, 0.5], [0.6, 0.7, 0.4], score=score)
    assert (found.wins, found.ties, found.losses) == (2, 0, 1)


@pytest.mark.parametrize(
    "score", ["assd_mm", "hd95_mm", "msd_mm", "voe", "volume_abs_error_ml", "lesion_fp", "lesion_fn"]
)
def test_the_smaller_error_wins(score: str) -> None:
    found = compare([5, 5, 5], [6, 7, 4], score=score)
    assert (found.wins, found.ties, found.losses) == (1, 0, 2)
    assert found.mean_difference == pytest.approx(2 / 3)


@pytest.mark.parametrize("score", ["rvd", "volume_error_ml"])
def test_of_signed_errors_the_nearer_to_zero_wins(score: str) -> None:
    found = compare([-0.5, 0.5, 0.2, 0.1], [0.4, -0.6, -0.2, 0.0], score=score)
    assert (found.wins, found.ties, found.losses) == (2, 1, 1)
    assert found.mean_difference == pytest.approx((0.9 - 1.1 - 0.4 - 0.1) / 4)


def test_volumes_are_compared_without_a_winner() -> None:
    found = compare([10, 20], [12, 20], score="predicted_ml")
    assert (found.wins, found.ties, found.losses) == (None, None, None)
    assert found.mean_difference == pytest.approx(1)


def test_a_score_that_a_run_lacks_leaves_the_case_out() -> None:
    found = compare(["", "3.5", None, "4", float("nan")], [1.0, 4.5, None, "", "2"], score="hd95_mm")
    assert (found.pairs, found.left_out) == (1, 4)
    assert found.differences == {"case 2": 1.0}
    assert (found.mean_a, found.mean_b, found.p_value, found.interval) == (3.5, 4.5, 1.0, None)
    assert found.remark == (
        "cases that differ: 1, too few for p to reach 0.05; cases left out since only a has the score: 1; "
        "cases left out since only b has the score: 2"
    )


def test_a_score_that_no_pair_has_is_none_throughout() -> None:
    found = compare([None, None], [None, None])
    assert (found.pairs, found.left_out, found.differences) == (0, 2, {})
    assert found.mean_a is found.mean_b is found.mean_difference is found.median_difference is None
    assert found.interval is found.p_value is found.remark is None
    assert (found.wins, found.ties, found.losses) == (0, 0, 0)


def test_cases_are_paired_by_name_in_each_region_that_both_runs_have() -> None:
    a = rows("dice", [0.1, 0.2], region="liver") + rows("dice", [0.3, 0.4])
    a = [row | {"iou": row["dice"] / 2} for row in a]
    b = [row | {"dice": row["dice"] + 0.5} for row in a[::-1]]
    found = compare_cases(a, b, scores=["dice", "iou"], bootstrap=BOOTSTRAP)
    assert [(one.region, one.score) for one in found] == list(product(("liver", "tumor"), ("dice", "iou")))
    assert [one.mean_difference for one in found] == pytest.approx([0.5, 0, 0.5, 0])
    assert found[0].differences == pytest.approx({"case 1": 0.5, "case 2": 0.5})
    (tumor,) = compare_cases(a[2:], b, scores=["dice"], bootstrap=BOOTSTRAP)
    assert tumor == found[2]


def test_runs_on_other_cases_are_refused_by_name() -> None:
    a, b = rows("dice", [0.1, 0.2, 0.3]), rows("dice", [0.1, 0.2, 0.3, 0.4])[1:]
    with pytest.raises(CohortError, match=r"same cases.*'tumor'.*only in a: \['case 1'\].*b: \['case 4'\]"):
        compare_cases(a, b, scores=["dice"], bootstrap=BOOTSTRAP)
    with pytest.raises(CohortError, match=r"region 'tumor' only in b: \['case 4'\]$"):
        compare_cases(a[1:], b, scores=["dice"], bootstrap=BOOTSTRAP)


def test_runs_without_a_region_in_common_are_refused() -> None:
    with pytest.raises(CohortError, match=r"no region is in both runs: a has \['tumor'\], b has \['liver'\]"):
        compare_cases(
            rows("dice", [0.1]), rows("dice", [0.1], region="liver"), scores=["dice"], bootstrap=BOOTSTRAP
        )


def test_a_case_that_stands_twice_is_refused() -> None:
    with pytest.raises(CohortError, match="case 'case 1', region 'tumor' stands 2 times in run b"):
        compare_cases(rows("dice", [0.1]), rows("dice", [0.1]) * 2, scores=["dice"], bootstrap=BOOTSTRAP)


def test_scores_against_another_reference_are_refused() -> None:
    a = rows("dice", [0.1], reference_ml="20.0")
    compare_cases(a, rows("dice", [0.1], reference_ml=20.01), scores=["dice"], bootstrap=BOOTSTRAP)
    with pytest.raises(
        CohortError, match=r"'case 1' must have the same reference.* 20 ml in a and 20.5 ml in b"
    ):
        compare_cases(a, rows("dice", [0.1], reference_ml=20.5), scores=["dice"], bootstrap=BOOTSTRAP)
    for one, other in ((a, rows("dice", [0.1])), (rows("dice", [0.1]), a)):
        assert compare_cases(one, other, scores=["dice"], bootstrap=BOOTSTRAP)[0].pairs == 1


@pytest.mark.parametrize("value", ["good", "inf", [1]])
def test_a_score_that_is_no_finite_number_is_refused(value: Any) -> None:
    with pytest.raises(CohortError, match="case 'case 2', region 'tumor': dice must be a finite number"):
        compare([0.1, value], [0.1, 0.2])


def test_a_score_that_a_run_does_not_know_is_refused() -> None:
    with pytest.raises(CohortError, match="case 'case 1', region 'tumor': has no score 'iou'"):
        compare_cases(rows("dice", [0.1]), rows("dice", [0.1]), scores=["iou"], bootstrap=BOOTSTRAP)


@pytest.mark.parametrize(
    ("score", "value", "bounds"),
    [
        ("dice", "1e308", "from 0 to 1"),
        ("dice", "-0.1", "from 0 to 1"),
        ("nsd_2mm", 1.2, "from 0 to 1"),
        ("voe", "inf", "from 0 to 1"),
        ("hd95_mm", "-1", "from 0 to 1e[+]100"),
        ("lesion_fp", "-1", "from 0 to 1e[+]100"),
        ("rvd", "-1.01", "from -1 to 1e[+]100"),
        ("volume_error_ml", "-1e308", "from -1e[+]100 to 1e[+]100"),
        ("new_score", "1e308", "from -1e[+]100 to 1e[+]100"),
    ],
)
def test_a_number_that_no_such_score_can_be_is_refused(score: str, value: Any, bounds: str) -> None:
    right = rows(score, ["0.5", None, "", "nan"])
    wrong = f"^x/cases.csv: case 'case 5', region 'tumor': {score} must be {bounds}, got {value!r}$"
    check_scores(right, file="x/cases.csv")
    with pytest.raises(CohortError, match=wrong):
        check_scores([*right, {"case": "case 5", "region": "tumor", score: value}], file="x/cases.csv")


@pytest.mark.parametrize(
    ("score", "value"),
    [("dice", "1.0000001"), ("rvd", "300"), ("volume_error_ml", "-5"), ("hd95_mm", "250"), ("note", "good")],
)
def test_what_such_a_score_can_be_is_taken(score: str, value: str) -> None:
    check_scores(rows(score, [value]), file="cases.csv")
