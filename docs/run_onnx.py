"""Run an exported model on a scan with onnxruntime and numpy alone.

    python run_onnx.py model.onnx scan.npy mask.npy --spacing-mm 0.74 0.74
    python run_onnx.py model.onnx scan.npy mask.npy --spacing-mm 0.74 0.74 --slice-mm 2.5  # with a locator

`scan.npy` is `(Z, H, W)`: slices from foot to head, rows from front to back, columns from the patient's right
to left, in Hounsfield units or, for a model of MR, in the scan's own scale. `mask.npy` becomes `(Z, H, W)`
uint8: 0 background, 1 liver, 2 tumor.
"""

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

LOOKS_APART_MM = 5.0  # from one slice that a locator looks at to the next, at most
ROUNDING = 1e-6  # of a pixel: what a quotient of millimeters may be off a whole number


def main() -> None:
    parser = argparse.ArgumentParser(description="Segment a scan with an exported model.")
    parser.add_argument("model", help="file of export.py format=onnx")
    parser.add_argument("scan", help="(Z, H, W) array in a .npy file")
    parser.add_argument("mask", help="the .npy file to write")
    parser.add_argument("--spacing-mm", nargs=2, type=float, required=True, metavar=("ROW", "COLUMN"))
    parser.add_argument("--slice-mm", type=float, help="from a slice to the next, for a model with a locator")
    parser.add_argument("--batch-size", type=int, default=8)
    given = parser.parse_args()
    session, metadata = open_model(Path(given.model))
    scan = np.load(given.scan)
    if scan.ndim != 3 or not np.isfinite(scan).all() or min(given.spacing_mm) <= 0 or given.batch_size < 1:
        parser.error("the scan must be (Z, H, W) of finite numbers, spacing and batch size > 0")
    how = {"spacing_mm": given.spacing_mm, "batch_size": given.batch_size}
    if "locator" in metadata:
        if not given.slice_mm or given.slice_mm <= 0:
            parser.error("--slice-mm must be > 0, the distance of slices: this model has a locator")
        locator = open_model(Path(given.model).with_name(metadata["locator"]))
        labels = segment_closely(session, metadata, *locator, scan, slice_mm=given.slice_mm, **how)
    else:
        labels = segment(session, metadata, scan, **how)
    np.save(given.mask, labels)


def open_model(path: Path) -> tuple[onnxruntime.InferenceSession, dict[str, Any]]:
    """An exported file and its metadata."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session, json.loads(session.get_modelmeta().custom_metadata_map["lts"])


def segment(
    session: onnxruntime.InferenceSession,
    metadata: dict[str, Any],
    scan: np.ndarray,
    *,
    spacing_mm: tuple[float, float],
    batch_size: int,
) -> np.ndarray:
    """`(Z, H, W)` values to `(Z, H, W)` labels, a few slices at a time."""
    values, whole = as_trained(scan, metadata)
    plane = Plane(scan.shape[1:], spacing_mm, metadata)
    labels = np.zeros(scan.shape, np.uint8)
    for slices, probs in run(session, metadata, values, plane, whole=whole, batch_size=batch_size):
        put_labels(labels[slices], plane.bring_back(probs), metadata)
    return labels


def segment_closely(
    session: onnxruntime.InferenceSession,
    metadata: dict[str, Any],
    locator: onnxruntime.InferenceSession,
    locator_metadata: dict[str, Any],
    scan: np.ndarray,
    *,
    slice_mm: float,
    spacing_mm: tuple[float, float],
    batch_size: int,
) -> np.ndarray:
    """The same by two networks: the locator finds the liver, the other sees what holds it."""
    labels = np.zeros(scan.shape, np.uint8)
    values, whole = as_trained(scan, metadata)
    coarse = Plane(scan.shape[1:], spacing_mm, locator_metadata)
    rows, columns = coarse.on_square
    step = max(1, int(LOOKS_APART_MM / slice_mm + ROUNDING))
    looks = np.unique([*range(0, len(scan), step), len(scan) - 1])
    found = np.zeros((len(looks), rows.stop - rows.start, columns.stop - columns.start), bool)
    how: dict[str, Any] = {"whole": whole, "batch_size": batch_size}
    for slices, probs in run(locator, locator_metadata, values, coarse, numbers=looks, **how):
        # Tumor lies within the liver, in whichever region a locator of both sees it.
        found[slices] = (probs[:, :, rows, columns] > locator_metadata["threshold"]).any(axis=1)
    # Each counts for as many slices as it is nearest to, one between two for half.
    ends = np.concatenate([[-0.5], (looks[1:] + looks[:-1]) / 2, [len(scan) - 0.5]])
    box = box_of_largest(found, counted=np.diff(ends))
    if box is None:
        return labels
    (first, stop), rows_found, columns_found = box
    # Up to the next slices that were looked at, which hold none of it.
    first = int(looks[first - 1]) + 1 if first else 0
    stop = int(looks[stop]) if stop < len(looks) else len(scan)
    beyond = math.ceil(metadata["margin_mm"] / slice_mm - ROUNDING)
    seen = slice(max(0, first - beyond), min(len(scan), stop + beyond))
    pixels = coarse.to_scan(rows_found, columns_found)
    plane = Plane(scan.shape[1:], spacing_mm, metadata, box=pixels)
    for slices, probs in run(session, metadata, values[seen], plane, **how):
        put_labels(labels[seen][slices], plane.bring_back(probs), metadata)
    return labels


def run(
    session: onnxruntime.InferenceSession,
    metadata: dict[str, Any],
    values: np.ndarray,
    plane: "Plane",
    *,
    whole: bool,
    batch_size: int,
    numbers: np.ndarray | None = None,
) -> Iterator[tuple[slice, np.ndarray]]:
    """Probabilities `(N, R, side, side)` of a few slices after the other, on the square; of some if given."""
    context = metadata["context"]
    numbers = np.arange(len(values)) if numbers is None else numbers
    for start in range(0, len(numbers), batch_size):
        middle = numbers[start : start + batch_size]
        # The slices with their neighbors, foot to head; beyond the ends the outermost slice repeats.
        around = np.clip(middle[:, None] + np.arange(-context, context + 1), 0, len(values) - 1)
        seen, places = np.unique(around, return_inverse=True)
        laid = plane.lay(values[seen], whole=whole)
        (probs,) = session.run(["probs"], {"hu": laid[places.reshape(around.shape)]})
        yield slice(start, start + len(middle)), probs


def put_labels(labels: np.ndarray, probs: np.ndarray, metadata: dict[str, Any]) -> None:
    """Write 1 where liver is, then 2 where tumor is, which lies within the liver."""
    found = probs > metadata["threshold"]
    for region, label in (("liver", 1), ("tumor", 2)):
        if region in metadata["regions"]:
            labels[found[:, metadata["regions"].index(region)]] = label


def box_of_largest(
    mask: np.ndarray, *, counted: np.ndarray | None = None
) -> tuple[tuple[int, int], ...] | None:
    """The first and the one after the last slice, row and column of the largest 26-connected piece.

    `counted`, one number a slice, says for how many voxels each of that slice counts.
    """
    if not mask.any():
        return None
    # Every voxel takes the highest number around it, and the number of the voxel of that number, until all of
    # a piece have one number.
    numbers = np.pad(np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0), 1)
    inside = (slice(1, -1),) * 3
    while True:
        highest = numbers
        for axis in range(3):
            highest = np.maximum(highest, np.maximum(np.roll(highest, 1, axis), np.roll(highest, -1, axis)))
        flat = np.concatenate([[0], np.where(mask, highest[inside], 0).ravel()])
        flat = flat[flat]
        if np.array_equal(flat[1:].reshape(mask.shape), numbers[inside]):
            break
        numbers[inside] = flat[1:].reshape(mask.shape)
    weights = np.ones(len(mask)) if counted is None else counted
    sizes = np.bincount(flat[1:], np.broadcast_to(weights[:, None, None], mask.shape).ravel())
    sizes[0] = 0  # what is no piece
    largest = np.argwhere(numbers[inside] == sizes.argmax())
    lowest, highest_index = largest.min(axis=0), largest.max(axis=0) + 1
    return tuple((int(low), int(high)) for low, high in zip(lowest, highest_index, strict=True))


def as_trained(scan: np.ndarray, metadata: dict[str, Any]) -> tuple[np.ndarray, bool]:
    """Values as lts reads them from a file, and whether they are kept as whole numbers once resized."""
    if metadata["modality"] == "ct":
        return np.maximum(np.rint(scan), metadata["lowest"]).astype(np.float32), True
    fits = scan.min() >= -(2**15) and scan.max() < 2**15
    return scan.astype(np.float32), bool(fits and (np.rint(scan) == scan).all())


class Plane:
    """The way of slices, or of a part of them, to the square that the model was trained on, and back."""

    def __init__(
        self,
        shape: tuple[int, ...],
        spacing_mm: tuple[float, float],
        metadata: dict[str, Any],
        *,
        box: tuple[tuple[int, int], ...] | None = None,
    ) -> None:
        self.shape, self.side, self.fill = tuple(shape), metadata["image_size"], metadata["fill"]
        sides = list(zip(box or [(0, pixels) for pixels in shape], shape, spacing_mm, strict=True))
        margin_mm = metadata["margin_mm"] if box else 0
        longest_mm = max((stop - start) * step for (start, stop), _, step in sides) + 2 * margin_mm
        pixel_mm = metadata["pixel_mm"] or longest_mm / self.side
        if box is None:
            parts = [(0, pixels) for pixels in shape]
        else:
            # The square lies around the middle of the box; the part is what it shows of the slice.
            begins_mm = [
                (start + stop) / 2 * step - self.side * pixel_mm / 2 for (start, stop), _, step in sides
            ]
            parts = [
                (
                    max(0, math.floor(begin / step + ROUNDING)),
                    min(pixels, math.ceil((begin + self.side * pixel_mm) / step - ROUNDING)),
                )
                for begin, (_, pixels, step) in zip(begins_mm, sides, strict=True)
            ]
        lengths = [stop - start for start, stop in parts]
        fitted = [
            max(1, round(length * step / pixel_mm))
            for length, (_, _, step) in zip(lengths, sides, strict=True)
        ]
        self.there = [triangle_filter(old, new) for old, new in zip(lengths, fitted, strict=True)]
        self.back = [triangle_filter(old, new) for old, new in zip(fitted, lengths, strict=True)]
        # Where the resized part lies on the square; it begins before the square where it is larger.
        if box is None:
            self.begins = [(self.side - length) // 2 for length in fitted]
        else:
            self.begins = [
                round((start * step - begin) / pixel_mm)
                for (start, _), begin, (_, _, step) in zip(parts, begins_mm, sides, strict=True)
            ]
        pairs = list(zip(self.begins, fitted, strict=True))
        self.fitted, self.parts = tuple(fitted), parts
        self.part = [slice(*part) for part in parts]
        self.on_square = [slice(max(begin, 0), min(begin + length, self.side)) for begin, length in pairs]
        self.on_fitted = [slice(max(-begin, 0), min(self.side - begin, length)) for begin, length in pairs]

    def lay(self, slices: np.ndarray, *, whole: bool) -> np.ndarray:
        """`(N, H, W)` to `(N, side, side)` float32."""
        fitted = resize(slices[:, *self.part], self.there)
        square = np.full((len(slices), self.side, self.side), self.fill, np.float32)
        square[:, *self.on_square] = (np.rint(fitted) if whole else fitted)[:, *self.on_fitted]
        return square

    def bring_back(self, probs: np.ndarray) -> np.ndarray:
        """`(N, R, side, side)` to `(N, R, H, W)`; 0 where the square did not reach."""
        fitted = np.zeros((*probs.shape[:2], *self.fitted), np.float32)
        fitted[:, :, *self.on_fitted] = probs[:, :, *self.on_square]
        slices = np.zeros((*probs.shape[:2], *self.shape), np.float32)
        slices[:, :, *self.part] = resize(fitted, self.back)
        return slices

    def to_scan(self, rows: tuple[int, int], columns: tuple[int, int]) -> tuple[tuple[int, int], ...]:
        """Rows and columns of the slice that some of `on_square` touch, counted from there."""
        found = []
        for (low, high), shown, begin, length, (first, stop) in zip(
            (rows, columns), self.on_square, self.begins, self.fitted, self.parts, strict=True
        ):
            scale = (stop - first) / length
            start = first + math.floor((shown.start + low - begin) * scale + ROUNDING)
            end = first + math.ceil((shown.start + high - begin) * scale - ROUNDING)
            found.append((start, min(stop, end)))
        return tuple(found)


def resize(images: np.ndarray, filters: list[np.ndarray]) -> np.ndarray:
    """`(..., H, W)` by a filter along the rows and one along the columns; columns are weighed first."""
    along_rows, along_columns = filters
    return along_rows @ (images @ along_columns.T)


def triangle_filter(old: int, new: int) -> np.ndarray:
    """`(new, old)` weights of antialiased bilinear resizing.

    Pixel centers lie at one half. Each new pixel is the mean of the old ones under a triangle over it, which
    reaches one pixel to both sides, of the coarser of the two grids.
    """
    one = np.float32(1.0)  # torch works out the weights in float32 too, and so rounds as here
    scale = np.float32(old / new)
    centers = (np.arange(new, dtype=np.float32) + one / 2) * scale
    distance = np.abs(np.arange(old, dtype=np.float32) - centers[:, None] + one / 2) * (one / max(scale, one))
    weights = np.maximum(one - distance, 0)
    return weights / weights.sum(axis=1, keepdims=True)


if __name__ == "__main__":
    main()
