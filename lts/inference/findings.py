"""Measurements of a mask: volumes, tumor burden, lesions."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray

from lts.base import LIVER, TUMOR, Modality, is_file
from lts.cohort.doctor import scan_warnings
from lts.components import Component, find_components
from lts.inference.checkpoint import Checkpoint
from lts.inference.diameters import longest_axial_mm
from lts.inference.locating import Located
from lts.slices import content_hash_of_all
from lts.volume import Geometry, Volume

_HIGHEST_AIR_HU = -500


@dataclass(frozen=True)
class FoundLesion:
    """A 26-connected piece of predicted tumor.

    Attributes:
        volume_ml: Its volume.
        diameter_mm: Diameter of the sphere of that volume.
        longest_axial_mm: The greatest distance between two points of it that lie in one axial slice.
        center_ras_mm: Its center of mass in the world of the scan: toward the patient's right-to-left (R),
            back-to-front (A) and foot-to-head (S), as NIfTI counts.
        center_voxel: The nearest voxel's index on disk, `(x, y, z)`.
        center_zhw: That center by slices from the feet, rows from the front, columns from the right.
        slice_from_feet: The nearest of those slices, from 0.

    Example:
        See `measure`.

        >>> FoundLesion(0.5, 9.8, 12.1, (10.0, -20.0, 30.0), (5, 6, 7), (7.2, 9.0, 5.0), 7).volume_ml
        0.5
    """

    volume_ml: float
    diameter_mm: float
    longest_axial_mm: float
    center_ras_mm: tuple[float, float, float]
    center_voxel: tuple[int, int, int]
    center_zhw: tuple[float, float, float]
    slice_from_feet: int


@dataclass(frozen=True)
class Findings:
    """Measurements of one mask; None if the model lacks the region.

    Attributes:
        liver_ml: Volume of the liver, its tumors included.
        tumor_ml: Volume of tumor.
        tumor_burden: Tumor / liver volume; None also where there is no liver.
        lesions: The largest first.

    Example:
        >>> Findings(liver_ml=1500.0, tumor_ml=12.0, tumor_burden=0.008, lesions=()).to_dict()["lesion_count"]
        0
    """

    liver_ml: float | None
    tumor_ml: float | None
    tumor_burden: float | None
    lesions: tuple[FoundLesion, ...] | None

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain types, with `lesion_count`."""
        count = None if self.lesions is None else len(self.lesions)
        lesions = None if self.lesions is None else [asdict(lesion) for lesion in self.lesions]
        return {**asdict(self), "lesion_count": count, "lesions": lesions}


def measure(labels_zhw: NDArray[np.uint8], *, geometry: Geometry, regions: Sequence[str]) -> Findings:
    """Measure a predicted mask.

    Args:
        labels_zhw: `(Z, H, W)` labels 0, 1, 2.
        geometry: The grid of the scan.
        regions: What the model predicts.

    Example:
        >>> geometry = Geometry.from_affine(np.diag([10, 10, 10, 1]), shape=(4, 4, 4))  # voxels of 1 ml
        >>> labels = np.ones((4, 4, 4), np.uint8)
        >>> labels[1, 1, :2] = 2
        >>> findings = measure(labels, geometry=geometry, regions=("liver", "tumor"))
        >>> findings.liver_ml, findings.tumor_ml, len(findings.lesions)
        (64.0, 2.0, 1)
    """
    voxel_ml = geometry.voxel_volume_ml
    liver_ml = float((labels_zhw >= LIVER).sum()) * voxel_ml if "liver" in regions else None
    if "tumor" not in regions:
        return Findings(liver_ml, None, None, None)
    numbers, pieces = find_components(labels_zhw == TUMOR, voxel_ml=voxel_ml)
    tumor_ml = sum(piece.voxels for piece in pieces) * voxel_ml
    lesions = tuple(
        _lesion(piece, numbers[piece.box] == piece.label, geometry) for piece in _largest_first(pieces)
    )
    return Findings(liver_ml, tumor_ml, tumor_ml / liver_ml if liver_ml else None, lesions)


def number_lesions(labels_zhw: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The lesion of each voxel, `(Z, H, W)`: its place among `Findings.lesions`, from 1; 0 where none is.

    Args:
        labels_zhw: `(Z, H, W)` labels 0, 1, 2.

    Example:
        >>> labels = np.zeros((1, 1, 6), np.uint8)
        >>> labels[0, 0, [1, 4, 5]] = 2
        >>> number_lesions(labels).tolist()
        [[[0, 2, 0, 0, 1, 1]]]
    """
    labels, pieces = find_components(labels_zhw == TUMOR, voxel_ml=1)
    numbers = np.zeros(len(pieces) + 1, np.int32)
    for number, piece in enumerate(_largest_first(pieces), start=1):
        numbers[piece.label] = number
    return numbers[labels]


def prediction_warnings(
    findings: Findings,
    *,
    scan: Volume,
    labels_zhw: NDArray[np.uint8],
    files: Iterable[Path],
    modality: Modality,
    checkpoints: Iterable[Checkpoint],
    located: Iterable[Located | None] = (),
) -> list[str]:
    """Warnings on a predicted mask, one sentence each.

    Args:
        findings: Measurements of the mask.
        scan: The scan, with notes of its own.
        labels_zhw: The mask.
        files: The files that it was read from.
        modality: The models' modality.
        checkpoints: The models.
        located: Where their locators found the liver.

    Example:
        >>> geometry = Geometry.from_affine(np.diag([10, 10, 10, 1]), shape=(4, 4, 4))
        >>> scan, labels = Volume(np.full((4, 4, 4), 60, np.int16), geometry), np.zeros((4, 4, 4), np.uint8)
        >>> findings = measure(labels, geometry=geometry, regions=("liver",))
        >>> for line in prediction_warnings(
        ...     findings, scan=scan, labels_zhw=labels, files=[Path("scan")], modality="ct", checkpoints=[]
        ... ):
        ...     print(line)
        Its values are 60 to 60, none of air (below -500 HU): that they are HU is doubtful.
        No liver was found.
    """
    warnings = [
        *scan.notes,
        *scan_warnings(scan, labels_zhw, modality=modality, liver_ml=findings.liver_ml),
    ]
    if modality == "ct" and (lowest := scan.voxels.min()) > _HIGHEST_AIR_HU:
        warnings.append(
            f"Its values are {lowest:g} to {scan.voxels.max():g}, none of air (below {_HIGHEST_AIR_HU} HU): "
            "that they are HU is doubtful."
        )
    for line in (line for one in located if one for line in one.warnings()):
        if line not in warnings:  # as of several models
            warnings.append(line)
    if findings.liver_ml == 0:
        warnings.append("No liver was found.")
    files = list(files)
    if all(map(is_file, files)):  # they may be gone by now
        content = content_hash_of_all(files)
        if any(checkpoint.was_trained_on(content) for checkpoint in checkpoints):
            warnings.append("The model was trained on this scan: its mask says little about others.")
    return warnings


def _largest_first(pieces: Iterable[Component]) -> list[Component]:
    return sorted(pieces, key=lambda piece: piece.voxels, reverse=True)


def _lesion(piece: Component, in_box: NDArray[np.bool_], geometry: Geometry) -> FoundLesion:
    """What is told of a component, of whose bounding box `in_box` says which voxels are its own."""
    center_mm = apply_affine(geometry.canonical_affine, piece.center)
    on_disk = np.rint(apply_affine(np.linalg.inv(geometry.affine), center_mm)).astype(int)
    x, y, z = on_disk.tolist()
    right, front, head = (round(mm, 2) for mm in center_mm.tolist())
    slice_index, row, column = (round(index, 2) for index in piece.center)
    return FoundLesion(
        volume_ml=piece.volume_ml,
        diameter_mm=piece.diameter_mm,
        longest_axial_mm=longest_axial_mm(in_box, geometry=geometry),
        center_ras_mm=(right, front, head),
        center_voxel=(x, y, z),
        center_zhw=(slice_index, row, column),
        slice_from_feet=round(piece.center[0]),
    )
