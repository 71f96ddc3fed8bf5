"""Tumors of the liver: size, border, contrast and inner structure."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lts.base import TUMOR
from lts.phantom.liver import Liver
from lts.phantom.shapes import (
    Box,
    Canvas,
    Floats,
    Grid,
    Spacing,
    ellipsoid,
    largest_piece,
    random_turn,
    smooth_field,
)

Kind: TypeAlias = Literal["hypodense", "hyperdense", "rim", "necrotic"]
Voxel: TypeAlias = tuple[int, int, int]

FEWEST_VOXELS = 6
"""A lesion drawn smaller than this grows until it fills as many voxels."""


@dataclass(frozen=True)
class Tumor:
    """What is true of one tumor.

    Attributes:
        kind: `hypodense` and `hyperdense` are even inside, `rim` is hypodense in an enhancing rim, `necrotic`
            hypodense with a darker core.
        diameter_mm: Of the sphere with the volume of its voxels.
        contrast_hu: Mean of the tumor less the liver tissue around it, noise apart; below 0 where darker.
        center: Voxel (Z, H, W) near its middle.

    Example:
        >>> from lts.phantom import make_phantom
        >>> tumor = make_phantom(seed=0, matrix=32).tumors[0]
        >>> tumor.kind, round(tumor.diameter_mm) > 0
        ('hypodense', True)
    """

    kind: Kind
    diameter_mm: float
    contrast_hu: float
    center: Voxel


@dataclass(frozen=True)
class _Plan:
    kind: Kind
    diameter_mm: float
    contrast_hu: float


def paint_tumors(
    canvas: Canvas, labels: NDArray[np.uint8], rng: np.random.Generator, *, liver: Liver
) -> tuple[Tumor, ...]:
    """Draw tumors into the liver of `canvas` and mark them in `labels`; about one patient in seven has none.

    Args:
        canvas: The painted scan, changed in place.
        labels: `(Z, H, W)`, changed in place: voxels of a tumor become `TUMOR`.
        rng: Source of everything drawn.
        liver: Where tumors may lie.

    Returns:
        The tumors, the largest planned first; no two touch.
    """
    plan_rng, place_rng = rng.spawn(2)
    spacing_mm = canvas.grid.spacing_mm
    smallest_mm = max(5.0, sphere_diameter_mm(FEWEST_VOXELS * float(np.prod(spacing_mm))))
    clearance = np.full(liver.shape.shape, np.inf, np.float32)
    tumors = []
    for plan in _draw_plans(plan_rng):
        placed = _place(plan, liver, clearance, place_rng, smallest_mm=smallest_mm, spacing_mm=spacing_mm)
        if placed is None:
            continue
        center, diameter_mm = placed
        around = _millimeters_from(center, _whole(clearance.shape), spacing_mm=spacing_mm)
        np.minimum(clearance, ellipsoid(around, (0, 0, 0), [0.65 * diameter_mm] * 3), out=clearance)
        tumors.append(
            _paint(canvas, labels, place_rng, liver=liver, plan=plan, center=center, diameter_mm=diameter_mm)
        )
    return tuple(tumors)


def _draw_plans(rng: np.random.Generator) -> list[_Plan]:
    """A main tumor and up to five lesser ones, some of them faint; in some patients none."""
    if rng.random() < 1 / 7:
        return []
    main_mm = rng.uniform(16, 28) if rng.random() < 0.12 else rng.uniform(40, 58)
    others = min(int(rng.geometric(0.3)) - 1, 5)
    sizes_mm = [main_mm, *np.sort(np.minimum(5 + rng.exponential(18, others), main_mm))[::-1]]
    return [_draw_plan(rng, diameter_mm=float(mm), may_be_faint=rank > 0) for rank, mm in enumerate(sizes_mm)]


def _draw_plan(rng: np.random.Generator, *, diameter_mm: float, may_be_faint: bool) -> _Plan:
    bright = rng.random() < 0.36
    kind: Kind = "hyperdense" if bright else "hypodense"
    contrast_hu = rng.uniform(40, 60) if bright else -rng.uniform(48, 68)
    variant = rng.random()
    if may_be_faint and rng.random() < 0.25:
        contrast_hu = np.sign(contrast_hu) * rng.uniform(13, 20)
    elif not bright and diameter_mm > 18 and variant < 0.4:
        kind = "rim" if variant < 0.15 else "necrotic"
    return _Plan(kind, diameter_mm, float(contrast_hu))


def _place(
    plan: _Plan,
    liver: Liver,
    clearance: Floats,
    rng: np.random.Generator,
    *,
    smallest_mm: float,
    spacing_mm: Spacing,
) -> tuple[Voxel, float] | None:
    """A center in the liver's box and a diameter, shrunk to what there is room for; None where there is none.

    The center lies deep in the liver and, by `clearance` (mm), away from the tumors that are there.
    """
    diameter_mm = max(plan.diameter_mm, smallest_mm)
    while diameter_mm >= smallest_mm:
        away = clearance > 0.65 * diameter_mm + 2 * max(spacing_mm)
        room = np.flatnonzero((liver.shape < -0.45 * diameter_mm) & away)
        if room.size:
            z, y, x = np.unravel_index(int(rng.choice(room)), clearance.shape)
            return (int(z), int(y), int(x)), diameter_mm
        diameter_mm *= 0.8
    return None


def _paint(
    canvas: Canvas,
    labels: NDArray[np.uint8],
    rng: np.random.Generator,
    *,
    liver: Liver,
    plan: _Plan,
    center: Voxel,
    diameter_mm: float,
) -> Tumor:
    """Draw one tumor and measure what was drawn."""
    spacing_mm = canvas.grid.spacing_mm
    inner, outline = _outline(rng, liver, center=center, diameter_mm=diameter_mm, spacing_mm=spacing_mm)
    depth, row, column = (
        slice(i.start + b.start, i.stop + b.start) for i, b in zip(inner, liver.box, strict=True)
    )
    whole = (depth, row, column)
    tissue_hu = liver.tissue_hu[inner]
    scaled_radius = 1 + outline * (2 / diameter_mm)
    canvas.paint(outline, tissue_hu + plan.contrast_hu * _profile(plan.kind, scaled_radius), box=whole)
    marked = outline < 0
    labels[whole][marked] = TUMOR
    return Tumor(
        kind=plan.kind,
        diameter_mm=sphere_diameter_mm(float(np.count_nonzero(marked) * np.prod(spacing_mm))),
        contrast_hu=float((canvas.hu[whole] - tissue_hu)[marked].mean()),
        center=(
            center[0] + liver.box[0].start,
            center[1] + liver.box[1].start,
            center[2] + liver.box[2].start,
        ),
    )


def _outline(
    rng: np.random.Generator, liver: Liver, *, center: Voxel, diameter_mm: float, spacing_mm: Spacing
) -> tuple[Box, Floats]:
    """A box in the liver's box and the tumor in it, a rough ellipsoid of `FEWEST_VOXELS` or more."""
    turn = random_turn(rng, most_rad=1.5)
    stretch = np.exp(rng.uniform(-0.2, 0.2, 3))
    stretch /= np.prod(stretch) ** (1 / 3)
    border_seed = int(rng.integers(2**63))
    while True:
        reach = [int(0.85 * diameter_mm / step) + 3 for step in spacing_mm]
        z, y, x = (
            slice(max(at - r, 0), min(at + r + 1, n))
            for at, r, n in zip(center, reach, liver.shape.shape, strict=True)
        )
        around = _millimeters_from(center, (z, y, x), spacing_mm=spacing_mm)
        radius_mm = diameter_mm / 2
        rough = smooth_field(
            np.random.default_rng(border_seed), around.shape, spacing_mm=spacing_mm, scale_mm=0.6 * radius_mm
        )
        tumor = ellipsoid(around, (0, 0, 0), stretch * radius_mm, turn=turn)
        tumor += 0.1 * radius_mm * np.clip(rough, -2, 2)
        tumor = largest_piece(np.maximum(tumor, liver.shape[z, y, x]))
        if np.count_nonzero(tumor < 0) >= FEWEST_VOXELS:
            return (z, y, x), tumor
        diameter_mm *= 1.15


def _whole(shape: tuple[int, ...]) -> Box:
    depth, height, width = shape
    return slice(0, depth), slice(0, height), slice(0, width)


def _millimeters_from(center: Voxel, box: Box, *, spacing_mm: Spacing) -> Grid:
    """The voxels of `box`, placed by their distance from `center` along each axis."""
    lines = [
        (np.arange(side.start, side.stop, dtype=np.float32) - at) * step
        for side, at, step in zip(box, center, spacing_mm, strict=True)
    ]
    z, y, x = np.meshgrid(*lines, indexing="ij")
    return Grid(z, y, x, spacing_mm)


def _profile(kind: Kind, scaled: Floats) -> Floats:
    """Contrast over the tumor as a multiple of its mean, which a sphere's shares of volume keep at 1."""
    if kind == "rim":
        inside, outside, edge = 1.5, -0.35, 0.9
    elif kind == "necrotic":
        inside, outside, edge = 1.55, 0.85, 0.6
    else:
        return np.ones_like(scaled)
    blend = np.clip((scaled - edge) / 0.12 + 0.5, 0, 1)
    profile: Floats = inside + (outside - inside) * blend
    return profile


def sphere_diameter_mm(volume_mm3: float) -> float:
    """Diameter of the sphere with this volume."""
    return float((6 * volume_mm3 / np.pi) ** (1 / 3))
