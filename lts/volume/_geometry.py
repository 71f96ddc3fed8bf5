"""The grid of a file: how its array on disk, a volume in memory and the patient correspond."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.orientations import (
    aff2axcodes,
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)
from nibabel.spatialimages import HeaderDataError

from lts.base import CANONICAL_AXES, VolumeError
from lts.volume._voxel import Voxel

FloatArray = npt.NDArray[np.float64]

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From the axes of DICOM and ITK, toward the patient's left, back and head, to those of NIfTI; and back."""

_MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}
"""NIfTI's codes for meter, mm and micron; a file that states no unit means mm."""

_XFORM_CODES = range(6)

_LONGEST_AXIS = 2**15 - 1

_QFORM_FIELDS = ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")

_GRID_FIELDS = (
    *("pixdim", "xyzt_units", "qform_code", "sform_code", *_QFORM_FIELDS),
    *("srow_x", "srow_y", "srow_z"),
)

_FARTHEST_MM = 1e9

_FLATTEST = 1e-4
"""The smallest volume of a voxel, as a share of the box with its edges, that still spans space."""


_OF_BARE_ARRAYS = (
    (np.eye(4), "the affine is the identity"),
    (np.diag([-1.0, -1.0, 1.0, 1.0]), "the affine is that which ITK gives an array without a grid"),
)


@dataclass(frozen=True)
class Geometry:
    """What a file says of its grid. Two are equal where the same mask would be written back.

    `(X, Y, Z)` are the axes on disk, in whatever order and direction the affine says; `(Z, H, W)` are those
    in memory, which point to the patient's head, back and left. Where an affine is oblique, each axis takes
    the direction it is nearest to. Nothing is interpolated.

    Attributes:
        shape: Of the array on disk, `(X, Y, Z)`.
        header: A NIfTI header block of the file's version (348 or 540 bytes) with the grid's fields alone.
        sform_was_empty: Whether the file claimed a sform and left it all zeros; `header` claims none.
        exact: The affine, row by row, of a file that states it in float64; None for that of `header`.

    Example:
        >>> grid = Geometry.from_affine(np.diag([0.75, 0.75, 5, 1]), shape=(512, 512, 40))
        >>> grid.axes, grid.canonical_shape, grid.spacing_mm
        ('RAS', (40, 512, 512), (5.0, 0.75, 0.75))
    """

    shape: tuple[int, int, int]
    header: bytes = field(repr=False)
    sform_was_empty: bool = field(default=False, repr=False, compare=False)
    exact: tuple[float, ...] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def from_affine(
        cls, affine: npt.ArrayLike, *, shape: tuple[int, int, int], is_exact: bool = False
    ) -> Self:
        """The grid of a new file.

        Args:
            affine: `(4, 4)`, index on disk to world RAS mm; kept in float32, as NIfTI-1 does.
            shape: Of the array on disk.
            is_exact: Whether the affine is kept in float64 beside that.

        Raises:
            VolumeError: The affine is not finite or does not span space, or the shape is beyond NIfTI-1.
        """
        matrix = np.asarray(affine, dtype=np.float64)
        if matrix.shape != (4, 4):
            raise VolumeError(f"affine must be 4x4, got shape {matrix.shape}")
        check_affine(matrix)
        if not 1 <= min(shape) <= max(shape) <= _LONGEST_AXIS:
            raise VolumeError(f"shape must be 1 to {_LONGEST_AXIS} along each axis, got {shape}")
        header = Nifti1Header()
        header.set_data_shape(shape)
        header.set_qform(matrix, code=1)
        header.set_sform(matrix, code=1)
        header.set_xyzt_units("mm")
        geometry = cls.from_header(header, shape=shape)
        return replace(geometry, exact=tuple(matrix.ravel().tolist())) if is_exact else geometry

    @classmethod
    def from_header(cls, header: Nifti1Header, *, shape: tuple[int, int, int]) -> Self:
        """The grid that a NIfTI-1 or NIfTI-2 header of either byte order states.

        A sform of zeros was never written, as some programs set its code alone: the code then counts for the
        qform, where there is one.

        Raises:
            VolumeError: The header's codes, spacing or affine make no grid.
        """
        for name in ("qform_code", "sform_code"):
            if int(header[name]) not in _XFORM_CODES:
                raise VolumeError(f"{name} must be 0 to 5, got {int(header[name])}")
        block = type(header)()
        block.set_data_shape(shape)
        for name in _GRID_FIELDS:
            block[name] = header[name]
        if block["pixdim"][0] not in (-1, 1):
            block["pixdim"][0] = 1  # the standard's reading of an unset sign
        sform_was_empty = int(block["sform_code"]) > 0 and not any(
            block[f"srow_{axis}"][:3].any() for axis in "xyz"
        )
        if sform_was_empty:
            if int(block["qform_code"]) == 0 and any(block[name] for name in _QFORM_FIELDS):
                block["qform_code"] = block["sform_code"]
            block["sform_code"] = 0
        spacing = block["pixdim"][1:4].tolist()
        if int(block["sform_code"]) == 0 and not all(0 < edge < _FARTHEST_MM for edge in spacing):
            raise VolumeError(f"spacing must be > 0 mm and finite, got {spacing}")
        geometry = cls(shape=shape, header=block.binaryblock, sform_was_empty=sform_was_empty)
        try:
            check_affine(geometry.affine)
        except (HeaderDataError, ValueError) as error:
            raise VolumeError(f"{error}{_other_form(block)}") from error
        return geometry

    @cached_property
    def affine(self) -> FloatArray:
        """`(4, 4)`, index `(x, y, z, 1)` on disk to world RAS mm, of the sform, else the qform or spacing."""
        if self.exact is not None:
            affine = np.reshape(self.exact, (4, 4))
        else:
            affine = np.array(self.nifti_header().get_best_affine(), dtype=np.float64)
            affine[:3] *= self.mm_per_unit
        affine.flags.writeable = False
        return affine

    @property
    def mm_per_unit(self) -> float:
        """Of the header's unit of length; 1 where it states none."""
        return _MM_PER_UNIT.get(int(self.nifti_header()["xyzt_units"]) & 7, 1.0)

    @property
    def qform(self) -> FloatArray:
        """`(4, 4)`, index on disk to world RAS mm by quaternion and spacing, whatever the sform says.

        Raises:
            ValueError: The quaternion is no rotation.
            HeaderDataError: The spacing is negative.
        """
        qform: FloatArray = np.array(self.nifti_header().get_qform(), dtype=np.float64)
        qform[:3] *= self.mm_per_unit
        return qform

    def nifti_header(self) -> Nifti1Header:
        """A new header, of the file's NIfTI version, that states this grid and nothing else."""
        cls = Nifti1Header if len(self.header) == Nifti1Header.sizeof_hdr else Nifti2Header
        return cls(self.header, check=False)

    @property
    def unproven(self) -> str:
        """Why spacing and orientation rest on nothing (LiTS volumes 28 to 47), or "" where they do not."""
        header = self.nifti_header()
        if int(header["qform_code"]) == 0 and int(header["sform_code"]) == 0:
            return "the header states no orientation"
        for affine, what in _OF_BARE_ARRAYS:
            if np.allclose(self.affine, affine, atol=1e-6):
                return what
        return ""

    @property
    def axes(self) -> str:
        """Where the axes on disk point, as nibabel's codes, such as "LPS"."""
        return "".join(aff2axcodes(self.affine))

    @cached_property
    def _to_canonical(self) -> FloatArray:
        target: Any = axcodes2ornt(CANONICAL_AXES)
        transform: FloatArray = ornt_transform(io_orientation(self.affine), target)
        return transform

    @property
    def canonical_shape(self) -> tuple[int, int, int]:
        """Of the volume in memory, `(Z, H, W)`."""
        order = np.argsort(self._to_canonical[:, 0])
        z, h, w = (self.shape[axis] for axis in order)
        return z, h, w

    @property
    def canonical_affine(self) -> FloatArray:
        """`(4, 4)`, index `(z, h, w, 1)` in memory to world RAS mm."""
        affine: FloatArray = self.affine @ inv_ornt_aff(self._to_canonical, self.shape)
        return affine

    @cached_property
    def voxel(self) -> Voxel:
        """The voxel, from which volumes and distances follow."""
        return Voxel.of_matrix(self.canonical_affine[:3, :3])

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Between the centers of neighboring voxels along `(Z, H, W)`."""
        return self.voxel.spacing_mm

    @property
    def voxel_volume_ml(self) -> float:
        """Of one voxel; right for sheared grids too, where the product of the spacing is not."""
        return self.voxel.volume_ml

    def to_canonical(self, array_on_disk: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A view of an `(X, Y, Z)` array as `(Z, H, W)`.

        Raises:
            VolumeError: The array is not of this grid's shape.
        """
        _check_shape(array_on_disk, shape=self.shape)
        view: npt.NDArray[Any] = apply_orientation(array_on_disk, self._to_canonical)
        return view

    def to_disk(self, array_zhw: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A view of a `(Z, H, W)` array as `(X, Y, Z)`: the exact inverse of `to_canonical`.

        Raises:
            VolumeError: The array is not of this grid's canonical shape.
        """
        _check_shape(array_zhw, shape=self.canonical_shape)
        back = ornt_transform(axcodes2ornt(CANONICAL_AXES), io_orientation(self.affine))
        view: npt.NDArray[Any] = apply_orientation(array_zhw, back)
        return view

    def describe(self) -> str:
        """The grid in a few words, for messages."""
        spacing = "x".join(f"{edge:.4g}" for edge in voxel_sizes(self.affine))
        origin = ", ".join(f"{x:.1f}" for x in self.affine[:3, 3])
        return f"{'x'.join(map(str, self.shape))} voxels of {spacing} mm, axes {self.axes}, origin ({origin})"


def check_affine(affine: FloatArray) -> None:
    """Check that an affine is finite and that its axes span space.

    Raises:
        VolumeError: It is not, or they do not.
    """
    if not (np.abs(affine) < _FARTHEST_MM).all():
        raise VolumeError(f"affine must be finite, in mm, got {affine.tolist()}")
    edges = voxel_sizes(affine)
    flatness = np.linalg.det(affine[:3, :3] / np.where(edges > 0, edges, 1))
    if abs(flatness) < _FLATTEST:
        raise VolumeError(f"affine must span three directions, got {affine[:3, :3].tolist()}")


def _other_form(header: Nifti1Header) -> str:
    """What may help where the sform makes no grid."""
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    if not (sform and qform):
        return ""
    return f" by the sform (code {sform}); set sform_code to 0 where the qform (code {qform}) is right"


def _check_shape(array: npt.NDArray[Any], *, shape: tuple[int, int, int]) -> None:
    if array.shape != shape:
        raise VolumeError(f"array must have the grid's shape {shape}, got {array.shape}")
