"""One export: a checkpoint as a file that runs without lts, checked against PyTorch on a scan."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lts.app.config.settings import ExportSettings
from lts.app.config.types import check_settings
from lts.app.run.console import ShowProgress, print_line
from lts.base import AIR_HU
from lts.inference import Checkpoint, Exported, check_output, export_model, find_format, load_checkpoint
from lts.inference.agreement import TOLERANCE
from lts.phantom import make_phantom
from lts.slices import Recipe, fit_plane, lay_on_plane
from lts.volume import read_image

_PHANTOM_SEED = 0
_PHANTOM_MATRIX = 128
_MR_PER_HU = 0.37
"""MR has its own scale, with fractions; any will do."""

_CHUNK_SLICES = 32


def export(settings: ExportSettings) -> None:
    """Write the file and say what it is.

    Raises:
        LtsError: The input or config was wrong, or the file does not compute what the checkpoint does.
    """
    check_settings(settings)
    ckpt, output = (Path(path).expanduser() for path in (settings.ckpt, settings.output))
    scan = None if settings.scan is None else Path(settings.scan).expanduser()
    # Before anything slow.
    find_format(settings.format)
    check_output(output, overwrite=settings.overwrite, inputs=[ckpt, *([scan] if scan else [])])
    checkpoint = load_checkpoint(ckpt, trusted_modules=settings.trusted_modules)
    exported = export_model(
        checkpoint,
        output,
        format_name=settings.format,
        slices=_phantom_slices(checkpoint.recipe) if scan is None else _scan_slices(scan, checkpoint.recipe),
        overwrite=settings.overwrite,
        progress=ShowProgress("comparing slices"),
    )
    _report(exported, checkpoint, checked_on="a phantom" if scan is None else str(scan))


def _scan_slices(path: Path, recipe: Recipe) -> Tensor:
    scan = read_image(path, modality=recipe.modality)
    _, row_mm, column_mm = scan.geometry.spacing_mm
    return _lay(scan.voxels, (row_mm, column_mm), recipe)


def _phantom_slices(recipe: Recipe) -> Tensor:
    """Slices of a phantom; for MR on a scale that is not Hounsfield units."""
    phantom = make_phantom(seed=_PHANTOM_SEED, matrix=_PHANTOM_MATRIX)
    voxels = np.maximum(phantom.hu, AIR_HU)
    if recipe.modality == "mr":
        voxels = ((voxels - AIR_HU) * _MR_PER_HU).astype(np.float32)
    return _lay(voxels, phantom.spacing_mm[1:], recipe)


def _lay(voxels: np.ndarray, spacing_mm: tuple[float, float], recipe: Recipe) -> Tensor:
    """`(Z, H, W)` voxels as the model receives them: `(Z, image_size, image_size)`."""
    depth, height, width = voxels.shape
    plane = fit_plane((height, width), spacing_mm, image_size=recipe.image_size, pixel_mm=recipe.pixel_mm)
    starts = range(0, depth, _CHUNK_SLICES)
    return torch.cat(
        [lay_on_plane(voxels[start : start + _CHUNK_SLICES], plane, fill=recipe.fill) for start in starts]
    )


def _report(exported: Exported, checkpoint: Checkpoint, *, checked_on: str) -> None:
    found, context, size = exported.agreement, checkpoint.context, checkpoint.recipe.image_size
    unit = "HU" if checkpoint.recipe.modality == "ct" else "the scan's own scale"
    neighbors = f", {context} on each side of the one in question, foot to head" if context else ""
    regions = checkpoint.regions
    print_line(f"wrote {exported.path}, {exported.size_bytes / 1e6:.1f} MB")
    print_line(f"takes hu: float32 (batch, {1 + 2 * context}, height, width), slices in {unit}{neighbors}")
    print_line(f"gives probs: float32 (batch, {len(regions)}, height, width), of {', '.join(regions)}")
    sizes = "and at other sizes" if found.other_sizes else "alone, the network takes no other size"
    print_line(
        f"checked on {found.slices} slices of {checked_on} at {size} x {size} pixels {sizes}: "
        f"differs from PyTorch by {found.largest_difference:.1e} at most, {TOLERANCE:.0e} is allowed"
    )
    print_line(
        f"time per slice at {size} x {size}, threads {torch.get_num_threads()}: "
        f"{exported.runtime} {found.runtime_ms_per_slice:.1f} ms, PyTorch {found.torch_ms_per_slice:.1f} ms"
    )
