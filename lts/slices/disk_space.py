"""How much disk a store takes, told from the headers of the scans."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lts.base import StorageError, VolumeError
from lts.cohort import Case
from lts.slices.arrays import IMAGE_TYPE, LABELS_TYPE
from lts.slices.recipe import Recipe
from lts.volume import read_geometry


def bytes_to_store(cases: Sequence[Case], recipe: Recipe) -> int:
    """Bytes that the arrays of cases take in a store; at most, where a focus stores some slices of each.

    A scan whose header cannot be read counts nothing: it will be told of when it is read.
    """
    total = 0
    for case in cases:
        pixel_bytes = IMAGE_TYPE.itemsize + (LABELS_TYPE.itemsize if case.mask else 0)
        with suppress(VolumeError):
            total += read_geometry(case.image).canonical_shape[0] * recipe.image_size**2 * pixel_bytes
    return total


def check_disk_space(cases: Sequence[Case], recipe: Recipe, *, store: Path) -> None:
    """Check that cases will fit into a store before the first of them is built.

    Raises:
        StorageError: They will not.
    """
    needed, free = bytes_to_store(cases, recipe), shutil.disk_usage(store).free
    if needed > free:
        raise StorageError(
            f"{store}: the slices of {len(cases)} cases need {needed} bytes of disk, {free} are free; "
            "choose a folder on another disk for the store, or a smaller image_size"
        )
