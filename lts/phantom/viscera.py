"""Organs of the abdomen other than the liver: bowel, stomach, pancreas, spleen, kidneys and great vessels."""

from itertools import pairwise

import numpy as np

from lts.phantom.patient import Patient, Rooms
from lts.phantom.shapes import (
    Box,
    Canvas,
    Floats,
    Grid,
    Point,
    capsule,
    ellipsoid,
    join,
    meet,
    random_turn,
)

GAS_HU = -960.0


def paint_viscera(
    canvas: Canvas, patient: Patient, rng: np.random.Generator, *, rooms: Rooms, grain: Floats
) -> None:
    """Paint all of them, from the bowel up; the liver comes later and lies over what it meets."""
    room = np.maximum(rooms.cavity + 3, rooms.below + 4)
    _paint_small_bowel(canvas, rng, room=room)
    _paint_colon(canvas, rng, room=room, grain=grain)
    _paint_pancreas(canvas, rng)
    _paint_stomach(canvas, rng, room=room)
    _paint_spleen(canvas, patient, rng, room=room, grain=grain)
    for side in (-1.0, 1.0):
        _paint_kidney(canvas, patient, rng, center=kidney_center(patient, side=side))
    _paint_great_vessels(canvas, patient)


def kidney_center(patient: Patient, *, side: float) -> Point:
    """Where a kidney lies (z, y, x): `side` -1 the patient's right, the lower one, 1 the left."""
    return -0.55 * patient.liver_half_height_mm + 8 * side, 46.0, 62.0 * side


def _around(grid: Grid, *points: Point, reach: float) -> Box:
    corners = np.array([list(point) for point in points], np.float64)
    return grid.box_of(corners.min(axis=0) - reach, corners.max(axis=0) + reach)


def _paint_small_bowel(canvas: Canvas, rng: np.random.Generator, *, room: Floats) -> None:
    """Loops with an enhancing wall, filled with fluid, collapsed, or with a bubble of gas."""
    for _ in range(90):
        start = rng.uniform((-160, -80, -75), (15, 10, 105))
        end = start + rng.normal(0, (14, 16, 22))
        radius = rng.uniform(7, 13)
        box = _around(canvas.grid, start, end, reach=radius + 3)
        tube: Floats = np.maximum(capsule(canvas.grid.crop(box), start, end, radius), room[box])
        canvas.paint(tube - 2, -95.0, box=box)
        canvas.paint(tube, rng.uniform(70, 105), box=box)
        canvas.paint(tube + 2.2, rng.uniform(15, 60), box=box)
        if rng.random() < 0.12:
            fluid = canvas.grid.y[box] + (2 - float(start[1]))
            canvas.paint(np.maximum(tube + 3, fluid), GAS_HU, box=box)


def _paint_colon(canvas: Canvas, rng: np.random.Generator, *, room: Floats, grain: Floats) -> None:
    """Colon with haustra around the small bowel, stool and gas that floats to the front."""
    flexure_z, spleen_z = rng.uniform(-75, -55), rng.uniform(-15, 15)
    path = [
        *((-220.0, 25.0, -100.0), (flexure_z, 5.0, -98.0), (flexure_z + 2, -52.0, -78.0)),
        *((flexure_z - 12, -72.0, -15.0), (-45.0, -70.0, 40.0), (-10.0, -45.0, 90.0)),
        *((spleen_z, 0.0, 106.0), (-220.0, 32.0, 108.0)),
    ]
    grid = canvas.grid
    for start, end in pairwise(path):
        radius = rng.uniform(15, 20)
        box = _around(grid, start, end, reach=radius + 6)
        part = grid.crop(box)
        haustra = 2.2 * np.sin((part.z + part.y + part.x) * 0.27)
        tube = np.maximum(capsule(part, start, end, radius) + haustra, room[box])
        canvas.paint(tube - 3, -98.0, box=box)
        canvas.paint(tube, 65.0, box=box)
        stool = 30 + 25 * grain[box] - 260 * np.maximum(grain[box] - 1.4, 0)
        canvas.paint(tube + 2.5, stool, box=box)
        gas_below = max(start[1], end[1]) + rng.uniform(-22, 4)
        gas = meet(tube + 3, part.y - gas_below + 4 * grain[box], blend_mm=4)
        canvas.paint(gas, GAS_HU, box=box)


def _paint_pancreas(canvas: Canvas, rng: np.random.Generator) -> None:
    """A lobulated band before the great vessels, from the duodenum to the spleen."""
    path = [
        (-48.0, -6.0, -26.0),
        (-28.0, -18.0, -6.0),
        (-16.0, -12.0, 28.0),
        (-6.0, 12.0, 62.0),
        (2.0, 26.0, 78.0),
    ]
    tissue = rng.uniform(85, 105)
    for start, end in pairwise(path):
        box = _around(canvas.grid, start, end, reach=16)
        part = canvas.grid.crop(box)
        lobules = 1.6 * np.sin(part.x * 0.9) * np.sin(part.y * 0.8 + part.z * 0.7)
        canvas.paint(capsule(part, start, end, rng.uniform(9, 12)) + lobules, tissue, box=box)
    duodenum = [(-12.0, -34.0, -34.0), (-35.0, -8.0, -44.0), (-78.0, -2.0, -40.0)]
    for start, end in pairwise(duodenum):
        box = _around(canvas.grid, start, end, reach=16)
        tube = capsule(canvas.grid.crop(box), start, end, 12)
        canvas.paint(tube, 80.0, box=box)
        canvas.paint(tube + 3, 30.0, box=box)


def _paint_stomach(canvas: Canvas, rng: np.random.Generator, *, room: Floats) -> None:
    """Stomach under the left dome, half full: fluid at the back, gas at the front."""
    box = _around(canvas.grid, (40.0, 10.0, 64.0), (-28.0, -55.0, 0.0), reach=62)
    part = canvas.grid.crop(box)
    size = rng.uniform(0.8, 1.1)
    fundus = ellipsoid(part, (42, 14, 66), (44 * size, 38 * size, 36 * size))
    middle = ellipsoid(part, (8, -30, 58), (46 * size, 34 * size, 34 * size))
    antrum = capsule(part, (-10.0, -42.0, 40.0), (-18.0, -42.0, -18.0), 22 * size, 12 * size)
    bag = join(join(fundus, middle, blend_mm=25), antrum, blend_mm=18)
    folded = np.add(bag, 1.5 * np.sin(part.x * 0.35 + part.z * 0.3))
    bag = meet(folded, room[box], blend_mm=6)
    canvas.paint(bag - 4, -98.0, box=box)
    canvas.paint(bag, 78.0, box=box)
    canvas.paint(bag + 4.5, rng.uniform(8, 40), box=box)
    level_y = rng.uniform(-60, -25)
    canvas.paint(np.maximum(bag + 4.5, part.y - level_y), GAS_HU, box=box)


def _paint_spleen(
    canvas: Canvas, patient: Patient, rng: np.random.Generator, *, room: Floats, grain: Floats
) -> None:
    """A bean along the left wall at the back."""
    size = rng.uniform(0.85, 1.15)
    turn = random_turn(rng, most_rad=0.3)
    center = (18.0, 44.0, 98.0)
    box = _around(canvas.grid, center, reach=62)
    part = canvas.grid.crop(box)
    bean = ellipsoid(part, center, (52 * size, 42 * size, 30 * size), turn=turn)
    hollow = ellipsoid(part, (14, 24, 62), (46, 34, 30))
    bean = np.maximum(meet(bean, -hollow, blend_mm=10), room[box])
    canvas.paint(bean, patient.spleen_hu + 2 * grain[box], box=box)


def _paint_kidney(canvas: Canvas, patient: Patient, rng: np.random.Generator, *, center: Point) -> None:
    """Capsule of fat, bright cortex, darker pyramids and the fat of the sinus."""
    box = _around(canvas.grid, center, reach=72)
    part = canvas.grid.crop(box)
    side = np.sign(center[2])
    turn = random_turn(rng, most_rad=0.25)
    bean = ellipsoid(part, center, (54, 27, 28), turn=turn)
    sinus = ellipsoid(part, (center[0], center[1] - 6, center[2] - 15 * side), (24, 10, 15), turn=turn)
    bean = meet(bean, 4 - sinus, blend_mm=6)
    canvas.paint(bean - 9, -104.0, box=box)
    canvas.paint(bean, patient.kidney_hu, box=box)
    pyramids = bean + 7 + 4 * np.cos(part.z * 0.42) * np.cos(part.y * 0.3)
    canvas.paint(pyramids, patient.kidney_hu - 45, box=box)
    canvas.paint(sinus, -80.0, box=box)
    canvas.paint(sinus + 6, 40.0, box=box)


def _paint_great_vessels(canvas: Canvas, patient: Patient) -> None:
    """Aorta, inferior vena cava, the trunk of the portal vein with the splenic vein, and the renal veins."""
    kidney_z = kidney_center(patient, side=0)[0]
    top = patient.liver_half_height_mm
    tubes: list[tuple[Point, Point, float, float, float]] = [
        ((-240, 16, 4), (top * 0.2, 14, 5), 9.5, 10.5, patient.aorta_hu),
        ((top * 0.2, 14, 5), (260, 26, 14), 10.5, 12, patient.aorta_hu),
        ((-240, 20, -24), (0, 14, -26), 11.5, 12, patient.hepatic_hu - 12),
        ((0, 14, -26), (top - 6, 4, -24), 12, 12, patient.hepatic_hu - 8),
        ((kidney_z, 38, 44), (kidney_z + 6, 2, 4), 4, 4.5, patient.hepatic_hu),
        ((kidney_z + 6, 2, 4), (kidney_z + 8, 14, -22), 4.5, 5, patient.hepatic_hu),
        ((kidney_z - 4, 40, -46), (kidney_z + 2, 18, -26), 4, 5, patient.hepatic_hu),
        ((-6, 26, 70), (-18, -2, 4), 4.5, 5, patient.portal_hu),
        ((-110, -20, 0), (-18, -4, 0), 5.5, 6, patient.portal_hu),
        ((-18, -4, 0), (2, -10, -34), 7, 7, patient.portal_hu),
        ((-18, -14, 8), (-10, 12, 6), 3, 4, patient.aorta_hu),
    ]
    for start, end, radius, end_radius, blood_hu in tubes:
        box = _around(canvas.grid, start, end, reach=max(radius, end_radius) + 2)
        canvas.paint(capsule(canvas.grid.crop(box), start, end, radius, end_radius), blood_hu, box=box)
