import numpy as np
import pytest
from sklearn.metrics import f1_score

from lts.evaluation.panel import dice_panel, panel_remarks
from lts.scores import CaseCounts, count_overlap

REGIONS = ("liver", "tumor")
CONVENTIONS = [
    "per_case",
    "per_case_without_empty",
    "per_slice",
    "per_slice_with_empty",
    "per_batch",
    "global",
]

Slice = tuple[int, int, int]


def case(*slices: Slice) -> CaseCounts:
    """A case with tumor alone, from (tp, fp, fn) of each slice."""
    tp, fp, fn = np.array(slices, np.int64).T[:, :, None]
    return CaseCounts("a", 0.001, tp, fp, fn)


def panel(*cases: CaseCounts, batch_size: int = 2) -> dict[str, float | None]:
    return dice_panel(cases, regions=("tumor",), batch_size=batch_size)["tumor"]


def test_each_convention_gives_its_own_figure_to_the_same_masks() -> None:
    found = panel(
        case((6, 2, 2), (0, 0, 0), (0, 1, 0)),  # slices 3/4, 1, 0; case 12 / 17
        case((0, 0, 0), (0, 0, 0)),  # slices 1, 1; case 1
        case((0, 0, 4), (1, 0, 0)),  # slices 0, 1; case 2 / 6
        batch_size=2,  # slices 1-2: 12/16; 3-4: 0; 5-6: 0; 7: 1
    )
    assert list(found) == CONVENTIONS
    assert found == {
        "per_case": pytest.approx((12 / 17 + 1 + 2 / 6) / 3),
        "per_case_without_empty": pytest.approx((12 / 17 + 2 / 6) / 2),
        "per_slice": pytest.approx((3 / 4 + 0 + 1) / 3),
        "per_slice_with_empty": pytest.approx((3 / 4 + 1 + 0 + 1 + 1 + 0 + 1) / 7),
        "per_batch": pytest.approx((12 / 16 + 0 + 0 + 1) / 4),
        "global": pytest.approx(14 / 23),
    }


def test_the_panel_is_that_of_scikit_learn_on_the_voxels() -> None:
    rng = np.random.default_rng(3)
    masks = []
    for slices in (5, 3, 4):
        prediction, reference = (rng.random((slices, 2, 6, 7)) < 0.2 for _ in range(2))
        prediction[1], reference[1] = False, False
        prediction[2, 1], reference[0, 0] = False, False
        masks.append((prediction, reference))
    masks.append((np.zeros((2, 2, 6, 7), bool),) * 2)
    cases = [CaseCounts.join(str(n), 0.5, [count_overlap(*both)]) for n, both in enumerate(masks)]
    found = dice_panel(cases, regions=REGIONS, batch_size=4)

    def f1(both: tuple[np.ndarray, np.ndarray], channel: int) -> float:
        prediction, reference = (side[:, channel].ravel() for side in both)
        # scikit-learn calls 0 / 0 a 0 unless told otherwise.
        return float(f1_score(reference, prediction, zero_division=1.0))

    for channel, region in enumerate(REGIONS):
        every = tuple(np.concatenate(side) for side in zip(*masks, strict=True))
        slices = [tuple(side[z : z + 1] for side in every) for z in range(14)]
        batches = [tuple(side[z : z + 4] for side in every) for z in range(0, 14, 4)]
        assert found[region] == {
            "per_case": pytest.approx(np.mean([f1(both, channel) for both in masks])),
            "per_case_without_empty": pytest.approx(np.mean([f1(both, channel) for both in masks[:3]])),
            "per_slice": pytest.approx(
                np.mean([f1(both, channel) for both in slices if both[1][:, channel].any()])
            ),
            "per_slice_with_empty": pytest.approx(np.mean([f1(both, channel) for both in slices])),
            "per_batch": pytest.approx(np.mean([f1(both, channel) for both in batches])),
            "global": pytest.approx(f1(every, channel)),
        }


def test_a_batch_reaches_over_cases() -> None:
    cases = case((1, 0, 0), (0, 1, 0)), case((0, 0, 1), (3, 0, 0))
    assert panel(*cases, batch_size=3)["per_batch"] == pytest.approx((2 / 4 + 1) / 2)
    assert panel(*cases, batch_size=100)["per_batch"] == panel(*cases)["global"] == pytest.approx(8 / 10)
    assert panel(*cases, batch_size=1)["per_batch"] == panel(*cases)["per_slice_with_empty"]


def test_where_all_is_empty_conventions_say_one_or_nothing() -> None:
    assert panel(case((0, 0, 0), (0, 0, 0)), case((0, 0, 0))) == {
        "per_case": 1,
        "per_case_without_empty": None,
        "per_slice": None,
        "per_slice_with_empty": 1,
        "per_batch": 1,
        "global": None,
    }


def test_false_alarms_alone_are_zero_by_every_convention_that_sees_them() -> None:
    assert panel(case((0, 2, 0))) == dict.fromkeys(CONVENTIONS, 0) | {"per_slice": None}


def test_a_batch_without_slices_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size: must be at least 1, got 0"):
        panel(case((1, 0, 0)), batch_size=0)


def test_remarks_name_the_ends_the_cause_and_the_figure_to_quote() -> None:
    # Half of the one tumor is found, in one of many slices.
    found = dice_panel([case((2, 2, 2), *[(0, 0, 0)] * 19)], regions=("tumor",), batch_size=8)
    assert panel_remarks(found) == [
        "tumor: the Dice of the same masks is 0.975 by per_slice_with_empty and 0.500 by per_case; "
        "per_slice_with_empty is the highest because every slice without tumor that is predicted empty "
        "counts 1. Quote dice_per_case, 0.500."
    ]


def test_each_region_that_differs_has_its_remark_and_no_other() -> None:
    alike = dict.fromkeys(CONVENTIONS, 0.9)
    spread = {
        "per_case": 0.6,
        "per_case_without_empty": 0.6,
        "per_slice": 0.7,
        "global": 0.8,
        "per_batch": None,
    }
    assert panel_remarks({"liver": alike, "tumor": alike}) == []
    (remark,) = panel_remarks({"liver": alike, "tumor": spread})
    assert remark.startswith("tumor: ")
    assert "0.800 by global and 0.600 by per_case" in remark
    assert "pooled: much tumor in one case" in remark
    assert len(panel_remarks({"liver": spread, "tumor": spread})) == 2
    assert panel_remarks({"tumor": dict.fromkeys(CONVENTIONS)}) == []


@pytest.mark.parametrize(("highest", "remarks"), [(0.1, 0), (0.101, 1)])
def test_a_tenth_is_no_remarkable_difference_and_more_is(highest: float, remarks: int) -> None:
    found = dict.fromkeys(CONVENTIONS, 0.0) | {"per_batch": highest}
    assert len(panel_remarks({"tumor": found})) == remarks


def test_a_figure_that_empty_cases_lift_is_not_quoted_without_saying_so() -> None:
    found = dice_panel([case((0, 0, 0)), case((1, 1, 1)), case((1, 1, 1))], regions=("tumor",), batch_size=1)
    (remark,) = panel_remarks(found)
    assert "0.667 by per_case and 0.500 by per_case_without_empty" in remark
    assert remark.endswith(
        "Quote dice_per_case, 0.667, and say that it is 0.500 without the cases that are empty on both sides."
    )


@pytest.mark.parametrize("highest", [name for name in CONVENTIONS if name != "per_case_without_empty"])
def test_every_convention_that_can_be_highest_is_explained(highest: str) -> None:
    (remark,) = panel_remarks({"liver": dict.fromkeys(CONVENTIONS, 0.5) | {highest: 0.9}})
    assert f"0.900 by {highest} " in remark
    assert "liver" in remark.split("because ")[1]
