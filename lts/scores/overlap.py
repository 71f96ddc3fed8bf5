"""Overlap of prediction and reference, from counts of voxels: plain numbers, arrays or tensors."""

import math
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Counts = TypeVar("Counts", float, NDArray[Any], "Tensor")


def dice(tp: Counts, fp: Counts, fn: Counts, *, empty: float = 1.0) -> Counts:
    """Dice coefficient, 2 tp / (2 tp + fp + fn).

    >>> dice(6, 2, 4)
    0.6666666666666666
    >>> dice(np.array([6, 0]), np.array([2, 0]), np.array([4, 0])).round(3)
    array([0.667, 1.   ])

    Args:
        tp: Voxels in prediction and reference; a count, of any shape.
        fp: Voxels in the prediction alone.
        fn: Voxels in the reference alone.
        empty: The value where prediction and reference are both empty.

    Returns:
        float64 of the counts' shape: a number, an array or a tensor, as they are.
    """
    return _ratio(*dice_terms(tp, fp, fn), empty=empty)


def iou(tp: Counts, fp: Counts, fn: Counts, *, empty: float = 1.0) -> Counts:
    """Intersection over union, tp / (tp + fp + fn); counts and `empty` as for `dice`.

    >>> iou(6, 2, 4)
    0.5
    """
    return _ratio(*iou_terms(tp, fp, fn), empty=empty)


def voe(tp: Counts, fp: Counts, fn: Counts) -> Counts:
    """Volumetric overlap error, 1 - IoU: 0 where both sides are empty, 1 where one is; counts as for `dice`.

    >>> voe(6, 2, 4)
    0.5
    """
    return 1 - iou(tp, fp, fn)


def precision(tp: Counts, fp: Counts, *, empty: float = math.nan) -> Counts:
    """The share of the prediction that is right, tp / (tp + fp); `empty` where nothing was predicted.

    >>> precision(6, 2)
    0.75
    """
    return _ratio(*precision_terms(tp, fp), empty=empty)


def recall(tp: Counts, fn: Counts, *, empty: float = math.nan) -> Counts:
    """The share of the reference that was found, tp / (tp + fn); `empty` where the reference is empty.

    >>> recall(6, 4)
    0.6
    """
    return _ratio(*recall_terms(tp, fn), empty=empty)


def accuracy(tp: Counts, fp: Counts, fn: Counts, tn: Counts, *, empty: float = math.nan) -> Counts:
    """The share of voxels that are right, (tp + tn) / all; `empty` where there are no voxels.

    >>> accuracy(6, 2, 4, 8)
    0.7
    """
    return _ratio(tp + tn, tp + fp + fn + tn, empty=empty)


def rvd(predicted: Counts, reference: Counts, *, empty: float = math.nan) -> Counts:
    """Relative volume difference, (predicted - reference) / reference; `empty` where the reference is.

    >>> rvd(8, 10)
    -0.2
    """
    return _ratio(predicted - reference, reference, empty=empty)


def defined(score: float) -> float | None:
    """A score as a plain number, None where it is NaN."""
    return None if math.isnan(score) else float(score)


def dice_terms(tp: Counts, fp: Counts, fn: Counts) -> tuple[Counts, Counts]:
    """What `dice` divides, and by what: pooled over cases each is a sum of its own."""
    return 2 * tp, 2 * tp + fp + fn


def iou_terms(tp: Counts, fp: Counts, fn: Counts) -> tuple[Counts, Counts]:
    """What `iou` divides, and by what."""
    return tp, tp + fp + fn


def precision_terms(tp: Counts, fp: Counts) -> tuple[Counts, Counts]:
    """What `precision` divides, and by what."""
    return tp, tp + fp


def recall_terms(tp: Counts, fn: Counts) -> tuple[Counts, Counts]:
    """What `recall` divides, and by what."""
    return tp, tp + fn


def _ratio(part: Counts, whole: Counts, *, empty: float) -> Counts:
    above: Any
    below: Any
    above, below = part, whole
    if isinstance(below, np.ndarray):
        ratio = np.divide(above, below, out=np.full(below.shape, empty, np.float64), where=below != 0)
    elif hasattr(below, "masked_fill"):  # a tensor; torch takes seconds to import, so it is not asked
        ratio = (above.double() / below.double()).masked_fill(below == 0, empty)
    else:
        ratio = above / below if below else empty
    return cast(Counts, ratio)
