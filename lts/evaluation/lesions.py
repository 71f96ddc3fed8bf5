"""Lesions: connected components of tumor, and how those of prediction and reference match."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.optimize import linear_sum_assignment

Mask = NDArray[np.bool_]
Labels = NDArray[np.int32]

SIZE_GROUPS = ("lt10mm", "10to20mm", "gt20mm")
"""By diameter d: d < 10 mm, 10 <= d <= 20 mm, d > 20 mm."""

_EVERYWHERE = np.ones((3, 3, 3), bool)


@dataclass(frozen=True)
class Lesion:
    """A 26-connected component.

    Attributes:
        label: Its number in the labeled array, from 1.
        voxels: How many voxels it has.
        volume_ml: Its volume.
        diameter_mm: Diameter of the sphere of equal volume.
        center: Mean voxel index along Z, H, W.
        box: Its bounding box.
    """

    label: int
    voxels: int
    volume_ml: float
    diameter_mm: float
    center: tuple[float, float, float]
    box: tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class LesionMatch:
    """Lesions of a case and which of them belong together.

    Attributes:
        reference: Lesions of the reference.
        predicted: Lesions of the prediction.
        reference_labels: `(Z, H, W)` int32, 0 outside.
        predicted_labels: The same of the prediction.
        iou: IoU by (reference label, predicted label) of the pairs that overlap.
        half: Reference label to predicted label where IoU > 0.5.
        any: Reference label to predicted label, one to one, at any overlap.
    """

    reference: tuple[Lesion, ...]
    predicted: tuple[Lesion, ...]
    reference_labels: Labels
    predicted_labels: Labels
    iou: dict[tuple[int, int], float]
    half: dict[int, int]
    any: dict[int, int]


@dataclass(frozen=True)
class RuleCounts:
    """Hits, false alarms and misses under one rule of matching, by size group.

    Attributes:
        tp: Lesions of the reference that are matched, by their own size.
        fp: Lesions of the prediction that are not, by their own size.
        fn: Lesions of the reference that are not, by their own size.
    """

    tp: tuple[int, ...]
    fp: tuple[int, ...]
    fn: tuple[int, ...]


@dataclass(frozen=True)
class LesionCounts:
    """What one case adds to the lesion scores of a cohort.

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
    """The group of a lesion's diameter."""
    if diameter_mm < 10:
        return SIZE_GROUPS[0]
    return SIZE_GROUPS[1] if diameter_mm <= 20 else SIZE_GROUPS[2]


def match_lesions(prediction: Mask, reference: Mask, *, spacing_mm: Sequence[float]) -> LesionMatch:
    """Find the lesions of two masks and match them one to one.

    At IoU > 0.5 a lesion has one partner at most by itself. At any overlap as many pairs as possible are
    made, and among those the ones with the largest sum of IoU. So a prediction that covers two lesions is
    one hit and one miss, and a lesion split in two is one hit and one false alarm.

    Args:
        prediction: `(Z, H, W)` bool.
        reference: `(Z, H, W)` bool.
        spacing_mm: Size of a voxel along Z, H, W.

    Raises:
        ValueError: Shapes differ or are not three-dimensional.
    """
    if prediction.shape != reference.shape or prediction.ndim != 3:
        raise ValueError(
            f"masks: must be (Z, H, W) of one shape, got {prediction.shape} and {reference.shape}"
        )
    predicted_labels, predicted = _lesions(prediction, spacing_mm)
    reference_labels, lesions = _lesions(reference, spacing_mm)
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
    """Count hits, false alarms and misses."""
    return LesionCounts(half=_count(match, match.half), any=_count(match, match.any))


def lesion_scores(counts: Sequence[LesionCounts]) -> dict[str, float | int | None]:
    """Scores of the lesions of all cases together.

    Returns:
        `lesion_precision`, `lesion_recall`, `lesion_f1` and the counts `lesion_tp`, `lesion_fp`, `lesion_fn`
        at IoU > 0.5, the same as `lesion_any_...` at any overlap, and each of them by size with `_lt10mm`,
        `_10to20mm`, `_gt20mm` at its end. None for 0 / 0.
    """
    scores: dict[str, float | int | None] = {}
    for rule, prefix in (("half", "lesion_"), ("any", "lesion_any_")):
        sums = {
            name: [sum(getattr(getattr(count, rule), name)[group] for count in counts) for group in range(3)]
            for name in ("tp", "fp", "fn")
        }
        for suffix, groups in (("", (0, 1, 2)), *((f"_{name}", (n,)) for n, name in enumerate(SIZE_GROUPS))):
            tp, fp, fn = (sum(sums[name][group] for group in groups) for name in ("tp", "fp", "fn"))
            scores |= {
                f"{prefix}precision{suffix}": _share(tp, tp + fp),
                f"{prefix}recall{suffix}": _share(tp, tp + fn),
                f"{prefix}f1{suffix}": _share(2 * tp, 2 * tp + fp + fn),
                f"{prefix}tp{suffix}": tp,
                f"{prefix}fp{suffix}": fp,
                f"{prefix}fn{suffix}": fn,
            }
    return scores


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _lesions(mask: Mask, spacing_mm: Sequence[float]) -> tuple[Labels, tuple[Lesion, ...]]:
    labels = np.zeros(mask.shape, np.int32)
    boxes = ndimage.find_objects(mask.view(np.uint8))
    if not boxes:
        return labels, ()
    inside = labels[boxes[0]]
    count = ndimage.label(mask[boxes[0]], structure=_EVERYWHERE, output=inside)
    index = np.argwhere(inside) + [part.start for part in boxes[0]]
    of_voxel = inside[inside > 0]
    voxels = np.bincount(of_voxel, minlength=count + 1)[1:]
    centers = np.stack([np.bincount(of_voxel, axis, count + 1)[1:] / voxels for axis in index.T], 1)
    voxel_ml = math.prod(spacing_mm) / 1000
    found = zip(voxels, centers, ndimage.find_objects(labels), strict=True)
    return labels, tuple(
        Lesion(
            label=number,
            voxels=int(size),
            volume_ml=float(size * voxel_ml),
            diameter_mm=float(np.cbrt(6000 * size * voxel_ml / math.pi)),
            center=(float(center[0]), float(center[1]), float(center[2])),
            box=box,
        )
        for number, (size, center, box) in enumerate(found, start=1)
    )


def _overlapping(
    reference_labels: Labels,
    predicted_labels: Labels,
    lesions: Sequence[Lesion],
    predicted: Sequence[Lesion],
) -> dict[tuple[int, int], float]:
    both = (reference_labels > 0) & (predicted_labels > 0)
    pairs, shared = np.unique(
        np.stack([reference_labels[both], predicted_labels[both]], 1), axis=0, return_counts=True
    )
    return {
        (int(r), int(p)): float(n / (lesions[r - 1].voxels + predicted[p - 1].voxels - n))
        for (r, p), n in zip(pairs, shared, strict=True)
    }


def _assign(iou: dict[tuple[int, int], float]) -> dict[int, int]:
    chosen: dict[int, int] = {}
    for cluster in _clusters(iou):
        rows = sorted({r for r, _ in cluster})
        columns = sorted({p for _, p in cluster})
        # A pair is worth more than all IoU together, so that no pair is given up for a better one.
        worth = np.zeros((len(rows), len(columns)))
        for r, p in cluster:
            worth[rows.index(r), columns.index(p)] = len(cluster) + iou[r, p]
        for row, column in zip(*linear_sum_assignment(worth, maximize=True), strict=True):
            if worth[row, column] > 0:
                chosen[rows[row]] = columns[column]
    return dict(sorted(chosen.items()))


def _clusters(iou: dict[tuple[int, int], float]) -> Iterator[list[tuple[int, int]]]:
    """Pairs that share lesions, directly or through others."""
    if not iou:
        return
    r, p = np.array(list(iou)).T
    size = int(r.max()) + int(p.max()) + 2
    graph = sparse.coo_matrix((np.ones(len(r)), (r, p + int(r.max()) + 1)), shape=(size, size))
    _, group = sparse.csgraph.connected_components(graph, directed=False)
    members: dict[int, list[tuple[int, int]]] = {}
    for pair in iou:
        members.setdefault(int(group[pair[0]]), []).append(pair)
    yield from members.values()


def _count(match: LesionMatch, pairs: dict[int, int]) -> RuleCounts:
    taken = set(pairs.values())
    hits = [lesion for lesion in match.reference if lesion.label in pairs]
    misses = [lesion for lesion in match.reference if lesion.label not in pairs]
    alarms = [lesion for lesion in match.predicted if lesion.label not in taken]
    return RuleCounts(*(_by_size(group) for group in (hits, alarms, misses)))


def _by_size(lesions: Sequence[Lesion]) -> tuple[int, ...]:
    groups = [size_group(lesion.diameter_mm) for lesion in lesions]
    return tuple(groups.count(name) for name in SIZE_GROUPS)
