"""A folder of phantom scans in the layout of LiTS."""

import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
from filelock import FileLock
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform

from lts.base import (
    CANONICAL_AXES,
    CohortError,
    ConfigError,
    Progress,
    in_processes,
    read_json_object,
    shown,
    write_json,
)
from lts.phantom.scan import SMALLEST_MATRIX, PhantomScan, make_phantom
from lts.volume import MASK_SUFFIX, Geometry, scan_stem, write_mask, write_volume

GENERATOR_VERSION = 1
"""Counts up with every change to what a seed makes."""


def make_phantom_cohort(
    root: str | os.PathLike[str],
    *,
    cases: int = 40,
    matrix: int = 128,
    seed: int = 0,
    progress: Progress = lambda _done, _cases: None,
) -> Path:
    """Fill a folder with phantom scans `volume-N.nii.gz` and masks `segmentation-N.nii.gz`, N from 0.

    Case N is the same however many cases there are. Every file appears whole or not at all. `phantom.json`,
    written last, holds the settings and the facts of each case. A folder with it and all its files is left as
    it is, and a build that was interrupted goes on where it stopped. Processes that want the same folder
    wait for each other.

    Args:
        root: The folder, made where it is missing.
        cases: Number of cases, at least 1.
        matrix: Rows and columns of a slice, at least 32.
        seed: At least 0.
        progress: Told (cases done, cases) at the start of a build and after each case.

    Returns:
        `root`.

    Raises:
        ConfigError: A setting breaks its rule.
        CohortError: The folder holds phantom scans of other settings, or other scans, or cannot be made.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     root = make_phantom_cohort(folder, cases=1, matrix=32)
        ...     sorted(path.name for path in root.glob("*.nii.gz"))
        ['segmentation-0.nii.gz', 'volume-0.nii.gz']
    """
    for key, value, least in (("cases", cases, 1), ("matrix", matrix, SMALLEST_MATRIX), ("seed", seed, 0)):
        if value < least:
            raise ConfigError(f"{key}: must be at least {least}, got {value}")
    settings = {"generator_version": GENERATOR_VERSION, "cases": cases, "matrix": matrix, "seed": seed}
    build = _Build(Path(root), settings)
    if not build.is_complete():
        try:
            build.notes.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CohortError(f"{root}: cannot be made a folder: {error.strerror}") from error
        with FileLock(build.notes / "lock"):
            if not build.is_complete():
                build.run(progress)
    return build.root


class _Build:
    """One folder and the settings it is built with; notes in a hidden folder say how far a build came."""

    def __init__(self, root: Path, settings: dict[str, int]) -> None:
        self.root = root
        self.settings = settings
        self.notes = root / ".phantom"
        self.summary = root / "phantom.json"

    def is_complete(self) -> bool:
        """Whether all files are there.

        Raises:
            CohortError: The folder holds something else.
        """
        begun = self.notes / "settings.json"
        if self.summary.exists():
            self._check_settings(read_json_object(self.summary).get("settings"))
            return all(path.exists() for case in range(self.settings["cases"]) for path in self._files(case))
        if begun.exists():
            self._check_settings(read_json_object(begun))
        elif any(_is_of_lits(path) for path in self.root.glob("*-*")):
            raise CohortError(f"{self.root}: holds scans that are not phantoms of lts; name another folder")
        return False

    def _check_settings(self, found: object) -> None:
        if found != self.settings:
            raise CohortError(
                f"{self.root}: holds phantom scans made with {shown(found)}, asked for {self.settings}; "
                "name another folder, or delete this one"
            )

    def _files(self, case: int) -> tuple[Path, Path]:
        return self.root / f"volume-{case}{MASK_SUFFIX}", self.root / f"segmentation-{case}{MASK_SUFFIX}"

    def _facts(self, case: int) -> Path:
        return self.notes / f"case-{case}.json"

    def _is_made(self, case: int) -> bool:
        return all(path.exists() for path in (*self._files(case), self._facts(case)))

    def run(self, progress: Progress) -> None:
        """Make what is missing, then the summary."""
        cases = range(self.settings["cases"])
        write_json(self.notes / "settings.json", self.settings, indent=1)
        missing = [case for case in cases if not self._is_made(case)]
        done = len(cases) - len(missing)
        progress(done, len(cases))
        for _ in in_processes(self.make, missing):
            done += 1
            progress(done, len(cases))
        facts = [read_json_object(self._facts(case)) for case in cases]
        write_json(self.summary, {"settings": self.settings, "cases": facts}, indent=1)

    def make(self, case: int) -> None:
        """Make one case; its facts, written last, say that it is done."""
        seed = np.random.SeedSequence(self.settings["seed"], spawn_key=(case,))
        scan = make_phantom(seed=seed, matrix=self.settings["matrix"])
        volume, segmentation = self._files(case)
        _write_scan(scan, volume=volume, segmentation=segmentation)
        facts = {
            "volume": volume.name,
            "segmentation": segmentation.name,
            "disk_axes": scan.disk_axes,
            "spacing_mm": scan.spacing_mm,
            "tumors": [asdict(tumor) for tumor in scan.tumors],
        }
        write_json(self._facts(case), facts, indent=1)


def _is_of_lits(path: Path) -> bool:
    return (scan_stem(path) or "").startswith(("volume-", "segmentation-"))


def _write_scan(scan: PhantomScan, *, volume: Path, segmentation: Path) -> None:
    """Write image and mask in the scan's axis order, the middle of the array at the world's origin."""
    to_disk = ornt_transform(axcodes2ornt(CANONICAL_AXES), axcodes2ornt(scan.disk_axes))
    depth_mm, row_mm, column_mm = scan.spacing_mm
    affine = np.eye(4)
    affine[:3, :3] = [[0, 0, -column_mm], [0, -row_mm, 0], [depth_mm, 0, 0]]
    affine[:3, 3] = affine[:3, :3] @ (-(np.array(scan.hu.shape) - 1) / 2)
    affine = affine @ inv_ornt_aff(to_disk, scan.hu.shape)
    voxels = apply_orientation(scan.hu, to_disk)
    write_volume(volume, voxels, affine=affine)
    write_mask(segmentation, scan.labels, geometry=Geometry.from_affine(affine, shape=voxels.shape))
