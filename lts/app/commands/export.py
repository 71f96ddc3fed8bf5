"""One export: a checkpoint as a file that runs without lts, checked against PyTorch on a scan."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lts.app.commands.model_card import model_card
from lts.app.config.settings import ExportSettings
from lts.app.config.types import check_settings
from lts.app.run.console import ShowProgress, print_line
from lts.app.run.records import METRICS_FILE, RUN_FILE
from lts.base import AIR_HU, LIVER, ConfigError, write_utf8
from lts.inference import (
    Checkpoint,
    Exported,
    Model,
    Predictor,
    check_output,
    export_model,
    files_of,
    find_format,
    load_checkpoint,
)
from lts.inference.agreement import TOLERANCE
from lts.phantom import make_phantom
from lts.slices import Box, Recipe, lay_on_plane, view_of
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
    models = [checkpoint, *([checkpoint.locator] if checkpoint.locator else [])]
    for path in files_of(checkpoint, output)[1:]:
        check_output(path, overwrite=settings.overwrite, inputs=[ckpt, *([scan] if scan else [])])
    card = _card(
        settings, checkpoint, files=files_of(checkpoint, output), read=[ckpt, *([scan] if scan else [])]
    )
    if scan is None:
        shown = [_phantom_slices(model.recipe) for model in models]
    else:
        shown = _scan_slices(scan, checkpoint)
    exported = export_model(
        checkpoint,
        output,
        format_name=settings.format,
        slices=shown[0],
        overwrite=settings.overwrite,
        locator_slices=shown[1] if checkpoint.locator else None,
        progress=ShowProgress("comparing slices"),
    )
    checked_on = "a phantom" if scan is None else str(scan)
    _report(exported, checkpoint, checked_on=checked_on)
    if exported.locator and checkpoint.locator:
        _report(exported.locator, checkpoint.locator, checked_on=checked_on)
        print_line(f"{files_of(checkpoint, output)[2]} says how both go together")
    if card:
        path, text = card
        write_utf8(path, text)
        print_line(f"wrote {path}, the model card")


def _card(
    settings: ExportSettings, checkpoint: Checkpoint, *, files: Sequence[Path], read: Sequence[Path]
) -> tuple[Path, str] | None:
    """The model card and where it goes, None where none is asked for.

    Args:
        settings: Say where.
        checkpoint: The model.
        files: Those that the export writes.
        read: Those that it reads.
    """
    if settings.card is None:
        if settings.scores:
            raise ConfigError("scores: has no meaning without card")
        return None
    path = Path(settings.card).expanduser()
    if path.resolve() in {file.resolve() for file in files}:
        raise ConfigError(f"card: must be a file of its own, got {path}")
    evaluations = [Path(folder).expanduser() for folder in settings.scores]
    scores = [folder / name for folder in evaluations for name in (RUN_FILE, METRICS_FILE)]
    check_output(path, key="card", overwrite=settings.overwrite, inputs=[*read, *scores])
    return path, model_card(checkpoint, title=files[0].name, evaluations=evaluations)


def _scan_slices(path: Path, checkpoint: Checkpoint) -> list[Tensor]:
    """Slices of a scan as the network is given them, and its locator."""
    scan = read_image(path, modality=checkpoint.recipe.modality)
    predictor = Predictor([checkpoint], device=torch.device("cpu"), precision="float32")
    (located,) = predictor.find_liver(scan)
    box = located.box if located else None
    shown = [_lay(scan.voxels, scan.geometry.spacing_mm, checkpoint.recipe, box)]
    if checkpoint.locator:
        shown.append(_lay(scan.voxels, scan.geometry.spacing_mm, checkpoint.locator.recipe))
    return shown


def _phantom_slices(recipe: Recipe) -> Tensor:
    """Slices of a phantom; for MR on a scale that is not Hounsfield units."""
    phantom = make_phantom(seed=_PHANTOM_SEED, matrix=_PHANTOM_MATRIX)
    voxels = np.maximum(phantom.hu, AIR_HU)
    if recipe.modality == "mr":
        voxels = ((voxels - AIR_HU) * _MR_PER_HU).astype(np.float32)
    box = Box.around(phantom.labels >= LIVER) if recipe.focus else None
    return _lay(voxels, phantom.spacing_mm, recipe, box)


def _lay(
    voxels: np.ndarray, spacing_mm: tuple[float, float, float], recipe: Recipe, box: Box | None = None
) -> Tensor:
    """`(Z, H, W)` voxels as the model receives them: `(N, image_size, image_size)`, around a box if any."""
    view = view_of(voxels.shape, spacing_mm, recipe, box=box)
    starts = range(view.first, view.stop, _CHUNK_SLICES)
    return torch.cat(
        [
            lay_on_plane(voxels[start : min(start + _CHUNK_SLICES, view.stop)], view.plane, fill=recipe.fill)
            for start in starts
        ]
    )


def _report(exported: Exported, model: Model, *, checked_on: str) -> None:
    found, context, size = exported.agreement, model.context, model.recipe.image_size
    unit = "HU" if model.recipe.modality == "ct" else "the scan's own scale"
    neighbors = f", {context} on each side of the one in question, foot to head" if context else ""
    regions = model.regions
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
