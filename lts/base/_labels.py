"""Labels, regions, axes and other facts that all packages share."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from lts.base._errors import ConfigError

BACKGROUND, LIVER, TUMOR = 0, 1, 2
LABELS = (BACKGROUND, LIVER, TUMOR)

IGNORED = 255
"""In labels of stored slices, a pixel on which the reference says nothing; elsewhere such are masks apart."""

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


MaskValue = int | str
"""A number in a mask, or the name of a file in a folder of masks of single organs."""


@dataclass(frozen=True, kw_only=True)
class MaskLabels:
    """What in a mask is liver, tumor and unknown, where these are not 1 and 2; all else is background.

    Attributes:
        liver: Numbers in the file of the mask, or names of files in the folder that it is; in those, all that
            is not 0 is liver.
        tumor: The same of tumors, which win where both are.
        ignore: The same of what nobody labelled, so that it is neither learned from nor scored; it wins over
            both.

    Raises:
        ConfigError: Neither liver nor tumor is named, a number is 0 or named twice, or numbers and names are
            mixed.

    Example:
        >>> MaskLabels(liver=(5,), tumor=(26, 27)).are_files
        False
        >>> MaskLabels(liver=("liver.nii.gz",)).are_files
        True
    """

    liver: tuple[MaskValue, ...] = ()
    tumor: tuple[MaskValue, ...] = ()
    ignore: tuple[MaskValue, ...] = ()

    def __post_init__(self) -> None:
        named = self._all
        if not (self.liver or self.tumor):
            raise ConfigError("labels: must name what is liver or tumor, got neither")
        if len({isinstance(value, str) for value in named}) > 1:
            raise ConfigError(f"labels: must be all numbers or all names of files, got {list(named)}")
        if len(set(named)) < len(named):
            raise ConfigError(f"labels: must name each once, got {list(named)}")
        if BACKGROUND in named:
            raise ConfigError(f"labels: {BACKGROUND} is background and must not be named, got {list(named)}")
        if any(isinstance(value, str) and (not value or "/" in value or "\\" in value) for value in named):
            raise ConfigError(f"labels: must be names of files without folders, got {list(named)}")

    @property
    def are_files(self) -> bool:
        """Whether masks are folders of files."""
        return isinstance(self._all[0], str)

    def files_in(self, mask: Path) -> tuple[Path, ...]:
        """The files that a mask is read from: itself, or those named in the folder that it is."""
        if not self.are_files:
            return (mask,)
        return tuple(mask / str(name) for name in self._all)

    def by_label(self) -> dict[int, tuple[MaskValue, ...]]:
        """What is each label, `IGNORED` among them, in the order in which they win, the last over all."""
        return {LIVER: self.liver, TUMOR: self.tumor, IGNORED: self.ignore}

    def to_dict(self) -> dict[str, Any]:
        """As plain types; `ignore` only where it names something."""
        values = {name: list(named) for name, named in asdict(self).items()}
        return {name: named for name, named in values.items() if named or name != "ignore"}

    @property
    def _all(self) -> tuple[MaskValue, ...]:
        return (*self.liver, *self.tumor, *self.ignore)


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
