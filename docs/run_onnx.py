"""Run an exported model on a scan with onnxruntime and numpy alone.

    python run_onnx.py model.onnx scan.npy mask.npy --spacing-mm 0.74 0.74

`scan.npy` is `(Z, H, W)`: slices from foot to head, rows from front to back, columns from the patient's right
to left, in Hounsfield units or, for a model of MR, in the scan's own scale. `mask.npy` becomes `(Z, H, W)`
uint8: 0 background, 1 liver, 2 tumor.
"""

import argparse
import json
from typing import Any

import numpy as np
import onnxruntime


def main() -> None:
    parser = argparse.ArgumentParser(description="Segment a scan with an exported model.")
    parser.add_argument("model", help="file of export.py format=onnx")
    parser.add_argument("scan", help="(Z, H, W) array in a .npy file")
    parser.add_argument("mask", help="the .npy file to write")
    parser.add_argument("--spacing-mm", nargs=2, type=float, required=True, metavar=("ROW", "COLUMN"))
    parser.add_argument("--batch-size", type=int, default=8)
    given = parser.parse_args()
    session = onnxruntime.InferenceSession(given.model, providers=["CPUExecutionProvider"])
    metadata = json.loads(session.get_modelmeta().custom_metadata_map["lts"])
    scan = np.load(given.scan)
    if scan.ndim != 3 or not np.isfinite(scan).all() or min(given.spacing_mm) <= 0 or given.batch_size < 1:
        parser.error("the scan must be (Z, H, W) of finite numbers, spacing and batch size > 0")
    np.save(
        given.mask, segment(session, metadata, scan, spacing_mm=given.spacing_mm, batch_size=given.batch_size)
    )


def segment(
    session: onnxruntime.InferenceSession,
    metadata: dict[str, Any],
    scan: np.ndarray,
    *,
    spacing_mm: tuple[float, float],
    batch_size: int,
) -> np.ndarray:
    """`(Z, H, W)` values to `(Z, H, W)` labels, a few slices at a time."""
    context, regions = metadata["context"], metadata["regions"]
    scan, whole = as_trained(scan, metadata)
    plane = Plane(scan.shape[1:], spacing_mm, metadata)
    labels = np.zeros(scan.shape, np.uint8)
    for start in range(0, len(scan), batch_size):
        middle = np.arange(start, min(start + batch_size, len(scan)))
        # The slices with their neighbors, foot to head; beyond the ends the outermost slice repeats.
        around = np.clip(middle[:, None] + np.arange(-context, context + 1), 0, len(scan) - 1)
        first = around.min()
        laid = plane.lay(scan[first : around.max() + 1], whole=whole)
        (probs,) = session.run(["probs"], {"hu": laid[around - first]})
        found = plane.bring_back(probs) > metadata["threshold"]
        for region, label in (("liver", 1), ("tumor", 2)):  # tumor last, it lies within the liver
            if region in regions:
                labels[middle[0] : middle[-1] + 1][found[:, regions.index(region)]] = label
    return labels


def as_trained(scan: np.ndarray, metadata: dict[str, Any]) -> tuple[np.ndarray, bool]:
    """Values as lts reads them from a file, and whether they are kept as whole numbers once resized."""
    if metadata["modality"] == "ct":
        return np.maximum(np.rint(scan), metadata["lowest"]).astype(np.float32), True
    fits = scan.min() >= -(2**15) and scan.max() < 2**15
    return scan.astype(np.float32), bool(fits and (np.rint(scan) == scan).all())


class Plane:
    """The way of slices to the square that the model was trained on, and back."""

    def __init__(
        self, shape: tuple[int, ...], spacing_mm: tuple[float, float], metadata: dict[str, Any]
    ) -> None:
        self.side, self.fill = metadata["image_size"], metadata["fill"]
        extent_mm = [pixels * step for pixels, step in zip(shape, spacing_mm, strict=True)]
        pixel_mm = metadata["pixel_mm"] or max(extent_mm) / self.side
        fitted = [max(1, round(extent / pixel_mm)) for extent in extent_mm]
        self.there = [triangle_filter(old, new) for old, new in zip(shape, fitted, strict=True)]
        self.back = [triangle_filter(old, new) for old, new in zip(fitted, shape, strict=True)]
        # Where the resized slice lies on the square; it begins before the square where it is larger.
        begins = [(self.side - length) // 2 for length in fitted]
        pairs = list(zip(begins, fitted, strict=True))
        self.fitted = tuple(fitted)
        self.on_square = [slice(max(begin, 0), min(begin + length, self.side)) for begin, length in pairs]
        self.on_fitted = [slice(max(-begin, 0), min(self.side - begin, length)) for begin, length in pairs]

    def lay(self, slices: np.ndarray, *, whole: bool) -> np.ndarray:
        """`(N, H, W)` to `(N, side, side)` float32."""
        fitted = resize(slices, self.there)
        square = np.full((len(slices), self.side, self.side), self.fill, np.float32)
        square[:, *self.on_square] = (np.rint(fitted) if whole else fitted)[:, *self.on_fitted]
        return square

    def bring_back(self, probs: np.ndarray) -> np.ndarray:
        """`(N, R, side, side)` to `(N, R, H, W)`; 0 where the square did not reach."""
        fitted = np.zeros((*probs.shape[:2], *self.fitted), np.float32)
        fitted[:, :, *self.on_fitted] = probs[:, :, *self.on_square]
        return resize(fitted, self.back)


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
