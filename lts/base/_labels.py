"""Labels, regions, axes and other facts that all packages share."""

from collections.abc import Iterable, Sequence
from typing import Literal

from lts.base._errors import ConfigError

BACKGROUND, LIVER, TUMOR = 0, 1, 2
LABELS = (BACKGROUND, LIVER, TUMOR)

REGION_MIN_LABEL = {"liver": LIVER, "tumor": TUMOR}
"""A region is every voxel whose label is at least this: the liver holds its tumors."""

Modality = Literal["ct", "mr"]
"""What made a scan: CT in Hounsfield units, or MR on its own scale."""

AIR_HU = -1024
"""The lowest Hounsfield value kept; padding outside the field of view is lifted to it."""

HU_BINS = 4096
"""Bins of HU from AIR_HU up, one per HU; higher values count in the last bin."""

MASK_THRESHOLD = 0.5
"""A voxel belongs to a region if its probability exceeds this."""

DESCRIPTION_KEY = "lts"
"""Key of the description in a checkpoint."""

CANONICAL_AXES = ("S", "P", "L")
"""Directions of the axes (Z, H, W) of a volume in memory: to the head, the back, the patient's left."""


def check_regions(regions: Sequence[str]) -> tuple[str, ...]:
    """Return `regions` as a tuple in channel order.

    Raises:
        ConfigError: No region, an unknown one, or one named twice.
    """
    known = tuple(REGION_MIN_LABEL)
    if not regions or len(set(regions)) != len(regions) or not set(regions) <= set(known):
        raise ConfigError(f"regions: must name one or more of {list(known)}, each once, got {list(regions)}")
    return tuple(region for region in known if region in regions)


def region_min_labels(regions: Iterable[str]) -> list[int]:
    """The smallest label of each region, in the order given."""
    return [REGION_MIN_LABEL[region] for region in regions]
