"""NRRD files (https://teem.sourceforge.net/nrrd/format.html) of one volume."""

import re
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lts.base import VolumeError, written_whole
from lts.volume._geometry import RAS_FROM_LPS, FloatArray, Geometry
from lts.volume._gzip import gzipped
from lts.volume._headed import UNSTATED, Headed, entries, in_order, numbers, one_of, scaled, sizes
from lts.volume._notes import Note

_DTYPES = {
    "int8": ("int8", "signed char", "int8_t"),
    "uint8": ("uint8", "uchar", "unsigned char", "uint8_t"),
    "int16": ("int16", "short", "short int", "signed short", "signed short int", "int16_t"),
    "uint16": ("uint16", "ushort", "unsigned short", "unsigned short int", "uint16_t"),
    "int32": ("int32", "int", "signed int", "int32_t"),
    "uint32": ("uint32", "uint", "unsigned int", "uint32_t"),
    "int64": (
        "longlong",
        "long long",
        "long long int",
        "signed long long",
        "signed long long int",
        "int64_t",
    ),
    "uint64": ("uint64", "ulonglong", "unsigned long long", "unsigned long long int", "uint64_t"),
    "float32": ("float",),
    "float64": ("double",),
}
_DTYPE_OF = {name: dtype for dtype, names in _DTYPES.items() for name in names}

_TO_RAS = {
    "right-anterior-superior": (1, 1),
    "left-anterior-superior": (-1, 1),
    "left-posterior-superior": (-1, -1),
}
_TO_RAS |= {"".join(word[0] for word in name.split("-")): signs for name, signs in _TO_RAS.items()}
"""Signs of x and y, of the spaces that say where the patient is."""

_MM_OF_UNIT = {"mm": 1.0, "millimeters": 1.0, "um": 0.001, "\N{MICRO SIGN}m": 0.001, "cm": 10.0, "m": 1000.0}
"""Of `space units`, which are free text."""


def write(path: Path, voxels_on_disk: npt.NDArray[Any], *, geometry: Geometry, slope: float = 1.0) -> None:
    """Write a gzipped file whole.

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
    *directions, origin = (f"({','.join(map(repr, column))})" for column in affine[:3].T.tolist())
    text = (
        f"NRRD0004\ntype: {_DTYPES[values.dtype.name][0]}\ndimension: 3\nspace: left-posterior-superior\n"
        f"sizes: {' '.join(map(str, values.shape))}\nspace directions: {' '.join(directions)}\n"
        f"kinds: domain domain domain\nendian: little\nencoding: gzip\nspace origin: {origin}\n\n"
    )
    with written_whole(path) as file:
        file.write(text.encode())
        with gzipped(file) as stream:
            for block in in_order(values):
                stream.write(block)


def parse(path: Path, head: bytes) -> Headed:
    """What the header says of the voxels.

    Args:
        path: The file, for messages.
        head: Its first bytes.

    Raises:
        VolumeError: It breaks a rule of the format, or is not one volume of real numbers.
    """
    if not re.match(rb"NRRD000\d\r?\n", head):
        raise VolumeError(f"{path}: not an NRRD file", code="not-nifti")
    end = re.search(rb"\r?\n\r?\n", head)
    fields = entries(head[: end.end() if end else len(head)], ":")
    data = fields.get("data file", fields.get("datafile"))
    if end is None and data is None:
        raise VolumeError(f"{path}: truncated: the header has no end", code="truncated")
    shape = sizes(path, "sizes", fields.get("sizes", ""))
    one_of(path, "dimension", fields.get("dimension", ""), ("3",))
    for name in ("line skip", "lineskip", "byte skip", "byteskip"):
        one_of(path, name, fields.get(name, "0"), ("0",))
    encoding = one_of(path, "encoding", fields.get("encoding", ""), ("raw", "gzip", "gz"))
    affine, notes = _affine(path, fields)
    return Headed(
        shape=shape,
        dtype=_dtype(path, fields),
        affine=affine,
        data=data,
        offset=end.end() if end and data is None else 0,
        is_deflated=encoding != "raw",
        notes=notes,
    )


def _dtype(path: Path, fields: dict[str, str]) -> np.dtype[Any]:
    kind = " ".join(fields.get("type", "").lower().split())
    if kind not in _DTYPE_OF:
        raise VolumeError(f"{path}: type must be one of real numbers, got {kind[:80]!r}")
    dtype = np.dtype(_DTYPE_OF[kind])
    if dtype.itemsize == 1:
        return dtype
    order = one_of(path, "endian", fields.get("endian", ""), ("little", "big"))
    return dtype.newbyteorder("<" if order == "little" else ">")


def _affine(path: Path, fields: dict[str, str]) -> tuple[FloatArray, tuple[Note, ...]]:
    """Index to world RAS mm, and what there is to say of it."""
    kinds = set(fields.get("kinds", "domain").lower().split())
    if not kinds <= {"domain", "space", "???", "none"}:
        raise VolumeError(f"{path}: kinds must be domain of each axis, got {fields['kinds'][:80]!r}")
    affine = np.eye(4)
    vectors = fields.get("space directions", "")
    if vectors:
        words = re.sub(r"[(),]", " ", vectors)
        affine[:3, :3] = np.reshape(numbers(path, "space directions", words, 9), (3, 3)).T
        corner = re.sub(r"[(),]", " ", fields.get("space origin", "(0,0,0)"))
        affine[:3, 3] = numbers(path, "space origin", corner, 3)
    else:
        spacing = numbers(path, "spacings", fields.get("spacings", "1 1 1"), 3)
        np.fill_diagonal(affine[:3, :3], spacing)
        affine[:3, 3] = _corner(path, fields, spacing)
    signs = _TO_RAS.get(fields.get("space", "").lower()) if vectors else None
    mm, note = _unit(path, fields)
    affine[:3] *= mm
    return np.diag([*(signs or (-1, -1)), 1, 1]) @ affine, tuple(chain(() if signs else (UNSTATED,), note))


def _corner(path: Path, fields: dict[str, str], spacing: list[float]) -> list[float]:
    """The middle of the first voxel by `axis mins`: those are edges where axes are not centered on nodes."""
    mins = fields.get("axis mins", fields.get("axismins", ""))
    if not mins or "nan" in mins.lower():  # not known
        return [0.0, 0.0, 0.0]
    centers = fields.get("centers", fields.get("centerings", "")).lower().split() or ["cell"] * 3
    if len(centers) != 3:
        raise VolumeError(f"{path}: centers must be of 3 axes, got {' '.join(centers)[:80]!r}")
    return [
        least + (0 if center == "node" else step / 2)
        for least, step, center in zip(numbers(path, "axis mins", mins, 3), spacing, centers, strict=True)
    ]


def _unit(path: Path, fields: dict[str, str]) -> tuple[float, tuple[Note, ...]]:
    """Millimeters of the unit, and what other programs make of it."""
    stated = {unit.lower() for unit in re.findall(r'"([^"]*)"', fields.get("space units", ""))} - {""}
    if not stated:
        return 1.0, ()
    units = ", ".join(sorted(stated))
    if len(stated) > 1 or units not in _MM_OF_UNIT:
        raise VolumeError(f"{path}: space units must be one of {', '.join(_MM_OF_UNIT)}, got {units[:80]}")
    told = f"The space unit is {units}: SimpleITK, 3D Slicer and what rests on ITK take its numbers for mm."
    return _MM_OF_UNIT[units], () if _MM_OF_UNIT[units] == 1 else (Note(told, code="other-unit"),)
