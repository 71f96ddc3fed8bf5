"""Volumes packed to lie in a page: the body part that matters, its values and two masks, in bounded size."""

import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lts.components import Box, bounding_box

MARGIN_MM = 25.0
"""What is shown around the masks."""

_GZIP = 31  # window bits that ask zlib for gzip's head, which browsers inflate
_LEVEL = 6
_MOST_UNPACKED = 2**27
"""Bytes of values that a browser is to hold: those of 512 x 512 x 256 voxels."""

_Labels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class PackedValues:
    """Values of a scan.

    Attributes:
        content: gzip of the slices; of each the low bytes, then the high ones, of the steps from one pixel of
            a row to the next, the first from 0; steps 0, -1, 1, -2, ... are the numbers 0, 1, 2, 3, ...
        block: A pixel is the mean of a square of so many pixels a side.
    """

    content: bytes
    block: int


def box_to_show(prediction: _Labels, reference: _Labels, *, spacing_mm: tuple[float, ...]) -> Box:
    """The box around both masks, with a margin; the whole scan where both are empty.

    >>> labels = np.zeros((9, 100, 100), np.uint8)
    >>> labels[4, 50, 50] = 1
    >>> box_to_show(labels, np.zeros_like(labels), spacing_mm=(10.0, 1.0, 1.0))
    (slice(1, 8, None), slice(25, 76, None), slice(25, 76, None))

    Args:
        prediction: `(Z, H, W)` labels.
        reference: The same of the reference.
        spacing_mm: Between voxels along `(Z, H, W)`.
    """
    box = bounding_box((prediction > 0) | (reference > 0))
    if box is None:
        depth, height, width = reference.shape
        return slice(0, depth), slice(0, height), slice(0, width)
    z, rows, columns = (
        slice(max(0, side.start - margin), min(length, side.stop + margin))
        for side, length, margin in zip(
            box, reference.shape, (math.ceil(MARGIN_MM / mm) for mm in spacing_mm), strict=True
        )
    )
    return z, rows, columns


def pack_values(numbers: NDArray[np.int16], *, most_bytes: float) -> PackedValues:
    """Pack values, in plane as coarse as `most_bytes` asks for and no coarser.

    Args:
        numbers: `(Z, H, W)`, at least one voxel.
        most_bytes: Of the packed content. What has one pixel a slice is packed whatever it takes.
    """
    coarsest = max(numbers.shape[1:])
    block = min(coarsest, math.ceil(math.sqrt(max(1, numbers.nbytes / _MOST_UNPACKED))))
    while True:
        content = _packed(_shrunk(numbers, block))
        if len(content) <= most_bytes or block == coarsest:
            return PackedValues(content, block)
        asked = math.ceil(block * math.sqrt(len(content) / max(1.0, most_bytes)))
        block = min(coarsest, max(block + 1, asked))


def pack_labels(prediction: _Labels, reference: _Labels) -> bytes:
    """gzip of the labels of the prediction, plus three times those of the reference."""
    return zlib.compress((prediction + 3 * reference).tobytes(), _LEVEL, _GZIP)


def _shrunk(numbers: NDArray[np.int16], block: int) -> NDArray[np.int16]:
    """Means of squares of `block` pixels a side; at the right and lower edge of what is there."""
    if block == 1:
        return numbers
    height, width = numbers.shape[1:]
    rows, columns = np.arange(0, height, block), np.arange(0, width, block)
    sizes = np.outer(np.diff(rows, append=height), np.diff(columns, append=width))
    shrunk = np.empty((len(numbers), len(rows), len(columns)), np.int16)
    for z, plane in enumerate(numbers):
        sums = np.add.reduceat(np.add.reduceat(plane.astype(np.int64), rows, axis=0), columns, axis=1)
        shrunk[z] = np.rint(sums / sizes)
    return shrunk


def _packed(numbers: NDArray[Any]) -> bytes:
    """As `PackedValues.content`, a slice at a time."""
    # Of noise only runs repeat: to look for more takes twice as long and finds nothing.
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    parts = []
    for plane in numbers:
        steps = np.diff(plane, axis=1, prepend=np.int16(0))  # int16 too, so that large steps wrap around
        folded = ((steps << 1) ^ (steps >> 15)).astype("<i2")
        parts.append(packer.compress(folded.view(np.uint8).reshape(-1, 2).T.tobytes()))
    return b"".join([*parts, packer.flush()])
