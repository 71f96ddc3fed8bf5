"""What settings are fitted to: spacing, field of view, and extent and HU of the liver, case by case."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from lts.base import (
    HU_BINS,
    LIVER,
    REGION_MIN_LABEL,
    LtsError,
    Modality,
    Progress,
    StorageError,
    VolumeError,
    in_processes,
    read_json_object,
    storage_error,
    write_json,
)
from lts.cohort import Case
from lts.components import bounding_box
from lts.slices.histogram import count_hu
from lts.slices.store import SourceFile, case_folder, look_unchanged
from lts.volume import read_geometry, read_image, read_mask

FINGERPRINT_FORMAT = 1


@dataclass(frozen=True)
class CaseFingerprint:
    """What is measured of a case on the grid of its scan.

    Attributes:
        case: Case id.
        image: What the scan was read from.
        mask: What the mask was read from, None without one.
        shape_hw: Pixels of a slice.
        spacing_hw_mm: Distance between them.
        liver_hw_mm: Height and width of the box around the liver of all slices, its tumors included; None
            where the mask holds no liver.
        liver_reach_mm: How far this box reaches from the middle of the slices, on the side where it reaches
            farthest; None likewise.
        hu_counts: Voxels of the scan at each Hounsfield value, see `lts.base.HU_BINS`; empty for MR.
        region_hu_counts: Likewise those within each region, by its name; empty for MR.

    Example:
        See `fingerprint_cases`.

        >>> sorted(name for name in CaseFingerprint.__dataclass_fields__ if name.endswith("_mm"))
        ['liver_hw_mm', 'liver_reach_mm', 'spacing_hw_mm']
    """

    case: str
    image: SourceFile
    mask: SourceFile | None
    shape_hw: tuple[int, int]
    spacing_hw_mm: tuple[float, float]
    liver_hw_mm: tuple[float, float] | None
    liver_reach_mm: float | None
    hu_counts: Sequence[int]
    region_hu_counts: Mapping[str, Sequence[int]]

    @property
    def spacing_mm(self) -> float:
        """In plane, the mean of both axes."""
        return sum(self.spacing_hw_mm) / 2

    @property
    def field_of_view_mm(self) -> float:
        """The longer side of a slice."""
        return max(n * step for n, step in zip(self.shape_hw, self.spacing_hw_mm, strict=True))

    def save(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            StorageError: It cannot be written.
        """
        write_json(path, asdict(self), indent=None)

    @classmethod
    def load(cls, path: Path) -> "CaseFingerprint | None":
        """What is in a file; None where there is none or it is damaged, to be measured anew."""
        try:
            facts = read_json_object(path)
            mask, liver_hw_mm = facts.pop("mask"), facts.pop("liver_hw_mm")
            found = cls(
                image=SourceFile(**facts.pop("image")),
                mask=SourceFile(**mask) if mask else None,
                shape_hw=_pair(facts.pop("shape_hw")),
                spacing_hw_mm=_pair(facts.pop("spacing_hw_mm")),
                liver_hw_mm=_pair(liver_hw_mm) if liver_hw_mm else None,
                **facts,
            )
            whole = found._is_whole()
        except (LtsError, AttributeError, KeyError, TypeError, ValueError):
            return None  # what is valid JSON may still be of other types
        return found if whole else None

    def _is_whole(self) -> bool:
        """Whether the measures are lengths, and the counts are one for each Hounsfield value or none."""
        lengths = [*self.shape_hw, *self.spacing_hw_mm, *(self.liver_hw_mm or ())]
        reach = () if self.liver_reach_mm is None else (self.liver_reach_mm,)
        regions = list(REGION_MIN_LABEL) if self.hu_counts else []
        return (
            all(math.isfinite(length) and length > 0 for length in (*lengths, *reach))
            and list(self.region_hu_counts) == regions
            and all(
                len(counts) == HU_BINS and all(isinstance(count, int) for count in counts)
                for counts in ((self.hu_counts, *self.region_hu_counts.values()) if self.hu_counts else ())
            )
        )


def _pair(values: Sequence[Any]) -> tuple[Any, Any]:
    first, second = values
    return first, second


def fingerprint_cases(
    cases: Sequence[Case],
    *,
    modality: Modality = "ct",
    store_dir: str | Path,
    progress: Progress = lambda _done, _total: None,
) -> tuple[CaseFingerprint, ...]:
    """Measure cases, each once: what was measured is kept beside the stores, and holds for all recipes.

    Args:
        cases: The cases; of one without a mask, its liver is not known.
        modality: Of MR no voxel of the scan is read, only its header and the mask.
        store_dir: Folder of all stores.
        progress: Told after each case that had to be read.

    Returns:
        What was measured, in the order of `cases`.

    Raises:
        VolumeError: Files cannot be read.
        StorageError: The folder cannot be written to.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from lts.cohort import find_cases
        >>> from lts.phantom import make_phantom_cohort
        >>> with TemporaryDirectory() as folder:
        ...     cases = find_cases(make_phantom_cohort(folder, cases=1, matrix=32), layout="lits").cases
        ...     (found,) = fingerprint_cases(cases, store_dir=Path(folder, "store"))
        >>> found.shape_hw, found.field_of_view_mm == 32 * found.spacing_mm, sum(found.hu_counts)
        ((32, 32), True, 86016)
    """
    folder = Path(store_dir) / f"fingerprints-{modality}-{FINGERPRINT_FORMAT}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from error
    found = {case.id: _find_unchanged(case, _file_of(case, folder)) for case in cases}
    missing = [case for case in cases if found[case.id] is None]
    problems: list[str] = []
    work = partial(_measure_or_error, modality=modality, folder=folder)
    for done, (case, result) in enumerate(in_processes(work, missing), start=1):
        if isinstance(result, CaseFingerprint):
            found[case.id] = result
        elif isinstance(result, StorageError):  # the next case would meet the same disk
            raise result
        else:
            problems.append(str(result))
        progress(done, len(missing))
    if problems:
        raise VolumeError("; ".join(sorted(problems)))
    return tuple(known for case in cases if (known := found[case.id]))


def region_hu_counts_of(cases: Sequence[CaseFingerprint]) -> dict[str, NDArray[np.int64]]:
    """Voxels of several cases within each region at each Hounsfield value, `(HU_BINS,)` int64.

    Example:
        >>> list(region_hu_counts_of([]))
        ['liver', 'tumor']
    """
    return {
        region: np.array([case.region_hu_counts[region] for case in cases], np.int64)
        .reshape(-1, HU_BINS)
        .sum(axis=0)
        for region in REGION_MIN_LABEL
    }


def _file_of(case: Case, folder: Path) -> Path:
    return folder / f"{case_folder(case, store=folder).name}.json"


def _find_unchanged(case: Case, path: Path) -> CaseFingerprint | None:
    found = CaseFingerprint.load(path)
    return found if found and look_unchanged(case, image=found.image, mask=found.mask) else None


def _measure_or_error(
    case: Case, *, modality: Modality, folder: Path
) -> tuple[Case, CaseFingerprint | LtsError]:
    path = _file_of(case, folder)
    try:
        with FileLock(f"{path}.lock"):  # a process that trains beside this one wants the same
            found = _find_unchanged(case, path)
            if found is None:
                found = _measure(case, modality=modality)
                found.save(path)
    except LtsError as error:
        return case, error
    except OSError as error:
        return case, storage_error(path, error)
    return case, found


def _measure(case: Case, *, modality: Modality) -> CaseFingerprint:
    hu = None
    if modality == "ct":
        scan = read_image(case.image, modality=modality)
        geometry, hu = scan.geometry, scan.voxels
    else:
        geometry = read_geometry(case.image)
    _, height, width = geometry.canonical_shape
    spacing_hw_mm = geometry.spacing_mm[1:]
    labels = np.zeros((1, height, width), np.uint8)
    if case.mask:
        labels = read_mask(case.mask, image=geometry, labels=case.labels).voxels
    liver_hw_mm, liver_reach_mm = _box_mm(np.asarray((labels >= LIVER).any(0)), spacing_hw_mm)
    hu_counts: list[int] = []
    region_hu_counts: dict[str, list[int]] = {}
    if hu is not None:
        hu_counts = count_hu(hu).tolist()
        for region, label in REGION_MIN_LABEL.items():
            within = hu[labels >= label] if case.mask else hu[:0]
            region_hu_counts[region] = count_hu(within).tolist()
    return CaseFingerprint(
        case=case.id,
        image=SourceFile.of(case.image),
        mask=SourceFile.of_mask(case),
        shape_hw=(height, width),
        spacing_hw_mm=spacing_hw_mm,
        liver_hw_mm=liver_hw_mm,
        liver_reach_mm=liver_reach_mm,
        hu_counts=hu_counts,
        region_hu_counts=region_hu_counts,
    )


def _box_mm(
    region_hw: NDArray[np.bool_], spacing_hw_mm: tuple[float, float]
) -> tuple[tuple[float, float], float] | tuple[None, None]:
    """Height and width of the box around a region, and how far it reaches from the middle of the slice."""
    box = bounding_box(region_hw[None])
    if box is None:
        return None, None
    sides_mm, reaches_mm = [], []
    for side, length, step_mm in zip(box[1:], region_hw.shape, spacing_hw_mm, strict=True):
        sides_mm.append((side.stop - side.start) * step_mm)
        reaches_mm.append(max(length / 2 - side.start, side.stop - length / 2) * step_mm)
    return (sides_mm[0], sides_mm[1]), max(reaches_mm)
