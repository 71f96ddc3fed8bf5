"""Files of voxels behind a header of text, or beside one: what NRRD and MetaImage have in common."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from lts.base import VolumeError
from lts.volume._geometry import FloatArray, Geometry
from lts.volume._gzip import MAX_EXCESS, MAX_INFLATION, USUAL_INFLATION
from lts.volume._notes import UNPROVEN, Note
from lts.volume._stored import StoredArray

_MOST_HEADER_BYTES = 1 << 20
_CHUNK = 1 << 20
_ZLIB_OR_GZIP = 47  # either, by the first bytes

UNSTATED = Note(
    "Orientation is unproven: the header states none. The axes were taken to point left, back and to the "
    "head, as ITK takes them.",
    code=UNPROVEN,
)


@dataclass(frozen=True, kw_only=True)
class Headed:
    """What a header says of its voxels.

    Attributes:
        shape: `(X, Y, Z)`.
        dtype: Of a voxel, in the byte order of the file.
        affine: `(4, 4)`, index to world RAS mm.
        data: The file of the voxels, as the header names it; None for this one.
        offset: Where they begin there.
        is_deflated: Whether they are a zlib or gzip stream.
        notes: What is unproven, or read otherwise by other programs.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    affine: FloatArray
    data: str | None
    offset: int
    is_deflated: bool
    notes: tuple[Note, ...]

    @property
    def n_bytes(self) -> int:
        """Of the voxels in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def files(self, path: Path) -> tuple[Path, ...]:
        """The file of the header, and that of the voxels where they lie beside it.

        Raises:
            VolumeError: They are named to lie in another folder or in several files, or are not there.
        """
        if self.data is None:
            return (path,)
        name = self.data.removeprefix("./")
        is_plain = Path(name).name == name and name not in ("", ".", "..", "LIST")
        if not is_plain or re.search(r"[\\%]", name):  # % is of a pattern of names
            raise VolumeError(f"{path}: its voxels must be in itself or in one file beside it, got {name!r}")
        beside = path.parent / name
        if not beside.is_file():
            reason = f"{path}: its voxels must be beside it in {name}, which is not there"
            raise VolumeError(reason, code="unreadable")
        return path, beside


Parse = Callable[[Path, bytes], Headed]
"""Makes sense of the first bytes of a file, which hold its header."""


def read_geometry(path: Path, parse: Parse) -> Geometry:
    """The grid, once it is known that the file may hold that many voxels.

    Raises:
        VolumeError: It is missing, breaks the rules of its format, or is cut short.
    """
    return _checked(path, _read_header(path, parse))


def source_files(path: Path, parse: Parse) -> tuple[Path, ...]:
    """The files of a volume.

    Raises:
        VolumeError: As `read_geometry`, but for a file cut short.
    """
    return _read_header(path, parse).files(path)


def read_stored(path: Path, parse: Parse) -> StoredArray:
    """Read a volume.

    Raises:
        VolumeError: As `read_geometry`; or a checksum is wrong.
        MemoryError: The voxels are more than memory holds.
    """
    header = _read_header(path, parse)
    geometry = _checked(path, header)
    *_, data = header.files(path)
    with data.open("rb") as file:
        file.seek(header.offset)
        blocks = iter(lambda: file.read(_CHUNK), b"")
        if header.is_deflated:
            blocks = _inflated(data, blocks)
        buffer = _gathered(data, blocks, header.n_bytes, to_the_end=header.is_deflated)
    voxels = buffer.view(header.dtype).reshape(header.shape, order="F")
    return StoredArray(path, geometry, voxels, more_notes=header.notes)


def entries(text: bytes, separator: str) -> dict[str, str]:
    """The lines of a header by what is before the separator, in lower case; the last of a name counts.

    Lines of NRRD's free key/value pairs, `name:=value`, are no fields and are passed over.
    """
    found = {}
    for line in text.decode("utf-8", "replace").splitlines():
        name, sign, value = line.partition(separator)
        if sign and not line.startswith("#") and not value.startswith("="):
            found[name.strip().lower()] = value.strip()
    return found


def numbers(path: Path, name: str, text: str, count: int) -> list[float]:
    """So many numbers of an entry.

    Raises:
        VolumeError: They are others.
    """
    try:
        found = [float(word) for word in text.split()]
    except ValueError:
        found = []
    if len(found) != count or not all(map(math.isfinite, found)):
        raise VolumeError(f"{path}: {name} must be {count} numbers, got {text[:80]!r}")
    return found


def sizes(path: Path, name: str, text: str) -> tuple[int, int, int]:
    """The voxels along three axes.

    Raises:
        VolumeError: They are no sizes, or of more or fewer axes.
    """
    words = text.split()
    if not words or not all(re.fullmatch(r"\d{1,9}", word) for word in words) or "0" in words:
        raise VolumeError(f"{path}: {name} must be whole numbers from 1, got {text[:80]!r}")
    if len(words) != 3:
        raise VolumeError(
            f"{path}: must hold one volume of 3 axes, got {name} {text}", code="wrong-dimensions"
        )
    x, y, z = map(int, words)
    return x, y, z


def one_of(path: Path, name: str, value: str, allowed: tuple[str, ...]) -> str:
    """An entry in lower case.

    Raises:
        VolumeError: It is another.
    """
    if value.lower() not in allowed:
        rule = allowed[0] if len(allowed) == 1 else f"one of {', '.join(allowed)}"
        raise VolumeError(f"{path}: {name} must be {rule}, got {value[:80]!r}")
    return value.lower()


def scaled(voxels_on_disk: npt.NDArray[Any], slope: float) -> npt.NDArray[Any]:
    """Numbers times a slope, which these formats do not have: as float32, unless it is 1."""
    return voxels_on_disk if slope == 1 else voxels_on_disk.astype(np.float32) * np.float32(slope)


def in_order(voxels_on_disk: npt.NDArray[Any]) -> Iterator[bytes]:
    """The bytes of `(X, Y, Z)` voxels as a file has them, little-endian, slice by slice."""
    plain = voxels_on_disk.astype(voxels_on_disk.dtype.newbyteorder("<"), copy=False)
    for z in range(plain.shape[2]):
        yield plain[..., z].tobytes("F")


def _read_header(path: Path, parse: Parse) -> Headed:
    try:
        with path.open("rb") as file:
            head = file.read(_MOST_HEADER_BYTES)
    except FileNotFoundError as error:
        raise VolumeError(f"{path}: no such file", code="unreadable") from error
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read: {error.strerror or error}", code="unreadable") from error
    if not head:
        raise VolumeError(f"{path}: the file is empty", code="truncated")
    return parse(path, head)


def _checked(path: Path, header: Headed) -> Geometry:
    *_, data = header.files(path)
    held = data.stat().st_size - header.offset
    if held * (MAX_INFLATION if header.is_deflated else 1) < header.n_bytes:
        packed = " compressed" if header.is_deflated else ""
        raise VolumeError(
            f"{data}: truncated: the header promises {header.n_bytes} bytes of voxels, the file holds "
            f"{max(0, held)}{packed}",
            code="truncated",
        )
    try:
        return Geometry.from_affine(header.affine, shape=header.shape, is_exact=True)
    except VolumeError as error:
        raise VolumeError(f"{path}: {error}") from error


def _inflated(path: Path, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The content of one zlib or gzip stream, or of several one after the other."""
    inflate, is_begun = isal_zlib.decompressobj(wbits=_ZLIB_OR_GZIP), False
    try:
        for packed in blocks:
            rest = packed
            while rest:
                if inflate.eof:
                    inflate, is_begun = isal_zlib.decompressobj(wbits=_ZLIB_OR_GZIP), False
                is_begun = True
                yield inflate.decompress(rest, _CHUNK)
                rest = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
    except isal_zlib.error as error:
        raise VolumeError(f"{path}: bad compressed data: {error}", code="unreadable") from error
    if is_begun and not inflate.eof:
        raise VolumeError(f"{path}: truncated: the compressed data have no end", code="truncated")


def _gathered(
    path: Path, blocks: Iterator[bytes], n_bytes: int, *, to_the_end: bool
) -> npt.NDArray[np.uint8]:
    """So many bytes; memory is taken as they come.

    Args:
        path: Of the voxels, for messages.
        blocks: The content of the file.
        n_bytes: How many are the voxels.
        to_the_end: Whether to go on to the last block, since the checksum comes last.
    """
    likely = max(_CHUNK, USUAL_INFLATION * path.stat().st_size)
    buffer = np.empty(min(n_bytes, likely), np.uint8)
    filled = excess = 0
    for block in blocks:
        taken = min(len(block), n_bytes - filled)
        if filled + taken > len(buffer):
            buffer.resize(min(max(2 * len(buffer), filled + taken), n_bytes), refcheck=False)
        buffer[filled : filled + taken] = np.frombuffer(block, np.uint8, taken)
        filled, excess = filled + taken, excess + len(block) - taken
        if filled == n_bytes and not to_the_end:
            break
        if excess > MAX_EXCESS:
            raise VolumeError(f"{path}: must end where its header says, got over {MAX_EXCESS} bytes more")
    if filled < n_bytes:
        raise VolumeError(f"{path}: truncated: {filled} of {n_bytes} bytes of voxels", code="truncated")
    return buffer
