"""Everything around the abdominal organs: table, skin, fat, muscle, spine, ribs, lungs and heart."""

import numpy as np

from lts.phantom.patient import CAVITY_RADII_MM, WALL_MM, Patient, Rooms, outline
from lts.phantom.shapes import Canvas, Floats, capsule, ellipsoid, join, meet

FAT_HU = -102.0
RIB_PERIOD_MM = 30.0
VERTEBRA_PERIOD_MM = 33.0
SPINE_Y_MM = 52.0


def paint_table(canvas: Canvas, patient: Patient) -> None:
    """The table's curved top, thin carbon skins around foam; it is not bent with the patient."""
    _, height, width = canvas.grid.shape
    _, row_mm, column_mm = canvas.grid.spacing_mm
    middle_y_mm = float(canvas.grid.y.mean()) * patient.frame[1]
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2)[None, :, None] * row_mm + middle_y_mm
    x = (np.arange(width, dtype=np.float32) - (width - 1) / 2)[None, None, :] * column_mm
    skin_y, _ = patient.skin_radii_mm
    top_mm = (skin_y + patient.skin_center_y_mm) * patient.frame[1] + patient.table_gap_mm
    below_top = y - top_mm + x**2 / 900
    beyond_edge = np.abs(x) - 205
    canvas.paint(np.maximum(np.abs(below_top - 11) - 11, beyond_edge), -880.0)
    skins = np.abs(np.abs(below_top - 11) - 10) - 1.4
    canvas.paint(np.maximum(skins, beyond_edge), -60.0)


def paint_wall(canvas: Canvas, patient: Patient, *, rooms: Rooms, grain: Floats) -> None:
    """Skin, the fat under it, the muscular wall and the fat inside it."""
    grid = canvas.grid
    skin = outline(grid, radii_mm=patient.skin_radii_mm, center_y_mm=patient.skin_center_y_mm)
    skin += 9 * np.exp(-((grid.x / 18) ** 2)) * (grid.y > 0)
    canvas.paint(skin, 20.0)
    canvas.paint(skin + 2, FAT_HU + 4 * grain)
    outer = outline(grid, radii_mm=(CAVITY_RADII_MM[0] + WALL_MM, CAVITY_RADII_MM[1] + WALL_MM))
    canvas.paint(outer, patient.muscle_hu + 5 * grain)
    fat_plane = np.maximum(np.abs(outer + 5) - 0.7, -grid.y - 60)
    canvas.paint(fat_plane, -30.0)
    canvas.paint(rooms.cavity, FAT_HU + 6 * grain + 45 * np.maximum(grain - 1.6, 0))


def paint_back_muscles(canvas: Canvas, patient: Patient, *, rooms: Rooms, grain: Floats) -> None:
    """The long muscles behind the spine, and inside the cavity the crura of the diaphragm and the psoas."""
    for side in (-1.0, 1.0):
        box = canvas.grid.box_of((-400, 60, 36 * side - 36), (400, 130, 36 * side + 36))
        part = canvas.grid.crop(box)
        behind = -rooms.cavity[box]
        erector = 22 * np.hypot((part.y - 93) / 22, (part.x - side * 36) / 33) - 22
        canvas.paint(np.maximum(erector, behind), patient.muscle_hu + 5 * grain[box], box=box)
        septum = np.abs(12 * np.hypot((part.y - 95) / 19, (part.x - side * 44) / 13) - 12) - 0.5
        canvas.paint(np.maximum(septum, behind), -20.0, box=box)
        crus = ((90, 34, side * 15), (-20, 30, side * 13), 6, 6)
        psoas = ((-20, 58, side * 30), (-200, 42, side * 50), 8, 27)
        for start, end, radius, end_radius in (crus, psoas):
            low, high = np.minimum(start, end) - end_radius, np.maximum(start, end) + end_radius
            box = canvas.grid.box_of(low, high)
            tube = capsule(canvas.grid.crop(box), start, end, radius, end_radius)
            canvas.paint(tube, patient.muscle_hu, box=box)


def paint_lungs_and_heart(canvas: Canvas, *, rooms: Rooms, grain: Floats) -> None:
    """The bases of the lungs above the diaphragm, with their vessels, and the heart between them."""
    top_mm = rooms.top_mm
    box = canvas.grid.box_of((top_mm - 100, -400, -400), (400, 400, 400))
    part = canvas.grid.crop(box)
    above = -rooms.below[box]
    chest = meet(rooms.cavity[box] + 2, above, blend_mm=4)
    mediastinum = np.minimum(
        ellipsoid(part, (top_mm + 30, -38, 22), (66, 52, 62)),
        np.hypot(part.y - 26, part.x) - 30,
    )
    canvas.paint(np.maximum(chest, mediastinum - 6), FAT_HU, box=box)
    vessels = 330 * np.maximum(grain[box] - 1.3, 0)
    canvas.paint(meet(chest, -mediastinum, blend_mm=8), -870 + 18 * grain[box] + vessels, box=box)
    heart = np.maximum(ellipsoid(part, (top_mm + 28, -38, 24), (52, 42, 52)), above + 3)
    canvas.paint(heart, 115.0, box=box)
    for chamber in (((34, -42, 12), (44, 30, 26)), ((30, -30, 50), (38, 24, 18))):
        (height, y, x), radii = chamber
        blood = np.maximum(ellipsoid(part, (top_mm + height, y, x), radii), heart + 9)
        canvas.paint(blood, 150.0, box=box)
    esophagus = np.maximum(np.hypot(part.y - 16, part.x - 4) - 8, above)
    canvas.paint(esophagus, 50.0, box=box)


def paint_ribs(canvas: Canvas, *, drop_mm: float) -> None:
    """Ribs within the wall, `drop_mm` lower at the front than at the back, where they end in cartilage."""
    grid = canvas.grid
    middle = (CAVITY_RADII_MM[0] + WALL_MM / 2 - 1, CAVITY_RADII_MM[1] + WALL_MM / 2 - 1)
    across = outline(grid, radii_mm=middle)
    turned = np.abs(np.arctan2(grid.x, grid.y + 10))
    height = grid.z + (drop_mm / np.pi) * turned
    along = np.mod(height, RIB_PERIOD_MM) - RIB_PERIOD_MM / 2
    rib = np.hypot(across / 3.8, along / 5.2) * 4 - 4
    costal_arch = np.maximum(-40 - grid.z - np.maximum(grid.y, 0), -grid.y - 62 - 0.3 * np.minimum(grid.z, 0))
    near_spine = 18 - np.abs(grid.x)
    bony = np.maximum(np.maximum(rib, costal_arch), np.maximum(near_spine, -grid.y - 50))
    soft = np.maximum(np.maximum(rib, costal_arch), grid.y + 50)
    canvas.paint(soft, 105.0)
    canvas.paint(bony, 480.0)
    canvas.paint(bony + 1.8, 210.0)


def paint_spine(canvas: Canvas, *, phase_mm: float, grain: Floats) -> None:
    """Vertebrae, spongy bone in a cortical shell, with disks between; canal, arches and processes."""
    grid = canvas.grid
    box = grid.box_of((-400, SPINE_Y_MM - 34, -62), (400, SPINE_Y_MM + 84, 62))
    part, fine = grid.crop(box), grain[box]
    level = np.mod(part.z + phase_mm, VERTEBRA_PERIOD_MM) - VERTEBRA_PERIOD_MM / 2
    waist = 1.5 * np.cos(level * (2 * np.pi / VERTEBRA_PERIOD_MM))
    column = (np.hypot((part.y - SPINE_Y_MM) / 18, part.x / 23) - 1) * 20 + waist
    column = meet(column, 11 - np.hypot(part.y - SPINE_Y_MM - 28, part.x), blend_mm=5)
    canvas.paint(column, 85.0, box=box)
    body = np.maximum(column, np.abs(level) - 12.5)
    canvas.paint(body, 430.0, box=box)
    canvas.paint(body + 2, 195 + 28 * fine, box=box)
    arch_y = SPINE_Y_MM + 29
    ring = np.hypot(part.y - arch_y, part.x / 1.15)
    arch = np.maximum(np.abs(ring - 13) - 3.5, np.abs(level - 1) - 11)
    spinous = np.maximum(np.abs(part.x) - 3.2, np.maximum(arch_y + 10 - part.y, part.y - arch_y - 36))
    spinous = np.maximum(spinous, np.abs(level + 4) - 9)
    transverse = np.hypot((part.y - arch_y + 4 - 0.18 * np.abs(part.x)) / 5, (level - 3) / 7) * 5 - 5
    transverse = np.maximum(np.maximum(transverse, 14 - np.abs(part.x)), np.abs(part.x) - 42)
    processes = join(join(arch, spinous, blend_mm=4), transverse, blend_mm=4)
    canvas.paint(processes, 430.0, box=box)
    canvas.paint(processes + 2, 240 + 25 * fine, box=box)
    canvas.paint(ring - 9, 28.0, box=box)
    canvas.paint(np.hypot(part.y - arch_y, part.x) - 5.5, 42.0, box=box)
