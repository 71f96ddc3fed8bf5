"""Slices put one behind the other, where their headers prove that they make one volume."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lts.base import VolumeError, counted, listed
from lts.volume._dicom_acquisitions import SAME_PLACE_MM, choose
from lts.volume._dicom_files import DicomSeries
from lts.volume._dicom_image import SLICES_PER_LOCALIZER, stands_across
from lts.volume._dicom_slices import Slice, read_slices
from lts.volume._dicom_spacing import PLACE_TOLERANCE, check_even
from lts.volume._geometry import RAS_FROM_LPS, FloatArray, Geometry

DIRECTION_TOLERANCE = 1e-3
"""How far direction cosines may differ: a pixel 250 mm from the corner moves by a quarter of a millimeter."""

SPACING_TOLERANCE = 1e-4
"""How far pixel spacings may differ, as a share: a tenth of a pixel over a thousand of them."""

TILT_TOLERANCE_DEGREES = 0.5
"""Rounded positions lean less than this; gantries are tilted by more."""

_SHOWN = 4

_PROJECTIONS = frozenset({"MIP", "MINIP", "PROJECTION"})


@dataclass(frozen=True)
class Stack:
    """The slices of one volume, in order.

    Attributes:
        slices: Sorted along their normal, the cross product of row and column.
        geometry: The grid of the array `(columns, rows, slices)`.
        gap_mm: Between neighboring slices.
        notes: What could not be proven, one sentence each.
    """

    slices: tuple[Slice, ...]
    geometry: Geometry
    gap_mm: float
    notes: tuple[str, ...]


def read_stack(series: DicomSeries, *, modality: str) -> Stack:
    """Read the headers of a series and put its slices in order.

    Two slices make a volume: their positions span a gap, and a gap is all that spacing needs. That none is
    missing between them is what nothing proves, and a note says so. One slice has no spacing: its thickness
    is none, since slices may overlap or leave gaps. Localizers among the slices are left out, and a note
    names them.

    Raises:
        VolumeError: As `read_slices`; or the slices are of several acquisitions, differ in orientation, size,
            pixel spacing or frame of reference, are tilted or shifted against each other, lie at one place,
            or are unevenly spaced.
    """
    slices, localizers = _without_localizers(read_slices(series, modality=modality))
    left_out = ", ".join(part for part in (series.left_out, localizers) if part)
    try:
        stack = _stack(series, slices, modality=modality)
    except VolumeError as error:
        if left_out:
            raise VolumeError(f"{error}; left out of the series: {left_out}", code=error.code) from error
        raise
    notes = (f"Left out of the series: {left_out}.",) if left_out else ()
    return replace(stack, notes=(*notes, *stack.notes))


def _stack(series: DicomSeries, slices: list[Slice], *, modality: str) -> Stack:
    folder = series.folder
    if len(slices) < 2:
        names = ", ".join(each.name for each in slices)
        raise VolumeError(f"{folder}: must hold 2 slices or more, as one has no spacing, got 1 ({names})")
    _check_orientation(slices[0])
    axes = np.array(slices[0].directions).reshape(2, 3)
    normal = np.cross(*axes)
    slices.sort(key=lambda each: float(np.dot(each.position_mm, normal)))
    along = np.array([each.position_mm for each in slices]) @ normal
    slices = choose(folder, slices, along=along, wanted=series.acquisition, timed=modality == "CT")
    for each in slices[1:]:
        _check_alike(folder, each, first=slices[0])
    positions = np.array([each.position_mm for each in slices])
    along = positions @ normal
    _check_distinct(folder, slices, gaps=np.diff(along))
    _check_straight(folder, slices, along=along, across=positions - np.outer(along, normal))
    notes = check_even(folder, slices, along=along, normal=normal)
    if (n_taken := _taken_together(slices)) > len(slices):
        notes = (
            *notes,
            f"ImagesInAcquisition is {n_taken}, and {len(slices)} are here: the scan may be cut short.",
        )
    if projection := next((each for each in slices if _is_projection(each)), None):
        notes = (
            *notes,
            f"ImageType is {projection.facts['ImageType']}: projections through several slices are no scan, "
            "and the mask is doubtful.",
        )
    if len(slices) == 2:
        notes = (*notes, "That no slice is missing between the two is unproven.")
    step = (positions[-1] - positions[0]) / (len(slices) - 1)
    return Stack(
        slices=tuple(slices),
        geometry=_geometry(folder, slices, axes=axes, step=step),
        gap_mm=float(np.linalg.norm(step)),
        notes=notes,
    )


def _taken_together(slices: Sequence[Slice]) -> int:
    """How many images the one acquisition has that all slices say they are of; 0 where they do not."""
    taken = {(each.n_taken, each.facts.get("AcquisitionNumber"), each.frame) for each in slices}
    ((n_taken, _, frame),) = taken if len(taken) == 1 else [(0, "", None)]
    return n_taken if frame is None else 0


def _is_projection(each: Slice) -> bool:
    """Whether an image says that its values are the highest or lowest along lines, as reformats often are."""
    return not _PROJECTIONS.isdisjoint(re.findall("[A-Z]+", each.facts.get("ImageType", "").upper()))


def _without_localizers(slices: list[Slice]) -> tuple[list[Slice], str]:
    """The slices, and by count and name the few images across them that do not say what they are."""
    across = stands_across([each.directions for each in slices])
    if not 0 < SLICES_PER_LOCALIZER * across.sum() <= (~across).sum():
        return slices, ""
    kept = [each for each, aside in zip(slices, across, strict=True) if not aside]
    names = [each.name for each, aside in zip(slices, across, strict=True) if aside]
    return kept, f"{counted(len(names), 'localizer')} ({listed(names, most=_SHOWN)})"


def _geometry(folder: Path, slices: Sequence[Slice], *, axes: FloatArray, step: FloatArray) -> Geometry:
    (n_rows, n_columns), (row_gap, column_gap) = slices[0].shape, slices[0].spacing_mm
    lps = np.eye(4)
    # the first index of the array counts columns, and it grows where a row runs
    lps[:3] = np.column_stack([axes[0] * column_gap, axes[1] * row_gap, step, slices[0].position_mm])
    try:
        return Geometry.from_affine(RAS_FROM_LPS @ lps, shape=(n_columns, n_rows, len(slices)))
    except VolumeError as error:
        raise VolumeError(f"{folder}: {error}") from error


def _check_orientation(each: Slice) -> None:
    row, column = np.array(each.directions).reshape(2, 3)
    off = max(abs(row @ row - 1), abs(column @ column - 1), abs(row @ column))
    if off > DIRECTION_TOLERANCE:
        raise VolumeError(
            f"{each.path}: ImageOrientationPatient must be two unit vectors at a right angle, "
            f"got {list(each.directions)}"
        )


def _check_alike(folder: Path, each: Slice, *, first: Slice) -> None:
    pair = f"{first.name} and {each.name}"
    if np.abs(np.subtract(each.directions, first.directions)).max() > DIRECTION_TOLERANCE:
        cosines = (np.reshape(each.directions, (2, 3)) * np.reshape(first.directions, (2, 3))).sum(axis=1)
        degrees = math.degrees(math.acos(np.clip(cosines.min(), -1, 1)))
        raise VolumeError(
            f"{folder}: slices must share one orientation, those of {pair} differ by {degrees:.2f} degrees"
        )
    if each.shape != first.shape:
        sizes = " and ".join(f"{rows}x{columns}" for rows, columns in (first.shape, each.shape))
        raise VolumeError(f"{folder}: slices must have one size, got {sizes} rows x columns in {pair}")
    if not np.allclose(each.spacing_mm, first.spacing_mm, rtol=SPACING_TOLERANCE, atol=0):
        raise VolumeError(
            f"{folder}: slices must have one pixel spacing, got {list(first.spacing_mm)} and "
            f"{list(each.spacing_mm)} mm in {pair}"
        )
    for name, one, other in (("patient", each.patient, first.patient), ("study", each.study, first.study)):
        if one != other:  # who it is stays unsaid, as messages go into logs
            raise VolumeError(f"{folder}: slices must be of one {name}, got two in {pair}")
    if each.frame_of_reference != first.frame_of_reference:
        raise VolumeError(
            f"{folder}: slices must share one frame of reference, got {first.frame_of_reference!r} and "
            f"{each.frame_of_reference!r} in {pair}"
        )


def _check_distinct(folder: Path, slices: Sequence[Slice], *, gaps: FloatArray) -> None:
    place = np.concatenate([[0], np.cumsum(gaps > SAME_PLACE_MM)])
    counts = np.bincount(place)
    if counts.max() == 1:
        return
    if len(counts) > 1 and counts.min() == counts.max():
        if _are_copies([each for each, p in zip(slices, place, strict=True) if p == 0]):
            names = " and ".join(each.name for each in slices[: counts[0]])
            raise VolumeError(
                f"{folder}: must hold each image once, got {counts[0]} that differ, as {names}; "
                "name one folder of them"
            )
        raise VolumeError(
            f"{folder}: must hold one volume, got {counts[0]} images at each of {len(counts)} positions "
            "(times, phases or echoes)"
        )
    here = [each for each, p in zip(slices, place, strict=True) if p == counts.argmax()]
    copies = "; they are one image in files that differ" if _are_copies(here) else ""
    names = listed((each.name for each in here), most=_SHOWN)
    position = ", ".join(f"{x:g}" for x in here[0].position_mm)
    raise VolumeError(
        f"{folder}: a position must hold one slice, got {len(here)} at ({position}) mm: {names}{copies}"
    )


def _are_copies(slices: Sequence[Slice]) -> bool:
    """Whether slices are one image in several files, which differ, as copies are left out before."""
    images = {(each.instance, each.frame) for each in slices}
    return len(images) == 1 and bool(slices[0].instance)


def _check_straight(folder: Path, slices: Sequence[Slice], *, along: FloatArray, across: FloatArray) -> None:
    """Check that each slice lies behind the one before it.

    Args:
        folder: For the message.
        slices: In order.
        along: `(n,)` mm along the normal.
        across: `(n, 3)` mm, what of each position is not along the normal.
    """
    from scipy.stats import theilslopes  # slow to import, and needed for DICOM alone

    # of the slopes between all pairs the median, so that one slice that lies aside leaves it as it is
    lean = np.array([theilslopes(place, along).slope for place in across.T])
    strays = across - across[0] - np.outer(along - along[0], lean)
    strays_mm = np.linalg.norm(strays - np.median(strays, axis=0), axis=1)
    worst = int(strays_mm.argmax())
    if strays_mm[worst] > PLACE_TOLERANCE * min(slices[0].spacing_mm):
        raise VolumeError(
            f"{folder}: slices must lie one behind the other, {slices[worst].name} lies "
            f"{strays_mm[worst]:.4g} mm aside"
        )
    degrees = math.degrees(math.atan(np.linalg.norm(lean)))
    if degrees > TILT_TOLERANCE_DEGREES:
        raise VolumeError(
            f"{folder}: slices must be stacked at a right angle, got a gantry tilt of {degrees:.1f} degrees"
        )
