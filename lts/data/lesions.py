"""Lesions of training slices, cut out to be copied into healthy liver."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lts.base import BACKGROUND, LIVER, TUMOR
from lts.data.synthetic_tumors import LEAST_DIAMETER_PIXELS, Floats, coarse_part
from lts.slices import StoredCase, slices_around

_Mask = NDArray[np.bool_]

_MOST_LESIONS = 256
_MOST_BYTES = 2**25
_MOST_OF_A_SLICE = 4
_AROUND_PIXELS = 6
"""The liver up to here from a lesion, but for what touches it, is what its contrast is taken from."""
_LEAST_AROUND = 20
_OPEN, _MOST_OPEN = 0.05, 1 / 3
"""Of the outline of a lesion, what lies at the edge of the liver to count, and what may: it may be cut."""
_EDGE_PIXELS = 2
"""So near to what is no liver, values may be mixed with those of fat or air."""
_LEAST_OF_TRUE = 0.5
"""Of a lesion, that must be farther from there."""
_LEAST_CONTRAST = 0.5
"""Of the noise, that a lesion must differ from the liver by, to be seen at all."""
_OVER_NOISE = 1.2
"""Detail of a lesion counts as noise up to this multiple of the noise of the liver around it."""


@dataclass(frozen=True)
class Lesion:
    """A connected piece of tumor in a stored slice, and what goes with it in neighboring slices.

    Attributes:
        contrast: `(N, h, w)` its distance from the liver around it, without noise; outside of it the values
            of its nearest pixels go on, so that it can be resampled.
        inside: `(N, h, w)` whether a pixel belongs to it.
        liver_value: Mean raw value of the liver around it.
        pixel_mm: Side of a pixel.
        anchor: Its innermost pixel in the middle slice, row and column.
        radius_mm: The radius of the disk with its area in the middle slice.
        open_side: Rows and columns from the anchor to where it lies at the edge of the liver; None within.

    Example:
        >>> image, labels = np.full((1, 64, 64), 100, np.int16), np.ones((1, 64, 64), np.uint8)
        >>> labels[0, 30:40, 20:30], image[0, 30:40, 20:30] = 2, 60
        >>> (lesion,) = cut_lesions(image, labels, pixel_mm=0.8)
        >>> float(lesion.contrast[lesion.inside].mean()), lesion.liver_value, round(lesion.radius_mm, 1)
        (-40.0, 100.0, 4.5)
    """

    contrast: Floats
    inside: _Mask
    liver_value: float
    pixel_mm: float
    anchor: tuple[int, int]
    radius_mm: float
    open_side: tuple[float, float] | None


def collect_lesions(cases: Sequence[StoredCase], *, context: int = 0, seed: int = 0) -> tuple[Lesion, ...]:
    """Cut lesions out of stored cases: some hundred at most, of as many cases as there are.

    It reads no more slices than that takes. What is chosen depends on the cases and the seed alone.

    Args:
        cases: Those with masks; only training cases.
        context: Neighbors that come with a slice, on each side.
        seed: Chooses the slices.

    Returns:
        The lesions, none where no tumor lies within liver.

    Example:
        >>> from lts.cohort import find_cases
        >>> from lts.phantom import make_phantom_cohort
        >>> from lts.slices import Recipe, build_store
        >>> root = make_phantom_cohort("phantoms", cases=2, matrix=64, seed=0)
        >>> stored = build_store(find_cases(root, layout="lits").cases, Recipe(), store_dir="store")
        >>> lesions = collect_lesions(stored, context=1)
        >>> len(lesions) > 5, lesions[0].contrast.shape == lesions[0].inside.shape, len(lesions[0].inside)
        (True, True, 3)
    """
    rng = np.random.default_rng(seed)
    found: list[Lesion] = []
    n_bytes = 0
    for case, z in _in_turn(cases, rng):
        around = slices_around([z], context=context, depth=case.shape[0])[0]
        pieces = cut_lesions(case.open_image()[around], case.open_labels()[around], pixel_mm=case.pixel_mm)
        for number in rng.permutation(len(pieces))[:_MOST_OF_A_SLICE]:
            found.append(pieces[number])
            n_bytes += found[-1].contrast.nbytes + found[-1].inside.nbytes
        if len(found) >= _MOST_LESIONS or n_bytes >= _MOST_BYTES:
            break
    return tuple(found[:_MOST_LESIONS])


def _in_turn(cases: Sequence[StoredCase], rng: np.random.Generator) -> Iterator[tuple[StoredCase, int]]:
    """The slices that hold tumor in random order, one of each case after the other."""
    orders = [(case, rng.permutation(np.flatnonzero(case.holds("tumor"))).tolist()) for case in cases]
    for turn in range(max((len(order) for _, order in orders), default=0)):
        yield from ((case, order[turn]) for case, order in orders if turn < len(order))


def cut_lesions(image: NDArray[np.int16], labels: NDArray[np.uint8], *, pixel_mm: float) -> list[Lesion]:
    """The lesions of a slice that can be copied.

    Left out are those too small to have a shape, those that the slice or the edge of the liver may have cut,
    and those without enough liver around them to tell their contrast.

    Args:
        image: `(N, H, W)` raw values of N neighboring slices; the lesions are those of the middle one.
        labels: `(N, H, W)`.
        pixel_mm: Side of a pixel.

    Example:
        >>> cut_lesions(np.zeros((1, 32, 32), np.int16), np.ones((1, 32, 32), np.uint8), pixel_mm=1)
        []
    """
    middle = len(labels) // 2
    pieces = [cv2.connectedComponents((each == TUMOR).astype(np.uint8))[1] for each in labels]
    least_pixels = math.pi * (LEAST_DIAMETER_PIXELS / 2) ** 2
    found = []
    for number, box in enumerate(ndimage.find_objects(pieces[middle]), start=1):
        rows, columns = box
        if (
            0 in (rows.start, columns.start)
            or rows.stop == labels.shape[1]
            or columns.stop == labels.shape[2]
        ):
            continue
        if np.count_nonzero(pieces[middle][box] == number) < least_pixels:
            continue
        inside = _with_neighbors(pieces, number)
        here = (slice(None), *_box_around(inside))
        lesion = _cut(image[here], labels[here], inside[here], pixel_mm=pixel_mm)
        if lesion:
            found.append(lesion)
    return found


def _with_neighbors(pieces: Sequence[NDArray[np.int32]], number: int) -> _Mask:
    """`(N, H, W)`: a piece of the middle slice, and those that lie over one another from there on."""
    middle = len(pieces) // 2
    inside = np.stack(
        [each == number if z == middle else np.zeros_like(each, bool) for z, each in enumerate(pieces)]
    )
    for step in (1, -1):
        for z in range(middle + step, middle + step * (middle + 1), step):
            over = np.unique(pieces[z][inside[z - step]])
            inside[z] = np.isin(pieces[z], over[over > 0])
    return inside


def _box_around(inside: _Mask) -> tuple[slice, slice]:
    """The box of all slices' pieces, with the liver around them."""
    (box,) = ndimage.find_objects(inside.any(0).astype(np.uint8))
    margin = _AROUND_PIXELS + 2
    rows, columns = (slice(max(side.start - margin, 0), side.stop + margin) for side in box)
    return rows, columns


def _cut(
    image: NDArray[np.int16], labels: NDArray[np.uint8], inside: _Mask, *, pixel_mm: float
) -> Lesion | None:
    """The lesion in its box, None where it cannot be told from what lies around it."""
    middle = len(labels) // 2
    piece, values = inside[middle], image.astype(np.float32)
    no_liver = np.stack([_grown(each == BACKGROUND, _EDGE_PIXELS) for each in labels])
    touching = _grown(piece, 1)
    outline = touching & ~piece
    beyond = outline & (labels[middle] == BACKGROUND)
    open_share = np.count_nonzero(beyond) / np.count_nonzero(outline)
    if open_share > _MOST_OPEN:
        return None
    true = inside & ~no_liver
    liver = (labels[middle] == LIVER) & ~no_liver[middle]
    around = liver & _grown(piece, _AROUND_PIXELS) & ~touching
    too_little = np.count_nonzero(true[middle]) < _LEAST_OF_TRUE * np.count_nonzero(piece)
    if too_little or np.count_nonzero(around) < _LEAST_AROUND:
        return None
    liver_value = float(values[middle][around].mean())
    noise = float((values[middle] - coarse_part(values[middle], liver))[around].std())
    contrast = np.zeros_like(values)
    for z, of_slice in enumerate(true):
        if of_slice.any():
            contrast[z] = _spread(_without_noise(values[z], of_slice, noise), of_slice) - liver_value
        else:
            inside[z] = False
    if math.sqrt(np.mean(contrast[middle][piece] ** 2)) < _LEAST_CONTRAST * noise:
        return None
    depth = cv2.distanceTransform(piece.astype(np.uint8), cv2.DIST_L2, 3)
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    to_beyond = np.argwhere(beyond) - (row, column)
    return Lesion(
        contrast,
        inside,
        liver_value,
        pixel_mm,
        anchor=(int(row), int(column)),
        radius_mm=pixel_mm * math.sqrt(np.count_nonzero(piece) / math.pi),
        open_side=tuple(to_beyond.mean(0).tolist()) if open_share > _OPEN else None,
    )


def _without_noise(values: Floats, inside: _Mask, noise: float) -> Floats:
    """Values whose detail is kept as far as it exceeds the noise: rims and cores stay sharp."""
    coarse = coarse_part(values, inside)
    detail = values - coarse
    power = coarse_part(detail**2, inside)
    gain = np.clip(1 - (_OVER_NOISE * noise) ** 2 / np.maximum(power, np.float32(1e-6)), 0, 1)
    kept: Floats = (coarse + gain * detail).astype(np.float32)
    return kept


def _spread(values: Floats, inside: _Mask) -> Floats:
    """Values inside, and beyond those of the nearest pixel inside."""
    rows, columns = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    spread: Floats = values[rows, columns]
    return spread


def _grown(mask: _Mask, pixels: int) -> _Mask:
    square = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    grown: _Mask = cv2.dilate(mask.astype(np.uint8), square) > 0
    return grown
