"""Checks the orientation in a header by the position of organs."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lts.base import LIVER
from lts.volume import Voxel

LIVER_MARGIN_MM = 20.0
"""How far on the left the liver's center must lie to be on the wrong side: on the right side it lies 40 to
70 mm from the body's middle, in scans of patients as in phantoms."""

LUNG_MARGIN_MM = 10.0
"""How far below the liver's center the lungs must lie to be on the wrong side: even where a scan ends at the
dome of the liver, what it holds of the lungs lies more than this above."""

LEAST_LUNG_ML = 100.0
"""Of air in the body that is lung: less may be gas in the bowel, or a rim of the diaphragm."""

LEAST_SPINE_ML = 10.0
"""Of bone in the middle of the body: half a lumbar vertebra has as much."""

MOST_BONE_IN_FRONT = 0.6
"""Share of the bone in the middle of the body that may lie in its front half. The spine lies behind; ribs and
contrast in stomach or bowel add up to 0.3 in front in the scans available."""

TISSUE_HU = -300
"""Between lung and fat: what is above belongs to the body (or to the table)."""

AIR_HU_BELOW = -500
"""Between lung and partial volume: what is below is air, of lung or of bowel."""

GAS_HU_BELOW = -960
"""A piece of air whose median is below is gas in the bowel or beside the body. Lung holds blood: emphysema
counts from -950 HU (Gevenois et al., Am J Respir Crit Care Med 154:187-192, 1996), and not in half a lung."""

BONE_HU = 250
"""The spine's bone; liver, kidneys and veins stay below in the portal-venous phase."""

SPINE_HALF_WIDTH_MM = 30.0
"""Vertebrae lie within this of the body's middle."""

_GRID_MM = 5.0
"""Cell size of the grid on which organs are found: cheap, and without fine detail."""

_Voxels = NDArray[np.int16]
_Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Anatomy:
    """Positions of organs; None if unknown.

    Attributes:
        liver_left_mm: From the body's middle to the liver's center, toward the patient's left.
        lungs_above_mm: From the liver's center to that of the lungs, toward the head.
        bone_in_front: Share of the bone near the body's middle that lies in its front half.
    """

    liver_left_mm: float | None
    lungs_above_mm: float | None
    bone_in_front: float | None

    @property
    def wrong_axes(self) -> tuple[int, ...]:
        """The axes of Z, H, W with the wrong direction."""
        wrong = (self.upside_down, self.back_to_front, self.mirrored)
        return tuple(axis for axis in range(3) if wrong[axis])

    @property
    def mirrored(self) -> bool:
        """Whether the liver lies on the patient's left."""
        return self.liver_left_mm is not None and self.liver_left_mm > LIVER_MARGIN_MM

    @property
    def upside_down(self) -> bool:
        """Whether the lungs lie below the liver."""
        return self.lungs_above_mm is not None and self.lungs_above_mm < -LUNG_MARGIN_MM

    @property
    def back_to_front(self) -> bool:
        """Whether the spine lies in front."""
        return self.bone_in_front is not None and self.bone_in_front > MOST_BONE_IN_FRONT


def measure_anatomy(hu: _Voxels, labels: NDArray[np.uint8], *, voxel: Voxel) -> Anatomy:
    """Measure where organs lie.

    Args:
        hu: `(Z, H, W)` Hounsfield units.
        labels: `(Z, H, W)`; without a liver nothing is measured.
        voxel: The voxel of their grid.
    """
    step = [max(1, round(_GRID_MM / gap)) for gap in voxel.gaps_mm]
    thinned = tuple(slice(None, None, each) for each in step)
    hu, liver = hu[thinned], labels[thinned] >= LIVER
    gaps_mm = np.array(voxel.gaps_mm) * step
    body = _largest_piece(hu > TISSUE_HU)
    if not liver.any() or body is None:
        return Anatomy(None, None, None)
    liver_z, _, liver_w = (float(index.mean()) for index in liver.nonzero())
    beside = np.flatnonzero(liver.any((1, 2)))
    body, hu_beside = body[beside], hu[beside]
    if not body.any():
        return Anatomy(None, None, None)
    middle_w = float(np.median(body.nonzero()[2]))
    voxel_ml = voxel.volume_ml * math.prod(step)
    lungs_z = _lungs_z(hu, voxel_ml=voxel_ml)
    return Anatomy(
        liver_left_mm=float((liver_w - middle_w) * gaps_mm[2]),
        lungs_above_mm=None if lungs_z is None else float((lungs_z - liver_z) * gaps_mm[0]),
        bone_in_front=_bone_in_front(
            hu_beside, body, middle_w=middle_w, reach=SPINE_HALF_WIDTH_MM / gaps_mm[2], voxel_ml=voxel_ml
        ),
    )


def _largest_piece(mask: _Mask) -> _Mask | None:
    pieces, count = ndimage.label(mask)
    if not count:
        return None
    largest: _Mask = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    return largest


def _lungs_z(hu: _Voxels, *, voxel_ml: float) -> float | None:
    """Mean slice of the lungs: pieces of air that do not reach the sides of the scan and are not pure gas."""
    pieces, count = ndimage.label(hu < AIR_HU_BELOW)
    outside = {*np.unique(pieces[:, [0, -1]]), *np.unique(pieces[:, :, [0, -1]])}
    inside = [piece for piece in range(1, count + 1) if piece not in outside]
    if not inside:
        return None
    medians = ndimage.median(hu, pieces, inside)
    lungs = np.isin(pieces, [piece for piece, hu in zip(inside, medians, strict=True) if hu >= GAS_HU_BELOW])
    if lungs.sum() * voxel_ml < LEAST_LUNG_ML:
        return None
    return float(lungs.nonzero()[0].mean())


def _bone_in_front(
    hu: _Voxels, body: _Mask, *, middle_w: float, reach: float, voxel_ml: float
) -> float | None:
    """Share of the bone near the body's middle that lies before the middle of its rows."""
    band = slice(max(0, round(middle_w - reach)), round(middle_w + reach) + 1)
    rows = np.flatnonzero(body[..., band].any((0, 2)))
    bone_h = (body[..., band] & (hu[..., band] > BONE_HU)).nonzero()[1]
    if not rows.size or len(bone_h) * voxel_ml < LEAST_SPINE_ML:
        return None
    return float((bone_h < (rows[0] + rows[-1]) / 2).mean())
