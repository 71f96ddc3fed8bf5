"""One phantom scan in memory."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lts.base import AIR_HU, LIVER, ConfigError
from lts.phantom.liver import paint_liver
from lts.phantom.patient import Patient, Rooms, draw_patient, make_grid, make_rooms
from lts.phantom.shapes import Canvas, Spacing, smooth_field
from lts.phantom.texture import add_noise, pad_round_view
from lts.phantom.torso import (
    paint_back_muscles,
    paint_lungs_and_heart,
    paint_ribs,
    paint_spine,
    paint_table,
    paint_wall,
)
from lts.phantom.tumors import Tumor, paint_tumors
from lts.phantom.viscera import paint_viscera

SMALLEST_MATRIX = 32
DISK_AXES = ("RAS", "LPS", "LAS", "RPS", "LPI", "PSR", "SPL")
"""Axis orders that scans are written in: where the axes of the array on disk point."""

SLICES_MM = (2.0, 2.5, 3.0, 3.0, 3.75, 4.0, 5.0)


@dataclass(frozen=True, eq=False)
class PhantomScan:
    """A scan and its truth, in the axes of `lts.base.CANONICAL_AXES`.

    Attributes:
        hu: `(Z, H, W)` int16, Hounsfield units with noise; -2000 outside the field of view of some scans.
        labels: `(Z, H, W)` uint8, 0 background, 1 liver (with its vessels, without the gallbladder), 2 tumor.
        spacing_mm: Voxel size (Z, H, W).
        tumors: What is true of each tumor; empty in some scans.
        disk_axes: Where the axes of the array point when the scan is written, such as `RAS`.

    Example:
        >>> scan = make_phantom(seed=0, matrix=32)
        >>> scan.hu.shape == scan.labels.shape, scan.disk_axes, len(scan.tumors)
        (True, 'RAS', 6)
    """

    hu: NDArray[np.int16]
    labels: NDArray[np.uint8]
    spacing_mm: Spacing
    tumors: tuple[Tumor, ...]
    disk_axes: str


def make_phantom(*, seed: int | np.random.SeedSequence = 0, matrix: int = 128) -> PhantomScan:
    """Make the CT scan of an abdomen in the portal-venous phase that does not exist.

    The scan holds the whole liver with a margin above and below. Build, liver, tumors, noise, field of view
    (310 to 450 mm), slice thickness (2 to 5 mm) and axes on disk are drawn from `seed`.

    Args:
        seed: The same seed makes the same scan, bit for bit.
        matrix: Rows and columns of a slice, at least 32.

    Raises:
        ConfigError: `matrix` is too small.

    Example:
        >>> scan = make_phantom(seed=0, matrix=32)
        >>> scan.hu.shape, scan.hu.dtype, scan.labels.shape
        ((75, 32, 32), dtype('int16'), (75, 32, 32))
        >>> [round(edge, 1) for edge in scan.spacing_mm], len(scan.tumors)
        ([3.0, 12.7, 12.7], 6)
    """
    if matrix < SMALLEST_MATRIX:
        raise ConfigError(f"data.phantom.matrix: must be at least {SMALLEST_MATRIX}, got {matrix}")
    rng = np.random.default_rng(seed)
    patient_rng, geometry_rng, grain_rng, organ_rng, liver_rng, tumor_rng, noise_rng = rng.spawn(7)
    patient = draw_patient(patient_rng)
    shape, spacing_mm = _draw_matrix(geometry_rng, patient, matrix=matrix)
    grid = make_grid(geometry_rng, patient=patient, shape=shape, spacing_mm=spacing_mm)
    canvas = Canvas(np.full(shape, AIR_HU, np.float32), grid)
    rooms = make_rooms(grid, patient)
    _paint_torso(canvas, patient, grain_rng, organ_rng, rooms=rooms)
    liver = paint_liver(canvas, patient, liver_rng, rooms=rooms)
    labels = np.zeros(shape, np.uint8)
    labels[liver.box][liver.shape < 0] = LIVER
    tumors = paint_tumors(canvas, labels, tumor_rng, liver=liver)
    hu = _scanned(canvas, noise_rng)
    if geometry_rng.random() < 0.25:
        pad_round_view(hu)
    return PhantomScan(hu, labels, spacing_mm, tumors, str(geometry_rng.choice(DISK_AXES)))


def _draw_matrix(
    rng: np.random.Generator, patient: Patient, *, matrix: int
) -> tuple[tuple[int, int, int], Spacing]:
    """Shape and spacing of a scan whose field of view holds the body and whose slices hold the liver."""
    half_y, half_x = patient.skin_radii_mm
    widest_mm = 2 * max(half_x * patient.frame[2], half_y * patient.frame[1] + 18)
    view_mm = float(np.clip(widest_mm * rng.uniform(1.08, 1.2) + 8, 310, 450))
    slice_mm = float(rng.choice(SLICES_MM))
    height_mm = 2 * patient.liver_half_height_mm * patient.frame[0] + rng.uniform(40, 75)
    shape = (int(np.ceil(height_mm / slice_mm)), matrix, matrix)
    return shape, (slice_mm, view_mm / matrix, view_mm / matrix)


def _paint_torso(
    canvas: Canvas,
    patient: Patient,
    grain_rng: np.random.Generator,
    organ_rng: np.random.Generator,
    *,
    rooms: Rooms,
) -> None:
    """Everything but the liver, from the outside in; `grain` is the fine unevenness of all tissues."""
    grain = smooth_field(grain_rng, canvas.grid.shape, spacing_mm=canvas.grid.spacing_mm, scale_mm=7)
    paint_table(canvas, patient)
    paint_wall(canvas, patient, rooms=rooms, grain=grain)
    paint_viscera(canvas, patient, organ_rng, rooms=rooms, grain=grain)
    paint_back_muscles(canvas, patient, rooms=rooms, grain=grain)
    paint_lungs_and_heart(canvas, rooms=rooms, grain=grain)
    paint_ribs(canvas, drop_mm=float(organ_rng.uniform(130, 180)))
    paint_spine(canvas, phase_mm=float(organ_rng.uniform(0, 33)), grain=grain)


def _scanned(canvas: Canvas, rng: np.random.Generator) -> NDArray[np.int16]:
    """The painted image through the scanner: its blur, its noise, whole numbers."""
    blur = [0.0, *(0.6 / step for step in canvas.grid.spacing_mm[1:])]
    hu = ndimage.gaussian_filter(canvas.hu, blur, truncate=3)
    add_noise(hu, rng, sigma_hu=float(rng.uniform(6, 10)), grain_voxels=float(rng.uniform(0.5, 0.75)))
    np.clip(np.rint(hu, out=hu), AIR_HU, 3071, out=hu)
    scanned: NDArray[np.int16] = hu.astype(np.int16)
    return scanned
