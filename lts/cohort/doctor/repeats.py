"""Finds scans that show a part of the body twice, as when phases were joined into one file."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform

from lts.cohort.doctor.findings import Finding, found
from lts.volume import Voxel

ALIKE_MM = 20.0
"""Content repeats where slices far apart are more alike, in the mean over the scan, than slices this near.
Slices 5 mm apart differ by a third as much, which leaves room for breath and movement between phases."""

LEAST_REPEAT_MM = 80.0
"""Of a part that is shown twice, and of what its copy shows of it: less holds too few slices to tell."""

LEAST_DIP = 0.7
"""As alike, at most this share of the difference that slices less far apart reach: along one body differences
grow with distance and do not fall again, and along a phantom of one shape they stay small."""

TISSUE_HU = -300
"""Between lung and fat; slices with less than 2 % of it are air and like each other."""

CLIPPED_HU = (-500, -20)
"""What is compared: gas, lung, fat and the rest. Within the rest phases of contrast differ."""

_LEAST_TISSUE = 0.02
_GRID_MM = (2.5, 12.0, 12.0)


def judge_repeats(case: str | None, hu: NDArray[np.int16], *, voxel: Voxel) -> list[Finding]:
    """Report a scan whose content repeats from some slice on.

    Args:
        case: Id of the case.
        hu: `(Z, H, W)` Hounsfield units.
        voxel: Its voxel.
    """
    apart_mm = repeat_mm(hu, voxel=voxel)
    if apart_mm is None:
        return []
    message = (
        f"slices {apart_mm:.0f} mm apart are more alike than slices {ALIKE_MM:g} mm apart: "
        "a part of the body is shown twice, as where two phases are joined"
    )
    return [found("content-repeats", case, message)]


def repeat_mm(hu: NDArray[np.int16], *, voxel: Voxel) -> float | None:
    """Distance between two images of the same part of the body; None without repetition.

    Args:
        hu: `(Z, H, W)` Hounsfield units.
        voxel: Its voxel.
    """
    step = [max(1, round(grid / gap)) for grid, gap in zip(_GRID_MM, voxel.gaps_mm, strict=True)]
    thin, gap_mm = hu[:: step[0], :: step[1], :: step[2]], step[0] * voxel.gaps_mm[0]
    thin = thin[(thin > TISSUE_HU).mean((1, 2)) >= _LEAST_TISSUE]
    lags = np.arange(1, len(thin) - round(LEAST_REPEAT_MM / gap_mm) + 1)
    if not len(lags) or lags[-1] * gap_mm < LEAST_REPEAT_MM:
        return None
    slices = thin.clip(*CLIPPED_HU).reshape(len(thin), -1).astype(np.float32)
    between = squareform(pdist(slices, "cityblock"))
    # of all pairs of slices so many steps apart
    differences = np.array([np.diagonal(between, lag).mean() for lag in lags])
    far = np.flatnonzero(lags * gap_mm >= LEAST_REPEAT_MM)
    best = int(far[differences[far].argmin()])
    near = float(np.interp(ALIKE_MM, lags * gap_mm, differences))
    if differences[best] < near and differences[best] <= LEAST_DIP * differences[:best].max():
        return float(lags[best] * gap_mm)
    return None
