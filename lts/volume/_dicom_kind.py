"""Recognizes DICOM by its first bytes, also without a preamble, as some archives write it."""

import struct
from enum import Enum
from pathlib import Path

from lts.base import VolumeError

PREAMBLE = 128
"""Bytes of the preamble before DICM."""

_PREFIX = b"DICM"

_HEAD = 4096

_FEWEST_ELEMENTS = 3
"""Number of valid elements in a row that only DICOM begins with."""

_UNDEFINED = 0xFFFFFFFF

_SHORT = frozenset(
    (
        *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT"),
        *("PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"),
    )
)
"""Value representations with a length of two bytes."""

_LONG = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"))
"""Value representations with two reserved bytes and a length of four."""

_FIRST_GROUPS = (0x0002, 0x0008)


class Beginning(Enum):
    """The beginning of a file."""

    PREAMBLE = "preamble"
    """128 bytes and DICM, as in the standard."""
    PREFIX = "prefix"
    """DICM without a preamble."""
    DATA_SET = "data set"
    """The elements themselves, as ACR-NEMA files and some archives have it."""
    OTHER = "other"
    """Not DICOM."""


def beginning_of(path: Path) -> Beginning:
    """Classify the first bytes of a file.

    Raises:
        VolumeError: It cannot be read.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
            size = stream.seek(0, 2)
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read: {error.strerror or error}") from error
    if head[PREAMBLE : PREAMBLE + len(_PREFIX)] == _PREFIX:
        return Beginning.PREAMBLE
    if head.startswith(_PREFIX) and _begins_data_set(head[len(_PREFIX) :], size=size - len(_PREFIX)):
        return Beginning.PREFIX
    return Beginning.DATA_SET if _begins_data_set(head, size=size) else Beginning.OTHER


def _begins_data_set(head: bytes, *, size: int) -> bool:
    return any(_n_elements(head, size=size, order=order) == _FEWEST_ELEMENTS for order in "<>")


def _n_elements(head: bytes, *, size: int, order: str) -> int:
    """Number of valid elements in a row, counted up to those needed."""
    at, last, count = 0, (0, 0), 0
    while count < _FEWEST_ELEMENTS and len(head) >= at + 8:
        group, element = struct.unpack_from(f"{order}HH", head, at)
        if group != _FIRST_GROUPS[0] and group != _FIRST_GROUPS[1]:
            break
        header, length = _lengths(head, at, order=order)
        if (group, element) <= last and count:
            break
        if length == _UNDEFINED:  # a sequence, whose end is not to be found so easily
            return _FEWEST_ELEMENTS if count == _FEWEST_ELEMENTS - 1 else count
        if length % 2 or at + header + length > size:
            break
        last, count, at = (group, element), count + 1, at + header + length
    return count


def _lengths(head: bytes, at: int, *, order: str) -> tuple[int, int]:
    """Bytes before the value of an element, and bytes of the value."""
    kind = head[at + 4 : at + 6].decode("latin-1")
    if kind in _SHORT:
        return 8, int(struct.unpack_from(f"{order}H", head, at + 6)[0])
    if kind in _LONG and len(head) >= at + 12:
        return 12, int(struct.unpack_from(f"{order}I", head, at + 8)[0])
    return 8, int(struct.unpack_from(f"{order}I", head, at + 4)[0])
