"""A scored case as one file: scan, prediction and reference in three planes, and the way to each lesion."""

import base64
import hashlib
import html
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lts.base import Modality, printable, write_utf8
from lts.components import Box
from lts.scores import LesionFinding, region_masks
from lts.viewer.bundle import bundle
from lts.viewer.embedding import MARGIN_MM, box_to_show, pack_labels, pack_values
from lts.viewer.parts import page_files, put_together
from lts.viewer.values import ValueScale, gray_windows
from lts.volume import Geometry

MAX_MIB = 24.0
"""Of the voxels of a scan in a page. Around most livers they take less, as they are."""

_MIB = 2**20
_OF_BASE64 = 0.75
_WORDS = {"second": "reference", "first-column": "Prediction", "second-column": "Reference"}


@dataclass(frozen=True, kw_only=True, eq=False)
class ViewedCase:
    """A case to look at.

    Attributes:
        case: Case id.
        geometry: The grid of scan and masks.
        image: The scan, `(Z, H, W)`; None where it is not at hand.
        modality: What made it.
        prediction: `(Z, H, W)` uint8 labels 0, 1, 2.
        reference: The same of the reference.
        regions: Regions in channel order.
        lesions: Those of the case, in the order of `lesions.csv`; a page counts them from 1.
        scores: By region `region`, `dice`, `predicted_ml` and `reference_ml`, as in `cases.csv`.
    """

    case: str
    geometry: Geometry
    image: NDArray[Any] | None
    modality: Modality
    prediction: NDArray[np.uint8]
    reference: NDArray[np.uint8]
    regions: Sequence[str]
    lesions: Sequence[LesionFinding]
    scores: Sequence[Mapping[str, Any]]


def write_case_page(path: Path, case: ViewedCase, *, report: str, max_mib: float = MAX_MIB) -> None:
    """Write the page of a case; `#lesion=N` after its address opens it on the N-th lesion.

    The file holds everything it shows, and its policy forbids the browser to load or run anything else. It
    has the part of the scan around both masks; of values that would take more than `max_mib` MiB it has means
    of squares of pixels, of masks always the scan's own grid.

    Args:
        path: The HTML file to write or replace; its folder is made if it is not there.
        case: What it shows.
        report: The address of the report, from there.
        max_mib: Of the voxels in the file.

    Raises:
        StorageError: The page cannot be written.
    """
    box = box_to_show(case.prediction, case.reference, spacing_mm=case.geometry.spacing_mm)
    prediction, reference = case.prediction[box], case.reference[box]
    image = np.zeros(reference.shape, np.int16) if case.image is None else case.image[box]
    scale = ValueScale.of(image)
    labels = pack_labels(prediction, reference)
    values = pack_values(scale.stored(image), most_bytes=_OF_BASE64 * max_mib * _MIB - len(labels))
    told = {
        **_scan_facts(case, box),
        **_mask_facts(prediction, reference, case.regions),
        "value_scale": {"slope": scale.slope, "intercept": scale.intercept},
        "windows": gray_windows(image, reference, modality=case.modality),
        "block": values.block,
        "notes": list(_notes(case, box, block=values.block, max_mib=max_mib)),
        "scores": [
            {
                "region": row["region"],
                "dice": row["dice"],
                "own_ml": row["predicted_ml"],
                "second_ml": row["reference_ml"],
            }
            for row in case.scores
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_utf8(path, _page(case.case, told, values=values.content, labels=labels, report=report))


def _scan_facts(case: ViewedCase, box: Box) -> dict[str, Any]:
    """The grid of the part that is shown, its place in the whole, and the lesions in it."""
    first = np.array([side.start for side in box])
    affine = case.geometry.canonical_affine.copy()
    affine[:3, 3] += affine[:3, :3] @ first
    places = [np.array([one.slice, one.row, one.column]) - 1 - first for one in case.lesions]
    lesions = [
        {
            "volume_ml": one.volume_ml,
            "diameter_mm": one.diameter_mm,
            "center_zhw": place.tolist(),
            "slice_from_feet": int(place[0]),
            "told": one.outcome + (f", IoU {one.iou:.2f}" if one.cause is None else f": {one.cause}"),
        }
        for one, place in zip(case.lesions, places, strict=True)
    ]
    shape = [side.stop - side.start for side in box]
    return {
        "case": case.case,
        "modality": None if case.image is None else case.modality,
        "regions": list(case.regions),
        "shape": shape,
        "whole_shape": list(case.reference.shape),
        "first_zhw": first.tolist(),
        "spacing_mm": list(case.geometry.spacing_mm),
        "affine_ras_mm": affine.tolist(),
        "start_zhw": lesions[0]["center_zhw"] if lesions else [length // 2 for length in shape],
        "lesions": lesions,
    }


def _mask_facts(
    prediction: NDArray[np.uint8], reference: NDArray[np.uint8], regions: Sequence[str]
) -> dict[str, Any]:
    """By slice the pixels of each region in either mask, and those that differ."""
    in_either, differing = [], []
    for labels in zip(prediction, reference, strict=True):
        own, second = (region_masks(one, regions) for one in labels)
        in_either.append(np.count_nonzero(own | second, axis=(1, 2)).tolist())
        differing.append(int(np.count_nonzero((own != second).any(axis=0))))
    by_region = zip(*in_either, strict=True)
    return {
        "pixels_per_slice": dict(zip(regions, map(list, by_region), strict=True)),
        "differing_pixels_per_slice": differing,
    }


def _notes(case: ViewedCase, box: Box, *, block: int, max_mib: float) -> Iterator[str]:
    if any(side.stop - side.start < n for side, n in zip(box, case.reference.shape, strict=True)):
        slices, rows, columns = (f"{side.start + 1} to {side.stop}" for side in box)
        yield (
            f"Shown are slices {slices}, rows {rows} and columns {columns}: "
            f"both masks with {MARGIN_MM:.0f} mm around them."
        )
    if case.image is None:
        yield "The scan was not at hand, so contours stand on plain ground."
    if block > 1:
        yield (
            f"Values are means of {block} \N{MULTIPLICATION SIGN} {block} pixels, as those of each pixel "
            f"take more than {max_mib:g} MiB. Masks are those of the scan's own grid."
        )


def _page(name: str, told: Mapping[str, Any], *, values: bytes, labels: bytes, report: str) -> str:
    own = {one.name: one.read_text("utf-8") for one in files("lts.viewer").joinpath("case").iterdir()}
    shared = {name: content.decode() for name, content in page_files()}
    script = bundle("case.js", {**shared, **own})
    style = shared["style.css"] + shared["viewer.css"]
    return put_together(
        own["case.html"],
        {
            **_WORDS,
            "title": html.escape(printable(name)),
            "report": html.escape(report),
            "style": style,
            "style-hash": _hash(style),
            "script": script,
            "script-hash": _hash(script),
            "scan": json.dumps(told, allow_nan=False).replace("<", "\\u003c"),
            "values": base64.b64encode(values).decode("ascii"),
            "labels": base64.b64encode(labels).decode("ascii"),
        },
    )


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
