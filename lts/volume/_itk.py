"""NRRD and MetaImage files, read and written by ITK once their headers have been checked."""

import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from isal import isal_zlib
from nibabel.affines import voxel_sizes

from lts.base import ConfigError, VolumeError, written_whole
from lts.volume._geometry import Geometry
from lts.volume._gzip import MAX_INFLATION
from lts.volume._notes import UNPROVEN, Note
from lts.volume._stored import StoredArray

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From the axes of ITK's world, toward the patient's left and back, to those of ours, and back."""

_MOST_HEADER_BYTES = 1 << 20

_NRRD_SPACES = {
    *("right-anterior-superior", "left-anterior-superior", "left-posterior-superior"),
    *("ras", "las", "lps"),
}
"""That say where the patient is; ITK takes all others for the last."""

_MM_OF_UNIT = {"mm": 1.0, "um": 0.001, "µm": 0.001, "cm": 10.0, "m": 1000.0}
"""Of NRRD's `space units`, which are free text."""

_BLOCK = 1 << 20


@dataclass(frozen=True)
class _Text:
    """The text at the head of a file.

    Attributes:
        fields: Its entries by name, in lower case.
        data: The file of the voxels, as it is named there; None for this one.
        offset: Bytes of the text.
        is_nrrd: Whether it is NRRD's.
    """

    fields: dict[str, str]
    data: str | None
    offset: int
    is_nrrd: bool

    @property
    def is_compressed(self) -> bool:
        """Whether the voxels are fewer bytes in the file than in memory."""
        packed = self.fields.get("encoding", "raw").lower() not in ("raw", "txt", "text", "ascii", "hex")
        return packed or self.fields.get("compresseddata", "").lower() == "true"

    @property
    def is_deflated(self) -> bool:
        """Whether the voxels are a zlib or gzip stream."""
        is_gzip = self.fields.get("encoding", "").lower() in ("gzip", "gz")
        return is_gzip or self.fields.get("compresseddata", "").lower() == "true"


@dataclass(frozen=True)
class Header:
    """What a file says of its volume.

    Attributes:
        geometry: The grid.
        files: The file itself, and that of its voxels where they lie apart.
        notes: What of the grid is unproven, or is read otherwise by other programs.
    """

    geometry: Geometry
    files: tuple[Path, ...]
    notes: tuple[Note, ...]


def read_header(path: Path) -> Header:
    """Read what a file promises, without its voxels.

    Raises:
        VolumeError: It is missing, is not one volume of real numbers, names other files than one beside it,
            or promises more than it can hold.
        ConfigError: SimpleITK is not installed.
    """
    text = _read_text(path)
    files = _files(path, text)
    reader = _itk().ImageFileReader()
    reader.SetFileName(str(path))
    _call(path, reader.ReadImageInformation)
    shape = tuple(reader.GetSize())
    if len(shape) != 3 or reader.GetNumberOfComponents() != 1:
        kind = _itk().GetPixelIDValueAsString(reader.GetPixelID())
        raise VolumeError(
            f"{path}: must hold one volume of one number a voxel, got {len(shape)} dimensions of {kind}",
            code="wrong-dimensions",
        )
    dtype = _dtype(path, reader.GetPixelID())
    _check_length(files[-1], text if len(files) == 1 else None, text, math.prod(shape) * dtype.itemsize)
    mm_per_unit, note_on_unit = _unit(path, text)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(reader.GetDirection(), (3, 3)) * reader.GetSpacing()
    affine[:3, 3] = reader.GetOrigin()
    affine[:3] *= mm_per_unit
    try:
        geometry = Geometry.from_affine(_LPS @ affine, shape=shape, is_exact=True)
    except VolumeError as error:
        raise VolumeError(f"{path}: {error}") from error
    return Header(geometry=geometry, files=files, notes=(*_unproven(text), *note_on_unit))


def source_files(path: Path) -> tuple[Path, ...]:
    """The file, and that of its voxels where they lie apart.

    Raises:
        VolumeError: It is missing, begins as no such file, or names other files than one beside it.
    """
    return _files(path, _read_text(path))


def read_stored(path: Path) -> StoredArray:
    """Read a file.

    Raises:
        VolumeError: As `read_header`; or the voxels are cut short or broken.
        ConfigError: SimpleITK is not installed.
    """
    header, text = read_header(path), _read_text(path)
    if text.is_deflated:
        _check_deflated(header.files[-1], offset=text.offset if text.data is None else 0)
    image = _call(path, lambda: _itk().ReadImage(str(path)))
    voxels = _itk().GetArrayFromImage(image).T
    return StoredArray(path, header.geometry, voxels, more_notes=header.notes)


def write(path: Path, voxels_on_disk: npt.NDArray[Any], *, geometry: Geometry, slope: float = 1.0) -> None:
    """Write a compressed file whole: `.nrrd` or `.mha`.

    Args:
        path: An existing file is replaced.
        voxels_on_disk: `(X, Y, Z)` of the grid's shape.
        geometry: The grid; its transform is written in double precision.
        slope: A value is a number of `voxels_on_disk` times this; other slopes than 1 give float32.

    Raises:
        StorageError: The file cannot be written.
        ConfigError: SimpleITK is not installed.
    """
    itk = _itk()
    values = voxels_on_disk if slope == 1 else voxels_on_disk.astype(np.float32) * np.float32(slope)
    image = itk.GetImageFromArray(np.ascontiguousarray(values.T))
    affine = _LPS @ geometry.affine
    spacing = voxel_sizes(affine)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    with written_whole(path) as file, TemporaryDirectory() as folder:
        made = Path(folder) / f"made{path.suffix.lower()}"
        itk.WriteImage(image, str(made), useCompression=True)
        file.write(made.read_bytes())


@cache
def _itk() -> ModuleType:
    try:
        import SimpleITK
    except ImportError as error:
        raise ConfigError('NRRD and MetaImage files need SimpleITK: pip install ".[itk]"') from error
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)  # type: ignore[no-untyped-call]
    return SimpleITK


def _call(path: Path, do: Any) -> Any:
    """Call ITK, and make one line of its complaint."""
    try:
        return do()
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        if any("alloc" in line for line in lines):
            raise MemoryError from error
        raise VolumeError(f"{path}: ITK cannot read it: {lines[-1]}", code="unreadable") from error


def _read_text(path: Path) -> _Text:
    try:
        with path.open("rb") as file:
            head = file.read(_MOST_HEADER_BYTES)
    except FileNotFoundError as error:
        raise VolumeError(f"{path}: no such file", code="unreadable") from error
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read: {error.strerror or error}", code="unreadable") from error
    if not head:
        raise VolumeError(f"{path}: the file is empty", code="truncated")
    return _nrrd_text(head) if head.startswith(b"NRRD000") else _meta_text(path, head)


def _nrrd_text(head: bytes) -> _Text:
    text, _, _ = head.replace(b"\r\n", b"\n").partition(b"\n\n")
    end = re.search(rb"\r?\n\r?\n", head)
    fields = {}
    for line in text.decode("utf-8", "replace").splitlines()[1:]:
        key, colon, value = line.partition(":")
        if colon and not line.startswith("#") and not value.startswith("="):
            fields[key.strip().lower()] = value.strip()
    data = fields.get("data file", fields.get("datafile"))
    return _Text(fields=fields, data=data, offset=end.end() if end else len(head), is_nrrd=True)


def _meta_text(path: Path, head: bytes) -> _Text:
    fields, offset = {}, 0
    for line in head.splitlines(keepends=True):
        offset += len(line)
        key, sign, value = line.decode("utf-8", "replace").partition("=")
        if not sign:
            break
        fields[key.strip().lower()] = value.strip()
        if key.strip().lower() == "elementdatafile":
            local = fields["elementdatafile"].upper() == "LOCAL"
            data = None if local else fields["elementdatafile"]
            return _Text(fields=fields, data=data, offset=offset, is_nrrd=False)
    raise VolumeError(f"{path}: neither NRRD nor MetaImage by what it begins with", code="not-nifti")


def _files(path: Path, text: _Text) -> tuple[Path, ...]:
    """The files of a volume; voxels apart must lie beside the header, in one file."""
    if text.data is None:
        return (path,)
    name = text.data
    if name in ("", ".", "..") or Path(name).name != name or re.search(r"[\\%\s]", name) or name == "LIST":
        raise VolumeError(f"{path}: its voxels must be in itself or in one file beside it, got {name!r}")
    if not (path.parent / name).is_file():
        raise VolumeError(
            f"{path}: its voxels must be beside it in {name}, which is not there", code="unreadable"
        )
    return path, path.parent / name


def _dtype(path: Path, pixel: int) -> np.dtype[Any]:
    itk = _itk()
    names = ("UInt8", "Int8", "UInt16", "Int16", "UInt32", "Int32", "UInt64", "Int64", "Float32", "Float64")
    found = {getattr(itk, f"sitk{name}"): np.dtype(name.lower()) for name in names}
    if pixel not in found:
        kind = itk.GetPixelIDValueAsString(pixel)
        raise VolumeError(f"{path}: voxels must be real numbers, got {kind}")
    return found[pixel]


def _check_length(path: Path, text: _Text | None, fields: _Text, needed: int) -> None:
    """Check that a file can hold so many bytes of voxels, before memory is taken for them.

    Args:
        path: Of the voxels.
        text: What comes before them there; None for nothing.
        fields: What says how they are packed.
        needed: Their bytes in memory.
    """
    held = path.stat().st_size - (text.offset if text else 0)
    if fields.is_compressed:
        least = int(stated) if (stated := fields.fields.get("compresseddatasize", "")).isdecimal() else 0
        is_cut = held < least or held * MAX_INFLATION < needed
    else:
        is_cut = held < needed and fields.fields.get("encoding", "raw").lower() == "raw"
    if is_cut:
        raise VolumeError(
            f"{path}: truncated: the header promises {needed} bytes of voxels, the file holds {held}"
            f"{' compressed' if fields.is_compressed else ''}",
            code="truncated",
        )


def _check_deflated(path: Path, *, offset: int) -> None:
    """Check the sum at the end of a zlib or gzip stream.

    ITK 5.4 goes on where that of a MetaImage is wrong, and does not look at that of an NRRD file.
    """
    inflate = isal_zlib.decompressobj(wbits=47)  # either, by its first bytes
    try:
        with path.open("rb") as file:
            file.seek(offset)
            while not inflate.eof and (block := file.read(_BLOCK)):
                while block:
                    inflate.decompress(block, _BLOCK)
                    block = inflate.unconsumed_tail
    except isal_zlib.error as error:
        raise VolumeError(f"{path}: bad compressed data: {error}", code="unreadable") from error
    if not inflate.eof:
        raise VolumeError(f"{path}: truncated: the compressed data have no end", code="truncated")


def _unit(path: Path, text: _Text) -> tuple[float, tuple[Note, ...]]:
    """Millimeters of the unit that an NRRD file states; what other programs make of it if that is another."""
    stated = {unit.lower() for unit in re.findall(r'"([^"]*)"', text.fields.get("space units", ""))} - {""}
    if not stated:
        return 1.0, ()
    unit = stated.pop()
    if stated or unit not in _MM_OF_UNIT:
        units = ", ".join(sorted({unit, *stated}))
        raise VolumeError(f"{path}: space units must be one of {', '.join(_MM_OF_UNIT)}, got {units}")
    note = f"The space unit is {unit}: SimpleITK, 3D Slicer and what rests on ITK take its numbers for mm."
    return _MM_OF_UNIT[unit], () if unit == "mm" else (Note(note, code="other-unit"),)


def _unproven(text: _Text) -> tuple[Note, ...]:
    """Whether the orientation rests on nothing."""
    if text.is_nrrd:
        space = text.fields.get("space", "").lower().removesuffix("-time")
        is_stated = space in _NRRD_SPACES
    else:
        is_stated = not {"transformmatrix", "orientation", "rotation"}.isdisjoint(text.fields)
    if is_stated:
        return ()
    return (
        Note(
            "Orientation is unproven: the header states none. The axes were taken to point left, back and to "
            "the head, as ITK takes them.",
            code=UNPROVEN,
        ),
    )
