"""Three and more runs: ranks by hand, Friedman's p by its formula, Holm's by its paper."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lts.base import CohortError
from lts.evaluation import Bootstrap, common_cases, compare_cases, rank_runs
from lts.evaluation.compare_many import RankedRuns, holm

BOOTSTRAP = Bootstrap(resamples=50, seed=5)


def rows(values: list[Any], *, score: str = "dice", region: str = "tumor") -> list[dict[str, Any]]:
    return [{"case": f"case {n}", "region": region, score: value} for n, value in enumerate(values)]


def rank(runs: dict[str, list[Any]], *, score: str = "dice") -> RankedRuns:
    given = {name: rows(values, score=score) for name, values in runs.items()}
    (found,) = rank_runs(given, scores=[score], bootstrap=BOOTSTRAP)
    return found


def test_ranks_are_those_by_hand_and_the_best_comes_first() -> None:
    found = rank({"a": [0.5, 0.6, 0.7], "b": [0.9, 0.6, 0.8], "c": [0.7, 0.1, 0.9]})
    # by case: a 3, 1.5, 3; b 1, 1.5, 2; c 2, 3, 1
    assert found.mean_ranks == pytest.approx({"b": 1.5, "c": 2.0, "a": 2.5})
    assert list(found.mean_ranks) == list(found.means) == ["b", "c", "a"]
    assert found.means == pytest.approx({"a": 0.6, "b": 2.3 / 3, "c": 1.7 / 3})
    assert (found.cases, found.left_out) == (3, 0)


@pytest.mark.parametrize(
    ("score", "best"), [("dice", [2.0, 1.0]), ("hd95_mm", [1.0, 2.0]), ("volume_error_ml", [2.0, 1.0])]
)
def test_the_best_is_what_the_score_calls_so(score: str, best: list[float]) -> None:
    values = {"volume_error_ml": [-5.0, 3.0]}.get(score, [0.2, 0.9])
    found = rank(
        {"a": [values[0]] * 4, "b": [values[1]] * 4, "c": [99.0 if score != "dice" else 0.0] * 4}, score=score
    )
    assert [found.mean_ranks["a"], found.mean_ranks["b"]] == best
    assert found.mean_ranks["c"] == 3


def friedman_p(values: np.ndarray) -> float:
    """P of Friedman's statistic without ties, by chi-squared with one degree less than runs."""
    k, n = values.shape
    mean_ranks = stats.rankdata(-values, axis=0).mean(axis=1)
    statistic = 12 * n / (k * (k + 1)) * ((mean_ranks - (k + 1) / 2) ** 2).sum()
    return float(stats.chi2.sf(statistic, k - 1))


@pytest.mark.parametrize("seed", range(3))
def test_p_is_that_of_friedmans_formula(seed: int) -> None:
    values = np.random.default_rng(seed).random((4, 12)).round(6)
    found = rank({name: run.tolist() for name, run in zip("abcd", values, strict=True)})
    assert found.p_value == pytest.approx(friedman_p(values))
    assert found.remark is None
    few = rank({name: run[:10].tolist() for name, run in zip("abcd", values, strict=True)})
    assert few.remark == "p (Friedman) is approximate, 10 cases are few for it"


def test_remarks_of_a_pair_call_the_runs_by_their_names() -> None:
    found = rank({"a": [0.1, 0.2], "b": [0.1, 0.2], "c": [0.3, None]})
    assert [pair.compared.remark for pair in found.pairs][2] == (
        "cases that differ: 1, too few for p to reach 0.05; cases left out since only b has the score: 1"
    )
    other = {"a": [0.1, None], "b": [0.1, 0.2], "c": [0.1, 0.2]}
    assert [pair.compared.remark for pair in rank(other).pairs] == [
        "cases left out since only b has the score: 1",
        "cases left out since only c has the score: 1",
        None,
    ]
    assert rank({name: [0.5, 0.7, 0.9] for name in "abc"}).p_value == 1
    assert rank({name: [0.5] for name in "abc"}).p_value is None


def test_pairs_are_those_of_two_runs_and_corrected() -> None:
    values = np.random.default_rng(0).random((3, 12)).round(6).tolist()
    found = rank(dict(zip("abc", values, strict=True)))
    assert [(pair.a, pair.b) for pair in found.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    for pair in found.pairs:
        (alone,) = compare_cases(
            *(rows(values["abc".index(name)]) for name in (pair.a, pair.b)),
            scores=["dice"],
            bootstrap=BOOTSTRAP,
        )
        assert pair.compared == alone
    assert [pair.p_corrected for pair in found.pairs] == holm([pair.compared.p_value for pair in found.pairs])


def test_p_values_are_corrected_step_by_step() -> None:
    ps = [0.01, 0.015, 0.02, 0.8]
    # 4 x 0.01, then 3 x 0.015, then 2 x 0.02, which may not be below the one before, then 1 x 0.8
    expected = dict(zip(ps, [0.04, 0.045, 0.045, 0.8], strict=True))
    for order in permutations(ps):
        assert holm(order) == pytest.approx([expected[p] for p in order])
    assert holm([0.9, None, 0.7]) == pytest.approx([1.0, None, 1.0])
    assert holm([]) == []


def test_a_case_without_the_score_in_one_run_is_ranked_in_none() -> None:
    found = rank({"a": [0.1, 0.2, None], "b": [0.2, "", 0.4], "c": [0.3, 0.3, 0.3]})
    assert (found.cases, found.left_out) == (1, 2)
    assert found.mean_ranks == {"c": 1, "b": 2, "a": 3}
    assert [pair.compared.pairs for pair in found.pairs] == [1, 2, 2]
    nothing = rank({"a": [None], "b": [0.5], "c": [0.5]})
    assert (nothing.cases, nothing.means, nothing.p_value) == (0, {}, None)
    assert nothing.remark == "in no case do all runs have the score"


def test_runs_that_cannot_be_compared_are_named() -> None:
    whole = rows([0.5, 0.6])
    with pytest.raises(CohortError, match=r"only in b: \['case 1'\]"):
        rank_runs({"a": rows([0.5]), "b": whole, "c": whole}, scores=["dice"])
    with pytest.raises(CohortError, match="must be three runs or more to be ranked, got 2"):
        rank_runs({"a": whole, "b": whole}, scores=["dice"])
    with pytest.raises(CohortError, match=r"compare: run b, case 'case 1', .*: dice must be a finite number"):
        rank_runs({"a": whole, "b": rows([0.5, "good"]), "c": whole}, scores=["dice"])
    with pytest.raises(CohortError, match="no score that can be ranked is in all runs, a, b, c"):
        rank_runs(dict.fromkeys("abc", whole), scores=["reference_ml"])
    liver = [*whole, *rows([0.5, 0.6], region="liver")]
    with pytest.raises(CohortError, match="no region is in"):
        rank_runs({"a": whole, "b": liver, "c": rows([0.5, 0.6], region="liver")}, scores=["dice"])


def test_common_cases_are_those_of_all_runs() -> None:
    runs = {"a": rows([1, 2, 3]), "b": rows([4, 5]), "c": rows([6, 7, 8, 9])[1:]}
    kept, left_out = common_cases(runs)
    assert {name: [row["case"] for row in found] for name, found in kept.items()} == {
        name: ["case 1"] for name in "abc"
    }
    assert left_out == {"a": 2, "b": 1, "c": 2}
    with pytest.raises(CohortError, match="no case is in all runs, a, b"):
        common_cases({"a": rows([1]), "b": rows([1, 2])[1:]})


def test_common_cases_are_those_of_a_region() -> None:
    both = {name: [*rows([1, 2], region="liver"), *rows([3, 4])] for name in "ab"}
    del both["b"][2]  # case 0, tumor
    kept, left_out = common_cases(both)
    assert [(row["case"], row["region"]) for row in kept["a"]] == [
        *(("case 0", "liver"), ("case 1", "liver"), ("case 1", "tumor"))
    ]
    assert kept["b"] == both["b"]
    assert left_out == {"a": 1, "b": 0}
    assert [one.pairs for one in compare_cases(*kept.values(), scores=["dice"])] == [2, 1]
    # A region that one run has not is none of its lacking cases.
    assert common_cases({**both, "c": rows([5, 6], region="liver")})[1] == {"a": 0, "b": 0, "c": 0}
    with pytest.raises(CohortError, match="compare: no region is in all runs, a, b"):
        common_cases({"a": rows([1]), "b": rows([1], region="liver")})


def test_each_run_but_the_best_has_its_pair_with_the_best() -> None:
    found = rank({"a": [0.5, 0.6, 0.7], "b": [0.9, 0.6, 0.8], "c": [0.7, 0.1, 0.9]})
    assert {name: (pair.a, pair.b) for name, pair in found.against_best.items()} == {
        "a": ("a", "b"),
        "c": ("b", "c"),
    }
    assert rank({"a": [None], "b": [0.5], "c": [0.5]}).against_best == {}
