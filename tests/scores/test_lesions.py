import math
import pickle
from itertools import combinations

import numpy as np
import pytest
import SimpleITK
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score

from lts.components import Component
from lts.scores.lesions import (
    SIZE_GROUPS,
    LesionCounts,
    LesionMatch,
    RuleCounts,
    count_lesions,
    lesion_scores,
    match_lesions,
    size_group,
)
from lts.volume import Voxel, read_geometry, read_mask

SPACING_MM = (2.5, 0.7, 1.1)
UNIT = Voxel.of_spacing((1.0, 1.0, 1.0))


def strip(text: str) -> np.ndarray:
    """A volume of one row, `#` where it is set."""
    return np.array([[[sign == "#" for sign in text]]])


def matched(prediction: str, reference: str) -> LesionMatch:
    return match_lesions(strip(prediction), strip(reference), voxel=UNIT)


def cube(side: int, *, at: int = 0, shape: tuple[int, int, int] = (24, 24, 60)) -> np.ndarray:
    """True in a cube that starts `at` columns from the first."""
    mask = np.zeros(shape, bool)
    mask[:side, :side, at : at + side] = True
    return mask


def hits(count: LesionCounts) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Hits, false alarms and misses of all sizes at IoU > 0.5, and at any overlap."""
    half, overlap = ((sum(one.tp), sum(one.fp), sum(one.fn)) for one in (count.half, count.any))
    return half, overlap


def test_voxels_that_touch_at_a_corner_are_one_lesion() -> None:
    mask = np.zeros((3, 3, 3), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    (lesion,) = match_lesions(mask, mask, voxel=UNIT).reference
    assert lesion == Component(
        label=1,
        voxels=2,
        volume_ml=0.002,
        diameter_mm=pytest.approx((12 / math.pi) ** (1 / 3)),
        center=(0.5, 0.5, 0.5),
        box=(slice(0, 2), slice(0, 2), slice(0, 2)),
    )


@pytest.mark.parametrize("corner", [(1, 1, 1), (1, 1, -1), (1, -1, 1), (1, -1, -1), (0, 1, -1), (1, 0, 0)])
def test_all_26_neighbors_touch_and_a_gap_parts(corner: tuple[int, int, int]) -> None:
    for distance, lesions in ((1, 1), (2, 2)):
        mask = np.zeros((5, 5, 5), bool)
        mask[2, 2, 2] = mask[tuple(2 + distance * np.array(corner))] = True
        assert len(match_lesions(mask, mask, voxel=UNIT).predicted) == lesions


def test_a_lesion_is_described_by_hand() -> None:
    mask = np.zeros((9, 10, 11), bool)
    mask[2:4, 3:6, 4:9] = True
    match = match_lesions(np.zeros_like(mask), mask, voxel=Voxel.of_spacing(SPACING_MM))
    volume_mm3 = 2 * 3 * 5 * 2.5 * 0.7 * 1.1
    (lesion,) = match.reference
    assert lesion.voxels == 30
    assert lesion.volume_ml == pytest.approx(volume_mm3 / 1000)
    assert 4 / 3 * math.pi * (lesion.diameter_mm / 2) ** 3 == pytest.approx(volume_mm3)
    assert lesion.center == (2.5, 4, 6)
    assert lesion.box == (slice(2, 4), slice(3, 6), slice(4, 9))
    assert np.array_equal(match.reference_labels, mask)
    assert match.reference_labels.dtype == match.predicted_labels.dtype == np.int32
    assert match.predicted == ()
    assert not match.predicted_labels.any()


def test_lesions_are_those_of_simpleitk() -> None:
    # Deeper than what is summed at a time.
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(80, 30, 40)), 1.2)
    mask = noise > np.quantile(noise, 0.9)
    mask[:3] = mask[:, :2] = mask[:, :, -4:] = False
    image = SimpleITK.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(SPACING_MM[::-1])
    theirs = SimpleITK.LabelShapeStatisticsImageFilter()
    components = SimpleITK.ConnectedComponent(image, True)
    theirs.Execute(components)
    match = match_lesions(np.zeros_like(mask), mask, voxel=Voxel.of_spacing(SPACING_MM))
    assert len(match.reference) == theirs.GetNumberOfLabels() > 50
    numbers = SimpleITK.GetArrayFromImage(components)
    assert np.array_equal(match.reference_labels > 0, mask)
    for label, lesion in enumerate(match.reference, start=1):
        assert lesion.label == label
        (number,) = set(numbers[match.reference_labels == label].tolist())
        assert lesion.voxels == theirs.GetNumberOfPixels(number)
        assert lesion.volume_ml == pytest.approx(theirs.GetPhysicalSize(number) / 1000, rel=1e-9)
        assert lesion.diameter_mm == pytest.approx(2 * theirs.GetEquivalentSphericalRadius(number), rel=1e-9)
        center_mm = np.array(lesion.center) * SPACING_MM
        assert center_mm == pytest.approx(theirs.GetCentroid(number)[::-1], abs=1e-9)
        start_and_size = theirs.GetBoundingBox(number)[::-1]
        assert [side.stop - side.start for side in lesion.box] == list(start_and_size[:3])
        assert [side.start for side in lesion.box] == list(start_and_size[3:])


def test_iou_is_the_jaccard_score_of_scikit_learn_and_of_overlapping_pairs_alone() -> None:
    rng = np.random.default_rng(1)
    prediction, reference = (rng.random((9, 10, 11)) < 0.08 for _ in range(2))
    match = match_lesions(prediction, reference, voxel=UNIT)
    assert len(match.iou) > 5
    for lesion in match.reference:
        for found in match.predicted:
            sides = (match.reference_labels == lesion.label, match.predicted_labels == found.label)
            iou = jaccard_score(*(side.ravel() for side in sides))
            assert match.iou.get((lesion.label, found.label), 0) == pytest.approx(iou, abs=1e-12)
    assert min(match.iou.values()) > 0


def test_a_lesion_found_exactly_is_a_hit_under_both_rules() -> None:
    match = matched("..##.", "..##.")
    assert match.iou == {(1, 1): 1.0}
    assert match.half == match.any == {1: 1}


def test_an_iou_of_one_half_is_no_hit_but_an_overlap() -> None:
    match = matched("##..", "#...")
    assert match.iou == {(1, 1): 0.5}
    assert match.half == {}
    assert match.any == {1: 1}
    assert matched("###.", "##..").half == {1: 1}


def test_lesions_that_do_not_overlap_are_a_miss_and_a_false_alarm() -> None:
    count = count_lesions(matched("#...", ".#.."))
    assert hits(count) == ((0, 1, 1), (0, 1, 1))


def test_a_prediction_that_covers_two_lesions_is_one_hit_and_one_miss() -> None:
    match = matched("#######", "##.####")
    assert match.any == match.half == {2: 1}
    assert hits(count_lesions(match)) == ((1, 0, 1), (1, 0, 1))
    alike = count_lesions(matched("#######", "###.###"))
    assert hits(alike) == ((0, 1, 2), (1, 0, 1))


def test_a_lesion_predicted_in_two_parts_is_one_hit_and_one_false_alarm() -> None:
    match = matched("##.####", "#######")
    assert match.any == match.half == {1: 2}
    assert hits(count_lesions(match)) == ((1, 1, 0), (1, 1, 0))
    alike = count_lesions(matched("###.###", "#######"))
    assert hits(alike) == ((0, 2, 1), (1, 1, 0))


def test_the_best_pair_is_given_up_for_two() -> None:
    # Lesion 1 and prediction 2 fit each other well, but each is the only partner of another.
    match = matched("#.###########", "###########.#")
    assert match.iou == {(1, 1): 1 / 11, (1, 2): 9 / 13, (2, 2): 1 / 11}
    assert match.half == {1: 2}
    assert match.any == {1: 1, 2: 2}
    assert hits(count_lesions(match)) == ((1, 1, 1), (2, 0, 0))


def test_of_as_many_pairs_the_best_are_taken() -> None:
    match = matched(".####.", "##.###")
    assert match.iou == {(1, 1): 1 / 5, (2, 1): 2 / 5}
    assert match.any == {2: 1}


def best_matching(iou: dict[tuple[int, int], float]) -> tuple[int, float]:
    """Pairs and IoU of the best of all matchings, tried one by one."""
    best = (0, 0.0)
    for size in range(1, len(iou) + 1):
        for pairs in combinations(iou, size):
            if all(len({pair[side] for pair in pairs}) == size for side in (0, 1)):
                best = max(best, (size, sum(iou[pair] for pair in pairs)))
    return best


@pytest.mark.parametrize("seed", range(60))
def test_pairs_at_any_overlap_are_the_best_of_all_matchings(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prediction, reference = (np.repeat(rng.random((1, 1, 12)) < 0.6, 3, axis=2) for _ in range(2))
    prediction = np.roll(prediction, rng.integers(-2, 3), axis=2) & (rng.random((1, 1, 36)) < 0.85)
    match = match_lesions(prediction, reference, voxel=UNIT)
    assert set(match.any.items()) <= set(match.iou)
    assert len(set(match.any.values())) == len(match.any)
    pairs, total = best_matching(match.iou)
    assert len(match.any) == pairs
    assert sum(match.iou[pair] for pair in match.any.items()) == pytest.approx(total, abs=1e-9)


@pytest.mark.parametrize("coverage", [0.02, 0.09, 0.15])
def test_thousands_of_specks_are_matched_as_well_as_a_dense_assignment_does(coverage: float) -> None:
    rng = np.random.default_rng(2)
    prediction, reference = (rng.random((16, 80, 80)) < coverage for _ in range(2))
    match = match_lesions(prediction, reference, voxel=UNIT)
    assert len(match.reference) > 250
    worth = np.zeros((len(match.reference), len(match.predicted)))
    for (lesion, found), iou in match.iou.items():
        worth[lesion - 1, found - 1] = 1000 + iou
    chosen = worth[linear_sum_assignment(worth, maximize=True)]
    assert len(match.any) == np.count_nonzero(chosen)
    found = sum(match.iou[pair] for pair in match.any.items())
    assert found == pytest.approx((chosen[chosen > 0] - 1000).sum(), abs=1e-6)
    assert len(set(match.any.values())) == len(match.any)
    assert match.half == {r: p for (r, p), iou in match.iou.items() if iou > 0.5}
    assert len(set(match.half.values())) == len(match.half)


def test_without_lesions_nothing_is_found_and_nothing_missed() -> None:
    match = matched("....", "....")
    assert (match.reference, match.predicted, match.iou, match.half, match.any) == ((), (), {}, {}, {})
    assert hits(count_lesions(match)) == ((0, 0, 0), (0, 0, 0))
    assert hits(count_lesions(matched("#.#.", "...."))) == ((0, 2, 0), (0, 2, 0))
    assert hits(count_lesions(matched("....", "#.#."))) == ((0, 0, 2), (0, 0, 2))


@pytest.mark.parametrize(
    ("diameter_mm", "group"),
    [
        (0.1, "lt10mm"),
        (math.nextafter(10, 0), "lt10mm"),
        (10.0, "10to20mm"),
        (20.0, "10to20mm"),
        (math.nextafter(20, 30), "gt20mm"),
        (200.0, "gt20mm"),
    ],
)
def test_a_size_group_holds_both_its_limits_in_the_middle(diameter_mm: float, group: str) -> None:
    assert size_group(diameter_mm) == group
    assert group in SIZE_GROUPS


# Cubes of 5, 12 and 20 mm are as large as spheres of 6.2, 14.9 and 24.8 mm.
@pytest.mark.parametrize(("side", "group"), [(5, 0), (12, 1), (20, 2)])
def test_hits_misses_and_false_alarms_count_by_size(side: int, group: int) -> None:
    one = tuple(int(n == group) for n in range(3))
    none = (0, 0, 0)
    nothing = np.zeros_like(cube(side))
    for prediction, reference, expected in (
        (cube(side), cube(side), RuleCounts(tp=one, fp=none, fn=none)),
        (nothing, cube(side), RuleCounts(tp=none, fp=none, fn=one)),
        (cube(side), nothing, RuleCounts(tp=none, fp=one, fn=none)),
    ):
        count = count_lesions(match_lesions(prediction, reference, voxel=UNIT))
        assert count == LesionCounts(half=expected, any=expected)
        assert (count.tp, count.fp, count.fn) == (sum(expected.tp), sum(expected.fp), sum(expected.fn))


def test_the_size_of_a_lesion_follows_the_spacing() -> None:
    mask = cube(5)
    counts = [
        count_lesions(match_lesions(mask, mask, voxel=Voxel.of_spacing([size_mm] * 3)))
        for size_mm in (1.0, 2.4, 4.0)
    ]
    assert [count.half.tp for count in counts] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]


def test_a_hit_has_the_size_of_the_reference() -> None:
    # 24.8 mm in the reference, 14.9 mm in the prediction, which covers 0.2 of it.
    count = count_lesions(match_lesions(cube(12), cube(20), voxel=UNIT))
    assert count.any == RuleCounts(tp=(0, 0, 1), fp=(0, 0, 0), fn=(0, 0, 0))
    # Not matched, the one is a miss of its size, the other a false alarm of its own.
    assert count.half == RuleCounts(tp=(0, 0, 0), fp=(0, 1, 0), fn=(0, 0, 1))


CASES = (
    LesionCounts(
        half=RuleCounts(tp=(1, 2, 3), fp=(4, 0, 1), fn=(2, 1, 0)),
        any=RuleCounts(tp=(3, 3, 3), fp=(2, 0, 0), fn=(0, 0, 1)),
    ),
    LesionCounts(
        half=RuleCounts(tp=(0, 1, 0), fp=(1, 2, 0), fn=(5, 0, 0)),
        any=RuleCounts(tp=(2, 1, 0), fp=(0, 1, 0), fn=(1, 0, 0)),
    ),
)


def test_scores_are_those_of_scikit_learn_over_the_lesions_of_all_cases() -> None:
    scores = lesion_scores(CASES)
    names = set()
    for prefix, rule in (("lesion_", "half"), ("lesion_any_", "any")):
        for suffix, groups in (("", (0, 1, 2)), ("_lt10mm", (0,)), ("_10to20mm", (1,)), ("_gt20mm", (2,))):
            tp, fp, fn = (
                sum(getattr(getattr(case, rule), kind)[n] for case in CASES for n in groups)
                for kind in ("tp", "fp", "fn")
            )
            truth, found = [1] * tp + [0] * fp + [1] * fn, [1] * tp + [1] * fp + [0] * fn
            expected = {
                "precision": precision_score(truth, found),
                "recall": recall_score(truth, found),
                "f1": f1_score(truth, found),
                "tp": tp,
                "fp": fp,
                "fn": fn,
            }
            for name, value in expected.items():
                assert scores[f"{prefix}{name}{suffix}"] == pytest.approx(value, abs=1e-12)
                names.add(f"{prefix}{name}{suffix}")
    assert set(scores) == names


def test_scores_by_hand() -> None:
    scores = lesion_scores(CASES)
    assert (scores["lesion_tp"], scores["lesion_fp"], scores["lesion_fn"]) == (7, 8, 8)
    assert (scores["lesion_any_tp"], scores["lesion_any_fp"], scores["lesion_any_fn"]) == (12, 3, 2)
    assert scores["lesion_precision"] == pytest.approx(7 / 15)
    assert scores["lesion_any_recall"] == pytest.approx(12 / 14)
    assert scores["lesion_any_f1"] == pytest.approx(24 / 29)
    assert scores["lesion_recall_lt10mm"] == pytest.approx(1 / 8)
    assert scores["lesion_precision_10to20mm"] == pytest.approx(3 / 5)
    assert scores["lesion_f1_gt20mm"] == pytest.approx(6 / 7)
    assert isinstance(scores["lesion_tp"], int)


def test_the_figures_of_a_case_are_those_at_an_iou_above_one_half() -> None:
    assert (CASES[0].tp, CASES[0].fp, CASES[0].fn) == (6, 5, 3)


def counted(*, tp: int = 0, fp: int = 0, fn: int = 0) -> LesionCounts:
    """All in the smallest group, under both rules."""
    rule = RuleCounts(tp=(tp, 0, 0), fp=(fp, 0, 0), fn=(fn, 0, 0))
    return LesionCounts(half=rule, any=rule)


@pytest.mark.parametrize(
    ("counts", "precision", "recall", "f1"),
    [
        ([], None, None, None),
        ([counted()], None, None, None),
        ([counted(fp=2)], 0, None, 0),
        ([counted(fn=2)], None, 0, 0),
        ([counted(fp=1, fn=1)], 0, 0, 0),
        ([counted(), counted(tp=1)], 1, 1, 1),
    ],
)
def test_what_is_not_defined_is_none(counts: list[LesionCounts], precision, recall, f1) -> None:
    scores = lesion_scores(counts)
    for prefix in ("lesion_", "lesion_any_"):
        for suffix in ("", "_lt10mm"):
            found = [scores[f"{prefix}{name}{suffix}"] for name in ("precision", "recall", "f1")]
            assert found == [precision, recall, f1]
        assert scores[f"{prefix}precision_gt20mm"] is None
        assert scores[f"{prefix}tp_gt20mm"] == 0


def test_counts_travel_between_processes() -> None:
    assert pickle.loads(pickle.dumps(CASES)) == CASES


def test_views_of_other_memory_layouts_are_matched_the_same() -> None:
    rng = np.random.default_rng(3)
    prediction, reference = (rng.random((6, 9, 8)) < 0.15 for _ in range(2))
    match = match_lesions(prediction, reference, voxel=Voxel.of_spacing(SPACING_MM))
    other = match_lesions(
        np.asfortranarray(prediction), np.asfortranarray(reference), voxel=Voxel.of_spacing(SPACING_MM)
    )
    assert (other.reference, other.predicted) == (match.reference, match.predicted)
    assert (other.iou, other.any) == (match.iou, match.any)


MASK = np.ones((2, 3, 4), bool)


@pytest.mark.parametrize(
    ("prediction", "reference", "rule"),
    [
        (MASK, MASK[:1], r"one shape, got \(2, 3, 4\) and \(1, 3, 4\)"),
        (MASK, MASK.astype(np.uint8), "must be bool, got bool and uint8"),
    ],
)
def test_what_breaks_a_rule_is_named(prediction, reference, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        match_lesions(prediction, reference, voxel=UNIT)


@pytest.mark.slow
def test_the_lesions_of_a_real_scan_are_those_of_simpleitk_and_match_themselves(real_data) -> None:
    folder = real_data / "full_size"
    mask = read_mask(folder / "segmentation-1.nii.gz", image=read_geometry(folder / "volume-1.nii.gz"))
    tumor, spacing_mm = mask.voxels == 2, mask.geometry.spacing_mm
    match = match_lesions(tumor, tumor, voxel=mask.geometry.voxel)
    image = SimpleITK.GetImageFromArray(tumor.astype(np.uint8))
    image.SetSpacing(spacing_mm[::-1])
    theirs = SimpleITK.LabelShapeStatisticsImageFilter()
    theirs.Execute(SimpleITK.ConnectedComponent(image, True))
    volumes_ml = sorted(theirs.GetPhysicalSize(label) / 1000 for label in theirs.GetLabels())
    assert sorted(lesion.volume_ml for lesion in match.reference) == pytest.approx(volumes_ml, rel=1e-9)
    assert match.half == match.any == {lesion.label: lesion.label for lesion in match.reference}
    scores = lesion_scores([count_lesions(match)])
    assert scores["lesion_f1"] == scores["lesion_any_f1"] == 1
