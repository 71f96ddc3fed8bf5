"""The liver with its vessels, and the gallbladder beneath it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lts.phantom.patient import Patient, Rooms
from lts.phantom.shapes import (
    Box,
    Canvas,
    Floats,
    Grid,
    capsule,
    ellipsoid,
    join,
    largest_piece,
    meet,
    random_turn,
    smooth_field,
)
from lts.phantom.viscera import kidney_center


@dataclass(frozen=True)
class Liver:
    """The painted liver.

    Attributes:
        box: The part of the scan that holds it.
        shape: Implicit function over `box`; vessels lie inside, gallbladder and vena cava outside.
        tissue_hu: Liver tissue over `box` as if it had neither vessels nor tumors.
    """

    box: Box
    shape: Floats
    tissue_hu: Floats


def paint_liver(canvas: Canvas, patient: Patient, rng: np.random.Generator, *, rooms: Rooms) -> Liver:
    """Paint liver, vessels and gallbladder."""
    shape_rng, vessel_rng, tissue_rng = rng.spawn(3)
    half = patient.liver_half_height_mm
    box = canvas.grid.box_of((-half - 30, -100, -150), (half + 20, 100, 125))
    part = canvas.grid.crop(box)
    bile = _gallbladder(part, shape_rng)
    room = meet(rooms.cavity[box] + 3, rooms.below[box] + 3, blend_mm=6)
    shape = largest_piece(meet(_liver(part, patient, shape_rng, bile=bile), room, blend_mm=6))
    tissue_hu = _tissue(part, patient, tissue_rng)
    canvas.paint(shape, tissue_hu, box=box)
    _paint_trees(canvas, patient, vessel_rng, liver=shape, box=box)
    canvas.paint(bile, patient.bile_hu + 55, box=box)
    canvas.paint(bile + 1.2, patient.bile_hu, box=box)
    return Liver(box, shape, tissue_hu)


def _liver(part: Grid, patient: Patient, rng: np.random.Generator, *, bile: Floats) -> Floats:
    """Right and left lobe joined, hollowed from below by the organs there."""
    half, left = patient.liver_half_height_mm, patient.left_lobe
    turn = random_turn(rng, most_rad=0.2)
    right_radii = (half * 1.12, rng.uniform(92, 104), rng.uniform(78, 90))
    right_lobe = ellipsoid(part, (0, 4, -66), right_radii, turn=turn)
    left_center = (half * 0.42, -46.0, rng.uniform(8, 22))
    left_lobe = ellipsoid(part, left_center, (36 * left, 42, rng.uniform(70, 92) * left), turn=turn)
    shape = join(right_lobe, left_lobe, blend_mm=28)
    hollow = ellipsoid(part, (-0.5 * half, 36, 52), (half * 1.05, 76, 94))
    shape = meet(shape, -hollow, blend_mm=16)
    slant = rng.uniform(0.5, 0.85)
    lower_edge = (-half + slant * (part.x + 92) - 0.25 * part.y - part.z) * 0.75
    shape = meet(shape, lower_edge, blend_mm=22)
    kidney = ellipsoid(part, kidney_center(patient, side=-1), (62, 37, 36))
    shape = meet(shape, -kidney, blend_mm=8)
    spine = 40 - np.hypot(part.y - 50, part.x + 4)
    shape = meet(shape, spine, blend_mm=12)
    cava = 13 - np.hypot(part.y - 10, part.x + 25)
    shape = meet(shape, np.minimum(cava, half - 8 - part.z), blend_mm=4)
    fissure = capsule(part, (half * 0.1, -82.0, 4.0), (half * 0.5, -40.0, -2.0), 5, 1)
    shape = meet(shape, -fissure, blend_mm=5)
    shape = meet(shape, -bile, blend_mm=3)
    return shape + 1.6 * smooth_field(rng, part.shape, spacing_mm=part.spacing_mm, scale_mm=28)


def _gallbladder(part: Grid, rng: np.random.Generator) -> Floats:
    """A pear under the liver, between its lobes and near its front."""
    neck = (rng.uniform(-24, -14), rng.uniform(-26, -18), rng.uniform(-36, -28))
    fundus = (neck[0] - rng.uniform(18, 34), neck[1] - rng.uniform(20, 34), neck[2] - rng.uniform(10, 22))
    return capsule(part, neck, fundus, rng.uniform(5, 8), rng.uniform(11, 16))


def _tissue(part: Grid, patient: Patient, rng: np.random.Generator) -> Floats:
    """Liver tissue: its mean, slow gradients, in some patients a faint fatty region with a soft border."""
    broad = smooth_field(rng, part.shape, spacing_mm=part.spacing_mm, scale_mm=70)
    tissue: Floats = patient.liver_hu + rng.uniform(1.5, 4) * broad
    if rng.random() < 0.2:
        center = (rng.uniform(0, 30), rng.uniform(-60, -20), rng.uniform(-60, 10))
        patch = ellipsoid(part, center, (30, 26, 30), turn=random_turn(rng, most_rad=1.5))
        tissue -= rng.uniform(6, 11) / (1 + np.exp(np.clip(patch / 5, -20, 20)))
    return tissue


def _paint_trees(
    canvas: Canvas, patient: Patient, rng: np.random.Generator, *, liver: Floats, box: Box
) -> None:
    """Portal and hepatic veins: trees of tapering tubes, kept within the liver."""
    half = patient.liver_half_height_mm
    hilum, outlet = (2.0, -10.0, -34.0), (half - 22, 4.0, -26.0)
    portal = [((0, 5, -28), 6.5), ((14, -26, 26), 5.5)]
    hepatic = [((-8, 6, -26), 5.5), ((-10, -26, -10), 5.0), ((-4, -24, 22), 4.5)]
    part = canvas.grid.crop(box)
    for blood_hu, root, trunks in ((patient.portal_hu, hilum, portal), (patient.hepatic_hu, outlet, hepatic)):
        tree = np.full(liver.shape, 50, np.float32)
        for step, radius in trunks:
            _grow(tree, part, rng, start=np.array(root), step=np.array(step, np.float64), radius=radius)
        canvas.paint(np.maximum(tree, liver + 2.5), blood_hu, box=box)


def _grow(
    tree: Floats,
    part: Grid,
    rng: np.random.Generator,
    *,
    start: NDArray[np.float64],
    step: NDArray[np.float64],
    radius: float,
) -> None:
    """Add a tube to `tree` and, while it is wide enough, the two branches at its end.

    A branch has about 0.79 of the radius of its parent, which is Murray's law for two equal branches.
    """
    end = start + step
    reach = radius + 4
    box = part.box_of(np.minimum(start, end) - reach, np.maximum(start, end) + reach)
    tube = capsule(part.crop(box), start, end, radius, 0.9 * radius)
    np.minimum(tree[box], tube, out=tree[box])
    if radius < 1.7:
        return
    length_mm = float(np.linalg.norm(step))
    side = np.cross(step, rng.standard_normal(3))
    side /= np.linalg.norm(side)
    for sign in (-1, 1):
        bent = step / length_mm + sign * rng.uniform(0.35, 0.75) * side
        bent *= max(length_mm * rng.uniform(0.68, 0.92), 12) / np.linalg.norm(bent)
        _grow(tree, part, rng, start=end, step=bent, radius=radius * rng.uniform(0.73, 0.83))
