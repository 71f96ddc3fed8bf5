"""What differs from patient to patient: build, liver, enhancement and table."""

from dataclasses import dataclass

import numpy as np

from lts.phantom.shapes import Floats, Grid, Spacing, ellipsoid, join, smooth_field

CAVITY_RADII_MM = (93.0, 134.0)
"""Half axes (front to back, side to side) of the space inside the abdominal wall in the reference anatomy."""

BODY_POWER = 2.3
"""Exponent of the superellipse that outlines the body: 2 is an ellipse, more is squarer."""

WALL_MM = 14.0
"""Thickness of the muscular wall with its ribs."""


@dataclass(frozen=True)
class Patient:
    """Measures of one patient; lengths in mm of the reference anatomy, which `frame` scales.

    Attributes:
        frame: Size relative to the reference (z, y, x).
        fat_mm: Thickness of the fat under the skin at the front and the sides; the back has its own.
        back_fat_mm: The same at the back.
        liver_half_height_mm: The liver reaches about this far above and below z = 0.
        left_lobe: Size of the left lobe relative to the reference.
        liver_hu: Liver tissue, portal-venous phase.
        portal_hu: Portal vein and its branches.
        hepatic_hu: Hepatic veins.
        aorta_hu: Aorta.
        spleen_hu: Spleen.
        kidney_hu: Renal cortex.
        muscle_hu: Skeletal muscle.
        bile_hu: Gallbladder.
        table_gap_mm: From the skin of the back to the table.
    """

    frame: Spacing
    fat_mm: float
    back_fat_mm: float
    liver_half_height_mm: float
    left_lobe: float
    liver_hu: float
    portal_hu: float
    hepatic_hu: float
    aorta_hu: float
    spleen_hu: float
    kidney_hu: float
    muscle_hu: float
    bile_hu: float
    table_gap_mm: float

    @property
    def skin_radii_mm(self) -> tuple[float, float]:
        """Half axes (front to back, side to side) of the skin, reference mm."""
        front_to_back = CAVITY_RADII_MM[0] + WALL_MM + (self.fat_mm + self.back_fat_mm) / 2
        return front_to_back, CAVITY_RADII_MM[1] + WALL_MM + 0.8 * self.fat_mm

    @property
    def skin_center_y_mm(self) -> float:
        """How far the middle of the skin's outline lies behind that of the cavity, reference mm."""
        return (self.back_fat_mm - self.fat_mm) / 2


def draw_patient(rng: np.random.Generator) -> Patient:
    """Draw one patient."""
    size = rng.uniform(0.93, 1.06)
    liver_hu = rng.uniform(92, 120)
    return Patient(
        frame=(rng.uniform(0.95, 1.05), size * rng.uniform(0.96, 1.04), size),
        fat_mm=rng.uniform(8, 32),
        back_fat_mm=rng.uniform(12, 28),
        liver_half_height_mm=rng.uniform(78, 97),
        left_lobe=rng.uniform(0.85, 1.15),
        liver_hu=liver_hu,
        portal_hu=max(rng.uniform(148, 180), liver_hu + 45),
        hepatic_hu=max(rng.uniform(142, 170), liver_hu + 40),
        aorta_hu=rng.uniform(145, 180),
        spleen_hu=max(rng.uniform(110, 132), liver_hu + 8),
        kidney_hu=rng.uniform(170, 210),
        muscle_hu=rng.uniform(50, 62),
        bile_hu=rng.uniform(2, 14),
        table_gap_mm=rng.uniform(3, 12),
    )


def outline(grid: Grid, *, radii_mm: tuple[float, float], center_y_mm: float = 0.0) -> Floats:
    """Radial distance in mm to a rounded box (a superellipse) that runs along z; `radii_mm` are (y, x)."""
    y = np.abs(grid.y - center_y_mm)
    x = np.abs(grid.x)
    rho = ((y / radii_mm[0]) ** BODY_POWER + (x / radii_mm[1]) ** BODY_POWER) ** (1 / BODY_POWER)
    distance: Floats = np.hypot(y, x) * (1 - 1 / np.maximum(rho, 1e-3))
    return distance


@dataclass(frozen=True)
class Rooms:
    """The spaces that organs keep to, as implicit functions over the whole grid.

    Attributes:
        cavity: `(Z, H, W)`, inside the wall of chest and abdomen.
        below: `(Z, H, W)`, below the two domes of the diaphragm.
        top_mm: Height of the right dome, the higher one.
    """

    cavity: Floats
    below: Floats
    top_mm: float


def make_rooms(grid: Grid, patient: Patient) -> Rooms:
    """Lay out cavity and diaphragm: the right dome just covers the liver."""
    top_mm = patient.liver_half_height_mm
    base_mm, height_mm = top_mm - 84, 84.0
    right = ellipsoid(grid, (base_mm, 0, -64), (height_mm, 100, 84))
    left = ellipsoid(grid, (base_mm, 4, 66), (height_mm - 12, 98, 84))
    middle = ellipsoid(grid, (base_mm, -20, 0), (height_mm - 30, 90, 90))
    domes = np.minimum(join(right, left, blend_mm=12), middle)
    below = np.minimum(domes, grid.z - base_mm)
    return Rooms(outline(grid, radii_mm=CAVITY_RADII_MM), below, top_mm)


def make_grid(
    rng: np.random.Generator, *, patient: Patient, shape: tuple[int, int, int], spacing_mm: Spacing
) -> Grid:
    """Place the voxels of a scan in the reference anatomy, bent by a smooth warp of about 5 mm.

    The middle of the array lies at the middle of liver and body, off by a few mm.
    """
    off_mm = rng.uniform((0, -6, -8), (0, 6, 8))
    coordinates: list[Floats] = []
    for axis, bend_mm in enumerate((4.0, 4.0, 5.0)):
        line = (np.arange(shape[axis]) - (shape[axis] - 1) / 2) * spacing_mm[axis] + off_mm[axis]
        column = [1, 1, 1]
        column[axis] = -1
        bend = smooth_field(rng, shape, spacing_mm=spacing_mm, scale_mm=75)
        straight = (line / patient.frame[axis]).astype(np.float32).reshape(column)
        coordinates.append(straight + bend_mm * bend)
    z, y, x = coordinates
    return Grid(z, y, x, spacing_mm)
