"""Lesions: hand-made cases, and an exhaustive search as the second opinion on matching."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
import SimpleITK

from lts.evaluation.lesions import count_lesions, lesion_scores, match_lesions, size_group

UNIT_MM = (1.0, 1.0, 1.0)


def strip(text: str) -> np.ndarray:
    """A row of voxels: `#` is tumor."""
    return np.array([character == "#" for character in text])[None, None]


def match(prediction: str, reference: str):
    return match_lesions(strip(prediction), strip(reference), spacing_mm=UNIT_MM)


def outcome(prediction: str, reference: str) -> dict[str, tuple[int, int, int]]:
    scores = lesion_scores([count_lesions(match(prediction, reference))])
    return {
        rule: tuple(scores[f"lesion_{rule}{name}"] for name in ("tp", "fp", "fn")) for rule in ("", "any_")
    }


@pytest.mark.parametrize(
    ("prediction", "reference", "half", "any_overlap"),
    [
        ("......", "......", (0, 0, 0), (0, 0, 0)),
        ("..##..", "......", (0, 1, 0), (0, 1, 0)),
        ("......", "..##..", (0, 0, 1), (0, 0, 1)),
        ("..##..", "..##..", (1, 0, 0), (1, 0, 0)),
        ("####..", "..####", (0, 1, 1), (1, 0, 0)),
        # IoU of exactly one half is no match.
        ("..##", "####", (0, 1, 1), (1, 0, 0)),
        ("..###...", "..####..", (1, 0, 0), (1, 0, 0)),
        # A prediction that covers two lesions is one hit and one miss.
        ("#######", "###.###", (0, 1, 2), (1, 0, 1)),
        ("#########", "######.##", (1, 0, 1), (1, 0, 1)),
        # A lesion split in two is one hit and one false alarm.
        ("###.###", "#######", (0, 2, 1), (1, 1, 0)),
        ("######.##", "#########", (1, 1, 0), (1, 1, 0)),
        # As many pairs as possible: the long prediction leaves the lesion it overlaps most to the short one.
        ("#####.#.", "#..####.", (0, 2, 2), (2, 0, 0)),
    ],
)
def test_hits_false_alarms_and_misses(
    prediction: str, reference: str, half: tuple[int, ...], any_overlap: tuple[int, ...]
) -> None:
    assert outcome(prediction, reference) == {"": half, "any_": any_overlap}


def test_lesions_that_touch_at_a_corner_are_one() -> None:
    mask = np.zeros((3, 3, 3), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert len(match_lesions(mask, mask, spacing_mm=UNIT_MM).reference) == 1
    mask[1, 1, 1], mask[2, 2, 2] = False, True
    assert len(match_lesions(mask, mask, spacing_mm=UNIT_MM).reference) == 2


def test_a_lesion_is_measured_on_its_own_grid() -> None:
    mask = np.zeros((6, 8, 9), bool)
    mask[2:4, 3:7, 5:8] = True
    (lesion,) = match_lesions(mask, mask, spacing_mm=(5.0, 2.0, 1.0)).reference
    assert (lesion.label, lesion.voxels, lesion.volume_ml) == (1, 24, pytest.approx(0.24))
    assert lesion.diameter_mm == pytest.approx((6 * 240 / math.pi) ** (1 / 3))
    assert lesion.center == (2.5, 4.5, 6.0)
    assert lesion.box == (slice(2, 4), slice(3, 7), slice(5, 8))


@pytest.mark.parametrize(
    ("diameter_mm", "group"),
    [(9.99, "lt10mm"), (10, "10to20mm"), (20, "10to20mm"), (20.01, "gt20mm")],
)
def test_groups_of_size_have_their_bounds(diameter_mm: float, group: str) -> None:
    assert size_group(diameter_mm) == group


def test_a_hit_and_a_miss_have_the_size_of_the_reference_and_a_false_alarm_its_own() -> None:
    # Cubes of 4, 9 and 20 mm: spheres of equal volume of 5.0, 11.2 and 24.8 mm.
    prediction, reference = np.zeros((2, 30, 30, 90), bool)
    reference[:20, :20, :20] = reference[:9, :9, 30:39] = reference[:4, :4, 50:54] = True
    prediction[:20, :20, :12] = prediction[:9, :9, 60:69] = prediction[:4, :4, 80:84] = True
    counts = count_lesions(match_lesions(prediction, reference, spacing_mm=UNIT_MM))
    assert (counts.half.tp, counts.half.fp, counts.half.fn) == ((0, 0, 1), (1, 1, 0), (1, 1, 0))
    scores = lesion_scores([counts, counts])
    assert scores["lesion_tp_gt20mm"] == scores["lesion_fp_10to20mm"] == scores["lesion_fn_lt10mm"] == 2
    assert scores["lesion_recall_gt20mm"] == scores["lesion_precision_gt20mm"] == 1
    assert scores["lesion_precision"] == scores["lesion_recall"] == pytest.approx(1 / 3)
    assert scores["lesion_f1"] == pytest.approx(1 / 3)
    assert scores["lesion_f1_lt10mm"] == 0


def test_scores_without_lesions_are_not_defined() -> None:
    scores = lesion_scores([count_lesions(match("...", "..."))])
    assert scores["lesion_precision"] is scores["lesion_recall"] is scores["lesion_f1"] is None
    only_false = lesion_scores([count_lesions(match("#..", "..."))])
    assert (only_false["lesion_precision"], only_false["lesion_recall"], only_false["lesion_f1"]) == (
        0,
        None,
        0,
    )


def best_by_search(iou: dict[tuple[int, int], float]) -> tuple[int, float]:
    """The most pairs, and their largest sum of IoU, over all one-to-one choices."""
    best = (0, 0.0)
    for size in range(1, len(iou) + 1):
        for chosen in itertools.combinations(iou, size):
            if all(len(set(side)) == size for side in zip(*chosen, strict=True)):
                best = max(best, (size, sum(iou[pair] for pair in chosen)))
    return best


@pytest.mark.parametrize("seed", range(12))
def test_matching_at_any_overlap_is_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prediction, reference = (rng.random((1, 1, 24)) < 0.6 for _ in range(2))
    found = match_lesions(prediction, reference, spacing_mm=UNIT_MM)
    assert len(set(found.any.values())) == len(found.any)
    pairs, total = best_by_search(found.iou)
    assert len(found.any) == pairs
    assert sum(found.iou[pair] for pair in found.any.items()) == pytest.approx(total)
    assert found.half == {r: p for (r, p), value in found.iou.items() if value > 0.5}


@pytest.mark.parametrize("seed", range(4))
def test_components_volumes_and_overlaps_are_those_of_simpleitk(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prediction, reference = (rng.random((6, 12, 11)) < 0.12 for _ in range(2))
    found = match_lesions(prediction, reference, spacing_mm=(2.0, 1.0, 1.5))

    def label(mask: np.ndarray) -> np.ndarray:
        components = SimpleITK.ConnectedComponent(SimpleITK.GetImageFromArray(mask.astype(np.uint8)), True)
        return SimpleITK.GetArrayFromImage(components)

    theirs = {"predicted": label(prediction), "reference": label(reference)}
    for name, labels in theirs.items():
        sizes = np.bincount(labels[labels > 0])[1:] * 0.003
        assert sorted(lesion.volume_ml for lesion in getattr(found, name)) == pytest.approx(sorted(sizes))
    overlaps = [
        (ours & mine).sum() / (ours | mine).sum()
        for r, p in np.unique(
            np.stack([theirs["reference"], theirs["predicted"]])[:, prediction & reference], axis=1
        ).T
        for ours, mine in [(theirs["reference"] == r, theirs["predicted"] == p)]
    ]
    assert sorted(found.iou.values()) == pytest.approx(sorted(overlaps))


def test_masks_must_be_volumes_of_one_shape() -> None:
    shapes: Sequence[tuple[int, ...]] = [(2, 3, 4), (2, 3, 5)]
    with pytest.raises(ValueError, match="must be \\(Z, H, W\\) of one shape"):
        match_lesions(*(np.zeros(shape, bool) for shape in shapes), spacing_mm=UNIT_MM)
    with pytest.raises(ValueError, match="must be \\(Z, H, W\\) of one shape"):
        match_lesions(np.zeros((2, 3), bool), np.zeros((2, 3), bool), spacing_mm=UNIT_MM)


def test_thousands_of_specks_are_matched() -> None:
    rng = np.random.default_rng(0)
    specks = rng.random((40, 128, 128)) < 0.01
    found = match_lesions(specks, specks, spacing_mm=UNIT_MM)
    assert len(found.reference) > 2000
    assert len(found.half) == len(found.any) == len(found.reference)
