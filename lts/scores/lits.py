"""Scores by the rules of the LiTS challenge (Bilic et al., Medical Image Analysis 84:102680, 2023).

They differ from the other scores of this package: a lesion is face-connected, specks of the reference are
joined before lesions are counted, lesions are merged before they are matched, and of tumors only those that
were detected are measured. `LITS_NOTES` tells where the challenge's public scorer does otherwise.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lts.base import BACKGROUND, LABELS, LIVER, TUMOR
from lts.components import bounding_box
from lts.scores.overlap import defined, dice, precision, recall, rvd, voe
from lts.scores.surfaces import surface_distances
from lts.volume import Voxel

LITS_NOTES: tuple[str, ...] = (
    "Lesions are face-connected. Specks of the reference are joined where growing by one pixel within the "
    "slice makes them touch, as in the later version of the challenge's scorer.",
    "Reference lesions that one prediction spans are merged, then the predictions of one lesion. A merged "
    "pair is detected where its IoU exceeds 0.5. Precision and recall count each lesion and each prediction "
    "of a pair; the scores of detected lesions count the pair once.",
    "A case without a tumor in the reference counts all its predictions as false positives. The public "
    "scorer crashes there, or leaves them out.",
    "Detected lesions are counted, never subtracted. In the public scorer a prediction that spans several "
    "lesions and detects none takes them all away, and the count can fall below zero.",
    "RVD is (predicted - reference) / reference. The public scorer exchanges the two: its sign is the other "
    "one, and it is relative to the prediction.",
    "A case where a score is not defined is left out of it and counted. The public scorer enters 9001 for a "
    "missing surface and for the burden of a prediction without liver.",
    "The largest burden error is the largest in size. The public scorer takes the largest of reference minus "
    "prediction, and so overlooks burdens that are too large.",
    "A surface is what 6-connected erosion removes, as everywhere in these results. The public scorer erodes "
    "with 18 neighbors, so its surfaces are thicker and its distances slightly different.",
)
"""Where these scores stand to those of the challenge's public scorer."""

# One pixel to each side within the slice: axes (Z, H, W).
_IN_PLANE = ndimage.generate_binary_structure(2, 1)[None]

_Mask = NDArray[np.bool_]
_Labels = NDArray[np.int32]
_Counts = NDArray[np.int64]


@dataclass(frozen=True)
class LitsPair:
    """Two masks: livers, all tumors, or a merged pair of lesions.

    Attributes:
        both: Voxels in prediction and reference.
        predicted: Voxels of the prediction.
        reference: Voxels of the reference.
        assd_mm: Mean distance of the surfaces, both directions pooled; None where a side is empty, and for
            all tumors, which the challenge does not measure.
        mssd_mm: Largest distance of the surfaces, None likewise.
    """

    both: int
    predicted: int
    reference: int
    assd_mm: float | None = None
    mssd_mm: float | None = None

    @property
    def dice(self) -> float:
        """1 where both masks are empty, 0 where one is."""
        return dice(*self._overlap)

    @property
    def voe(self) -> float:
        """Volumetric overlap error, 1 - IoU: 0 where both masks are empty, 1 where one is."""
        return voe(*self._overlap)

    @property
    def rvd(self) -> float | None:
        """(predicted - reference) / reference, None where the reference is empty."""
        return defined(rvd(self.predicted, self.reference))

    @property
    def _overlap(self) -> tuple[int, int, int]:
        """Voxels in both, in the prediction alone, in the reference alone."""
        return self.both, self.predicted - self.both, self.reference - self.both


@dataclass(frozen=True)
class LitsDetection:
    """Lesions at one threshold of overlap.

    Attributes:
        detected: Lesions of the reference in merged pairs above the threshold.
        false_positives: Components of the prediction in no such pair.
    """

    detected: int
    false_positives: int


@dataclass(frozen=True)
class LitsCase:
    """What one case adds to the challenge's scores; holds no volume. `lits_case` makes it.

    >>> labels = np.ones((1, 2, 2), np.uint8)
    >>> case = lits_case(labels, labels, voxel=Voxel.of_spacing((5.0, 1.0, 1.0)))
    >>> case.liver.dice, case.burden_error
    (1.0, 0.0)

    Attributes:
        liver: Livers, tumors included.
        tumor: All tumors.
        n_lesions: Lesions of the reference, none merged.
        n_predicted: Components of the prediction, none merged.
        half: Detection at IoU > 0.5.
        any: Detection at any overlap.
        pairs: The merged pairs with IoU > 0.5.
    """

    liver: LitsPair
    tumor: LitsPair
    n_lesions: int
    n_predicted: int
    half: LitsDetection
    any: LitsDetection
    pairs: tuple[LitsPair, ...]

    @property
    def burden_error(self) -> float | None:
        """Predicted minus true share of tumor in the liver, None where a side has no liver."""
        if not (self.liver.predicted and self.liver.reference):
            return None
        return self.tumor.predicted / self.liver.predicted - self.tumor.reference / self.liver.reference


def lits_case(prediction: NDArray[np.uint8], reference: NDArray[np.uint8], *, voxel: Voxel) -> LitsCase:
    """Score one case.

    Lesions of the reference that overlap most with the same prediction are merged. Each prediction then goes
    to the merged lesion it overlaps most, and those of one lesion are merged. At a tie the component that
    comes first in the array wins.

    >>> reference = np.ones((1, 1, 40), np.uint8)
    >>> reference[..., 10:15], reference[..., 18:24] = 2, 2
    >>> prediction = np.ones((1, 1, 40), np.uint8)
    >>> prediction[..., 10:24] = 2
    >>> case = lits_case(prediction, reference, voxel=Voxel.of_spacing((5.0, 1.0, 1.0)))
    >>> case.n_lesions, case.half
    (2, LitsDetection(detected=2, false_positives=0))

    Args:
        prediction: `(Z, H, W)` integer labels, 0 background, 1 liver, 2 tumor; any of them may be absent.
        reference: The same of the reference.
        voxel: The voxel of their grid.

    Raises:
        ValueError: The masks differ in shape, are not `(Z, H, W)` integers or hold other labels.
    """
    _check(prediction, reference)
    liver = _measure(prediction >= LIVER, reference >= LIVER, voxel)
    box = bounding_box((prediction == TUMOR) | (reference == TUMOR)) or (slice(1),) * 3
    predicted, referred = prediction[box] == TUMOR, reference[box] == TUMOR
    components, n_predicted = ndimage.label(predicted)
    lesions, n_lesions = _label_joined(referred)
    match = _match(components, lesions, n_predicted=n_predicted, n_lesions=n_lesions)
    half = match.both * 2 > match.union
    pairs = (match.of_prediction[components], match.of_lesion[lesions])
    return LitsCase(
        liver=liver,
        tumor=LitsPair(*_voxels(predicted, referred)),
        n_lesions=n_lesions,
        n_predicted=n_predicted,
        half=match.count(half),
        any=match.count(match.both > 0),
        pairs=tuple(_measure_pairs(*pairs, names=np.flatnonzero(half), voxel=voxel)),
    )


def lits_scores(cases: Iterable[LitsCase]) -> dict[str, Any]:
    """The challenge's scores of a cohort.

    >>> labels = np.ones((1, 1, 40), np.uint8)
    >>> labels[..., 10:15] = 2
    >>> scores = lits_scores([lits_case(labels, labels, voxel=Voxel.of_spacing((5.0, 1.0, 1.0)))])
    >>> scores["tumor_dice_per_case"], scores["lesion_recall"], scores["burden_rmse"]
    (1.0, 1.0, 0.0)

    Returns:
        `*_per_case` and `liver_*` are means over cases, `*_global` are of pooled voxels. `lesion_precision`
        and `lesion_recall` are of the lesions of all cases at IoU > 0.5, with `_any` at any overlap;
        `detected_lesion_*` are means over merged pairs with IoU > 0.5. `burden_*` are root mean square and
        largest size of the errors of tumor / liver volume. `n_*` are counts, `*_left_out` counts the cases
        where a score is not defined. A score that is nowhere defined is None.
    """
    cases = tuple(cases)
    livers, tumors = [case.liver for case in cases], [case.tumor for case in cases]
    pairs = [pair for case in cases for pair in case.pairs]
    burden_errors = [case.burden_error for case in cases if case.burden_error is not None]
    measured = ("voe", "rvd", "assd_mm", "mssd_mm")
    n_lesions = sum(case.n_lesions for case in cases)
    return {
        "n_cases": len(cases),
        "liver_dice_per_case": _mean(livers, "dice"),
        "liver_dice_global": _dice_global(livers),
        **{f"liver_{name}": _mean(livers, name) for name in measured},
        **{f"liver_{name}_left_out": _left_out(livers, name) for name in measured[1:]},
        "tumor_dice_per_case": _mean(tumors, "dice"),
        "tumor_dice_global": _dice_global(tumors),
        "n_lesions": n_lesions,
        "n_predicted": sum(case.n_predicted for case in cases),
        **_detection("", [case.half for case in cases], n_lesions),
        **_detection("_any", [case.any for case in cases], n_lesions),
        "n_detected_pairs": len(pairs),
        **{f"detected_lesion_{name}": _mean(pairs, name) for name in ("dice", *measured)},
        "burden_rmse": math.sqrt(fmean(error**2 for error in burden_errors)) if burden_errors else None,
        "burden_max_error": max(map(abs, burden_errors), default=None),
        "burden_left_out": len(cases) - len(burden_errors),
    }


def _detection(suffix: str, counts: Sequence[LitsDetection], n_lesions: int) -> dict[str, float | None]:
    detected = sum(count.detected for count in counts)
    false_positives = sum(count.false_positives for count in counts)
    return {
        f"n_detected{suffix}": detected,
        f"n_false_positives{suffix}": false_positives,
        f"lesion_precision{suffix}": defined(precision(detected, false_positives)),
        f"lesion_recall{suffix}": defined(recall(detected, n_lesions - detected)),
    }


def _mean(pairs: Sequence[LitsPair], name: str) -> float | None:
    values = [value for pair in pairs if (value := getattr(pair, name)) is not None]
    return fmean(values) if values else None


def _left_out(pairs: Sequence[LitsPair], name: str) -> int:
    return sum(getattr(pair, name) is None for pair in pairs)


def _dice_global(pairs: Sequence[LitsPair]) -> float | None:
    tp, fp, fn = (sum(counts) for counts in zip((0, 0, 0), *(pair._overlap for pair in pairs), strict=True))
    return defined(dice(tp, fp, fn, empty=math.nan))


def _check(prediction: NDArray[np.uint8], reference: NDArray[np.uint8]) -> None:
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction: must be {reference.shape} like reference, got {prediction.shape}")
    for name, labels in (("prediction", prediction), ("reference", reference)):
        if labels.ndim != 3 or not labels.size or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f"{name}: must be (Z, H, W) integers, got {labels.dtype} {labels.shape}")
        if labels.min() < BACKGROUND or labels.max() > TUMOR:
            raise ValueError(f"{name}: labels must be {list(LABELS)}, got {labels.min()} to {labels.max()}")


def _label_joined(mask: _Mask) -> tuple[_Labels, int]:
    """Label face-connected components of the grown mask, in the order of their first voxels in the mask."""
    # Without the margin, growing would stop at the edge of the box and could change that order.
    grown = ndimage.binary_dilation(np.pad(mask, ((0, 0), (1, 1), (0, 0))), _IN_PLANE)
    labels, count = ndimage.label(grown)
    labels = labels[:, 1:-1]
    labels[~mask] = 0
    return labels, count


def _voxels(prediction: _Mask, reference: _Mask) -> tuple[int, int, int]:
    both, *sides = (int(np.count_nonzero(mask)) for mask in (prediction & reference, prediction, reference))
    return both, sides[0], sides[1]


def _measure(prediction: _Mask, reference: _Mask, voxel: Voxel) -> LitsPair:
    surfaces = surface_distances(prediction, reference, voxel=voxel)
    distances_mm = (None, None) if surfaces is None else (surfaces.assd_mm, surfaces.msd_mm)
    return LitsPair(*_voxels(prediction, reference), *distances_mm)


def _measure_pairs(
    prediction: _Labels, reference: _Labels, *, names: _Counts, voxel: Voxel
) -> Iterable[LitsPair]:
    """Measure pairs that two volumes show by their names, each in its own box."""
    boxes = [ndimage.find_objects(labels) for labels in (prediction, reference)]
    for name in names:
        box = tuple(
            slice(min(one.start, other.start), max(one.stop, other.stop))
            for one, other in zip(*(found[name - 1] for found in boxes), strict=True)
        )
        yield _measure(prediction[box] == name, reference[box] == name, voxel)


@dataclass(frozen=True, eq=False)
class _Match:
    """Merged pairs, each named by the first lesion in it; 0 names none.

    Attributes:
        of_prediction: The pair of each component of the prediction, `(n_predicted + 1,)`.
        of_lesion: The merged lesion of each lesion, `(n_lesions + 1,)`; 0 for one that nothing overlaps.
        both: Voxels in prediction and reference, `(n_lesions + 1,)`; 0 where there is no pair of that name.
        union: Voxels in either, for each pair.
    """

    of_prediction: _Labels
    of_lesion: _Labels
    both: _Counts
    union: _Counts

    def count(self, detected: _Mask) -> LitsDetection:
        """Count lesions and predictions, none merged, given which pairs are detected."""
        found, false = detected[self.of_lesion[1:]], ~detected[self.of_prediction[1:]]
        return LitsDetection(detected=int(found.sum()), false_positives=int(false.sum()))


def _match(components: _Labels, lesions: _Labels, *, n_predicted: int, n_lesions: int) -> _Match:
    """Merge and pair the components of prediction and reference by the voxels they share."""
    shared = (components > 0) & (lesions > 0)
    component, lesion, voxels = _sum_up(components[shared], lesions[shared])
    overlapped, spanned_by = _most_overlapped(lesion, component, voxels)
    _, first, group = np.unique(spanned_by, return_index=True, return_inverse=True)
    of_lesion = np.zeros(n_lesions + 1, np.int32)
    of_lesion[overlapped] = overlapped[first][group]

    component, merged, voxels = _sum_up(component, of_lesion[lesion], voxels)
    overlapping, pair = _most_overlapped(component, merged, voxels)
    of_prediction = np.zeros(n_predicted + 1, np.int32)
    of_prediction[overlapping] = pair

    kept = of_prediction[component] == merged
    sizes = [
        np.bincount(names, weights, n_lesions + 1).astype(np.int64)
        for names, weights in (
            (merged[kept], voxels[kept]),
            (of_prediction, np.bincount(components[components > 0], minlength=n_predicted + 1)),
            (of_lesion, np.bincount(lesions[lesions > 0], minlength=n_lesions + 1)),
        )
    ]
    return _Match(of_prediction, of_lesion, both=sizes[0], union=sizes[1] + sizes[2] - sizes[0])


def _sum_up(
    first: _Labels, second: _Labels, voxels: _Counts | None = None
) -> tuple[_Labels, _Labels, _Counts]:
    """Each pair of labels once, with the sum of its voxels: one an entry where none are given."""
    width = int(second.max(initial=0)) + 1
    pairs, where = np.unique(first.astype(np.int64) * width + second, return_inverse=True)
    sums = np.bincount(where, voxels, len(pairs)).astype(np.int64)
    return (pairs // width).astype(np.int32), (pairs % width).astype(np.int32), sums


def _most_overlapped(label: _Labels, partner: _Labels, voxels: _Counts) -> tuple[_Labels, _Labels]:
    """Each label once, and the partner that shares most voxels with it, the first one at a tie."""
    order = np.lexsort((partner, -voxels, label))
    labels, first = np.unique(label[order], return_index=True)
    return labels, partner[order][first]
