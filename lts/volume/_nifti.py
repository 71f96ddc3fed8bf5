"""NIfTI files as bytes: a header that is checked before it is believed, and the numbers behind it."""

import math
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header

from lts.base import VolumeError
from lts.volume._geometry import Geometry
from lts.volume._gzip import MAX_EXCESS, MAX_INFLATION, USUAL_INFLATION, inflated, is_inflated, packed
from lts.volume._stored import StoredArray

_CHUNK = 1 << 20


_CIFTI_INTENTS = range(3000, 3100)

_LINE_ENDS = ([13, 10, 26, 10], [0, 0, 0, 0])
"""What follows the magic of NIfTI-2, so that a transfer as text is seen; some writers leave it out."""

_SINGLE_FILE_MAGIC = {Nifti1Header: b"n+1", Nifti2Header: b"n+2"}


@dataclass(frozen=True)
class Header:
    """What the header of a file promises of its voxels."""

    geometry: Geometry
    dtype: np.dtype[Any]
    offset: int
    slope: float
    inter: float


def read_header(path: Path) -> Header:
    """Read what a file promises, without its voxels.

    Raises:
        VolumeError: The file is missing, is not NIfTI, is not one volume of real numbers, or promises more
            than it can hold.
    """
    with inflated(path) as stream:
        return _parse_header(path, stream)


def read_stored(path: Path) -> StoredArray:
    """Read a file.

    Raises:
        VolumeError: As `read_header`; or the voxels are cut short or broken.
        MemoryError: They are more than memory holds.
    """
    with inflated(path) as stream:
        header = _parse_header(path, stream)
        stream.seek(header.offset)
        buffer = _read_voxels(path, stream, header)
        # The checksum comes last, and is looked at when all is read: of a bomb that is too much.
        if is_inflated(stream) and len(stream.read(MAX_EXCESS + 1)) > MAX_EXCESS:
            raise VolumeError(f"{path}: must end where its header says, got over {MAX_EXCESS} bytes more")
    voxels = buffer.view(header.dtype).reshape(header.geometry.shape, order="F")
    return StoredArray(path, header.geometry, voxels, slope=header.slope, inter=header.inter)


def write(path: Path, voxels_on_disk: npt.NDArray[Any], *, geometry: Geometry, slope: float = 1.0) -> None:
    """Write a file whole, gzipped where its name ends so.

    Args:
        path: An existing file is replaced.
        voxels_on_disk: `(X, Y, Z)` of the grid's shape.
        geometry: The grid, whose header block is taken over.
        slope: A value is a number of `voxels_on_disk` times this.

    Raises:
        StorageError: The file cannot be written.
    """
    header = geometry.nifti_header()
    header.set_data_dtype(voxels_on_disk.dtype)
    header["scl_slope"], header["scl_inter"] = slope, 0
    header["vox_offset"] = header.single_vox_offset
    no_extensions = bytes(header.single_vox_offset - header.sizeof_hdr)
    with packed(path) as stream:
        stream.write(header.binaryblock + no_extensions)
        for index in range(voxels_on_disk.shape[2]):
            stream.write(voxels_on_disk[..., index].tobytes("F"))


def _read_voxels(path: Path, stream: BufferedIOBase, header: Header) -> npt.NDArray[np.uint8]:
    """The bytes of the voxels; memory is taken as they come, as what gzip holds is known at its end alone."""
    n_bytes = math.prod(header.geometry.shape) * header.dtype.itemsize
    likely = max(_CHUNK, USUAL_INFLATION * path.stat().st_size)
    buffer = np.empty(min(n_bytes, likely), dtype=np.uint8)
    filled = 0
    while filled < n_bytes:
        if filled == len(buffer):
            buffer.resize(min(2 * filled, n_bytes), refcheck=False)
        got = stream.readinto(buffer.data[filled : filled + _CHUNK])
        if not got:
            raise VolumeError(f"{path}: truncated: {filled} of {n_bytes} bytes of voxels", code="truncated")
        filled += got
    return buffer


def _parse_header(path: Path, stream: BufferedIOBase) -> Header:
    raw = _read_block(path, stream)
    minimum = int(raw.single_vox_offset)
    offset = float(raw["vox_offset"])
    if not minimum <= offset < 2**62:
        raise VolumeError(f"{path}: vox_offset must be at least {minimum}, got {offset:g}")
    shape = _spatial_shape(path, raw)
    dtype = _real_dtype(path, raw)
    slope, inter = _scaling(path, raw)
    promised = int(offset) + math.prod(shape) * dtype.itemsize
    inflation = MAX_INFLATION if is_inflated(stream) else 1
    held = path.stat().st_size * inflation
    if promised > held:
        raise VolumeError(
            f"{path}: truncated: the header promises {promised} bytes, the file holds at most {held}",
            code="truncated",
        )
    try:
        geometry = Geometry.from_header(raw, shape=shape)
    except VolumeError as error:
        raise VolumeError(f"{path}: {error}") from error
    return Header(geometry=geometry, dtype=dtype, offset=int(offset), slope=slope, inter=inter)


def _read_block(path: Path, stream: BufferedIOBase) -> Nifti1Header:
    """The header block as the class of its NIfTI version, unchecked but for the two numbers that name it."""
    start = stream.read(4)
    for cls, magic in _SINGLE_FILE_MAGIC.items():
        for endianness, order in (("<", "little"), (">", "big")):
            if start != cls.sizeof_hdr.to_bytes(4, order):
                continue
            block = start + stream.read(cls.sizeof_hdr - 4)
            if len(block) < cls.sizeof_hdr:
                raise VolumeError(f"{path}: truncated: {len(block)} bytes of header", code="truncated")
            header = cls(block, endianness=endianness, check=False)
            found = header["magic"].item()
            if found != magic:
                raise VolumeError(
                    f"{path}: must be a single NIfTI file (magic {magic!r}), got {found!r}", code="not-nifti"
                )
            if cls is Nifti2Header and (ends := header["eol_check"].tolist()) not in _LINE_ENDS:
                raise VolumeError(f"{path}: line ends were converted: must be {_LINE_ENDS[0]}, got {ends}")
            return header
    if not start:
        raise VolumeError(f"{path}: the file is empty", code="truncated")
    raise VolumeError(f"{path}: not a NIfTI file", code="not-nifti")


def _spatial_shape(path: Path, header: Nifti1Header) -> tuple[int, int, int]:
    if int(header["intent_code"]) in _CIFTI_INTENTS:
        raise VolumeError(
            f"{path}: CIFTI is not a scan, got intent code {int(header['intent_code'])}", code="not-nifti"
        )
    ndim, *sizes = header["dim"].tolist()
    if not 3 <= ndim <= 7:
        raise VolumeError(f"{path}: must have 3 dimensions, got {ndim}", code="wrong-dimensions")
    sizes = sizes[:ndim]
    if min(sizes) < 1:
        raise VolumeError(f"{path}: every dimension must be at least 1, got {sizes}", code="wrong-dimensions")
    x, y, z, *more = sizes
    if math.prod(more) != 1:
        raise VolumeError(
            f"{path}: must hold one volume, got {math.prod(more)} (dimensions {sizes})",
            code="wrong-dimensions",
        )
    return x, y, z


def _real_dtype(path: Path, header: Nifti1Header) -> np.dtype[Any]:
    code = int(header["datatype"])
    try:
        dtype: np.dtype[Any] = header.get_data_dtype()
    except KeyError as error:
        raise VolumeError(f"{path}: unknown datatype {code}") from error
    if dtype.kind not in "iuf":
        raise VolumeError(f"{path}: voxels must be real numbers, got datatype {code} ({dtype})")
    return dtype


def _scaling(path: Path, header: Nifti1Header) -> tuple[float, float]:
    """The slope and intercept; a slope of 0 (or none) means that the stored numbers are the values."""
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        return 1.0, 0.0
    if not math.isfinite(inter):
        raise VolumeError(f"{path}: scl_inter must be finite, got {inter}")
    return slope, inter
