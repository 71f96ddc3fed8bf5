"""Outlines of a mask in a plane: polygons from which the same pixels come back."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_INSET = 1e-3
"""How far within the edges of its pixels an outline runs, in pixels."""

_RIGHT, _DOWN, _LEFT, _UP = range(4)
"""Directions along edges of pixels; what an outline encloses is on the right of who walks along it."""

_INWARD = np.array([(1, 0), (0, -1), (-1, 0), (0, 1)])
"""By direction, one step to the right of it, `(row, column)`."""

_TURN = [
    [
        next((way for way in ((came + 1) % 4, came, (came + 3) % 4) if ways >> way & 1), came)
        for came in range(4)
    ]
    for ways in range(16)
]
"""By the ways that leave a corner, as bits, and the direction of arrival: how to go on, rightmost first.

So pixels that touch at a corner alone have outlines of their own.
"""


def outlines(mask: npt.NDArray[np.bool_]) -> list[FloatArray]:
    """The outlines of a mask, along the edges of its pixels.

    Libraries draw lines through the middles of pixels, or between those of pixels inside and outside; readers
    then lose pixels that lie on the line, or corners. These run around whole pixels, by a thousandth of one
    within their edges. So the middle of a pixel is inside where the mask is, and on no line; and corners that
    a reader rounds to whole pixels become pixels of the mask.

    A polygon does not touch itself or another one. A hole is joined to what is around it by a channel two
    thousandths of a pixel wide (a keyhole), as a polygon has one line; so those who fill polygons by the
    even-odd or the non-zero rule, or take the union of several, find the same pixels.

    Args:
        mask: `(rows, columns)`.

    Returns:
        One polygon for each 4-connected piece, `(corners, 2)`, column and row of each corner in pixels, the
        middle of the first pixel at (0, 0); clockwise where rows run down. The first corner is not repeated.

    Example:
        >>> [outline.round(1).tolist() for outline in outlines(np.array([[False, True, True]]))]
        [[[2.5, -0.5], [2.5, 0.5], [0.5, 0.5], [0.5, -0.5]]]
        >>> ring = np.ones((3, 3), bool)
        >>> ring[1, 1] = False
        >>> len(outlines(ring)), len(outlines(ring)[0]), len(outlines(np.eye(3, dtype=bool)))
        (1, 10, 3)
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return []
    padded = np.pad(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
    ways = _ways_along_edges(padded)
    _add_channels(ways, padded)
    upper_left = np.array([rows[0], columns[0]]) - 1.5  # of the padding
    found = []
    for corners in _walks(ways):
        at, came, went = np.array(corners).T
        inset = _INSET * (_INWARD[came] + _INWARD[went])
        places = np.column_stack(np.divmod(at, padded.shape[1])) + inset + upper_left
        found.append(places[:, ::-1])
    return found


def _ways_along_edges(padded: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """The ways that leave the upper left corner of each pixel along edges of the mask, as bits."""
    inside = padded[1:-1, 1:-1]
    ways = np.zeros(padded.shape, np.uint8)
    ways[1:-1, 1:-1] |= _bit(_RIGHT) * (inside & ~padded[:-2, 1:-1])
    ways[1:-1, 2:] |= _bit(_DOWN) * (inside & ~padded[1:-1, 2:])
    ways[2:, 2:] |= _bit(_LEFT) * (inside & ~padded[2:, 1:-1])
    ways[2:, 1:-1] |= _bit(_UP) * (inside & ~padded[1:-1, :-2])
    return ways


def _add_channels(ways: npt.NDArray[np.uint8], padded: npt.NDArray[np.bool_]) -> None:
    """Add ways to and from each hole, along the edges above its uppermost pixels and to the left.

    They end at the next edge of the mask. That may be of another hole, but of one whose own channel begins
    higher, or farther left at the same height, so that each leads to the outside.
    """
    from scipy import ndimage  # slow to import, and needed for contours alone

    numbers, _ = ndimage.label(~padded, structure=np.ones((3, 3)))
    edges = ways > 0
    for number, box in enumerate(ndimage.find_objects(numbers), start=1):
        if number == numbers[0, 0]:
            continue  # all around the mask
        row = box[0].start
        column = box[1].start + int((numbers[row, box[1]] == number).argmax())
        end = int(np.flatnonzero(edges[row, :column])[-1])
        ways[row, end + 1 : column + 1] |= _bit(_LEFT)
        ways[row, end:column] |= _bit(_RIGHT)


def _walks(ways: npt.NDArray[np.uint8]) -> Iterator[list[tuple[int, int, int]]]:
    """Walk each way once; yields the corners of each closed walk: index, direction of arrival, of leaving."""
    width = ways.shape[1]
    steps = (1, width, -1, -width)
    all_ways: list[int] = ways.ravel().tolist()
    left = all_ways.copy()
    for start in np.flatnonzero(ways).tolist():
        while left[start]:
            first = went = (left[start] & -left[start]).bit_length() - 1
            at, corners = start, []
            while True:
                left[at] ^= 1 << went
                at += steps[went]
                came, went = went, _TURN[all_ways[at]][went]
                if came != went:
                    corners.append((at, came, went))
                if (at, went) == (start, first):
                    break
            yield corners


def _bit(way: int) -> np.uint8:
    return np.uint8(1 << way)
