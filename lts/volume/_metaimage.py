"""MetaImage files (https://itk.org/Wiki/ITK/MetaIO/Documentation) of one volume."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from isal import isal_zlib
from nibabel.affines import voxel_sizes

from lts.base import VolumeError, written_whole
from lts.volume._geometry import RAS_FROM_LPS, FloatArray, Geometry
from lts.volume._gzip import LEVEL
from lts.volume._headed import UNSTATED, Headed, entries, in_order, numbers, one_of, scaled, sizes
from lts.volume._notes import Note

_DTYPES = {
    **{"met_char": "int8", "met_uchar": "uint8", "met_short": "int16", "met_ushort": "uint16"},
    **{"met_int": "int32", "met_uint": "uint32", "met_long_long": "int64", "met_ulong_long": "uint64"},
    **{"met_float": "float32", "met_double": "float64"},
}
_ELEMENTS = {dtype: name.upper() for name, dtype in _DTYPES.items()}

_TRUE, _FALSE = ("true", "t", "1"), ("false", "f", "0")
_DATA = "elementdatafile"
"""The last entry."""


def write(path: Path, voxels_on_disk: npt.NDArray[Any], *, geometry: Geometry, slope: float = 1.0) -> None:
    """Write a compressed file whole.

    Args:
        path: An existing file is replaced.
        voxels_on_disk: `(X, Y, Z)` of the grid's shape.
        geometry: The grid, written in double precision.
        slope: As of `scaled`.

    Raises:
        StorageError: The file cannot be written.
    """
    values = scaled(voxels_on_disk, slope)
    affine = RAS_FROM_LPS @ geometry.affine
    spacing = voxel_sizes(affine)
    deflate = isal_zlib.compressobj(LEVEL)
    packed = [*map(deflate.compress, in_order(values)), deflate.flush()]
    entries_in_order = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "True",
        "CompressedDataSize": str(sum(map(len, packed))),
        "TransformMatrix": _words((affine[:3, :3] / spacing).T),
        "Offset": _words(affine[:3, 3]),
        "CenterOfRotation": "0 0 0",
        "ElementSpacing": _words(spacing),
        "DimSize": " ".join(map(str, values.shape)),
        "ElementType": _ELEMENTS[values.dtype.name],
        "ElementDataFile": "LOCAL",
    }
    with written_whole(path) as file:
        file.write("".join(f"{name} = {value}\n" for name, value in entries_in_order.items()).encode())
        file.writelines(packed)


def _words(values: FloatArray) -> str:
    return " ".join(map(repr, values.ravel().tolist()))


def parse(path: Path, head: bytes) -> Headed:
    """What the header says of the voxels.

    Args:
        path: The file, for messages.
        head: Its first bytes.

    Raises:
        VolumeError: It breaks a rule of the format, or is not one volume of real numbers.
    """
    text, offset = _header(path, head)
    fields = entries(text, "=")
    shape = sizes(path, "DimSize", fields.get("dimsize", ""))
    one_of(path, "NDims", fields.get("ndims", ""), ("3",))
    one_of(path, "ElementNumberOfChannels", fields.get("elementnumberofchannels", "1"), ("1",))
    one_of(path, "BinaryData", fields.get("binarydata", "True"), _TRUE)
    one_of(path, "HeaderSize", fields.get("headersize", "0"), ("0",))
    element = one_of(path, "ElementType", fields.get("elementtype", ""), tuple(_DTYPES))
    is_deflated = one_of(path, "CompressedData", fields.get("compresseddata", "False"), (*_TRUE, *_FALSE))
    order = fields.get("binarydatabyteordermsb", fields.get("elementbyteordermsb", "False"))
    is_big = one_of(path, "BinaryDataByteOrderMSB", order, (*_TRUE, *_FALSE)) in _TRUE
    affine, notes = _affine(path, fields)
    is_here = fields[_DATA].upper() == "LOCAL"
    return Headed(
        shape=shape,
        dtype=np.dtype(_DTYPES[element]).newbyteorder(">" if is_big else "<"),
        affine=affine,
        data=None if is_here else fields[_DATA],
        offset=offset if is_here else 0,
        is_deflated=is_deflated in _TRUE,
        notes=notes,
    )


def _header(path: Path, head: bytes) -> tuple[bytes, int]:
    """The lines of the header, and where it ends."""
    offset = 0
    for line in head.splitlines(keepends=True):
        offset += len(line)
        name, sign, _ = line.partition(b"=")
        if not sign:
            break
        if name.strip().lower() == _DATA.encode():
            return head[:offset], offset
    raise VolumeError(f"{path}: not a MetaImage file", code="not-nifti")


def _affine(path: Path, fields: dict[str, str]) -> tuple[FloatArray, tuple[Note, ...]]:
    """Index to world RAS mm, and what there is to say of it; each entry has more than one name."""

    def first(names: tuple[str, ...], default: str) -> tuple[str, str]:
        return next(
            ((name, fields[name.lower()]) for name in names if name.lower() in fields), (names[0], default)
        )

    axes = first(("TransformMatrix", "Rotation", "Orientation"), "")
    spacing = numbers(path, *first(("ElementSpacing", "ElementSize"), "1 1 1"), 3)
    if min(spacing) <= 0:
        raise VolumeError(f"{path}: ElementSpacing must be > 0, got {spacing}")
    affine = np.eye(4)
    if axes[1]:
        affine[:3, :3] = np.reshape(numbers(path, *axes, 9), (3, 3)).T
    affine[:3, :3] *= spacing
    affine[:3, 3] = numbers(path, *first(("Offset", "Position", "Origin"), "0 0 0"), 3)
    return RAS_FROM_LPS @ affine, () if axes[1] else (UNSTATED,)
