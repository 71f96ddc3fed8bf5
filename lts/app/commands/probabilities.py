"""The probabilities of a scan as files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lts.inference import SlabProbs
from lts.volume import PROBABILITY_STEPS, Volume, write_probabilities


class ProbabilityVolumes:
    """Probabilities of whole scans, 2 bytes per voxel and region; nothing without regions.

    Args:
        regions: Regions in channel order.
        scan: The scan.
        suffix: How the names of files end.
    """

    def __init__(self, regions: Sequence[str], scan: Volume, *, suffix: str) -> None:
        self._steps = {region: np.empty(scan.voxels.shape, np.uint16) for region in regions}
        self._geometry, self._suffix = scan.geometry, suffix

    def add(self, slab: SlabProbs) -> None:
        """Keep those of some slices."""
        for channel, steps in enumerate(self._steps.values()):
            steps[slab.slices] = (slab.probs[:, channel] * PROBABILITY_STEPS).round().numpy()

    def write(self, folder: Path, case: str) -> dict[str, dict[str, str]]:
        """Write a file a region and return their names."""
        names = probability_files(case, tuple(self._steps), suffix=self._suffix)
        for region, steps in self._steps.items():
            (folder / names[region]).parent.mkdir(exist_ok=True)
            write_probabilities(folder / names[region], steps, geometry=self._geometry)
        return {"probabilities": names} if names else {}


def probability_files(case: str, regions: Sequence[str], *, suffix: str) -> dict[str, str]:
    """Names of the files of a case, by region."""
    # in their own folder, as scoring takes every volume of a folder for a mask
    return {region: f"probabilities/{case}_{region}{suffix}" for region in regions}
