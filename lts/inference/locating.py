"""Where the liver of a scan is: a first network looks at all slices, coarsely."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lts.base import LIVER
from lts.components import find_components
from lts.inference.masks import MaskBuilder
from lts.inference.model import Model
from lts.inference.running import probs_on_square
from lts.slices import Box, view_of
from lts.volume import Volume

_LEAST_SHARE = 0.8
"""Of what a locator takes for liver, that lies in its largest piece where nothing is wrong."""

_LOOKS_APART_MM = 5.0
"""From one slice that is looked at to the next, at most: a pixel of a locator is as wide."""
_ROUNDING = 1e-6
"""Of a slice: what a quotient of millimeters may be off a whole number."""


@dataclass(frozen=True, kw_only=True)
class Located:
    """Where a locator found the liver of a scan.

    Attributes:
        box: The box of its largest 26-connected piece, in voxels of the scan, up to the next slices that
            were looked at and hold none of it; None where none was found.
        size_mm: The edges of the box along `(Z, H, W)`.
        touches: The sides of the scan that it reaches, of `feet`, `head`, `front`, `back`, `right`, `left`:
            there the liver may be cut.
        share: The share of all that was taken for liver that lies in this piece.

    Example:
        >>> Located(box=None).warnings()
        ['The first network found no liver, so the second was not run.']
    """

    box: Box | None
    size_mm: tuple[float, float, float] | None = None
    touches: tuple[str, ...] = ()
    share: float | None = None

    def to_dict(self) -> dict[str, Any] | None:
        """All of it as plain types, slices counted from 0 with the last one included; None for no liver."""
        if self.box is None:
            return None
        named = {"slices_from_feet": self.box.slices, "rows": self.box.rows, "columns": self.box.columns}
        return {
            **{name: [first, stop - 1] for name, (first, stop) in named.items()},
            "size_mm": self.size_mm and [round(edge, 2) for edge in self.size_mm],
            "touches": list(self.touches),
            "share": self.share and round(self.share, 4),
        }

    def warnings(self) -> list[str]:
        """What a user should know, one sentence each."""
        if self.box is None:
            return ["The first network found no liver, so the second was not run."]
        told = []
        if self.touches:
            told.append(
                f"The liver reaches the scan's border ({', '.join(self.touches)}): it may be cut there."
            )
        if self.share is not None and self.share < _LEAST_SHARE:
            told.append(
                f"The first network saw liver in several places, {self.share:.0%} of it in the largest "
                "piece: only that was looked at closely."
            )
        return told


@torch.inference_mode()
def find_liver(
    locator: Model,
    scan: Volume,
    *,
    device: torch.device,
    batch_size: int,
    dtype: torch.dtype = torch.float32,
    check: Callable[[], None] = lambda: None,
) -> Located:
    """Find the largest piece of liver that a model of whole slices sees; tumor counts as liver.

    It looks at slices 5 mm apart, at most, or at each of thicker ones, and at the first and the last. Each
    counts for as many slices as it is nearest to.

    Args:
        locator: The model, on `device`.
        scan: Voxels `(Z, H, W)`.
        device: Where the model is.
        batch_size: Slices that run at once.
        dtype: What the network computes in.
        check: Called after each of these slabs; what it raises ends it all.
    """
    shape, spacing_mm = scan.voxels.shape, scan.geometry.spacing_mm
    view = view_of(shape, spacing_mm, locator.recipe)
    size = locator.recipe.image_size
    looks = _looks(view.depth, spacing_mm[0])
    builder = MaskBuilder(locator.regions, (len(looks), size, size))
    for start in range(0, len(looks), batch_size):
        some = slice(start, min(start + batch_size, len(looks)))
        probs = probs_on_square(locator, scan.voxels, view, looks[some], device=device, dtype=dtype)
        builder.add(some, probs.cpu())
        check()
    rows, columns = view.plane.on_square
    liver = builder.finish(voxel_ml=1.0)[:, rows, columns] >= LIVER
    labels, pieces = find_components(np.ascontiguousarray(liver), voxel_ml=1.0)
    if not pieces:
        return Located(box=None)
    counted = np.broadcast_to(_slices_nearest(looks)[:, None, None], labels.shape)
    sizes = np.bincount(labels.ravel(), weights=counted.ravel(), minlength=len(pieces) + 1)[1:]
    largest = int(sizes.argmax())
    z, y, x = pieces[largest].box
    rows_found, columns_found = view.plane.to_source(
        (rows.start + y.start, rows.start + y.stop), (columns.start + x.start, columns.start + x.stop)
    )
    box = Box(slices=_between(looks, z), rows=rows_found, columns=columns_found)
    return Located(
        box=box,
        size_mm=box.size_mm(spacing_mm),
        touches=box.touches(shape),
        share=float(sizes[largest] / sizes.sum()),
    )


def _looks(depth: int, slice_mm: float) -> list[int]:
    """The slices that are looked at, of `depth`; from the first to the last."""
    step = max(1, int(_LOOKS_APART_MM / slice_mm + _ROUNDING))
    return sorted({*range(0, depth, step), depth - 1})


def _slices_nearest(looks: list[int]) -> NDArray[np.float64]:
    """How many slices are nearest to each of those that are looked at; one between two counts half."""
    middles = (np.array(looks[1:]) + looks[:-1]) / 2
    return np.diff(np.concatenate([[-0.5], middles, [looks[-1] + 0.5]]))


def _between(looks: list[int], found: slice) -> tuple[int, int]:
    """The slices between those that were looked at and do not hold what was found: no less holds it."""
    first = looks[found.start - 1] + 1 if found.start else 0
    return first, looks[found.stop] if found.stop < len(looks) else looks[-1] + 1
