"""How a lesion looks in its scan, and what that makes a likely cause of a miss or a false alarm."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from lts.components import Component, bounding_box
from lts.scores.surfaces import surface_voxels
from lts.volume import Voxel

LOW_CONTRAST, SMALL, OUTSIDE, OTHER = "low contrast", "small", "outside liver", "other"
VESSEL, BRIGHT = "vessel-like", "bright texture"

SMALL_MM = 10.0
"""Lesions below this are small in the literature, and all methods find few of them."""

LOW_CONTRAST_HU = 20.0
"""All published methods fail most below this contrast of tumor and liver."""

# Most of it: a lesion that crosses the liver's edge with its rim is still one of the liver.
_OUTSIDE_SHARE = 0.5
# Tumors are rounder; much more than twice as long as wide is a tube.
_VESSEL_ELONGATION = 2.5
# More than noise does to the mean of ten voxels. Thin vessels lose most enhancement to partial volume.
_VESSEL_HU = 10.0
# Most liver tumors are darker than the liver: so much brighter is an enhancing or calcified texture.
_BRIGHT_HU = 15.0
# Chance alone hardly ever doubles the standard deviation of even five voxels.
_TEXTURE_RATIO = 2.0

# Liver this near to a lesion shares voxels with it; farther than this, contrast fills differ.
_RING_MM = (2.0, 10.0)
# Fewer voxels give no median to measure a contrast of 20 HU against, at the noise of a CT.
_MIN_RING_VOXELS = 50

_Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Appearance:
    """What is measured of one lesion.

    Attributes:
        diameter_mm: Of the sphere of equal volume.
        slice: The axial slice with most of it, counted from 1 at the feet; the lowest of several.
        row: Of its middle in that slice, counted from 1 at the front.
        column: Of its middle there, counted from 1 at the patient's right.
        mean_hu: Mean in the lesion; None without a scan.
        texture_hu: Standard deviation in the lesion; None without a scan.
        contrast_hu: Mean minus median of the liver around it: voxels of the reference liver that are tumor
            neither in the reference nor in the prediction, 2 to 10 mm from the lesion. None without a scan or
            a liver, or with fewer than 50 such voxels.
        liver_texture_hu: Standard deviation of that liver; None as `contrast_hu`.
        edge_mm: Smallest distance between voxels of the lesion and of the liver's surface: 0 where the lesion
            reaches it, negative where the lesion lies wholly outside the liver. None without a liver, or with
            an empty one.
        outside_share: Share of the lesion's voxels outside the reference liver; None without a liver.
        elongation: Ratio of the two longest of its three principal axes, >= 1. A voxel counts as a cube of
            the coarsest spacing, so that a speck does not look long for its thick slice.
    """

    diameter_mm: float
    slice: int
    row: int
    column: int
    mean_hu: float | None
    texture_hu: float | None
    contrast_hu: float | None
    liver_texture_hu: float | None
    edge_mm: float | None
    outside_share: float | None
    elongation: float


class Surroundings:
    """Measures lesions of one case, each in its own box with a margin.

    Args:
        scan: `(Z, H, W)` Hounsfield units, or None.
        liver: `(Z, H, W)` bool, the reference liver with its tumors, or None.
        tumor: `(Z, H, W)` bool, all voxels that are tumor in the reference or the prediction.
        voxel: The voxel of their grid.

    Raises:
        ValueError: `scan` or `liver` is not as large as `tumor`, or `liver` is not bool.
    """

    def __init__(
        self,
        *,
        scan: NDArray[np.generic] | None,
        liver: _Mask | None,
        tumor: _Mask,
        voxel: Voxel,
    ) -> None:
        for name, volume in (("scan", scan), ("liver", liver)):
            if volume is not None and volume.shape != tumor.shape:
                raise ValueError(f"{name}: must be {tumor.shape} like the masks, got {volume.shape}")
        if liver is not None and liver.dtype != np.bool_:
            raise ValueError(f"liver: must be bool, got {liver.dtype}")
        self._scan, self._liver = scan, liver
        self._healthy = None if liver is None else liver & ~tumor
        self._liver_box = None if liver is None else bounding_box(liver)
        self._voxel = voxel

    def measure_appearance(self, lesion: Component, labels: NDArray[np.integer]) -> Appearance:
        """Measure one lesion.

        Args:
            lesion: The lesion.
            labels: `(Z, H, W)`, where its voxels have its label.
        """
        mask = labels[lesion.box] == lesion.label
        mean_hu, texture_hu = None, None
        if self._scan is not None:
            values = self._scan[lesion.box][mask].astype(np.float64)
            mean_hu, texture_hu = float(values.mean()), float(values.std())
        ring = self._ring(lesion, labels)
        contrast_hu = None if ring is None or mean_hu is None else mean_hu - float(np.median(ring))
        outside_share = self._outside_share(lesion.box, mask)
        largest = int(mask.sum(axis=(1, 2)).argmax())
        row, column = (round(float(along.mean())) for along in mask[largest].nonzero())
        z, y, x = (side.start + 1 for side in lesion.box)
        return Appearance(
            diameter_mm=lesion.diameter_mm,
            slice=z + largest,
            row=y + row,
            column=x + column,
            mean_hu=mean_hu,
            texture_hu=texture_hu,
            contrast_hu=contrast_hu,
            liver_texture_hu=None if ring is None else float(ring.std()),
            edge_mm=self._edge_mm(lesion.box, mask, outside_share),
            outside_share=outside_share,
            elongation=self._elongation(mask),
        )

    def _ring(self, lesion: Component, labels: NDArray[np.integer]) -> NDArray[np.float64] | None:
        """Hounsfield units of the liver around a lesion, None where there are too few."""
        if self._scan is None or self._healthy is None or self._liver_box is None:
            return None
        nearest_mm, farthest_mm = _RING_MM
        margins = [math.ceil(farthest_mm / gap_mm) for gap_mm in self._voxel.gaps_mm]
        # No voxel of the lesion outside these boxes comes near the liver.
        boxes = [
            [
                slice(max(side.start - margin, 0), side.stop + margin)
                for side, margin in zip(box, margins, strict=True)
            ]
            for box in (lesion.box, self._liver_box)
        ]
        wide = tuple(
            slice(max(one.start, other.start), min(one.stop, other.stop))
            for one, other in zip(*boxes, strict=True)
        )
        healthy, elsewhere = self._healthy[wide], labels[wide] != lesion.label
        if np.count_nonzero(healthy) < _MIN_RING_VOXELS or elsewhere.all():
            return None
        ring = self._far_from(~elsewhere, healthy, nearest_mm=nearest_mm, farthest_mm=farthest_mm)
        values = self._scan[wide][ring]
        return values.astype(np.float64) if len(values) >= _MIN_RING_VOXELS else None

    def _far_from(self, lesion: _Mask, liver: _Mask, *, nearest_mm: float, farthest_mm: float) -> _Mask:
        """Where liver lies so far from the nearest voxel of a lesion."""
        if not self._voxel.sheared:
            distance_mm = ndimage.distance_transform_edt(~lesion, sampling=self._voxel.spacing_mm)
            near_enough: _Mask = (distance_mm >= nearest_mm) & (distance_mm <= farthest_mm)
            return liver & near_enough
        # a distance transform knows right angles alone
        tree = KDTree(self._voxel.positions_mm(np.argwhere(lesion)))
        places = self._voxel.positions_mm(np.argwhere(liver))
        # beyond the bound the distance is infinite
        distances_mm, _ = tree.query(places, distance_upper_bound=farthest_mm * (1 + 1e-9))
        ring = liver.copy()
        ring[liver] = (distances_mm >= nearest_mm) & (distances_mm <= farthest_mm)
        return ring

    def _outside_share(self, box: tuple[slice, ...], mask: _Mask) -> float | None:
        if self._liver is None:
            return None
        return float((~self._liver[box][mask]).mean())

    def _edge_mm(self, box: tuple[slice, ...], mask: _Mask, outside_share: float | None) -> float | None:
        if outside_share is None or self._edge is None:
            return None
        if 0 < outside_share < 1:
            return 0.0
        # where edges stand at right angles, what is nearest to a voxel outside lies on the surface
        voxels = np.argwhere(mask) if self._voxel.sheared else surface_voxels(mask)
        points = self._voxel.positions_mm(voxels + [side.start for side in box])
        # What some voxels find bounds the search of the others, most of which then end at once.
        some_mm, _ = self._edge.query(points[:: 1 + len(points) // 100])
        bound_mm = float(some_mm.min())
        distances_mm, _ = self._edge.query(points, distance_upper_bound=bound_mm)
        nearest_mm = min(bound_mm, float(distances_mm.min()))
        return nearest_mm if outside_share == 0 else -nearest_mm

    @cached_property
    def _edge(self) -> KDTree | None:
        """Surface voxels of the liver in mm, None where there is no liver."""
        if self._liver is None or self._liver_box is None:
            return None
        return KDTree(self._voxel.positions_mm(surface_voxels(self._liver)))

    def _elongation(self, mask: _Mask) -> float:
        covariance = np.empty((3, 3))
        voxels = np.count_nonzero(mask)
        # By pairs of axes, because a list of all voxels of a large lesion takes a lot of memory.
        for i, j in ((0, 1), (0, 2), (1, 2)):
            counts = mask.sum(axis=3 - i - j)
            sides = []
            for axis, along in ((i, counts.sum(axis=1)), (j, counts.sum(axis=0))):
                position_mm = np.arange(len(along)) * self._voxel.spacing_mm[axis]
                centered_mm = position_mm - along @ position_mm / voxels
                covariance[axis, axis] = along @ centered_mm**2 / voxels
                sides.append(centered_mm)
            covariance[i, j] = covariance[j, i] = sides[0] @ counts @ sides[1] / voxels
        if self._voxel.sheared:  # a turn changes no variance, a shear does
            directions = self._voxel.directions
            covariance = directions @ covariance @ directions.T
        # The covariance of a body of cubes is that of their centers and that of one cube.
        variances = np.linalg.eigvalsh(covariance) + max(self._voxel.spacing_mm) ** 2 / 12
        return math.sqrt(variances[2] / variances[1])


def cause_of_miss(look: Appearance) -> str:
    """The first of `low contrast`, `small`, `outside liver`, `other` that applies.

    What is not known does not apply: without a contrast no lesion is low in it.
    """
    return _first(_CAUSES_OF_MISS, look)


def cause_of_false_alarm(look: Appearance) -> str:
    """The first of `outside liver`, `vessel-like`, `bright texture`, `small`, `low contrast`, `other`.

    Place goes before looks, and looks before size. Vessels that are not enhanced are darker than the liver,
    as tumors are, and cannot be told from them here.
    """
    return _first(_CAUSES_OF_FALSE_ALARM, look)


def _is_outside(look: Appearance) -> bool:
    return look.outside_share is not None and look.outside_share > _OUTSIDE_SHARE


def _is_vessel_like(look: Appearance) -> bool:
    brighter = look.contrast_hu is not None and look.contrast_hu > _VESSEL_HU
    return brighter and look.elongation > _VESSEL_ELONGATION


def _is_bright_texture(look: Appearance) -> bool:
    if look.contrast_hu is None or look.texture_hu is None or look.liver_texture_hu is None:
        return False
    return look.contrast_hu > _BRIGHT_HU or look.texture_hu > _TEXTURE_RATIO * look.liver_texture_hu


def _is_small(look: Appearance) -> bool:
    return look.diameter_mm < SMALL_MM


def _is_low_in_contrast(look: Appearance) -> bool:
    return look.contrast_hu is not None and abs(look.contrast_hu) < LOW_CONTRAST_HU


_Causes = tuple[tuple[str, Callable[[Appearance], bool]], ...]

_CAUSES_OF_MISS: _Causes = (
    (LOW_CONTRAST, _is_low_in_contrast),
    (SMALL, _is_small),
    (OUTSIDE, _is_outside),
)
_CAUSES_OF_FALSE_ALARM: _Causes = (
    (OUTSIDE, _is_outside),
    (VESSEL, _is_vessel_like),
    (BRIGHT, _is_bright_texture),
    (SMALL, _is_small),
    (LOW_CONTRAST, _is_low_in_contrast),
)


def _first(causes: _Causes, look: Appearance) -> str:
    return next((cause for cause, applies in causes if applies(look)), OTHER)
