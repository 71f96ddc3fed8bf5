"""What every floor shares: labels, regions, axes, errors, and how a file is written whole or not at all."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

from lts.base._processors import processors_of_affinity as processors_of_affinity
from lts.base._processors import usable_processors as usable_processors

BACKGROUND, LIVER, TUMOR = 0, 1, 2
LABELS = (BACKGROUND, LIVER, TUMOR)

REGION_MIN_LABEL = {"liver": LIVER, "tumor": TUMOR}
"""A region is every voxel whose label is at least this: the liver holds its tumors."""

Modality = Literal["ct", "mr"]
"""What made a scan: CT in Hounsfield units, or MR on its own scale."""

AIR_HU = -1024
"""The lowest Hounsfield value kept; padding outside the field of view is lifted to it."""

HU_BINS = 4096
"""Voxels are counted at AIR_HU, AIR_HU + 1, ...; what lies beyond the last of these bins counts in it."""

MASK_THRESHOLD = 0.5
"""A voxel belongs to a region where its probability exceeds this."""

DESCRIPTION_KEY = "lts"
"""Where a checkpoint keeps what it says of itself."""

CANONICAL_AXES = ("S", "P", "L")
"""Where the axes (Z, H, W) of a volume in memory point: to the head, to the back, to the patient's left."""


class LtsError(Exception):
    """The user's input was wrong: one line that names the file or key, the rule and the value."""


class ConfigError(LtsError, ValueError):
    """A setting breaks its rule."""


class VolumeError(LtsError, ValueError):
    """A scan or mask cannot be read, or breaks a rule of geometry or labels.

    Args:
        message: One line.
        code: What kind of defect it is, for who sorts defects; "" for those that nobody tells apart.
    """

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class CohortError(LtsError, ValueError):
    """A folder of cases, or a split of them, breaks a rule."""


class CheckpointError(LtsError, ValueError):
    """A checkpoint cannot be used."""


class StorageError(LtsError, OSError):
    """A file cannot be written: the disk is full, or the folder may not be written to."""


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that gets its name when all of it is on the disk; until then what was there stays.

    Raises:
        StorageError: It cannot be written; nothing is left of it.
    """
    aside = path.with_name(f"{path.name}.part")
    try:
        with aside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # the name must not reach the disk before the content
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise storage_error(path, error) from error


def storage_error(path: Path, error: OSError) -> StorageError:
    """The one line that says which file could not be written, and why."""
    return StorageError(f"{path}: cannot be written: {error.strerror or error}")


def check_regions(regions: Sequence[str]) -> tuple[str, ...]:
    """Return `regions` as a tuple in channel order.

    Raises:
        ConfigError: No region, an unknown one, or one named twice.
    """
    known = tuple(REGION_MIN_LABEL)
    if not regions or len(set(regions)) != len(regions) or not set(regions) <= set(known):
        raise ConfigError(
            f"data.regions: must name one or more of {list(known)}, each once, got {list(regions)}"
        )
    return tuple(region for region in known if region in regions)


def region_min_labels(regions: Iterable[str]) -> list[int]:
    """The smallest label of each region, in the order given."""
    return [REGION_MIN_LABEL[region] for region in regions]
