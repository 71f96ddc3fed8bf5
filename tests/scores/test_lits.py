import json
import pickle

import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, binary_dilation
from scipy.spatial.distance import cdist
from sklearn.metrics import f1_score, jaccard_score

from lts.scores.lits import LITS_NOTES, LitsCase, LitsDetection, LitsPair, lits_case, lits_scores
from lts.volume import Voxel, read_geometry, read_mask

UNIT = Voxel.of_spacing((1.0, 1.0, 1.0))
Labels = NDArray[np.uint8]
Index = tuple[int, int, int]


def row(*lesions: tuple[int, int], length: int = 40) -> Labels:
    """A liver of one row of voxels along W; each lesion is the voxels from its first to before its last."""
    labels = np.ones((1, 1, length), np.uint8)
    for start, stop in lesions:
        labels[0, 0, start:stop] = 2
    return labels


def spots(*voxels: Index, shape: tuple[int, int, int] = (4, 9, 9)) -> Labels:
    labels = np.ones(shape, np.uint8)
    for voxel in voxels:
        labels[voxel] = 2
    return labels


def score(prediction: Labels, reference: Labels) -> LitsCase:
    return lits_case(prediction, reference, voxel=UNIT)


def voxels_of(case: LitsCase) -> list[tuple[int, int, int]]:
    return [(pair.both, pair.predicted, pair.reference) for pair in case.pairs]


def test_lesions_that_one_prediction_spans_are_detected_together() -> None:
    case = score(row((10, 24)), row((10, 15), (18, 24)))
    assert (case.n_lesions, case.n_predicted) == (2, 1)
    assert case.half == case.any == LitsDetection(detected=2, false_positives=0)
    assert voxels_of(case) == [(11, 14, 11)]


def test_a_prediction_that_spans_lesions_and_detects_none_counts_once_and_never_below_zero() -> None:
    case = score(row((5, 35)), row((6, 9), (15, 18), (25, 28)))
    assert (case.n_lesions, case.n_predicted) == (3, 1)
    assert case.half == LitsDetection(detected=0, false_positives=1)
    assert case.any == LitsDetection(detected=3, false_positives=0)
    scores = lits_scores([case])
    assert scores["lesion_precision"] == scores["lesion_recall"] == scores["n_detected"] == 0
    assert scores["lesion_precision_any"] == scores["lesion_recall_any"] == 1
    assert (scores["n_detected_any"], scores["n_false_positives_any"], scores["n_false_positives"]) == (
        3,
        0,
        1,
    )
    assert (scores["n_lesions"], scores["n_predicted"], scores["n_detected_pairs"]) == (3, 1, 0)
    assert scores["detected_lesion_dice"] is None


def test_a_lesion_in_pieces_is_detected_once_without_false_alarm() -> None:
    case = score(row((10, 14), (15, 20)), row((10, 20)))
    assert (case.n_lesions, case.n_predicted) == (1, 2)
    assert case.half == LitsDetection(detected=1, false_positives=0)
    assert voxels_of(case) == [(9, 9, 10)]


def test_merged_lesions_and_predictions_in_pieces_make_one_pair() -> None:
    # The first prediction spans both lesions, the second lies in the second of them.
    case = score(row((5, 20), (21, 24)), row((5, 13), (16, 24)))
    assert (case.n_lesions, case.n_predicted) == (2, 2)
    assert case.half == LitsDetection(detected=2, false_positives=0)
    assert voxels_of(case) == [(8 + 4 + 3, 18, 16)]


def test_a_lesion_goes_with_the_prediction_that_overlaps_it_most() -> None:
    # The first prediction reaches into the second lesion, which the second prediction covers better.
    case = score(row((5, 17), (18, 26)), row((5, 12), (15, 26)))
    assert case.half == LitsDetection(detected=2, false_positives=0)
    assert voxels_of(case) == [(7, 12, 7), (8, 8, 11)]


def test_a_lesion_whose_prediction_belongs_to_another_lesion_is_missed_at_any_overlap() -> None:
    # The first prediction has 2 voxels of the first lesion and 5 of the second, where another has 6.
    case = score(row((8, 18), (19, 25)), row((5, 10), (13, 25)))
    assert case.any == LitsDetection(detected=1, false_positives=0)
    assert case.half == LitsDetection(detected=1, false_positives=0)
    assert voxels_of(case) == [(11, 16, 12)]


def test_at_a_tie_the_first_component_wins() -> None:
    # The second lesion has 2 voxels of either prediction: the first one spans it, with the first lesion.
    case = score(row((1, 12), (13, 16)), row((1, 7), (10, 15)))
    assert voxels_of(case) == [(6 + 2 + 2, 14, 11)]
    # The second prediction has 2 voxels of either lesion, and neither has most of it: it goes with the first.
    case = score(row((0, 5), (6, 13), (14, 17)), row((0, 8), (11, 17)))
    assert voxels_of(case) == [(5 + 2, 12, 8)]


def test_an_iou_of_exactly_one_half_is_not_detected() -> None:
    case = score(row((10, 14)), row((10, 12)))
    assert case.half == LitsDetection(detected=0, false_positives=1)
    assert case.any == LitsDetection(detected=1, false_positives=0)
    assert score(row((10, 13)), row((10, 12))).half == LitsDetection(detected=1, false_positives=0)


def test_a_case_without_tumor_counts_its_predictions_as_false_alarms() -> None:
    case = score(row((3, 5), (10, 12), (20, 22)), row())
    assert case.n_lesions == 0
    assert case.half == case.any == LitsDetection(detected=0, false_positives=3)
    scores = lits_scores([case])
    assert scores["lesion_precision"] == scores["lesion_precision_any"] == 0
    assert scores["lesion_recall"] is None
    assert scores["lesion_recall_any"] is None
    assert scores["tumor_dice_per_case"] == scores["tumor_dice_global"] == 0


def test_a_case_without_predictions_misses_its_lesions() -> None:
    case = score(row(), row((3, 5), (10, 12)))
    assert case.half == case.any == LitsDetection(detected=0, false_positives=0)
    scores = lits_scores([case])
    assert scores["lesion_precision"] is None
    assert scores["lesion_recall"] == scores["tumor_dice_per_case"] == 0


def test_two_empty_cases_have_a_dice_of_one_and_no_global_dice() -> None:
    nothing = np.zeros((2, 3, 4), np.uint8)
    scores = lits_scores([score(nothing, nothing)])
    assert scores["liver_dice_per_case"] == scores["tumor_dice_per_case"] == 1
    assert scores["liver_voe"] == 0
    for name in ("liver_dice_global", "tumor_dice_global", "liver_rvd", "liver_assd_mm", "burden_rmse"):
        assert scores[name] is None, name
    for name in ("liver_rvd", "liver_assd_mm", "liver_mssd_mm", "burden"):
        assert scores[f"{name}_left_out"] == 1, name


def test_a_cohort_without_cases_has_no_scores() -> None:
    scores = lits_scores([])
    counts = {name for name in scores if name.startswith("n_") or name.endswith("_left_out")}
    assert {scores[name] for name in counts} == {0}
    assert {scores[name] for name in scores.keys() - counts} == {None}


@pytest.mark.parametrize(
    ("voxels", "lesions"),
    [
        pytest.param([(1, 4, 2), (1, 4, 5)], 1, id="two voxels between"),
        pytest.param([(1, 4, 2), (1, 4, 6)], 2, id="three voxels between"),
        pytest.param([(1, 4, 2), (1, 6, 3)], 1, id="a knight's move"),
        pytest.param([(1, 4, 2), (1, 6, 4)], 2, id="two diagonal steps"),
        pytest.param([(1, 4, 2), (2, 4, 4)], 1, id="next slice, two steps aside"),
        pytest.param([(1, 4, 2), (2, 4, 5)], 2, id="next slice, three steps aside"),
        pytest.param([(0, 4, 2), (2, 4, 2)], 2, id="a slice between"),
    ],
)
def test_specks_of_the_reference_are_joined_within_the_slice(voxels: list[Index], lesions: int) -> None:
    case = score(spots(), spots(*voxels))
    assert (case.n_lesions, case.tumor.reference) == (lesions, 2)
    # Those of the prediction are not joined, whatever lies between them.
    assert score(spots(*voxels), spots()).n_predicted == 2


def test_lesions_of_the_prediction_join_by_their_faces_alone() -> None:
    assert score(spots((1, 1, 1), (1, 2, 1), (2, 2, 1)), spots()).n_predicted == 1
    assert score(spots((1, 1, 1), (1, 2, 2)), spots()).n_predicted == 2


def test_detected_lesions_are_measured_in_mm_and_relative_to_the_reference() -> None:
    case = lits_case(row((10, 13)), row((10, 12)), voxel=Voxel.of_spacing((4.0, 2.0, 1.5)))
    assert case.pairs == (LitsPair(both=2, predicted=3, reference=2, assd_mm=1.5 / 5, mssd_mm=1.5),)
    scores = lits_scores([case])
    assert scores["detected_lesion_dice"] == pytest.approx(4 / 5)
    assert scores["detected_lesion_voe"] == pytest.approx(1 / 3)
    assert scores["detected_lesion_rvd"] == pytest.approx(1 / 2)
    assert scores["detected_lesion_assd_mm"] == pytest.approx(0.3)
    assert scores["detected_lesion_mssd_mm"] == 1.5
    # A prediction that is too small has a volume difference below zero.
    assert lits_scores([score(row((10, 13)), row((10, 14)))])["detected_lesion_rvd"] == pytest.approx(-1 / 4)


def test_lesions_are_pooled_over_cases_and_not_averaged_by_case() -> None:
    # Three of three lesions in one case, none of one with a false alarm in the other.
    good = score(row((5, 9), (15, 18), (25, 28)), row((5, 8), (15, 18), (25, 28)))
    bad = score(row((20, 22)), row((5, 8)))
    scores = lits_scores([good, bad])
    assert (scores["n_cases"], scores["n_lesions"], scores["n_predicted"]) == (2, 4, 4)
    assert (scores["n_detected"], scores["n_false_positives"], scores["n_detected_pairs"]) == (3, 1, 3)
    assert scores["lesion_precision"] == scores["lesion_recall"] == 3 / 4
    assert scores["detected_lesion_dice"] == pytest.approx((6 / 7 + 1 + 1) / 3)
    assert scores["tumor_dice_per_case"] == pytest.approx((2 * 9 / 19 + 0) / 2)
    assert scores["tumor_dice_global"] == pytest.approx(2 * 9 / (10 + 9 + 2 + 3))


def test_burden_errors_are_root_mean_square_and_largest_in_size() -> None:
    # Burdens of 8/40 for 4/40, and of 2/20 for 10/40.
    half_a_liver = row((0, 2))
    half_a_liver[..., 20:] = 0
    cases = [score(row((0, 8)), row((0, 4))), score(half_a_liver, row((0, 10)))]
    scores = lits_scores(cases)
    assert scores["burden_rmse"] == pytest.approx(np.sqrt((0.1**2 + 0.15**2) / 2))
    assert scores["burden_max_error"] == pytest.approx(0.15)
    assert scores["burden_left_out"] == 0
    assert lits_scores(cases[:1])["burden_max_error"] == pytest.approx(0.1)


def test_a_case_without_a_liver_is_left_out_of_what_it_does_not_define_and_counted() -> None:
    none, liver = np.zeros((1, 1, 40), np.uint8), row((0, 8))
    shorter = liver.copy()
    shorter[..., 30:] = 0
    missed, invented = score(none, liver), score(liver, none)
    assert missed.liver == LitsPair(both=0, predicted=0, reference=40)
    assert (missed.burden_error, invented.burden_error) == (None, None)
    scores = lits_scores([missed, invented, score(shorter, liver)])
    assert scores["liver_voe"] == pytest.approx((1 + 1 + 0.25) / 3)
    assert scores["liver_rvd"] == pytest.approx((-1 - 0.25) / 2)
    assert scores["liver_rvd_left_out"] == 1
    # Of 70 surface voxels, those of the last quarter lie 1 to 10 mm off the prediction.
    assert scores["liver_assd_mm"] == pytest.approx(55 / 70)
    assert scores["liver_mssd_mm"] == 10
    assert (scores["liver_assd_mm_left_out"], scores["liver_mssd_mm_left_out"]) == (2, 2)
    assert scores["burden_rmse"] == pytest.approx(8 / 30 - 8 / 40)
    assert scores["burden_left_out"] == 2


def random_case(seed: int) -> tuple[Labels, Labels]:
    """Runs of tumor along W in a liver with holes, and a prediction that changes some and bridges gaps."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers((1, 2, 2), (3, 6, 40)))
    tumor = rng.random(shape) < rng.choice((0.02, 0.04, 0.1))
    tumor = binary_dilation(tumor, np.ones((1, 1, rng.integers(1, 10))))
    changed = tumor ^ (rng.random(shape) < rng.choice((0.0, 0.05, 0.2)))
    changed |= binary_closing(changed, np.ones((1, 1, rng.choice((1, 5, 9)))))
    reference, prediction = (
        np.where(mask, 2, rng.random(shape) < 0.9).astype(np.uint8) for mask in (tumor, changed)
    )
    return prediction, reference


def components(voxels: set[Index], *, reach: dict[int, int]) -> list[set[Index]]:
    """Sets of voxels that hang together: `reach` is how many steps aside a neighbor lies, by slices away."""
    rest, found = sorted(voxels), []
    while rest:
        component, front = set(), [rest[0]]
        while front:
            voxel = front.pop()
            component.add(voxel)
            rest.remove(voxel)
            front += [other for other in rest if other not in front and near(voxel, other, reach)]
        found.append(component)
    return found


def near(one: Index, other: Index, reach: dict[int, int]) -> bool:
    away = abs(one[0] - other[0])
    return abs(one[1] - other[1]) + abs(one[2] - other[2]) <= reach.get(away, -1)


def by_the_rules(prediction: Labels, reference: Labels) -> dict[str, object]:
    """The rules of correspondence, one after the other, over sets of voxels."""
    predicted, referred = (
        set(map(tuple, np.argwhere(mask == 2).tolist())) for mask in (prediction, reference)
    )
    claims = components(predicted, reach={0: 1, 1: 0})
    lesions = components(referred, reach={0: 3, 1: 2})
    merged: dict[int, list[int]] = {}
    for number, lesion in enumerate(lesions):
        shared = [len(lesion & claim) for claim in claims]
        if any(shared):
            merged.setdefault(shared.index(max(shared)), []).append(number)
    groups = sorted(merged.values())
    unions = [set().union(*(lesions[number] for number in group)) for group in groups]
    members: dict[int, list[int]] = {}
    for number, claim in enumerate(claims):
        shared = [len(claim & union) for union in unions]
        if any(shared):
            members.setdefault(shared.index(max(shared)), []).append(number)
    result: dict[str, object] = {"n_lesions": len(lesions), "n_predicted": len(claims)}
    for name, threshold in (("half", 0.5), ("any", 0.0)):
        detected, voxels, false = 0, [], set(range(len(claims)))
        for index in sorted(members):
            claim = set().union(*(claims[number] for number in members[index]))
            if len(claim & unions[index]) / len(claim | unions[index]) > threshold:
                detected += len(groups[index])
                false -= set(members[index])
                voxels.append((len(claim & unions[index]), len(claim), len(unions[index])))
        result[name] = LitsDetection(detected, len(false))
        result[f"{name}_voxels"] = voxels
    return result


def test_random_cases_follow_the_rules_written_with_sets_of_voxels() -> None:
    seen = {"merged": 0, "split": 0, "only any": 0, "missed": 0}
    for seed in range(200):
        prediction, reference = random_case(seed)
        case, expected = score(prediction, reference), by_the_rules(prediction, reference)
        for name in ("n_lesions", "n_predicted", "half", "any"):
            assert getattr(case, name) == expected[name], (seed, name)
        assert voxels_of(case) == expected["half_voxels"], seed
        seen["merged"] += case.half.detected > len(case.pairs)
        seen["split"] += case.n_predicted - case.half.false_positives > len(case.pairs)
        seen["only any"] += case.any.detected > case.half.detected
        seen["missed"] += case.any.detected < case.n_lesions
    assert all(count > 5 for count in seen.values()), seen


def surface_points_mm(mask: NDArray[np.bool_], edges_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centers of the voxels with a neighbor across a face that lies outside, in plain loops."""
    inside = set(map(tuple, np.argwhere(mask).tolist()))
    steps = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
    surface = [
        voxel
        for voxel in sorted(inside)
        if any(tuple(np.add(voxel, step).tolist()) not in inside for step in steps)
    ]
    return np.array(surface) @ edges_mm


@pytest.mark.parametrize("tilt_mm", [0, 2.5])
def test_livers_are_those_of_scikit_learn_and_of_all_pairs_of_surface_points(tilt_mm: float) -> None:
    edges_mm = np.array([[3.0, tilt_mm, 0], [0, 0.8, 0], [0, 0, 0.7]])
    cases, expected = [], []
    for seed in range(4):
        prediction, reference = random_case(seed)
        cases.append(lits_case(prediction, reference, voxel=Voxel.of_matrix(edges_mm.T)))
        masks = prediction >= 1, reference >= 1
        flat = masks[1].ravel(), masks[0].ravel()
        distances = cdist(*(surface_points_mm(mask, edges_mm) for mask in masks))
        nearest = np.concatenate((distances.min(0), distances.min(1)))
        expected.append(
            {
                "dice_per_case": f1_score(*flat),
                "voe": 1 - jaccard_score(*flat),
                "rvd": masks[0].sum() / masks[1].sum() - 1,
                "assd_mm": nearest.mean(),
                "mssd_mm": nearest.max(),
            }
        )
    scores = lits_scores(cases)
    for name in expected[0]:
        assert scores[f"liver_{name}"] == pytest.approx(np.mean([one[name] for one in expected]), abs=1e-9), (
            name
        )
    pooled = [np.concatenate([random_case(seed)[side].ravel() for seed in range(4)]) for side in (1, 0)]
    assert scores["liver_dice_global"] == pytest.approx(f1_score(*(labels >= 1 for labels in pooled)))
    assert scores["tumor_dice_global"] == pytest.approx(f1_score(*(labels == 2 for labels in pooled)))


def test_air_around_a_case_changes_nothing() -> None:
    for seed in range(20):
        prediction, reference = random_case(seed)
        padded = (np.pad(labels, ((2, 1), (3, 4), (1, 2))) for labels in (prediction, reference))
        assert score(*padded) == score(prediction, reference), seed


def test_a_case_is_small_to_send_and_scores_are_plain_numbers() -> None:
    case = score(row((10, 13), (20, 25)), row((10, 12), (20, 25)))
    assert len(pickle.dumps(case)) < 1500
    assert pickle.loads(pickle.dumps(case)) == case
    scores = lits_scores([case])
    assert json.loads(json.dumps(scores)) == scores
    assert all(json.loads(json.dumps(note)) == note for note in LITS_NOTES)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"prediction": np.ones((1, 1, 3), np.uint8)}, r"prediction: must be \(1, 1, 4\) .* got \(1, 1, 3\)"),
        ({"reference": np.ones((1, 1, 4))}, r"reference: must be \(Z, H, W\) integers, got float64"),
        (
            dict.fromkeys(("prediction", "reference"), np.ones((1, 4), int)),
            r"must be \(Z, H, W\) .* \(1, 4\)",
        ),
        (dict.fromkeys(("prediction", "reference"), np.ones((0, 2, 4), int)), r"got int64 \(0, 2, 4\)"),
        ({"prediction": np.full((1, 1, 4), 3)}, r"prediction: labels must be \[0, 1, 2\], got 3 to 3"),
        ({"reference": np.full((1, 1, 4), -1)}, r"reference: labels must be \[0, 1, 2\], got -1 to -1"),
    ],
)
def test_what_breaks_a_rule_is_named(change: dict[str, object], rule: str) -> None:
    masks = np.ones((1, 1, 4), np.uint8)
    arguments = {"prediction": masks, "reference": masks, "voxel": UNIT} | change
    with pytest.raises(ValueError, match=rule):
        lits_case(**arguments)


@pytest.mark.slow
def test_a_scan_of_full_size_against_itself_is_perfect_and_has_the_lesions_of_simpleitk(real_data) -> None:
    folder = real_data / "full_size"
    mask = read_mask(folder / "segmentation-1.nii.gz", image=read_geometry(folder / "volume-1.nii.gz"))
    case = lits_case(mask.voxels, mask.voxels, voxel=mask.geometry.voxel)
    tumor = SimpleITK.GetImageFromArray((mask.voxels == 2).astype(np.uint8))
    grown = SimpleITK.BinaryDilate(tumor, [1, 1, 0], SimpleITK.sitkCross)
    lesions = SimpleITK.ConnectedComponentImageFilter()
    lesions.Execute(grown)
    assert case.n_lesions == lesions.GetObjectCount()
    scores = lits_scores([case])
    perfect = {name for name in scores if "dice" in name or "precision" in name or "recall" in name}
    assert {scores[name] for name in perfect} == {1}
    flawless = {name for name in scores if name.endswith(("voe", "rvd", "_mm", "rmse", "error"))}
    assert {scores[name] for name in flawless} == {0}
