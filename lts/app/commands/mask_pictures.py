"""A picture of each mask that was predicted or scored, and all of them on one sheet."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lts.base import counted
from lts.volume import Volume

FOLDER = "overlays"
_MOST_ON_A_SHEET = 100
_WINDOW_HU = (70.0, 400.0)  # -130 to 270 HU: liver stays gray with and without a contrast medium


def picture_file(case: str) -> str:
    """Name of the picture of a case."""
    return f"{FOLDER}/{case}.png"


def write_picture(
    path: Path, case: str, scan: Volume, labels: NDArray[np.uint8], *, regions: Sequence[str], is_ct: bool
) -> None:
    """Draw the slice of a scan that has most of the tumor, or of the liver where there is none.

    Args:
        path: Where to write it.
        case: What the scan is called.
        scan: The scan.
        labels: Its mask, `(Z, H, W)`.
        regions: Those of the model.
        is_ct: Whether its values are Hounsfield units.

    Raises:
        StorageError: It cannot be written.
    """
    # Drawing takes as long to import as all else here, and is rarely asked for.
    from lts.figures import mask_picture, save_png

    picture = mask_picture(
        scan.voxels,
        labels,
        regions=regions,
        spacing_mm=scan.geometry.spacing_mm[1:],
        window_hu=_WINDOW_HU if is_ct else None,
        title=case,
    )
    save_png(path, picture)


def write_contact_sheet(folder: Path, pictures: Sequence[Path], *, what: str = "mask") -> str | None:
    """Write `overlays.png` of some pictures, the first hundred of them.

    Args:
        folder: The output folder.
        pictures: PNG files; those that are no longer there are left out.
        what: What one of them shows.

    Returns:
        A line that tells of it; None, and nothing written, where no picture is there.

    Raises:
        StorageError: It cannot be written.
    """
    there = [path for path in pictures if path.exists()]
    if not there:
        return None
    # As above, it takes long.
    from lts.figures import contact_sheet, save_png
    from lts.figures.canvas import read_png

    shown, sheet = there[:_MOST_ON_A_SHEET], folder / f"{FOLDER}.png"
    save_png(sheet, contact_sheet([read_png(one) for one in shown]))
    of_all = f"{len(shown)} of " if there[len(shown) :] else ""
    return f"{sheet} shows {of_all}{counted(len(there), what)}"
