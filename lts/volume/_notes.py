"""What a reader says of a grid that it took: sentences with codes."""

import math
from itertools import product
from typing import Self

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from nibabel.orientations import aff2axcodes
from nibabel.spatialimages import HeaderDataError

from lts.volume._geometry import FloatArray, Geometry

CORNER_TOLERANCE = 0.1
"""How far, in voxels, corners of one grid may lie from those of another: header rounding stays far below."""

SPACING_TOLERANCE = 1e-3
"""How far, relatively, pixdim may be from the sform: headers are rounded to far less, and a volume would be
0.3 % off."""

UNPROVEN = "orientation-unproven"


class Note(str):
    """A sentence on what could not be proven or was corrected.

    Args:
        text: The sentence.
        code: What kind of note it is, for who sorts notes.

    Example:
        >>> Note("Fractions of HU were rounded.", code="hu-rounded").code
        'hu-rounded'
    """

    code: str

    def __new__(cls, text: str, code: str = "") -> Self:
        """Make the text, and keep the kind beside it."""
        note = super().__new__(cls, text)
        note.code = code
        return note


def grid_notes(geometry: Geometry) -> tuple[Note, ...]:
    """What of a grid rests on nothing, was passed over, or is read otherwise by other programs.

    Of a shear, a spacing and a transform that disagree only the first is told: the others follow from it.

    Example:
        >>> grid_notes(Geometry.from_affine(np.eye(4), shape=(4, 4, 4)))
        ('Spacing and orientation are unproven: the affine is the identity.',)
    """
    notes = []
    if geometry.sform_was_empty:
        taken = "the spacing alone" if geometry.unproven else "the qform"
        notes.append(Note(f"The sform is all zeros: the grid is that of {taken}.", code="sform-empty"))
    if reason := geometry.unproven:
        text = f"Spacing and orientation are unproven: {reason}."
        notes.append(Note(text, code=UNPROVEN))
    return (*notes, *_disagreement(geometry))


def farthest_corner(affine: FloatArray, *, reference: FloatArray, shape: tuple[int, int, int]) -> float:
    """How far the corners of a volume lie from where another affine puts them.

    Args:
        affine: `(4, 4)`, index to world.
        reference: `(4, 4)`, of the same indices.
        shape: Of the volume.

    Returns:
        The largest distance along any axis, in voxels of `reference`.
    """
    corners = np.array(list(product(*((0, n - 1) for n in shape))))
    seen = apply_affine(np.linalg.solve(reference, affine), corners)
    return float(np.abs(seen - corners).max())


def _disagreement(geometry: Geometry) -> tuple[Note, ...]:
    if geometry.voxel.sheared:
        degrees = math.degrees(math.acos(geometry.voxel.largest_cosine))
        text = (
            f"The axes stand at {degrees:.1f} degrees to each other, as of a tilted gantry: "
            "SimpleITK and what rests on it do not open such a grid, or drop the shear."
        )
        return (Note(text, code="sheared"),)
    header = geometry.nifti_header()
    if int(header["sform_code"]) == 0:
        return ()
    edges_mm = voxel_sizes(geometry.affine)
    pixdim_mm = np.asarray(header["pixdim"][1:4], np.float64) * geometry.mm_per_unit
    if not np.allclose(pixdim_mm, edges_mm, rtol=SPACING_TOLERANCE, atol=0):
        text = f"The spacing is {_by(edges_mm)} mm by the sform and {_by(pixdim_mm)} mm by pixdim."
        return (Note(f"{text} The sform was taken; some programs take pixdim.", code="spacing-disagrees"),)
    if int(header["qform_code"]) == 0:
        return ()
    apart = _qform_apart(geometry)
    return (
        (Note(f"{apart} The sform was taken; some programs take the qform.", code="transforms-disagree"),)
        if apart
        else ()
    )


def _qform_apart(geometry: Geometry) -> str:
    """How the qform contradicts the sform, "" where it does not."""
    try:
        qform = geometry.qform
    except (HeaderDataError, ValueError):
        return "The quaternion of the qform is no rotation."
    if not np.isfinite(qform).all():
        return "The qform is not finite."
    distance = farthest_corner(qform, reference=geometry.affine, shape=geometry.shape)
    if distance <= CORNER_TOLERANCE:
        return ""
    axes = "".join(aff2axcodes(qform))
    turned = f" (axes {geometry.axes} and {axes})" if axes != geometry.axes else ""
    return f"The sform and the qform put corners of the scan {distance:.3g} voxels apart{turned}."


def _by(edges_mm: FloatArray) -> str:
    return " x ".join(f"{edge:.4g}" for edge in edges_mm)
