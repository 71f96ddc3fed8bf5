"""Lesions: connected components of tumor, and how those of prediction and reference match."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from lts.components import Box, Component, find_components
from lts.scores.overlap import defined, dice, precision, recall
from lts.scores.surfaces import check_masks
from lts.volume import Voxel

SIZE_GROUPS = {"lt10mm": "< 10 mm", "10to20mm": "10-20 mm", "gt20mm": "> 20 mm"}
"""Groups by diameter, as names end and as they are told; 10 and 20 mm are in the middle one."""

_Mask = NDArray[np.bool_]
_Labels = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class LesionMatch:
    """Lesions of a case and which of them belong together. `match_lesions` makes it.

    >>> mask = np.ones((1, 2, 2), bool)
    >>> match_lesions(mask, mask, voxel=Voxel.of_spacing((5.0, 1.0, 1.0))).iou
    {(1, 1): 1.0}

    Attributes:
        reference: Lesions of the reference, by label.
        predicted: Lesions of the prediction, by label.
        reference_labels: `(Z, H, W)` int32, 0 outside of lesions.
        predicted_labels: The same of the prediction.
        iou: IoU by (reference label, predicted label) of the pairs that overlap.
        half: Reference label to predicted label, one to one, of the pairs with IoU > 0.5.
        any: Reference label to predicted label, one to one, of pairs with any overlap: as many as possible,
            and among those the ones with the largest sum of IoU.
    """

    reference: tuple[Component, ...]
    predicted: tuple[Component, ...]
    reference_labels: _Labels
    predicted_labels: _Labels
    iou: dict[tuple[int, int], float]
    half: dict[int, int]
    any: dict[int, int]


@dataclass(frozen=True)
class RuleCounts:
    """Hits, misses and false alarms under one rule of matching, one number per size group.

    Attributes:
        tp: Matched lesions, by the size of the reference lesion.
        fp: Lesions of the prediction that are not matched, by their own size.
        fn: Lesions of the reference that are not matched, by their own size.
    """

    tp: tuple[int, ...]
    fp: tuple[int, ...]
    fn: tuple[int, ...]


@dataclass(frozen=True)
class LesionCounts:
    """What one case adds to the lesion scores of a cohort.

    >>> hits = RuleCounts(tp=(0, 1, 0), fp=(2, 0, 0), fn=(0, 0, 0))
    >>> counts = LesionCounts(half=hits, any=hits)
    >>> counts.tp, counts.fp, counts.fn
    (1, 2, 0)

    Attributes:
        half: Matched at IoU > 0.5.
        any: Matched at any overlap.
    """

    half: RuleCounts
    any: RuleCounts

    @property
    def tp(self) -> int:
        """Hits at IoU > 0.5."""
        return sum(self.half.tp)

    @property
    def fp(self) -> int:
        """False alarms at IoU > 0.5."""
        return sum(self.half.fp)

    @property
    def fn(self) -> int:
        """Misses at IoU > 0.5."""
        return sum(self.half.fn)


def size_group(diameter_mm: float) -> str:
    """The group of a lesion's diameter, a key of `SIZE_GROUPS`."""
    if diameter_mm < 10:
        return "lt10mm"
    return "10to20mm" if diameter_mm <= 20 else "gt20mm"


def match_lesions(prediction: _Mask, reference: _Mask, *, voxel: Voxel) -> LesionMatch:
    """Find the lesions of two masks and match them one to one.

    At any overlap a prediction that covers two lesions is one hit and one miss, and a lesion that is
    predicted in two parts is one hit and one false alarm. At IoU > 0.5, where no lesion can have two
    partners, each of them may be no hit at all.

    >>> mask = np.zeros((1, 4, 12), bool)
    >>> mask[0, 1:3, 1:4], mask[0, 1:3, 8:10] = True, True
    >>> prediction = mask.copy()
    >>> prediction[0, :, 7:] = False
    >>> match = match_lesions(prediction, mask, voxel=Voxel.of_spacing((5.0, 1.0, 1.0)))
    >>> len(match.reference), len(match.predicted), match.half
    (2, 1, {1: 1})

    Args:
        prediction: `(Z, H, W)` bool; without a voxel it has no lesions.
        reference: `(Z, H, W)` bool; likewise.
        voxel: The voxel of their grid.

    Raises:
        ValueError: As `check_masks`.
    """
    check_masks(prediction, reference)
    predicted_labels, predicted = find_components(prediction, voxel_ml=voxel.volume_ml)
    reference_labels, lesions = find_components(reference, voxel_ml=voxel.volume_ml)
    iou = _overlapping(reference_labels, predicted_labels, lesions, predicted)
    return LesionMatch(
        reference=lesions,
        predicted=predicted,
        reference_labels=reference_labels,
        predicted_labels=predicted_labels,
        iou=iou,
        half={r: p for (r, p), value in iou.items() if value > 0.5},
        any=_assign(iou),
    )


def count_lesions(match: LesionMatch) -> LesionCounts:
    """Count hits, misses and false alarms of a case under both rules, by size.

    >>> mask = np.zeros((1, 4, 12), bool)
    >>> mask[0, 1:3, 1:4] = True
    >>> count_lesions(match_lesions(mask, mask, voxel=Voxel.of_spacing((5.0, 1.0, 1.0)))).half.tp
    (1, 0, 0)
    """
    return LesionCounts(half=_count(match, match.half), any=_count(match, match.any))


def lesion_scores(counts: Sequence[LesionCounts]) -> dict[str, float | None]:
    """Scores of the lesions of all cases pooled.

    A hit and a miss have the size of the reference lesion, a false alarm its own.

    >>> hits = RuleCounts(tp=(0, 1, 0), fp=(2, 0, 0), fn=(0, 0, 0))
    >>> scores = lesion_scores([LesionCounts(half=hits, any=hits)])
    >>> scores["lesion_recall"], scores["lesion_f1"], scores["lesion_recall_lt10mm"]
    (1.0, 0.5, None)

    Args:
        counts: Of the cases; of none, all counts are 0.

    Returns:
        `lesion_precision`, `lesion_recall`, `lesion_f1` and the counts `lesion_tp`, `lesion_fp`, `lesion_fn`
        at IoU > 0.5; the same as `lesion_any_...` at any overlap; and each of these by size with `_lt10mm`,
        `_10to20mm` or `_gt20mm` at its end. Precision is None where no lesion was predicted, recall where
        the reference has none, F1 where neither has one.
    """
    scores: dict[str, float | None] = {}
    groups = {"": slice(None), **{f"_{name}": slice(n, n + 1) for n, name in enumerate(SIZE_GROUPS)}}
    rules = {
        "lesion_": _total([count.half for count in counts]),
        "lesion_any_": _total([count.any for count in counts]),
    }
    for (prefix, total), (suffix, group) in product(rules.items(), groups.items()):
        tp, fp, fn = total[:, group].sum(axis=1).tolist()
        scores |= {
            f"{prefix}precision{suffix}": defined(precision(tp, fp)),
            f"{prefix}recall{suffix}": defined(recall(tp, fn)),
            f"{prefix}f1{suffix}": defined(dice(tp, fp, fn, empty=math.nan)),
            f"{prefix}tp{suffix}": tp,
            f"{prefix}fp{suffix}": fp,
            f"{prefix}fn{suffix}": fn,
        }
    return scores


def _total(cases: Sequence[RuleCounts]) -> NDArray[np.int64]:
    """Hits, false alarms and misses by size group, `(3, 3)`."""
    table = np.array([(case.tp, case.fp, case.fn) for case in cases], np.int64)
    total: NDArray[np.int64] = table.reshape(-1, 3, len(SIZE_GROUPS)).sum(axis=0)
    return total


def _overlapping(
    reference_labels: _Labels,
    predicted_labels: _Labels,
    lesions: Sequence[Component],
    predicted: Sequence[Component],
) -> dict[tuple[int, int], float]:
    box = _shared_box(lesions, predicted)
    if box is None:
        return {}
    reference_labels, predicted_labels = reference_labels[box], predicted_labels[box]
    both = (reference_labels > 0) & (predicted_labels > 0)
    # One number a pair, which sorts much faster than two.
    stride = len(predicted) + 1
    codes, shared = np.unique(
        reference_labels[both].astype(np.int64) * stride + predicted_labels[both], return_counts=True
    )
    pairs = zip((codes // stride).tolist(), (codes % stride).tolist(), shared.tolist(), strict=True)
    return {(r, p): n / (lesions[r - 1].voxels + predicted[p - 1].voxels - n) for r, p, n in pairs}


def _shared_box(*sides: Sequence[Component]) -> Box | None:
    """Where components of both sides can lie; None where they cannot, or a side has none."""
    if not all(sides):
        return None
    shared = []
    for axis in range(3):
        starts = [min(part.box[axis].start for part in side) for side in sides]
        stops = [max(part.box[axis].stop for part in side) for side in sides]
        shared.append(slice(max(starts), min(stops)))
    z, y, x = shared
    return (z, y, x) if all(side.start < side.stop for side in shared) else None


def _assign(iou: dict[tuple[int, int], float]) -> dict[int, int]:
    """As many pairs as possible, each lesion in one at most, and of those the largest sum of IoU."""
    if not iou:
        return {}
    lesions, predicted = np.array(list(iou)).T
    rows, row = np.unique(lesions, return_inverse=True)
    columns, column = np.unique(predicted, return_inverse=True)
    # Each lesion gets a column that stands for no partner. A pair is worth more than all IoU together, so
    # that none is given up for a better one.
    alone = np.arange(len(rows))
    worth = np.concatenate([2 + len(iou) + np.array(list(iou.values())), np.ones(len(rows))])
    place = (np.concatenate([row, alone]), np.concatenate([column, len(columns) + alone]))
    table = sparse.coo_array((worth, place), shape=(len(rows), len(columns) + len(rows))).tocsr()
    chosen = zip(*min_weight_full_bipartite_matching(table, maximize=True), strict=True)
    return {int(rows[r]): int(columns[p]) for r, p in chosen if p < len(columns)}


def _count(match: LesionMatch, pairs: dict[int, int]) -> RuleCounts:
    taken = set(pairs.values())
    return RuleCounts(
        tp=_by_size(lesion for lesion in match.reference if lesion.label in pairs),
        fp=_by_size(lesion for lesion in match.predicted if lesion.label not in taken),
        fn=_by_size(lesion for lesion in match.reference if lesion.label not in pairs),
    )


def _by_size(lesions: Iterable[Component]) -> tuple[int, ...]:
    groups = [size_group(lesion.diameter_mm) for lesion in lesions]
    return tuple(groups.count(name) for name in SIZE_GROUPS)
