"""Writes a network trained elsewhere as a checkpoint for every command."""

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lts import __version__
from lts.base import DESCRIPTION_KEY, written_whole
from lts.inference.building import describe_module, describe_padded
from lts.inference.checkpoint import CHECKPOINT_FORMAT, Checkpoint, open_saved
from lts.inference.model import DEFAULT_BATCH_SIZE, Model
from lts.intensity import Intensity
from lts.networks import Padded
from lts.slices import Recipe, content_hash


def save_checkpoint(
    path: str | Path,
    network: nn.Module,
    *,
    intensity: Intensity,
    regions: Sequence[str],
    recipe: Recipe,
    context: int = 0,
    batch_size: int = DEFAULT_BATCH_SIZE,
    arguments: Mapping[str, Any] | None = None,
    trained_on: Iterable[str | Path] = (),
    locator: Model | None = None,
) -> None:
    """Write a network, however it was trained, as a checkpoint for `load_checkpoint` and the commands.

    The file holds weights and plain types alone.

    Args:
        path: The file; one that is there is replaced.
        network: The network, on any device. One of a module of your own is opened with
            `trusted_modules=[MODULE]`.
        intensity: HU to channels, fitted.
        regions: Regions in channel order.
        recipe: How volumes become slices.
        context: Neighboring slices on each side.
        batch_size: Slices that run at once unless told otherwise.
        arguments: What the class of the network was called with, as plain types; of a `Padded` one, that of
            the network within. None for networks of lts, which know it.
        trained_on: Scans that it was trained on, files that `evaluate.py` refuses to score it on.
        locator: Finds the liver, for a recipe with a focus; a model of a network of lts, or a checkpoint of
            one, whose training cases are then refused too.

    Raises:
        ConfigError: The class cannot be imported by its name, or its arguments are neither given nor known.
        CheckpointError: The network does not fit the rest, or its class makes another one of the arguments.
        StorageError: The file cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from lts.inference import load_checkpoint
        >>> from lts.intensity import Window
        >>> from lts.networks import UNet
        >>> network = UNet(in_channels=1, out_channels=2, width=4)  # trained in some way or other
        >>> with TemporaryDirectory() as folder:
        ...     save_checkpoint(
        ...         f"{folder}/model.ckpt",
        ...         network,
        ...         intensity=Window(level_hu=40, width_hu=400),
        ...         regions=("liver", "tumor"),
        ...         recipe=Recipe(image_size=256, pixel_mm=None, modality="ct"),
        ...     )
        ...     load_checkpoint(f"{folder}/model.ckpt").regions
        ('liver', 'tumor')
    """
    path = Path(path)
    data = {
        "batch_size": batch_size,
        "context": context,
        "display_hu": [40, 400] if recipe.modality == "ct" else None,
        "image_size": recipe.image_size,
        "modality": recipe.modality,
        "pixel_mm": recipe.pixel_mm,
        "regions": list(regions),
    }
    description = {
        "format": CHECKPOINT_FORMAT,
        "regions": list(regions),
        "network": _describe_network(network, arguments),
        "intensity": describe_module(intensity),
        "intensity_state": _on_cpu(intensity),
        "context": context,
        "recipe": recipe.describe(),
        "locator": None if locator is None else _describe_locator(locator),
        "start_cases": _cases_of(locator) if isinstance(locator, Checkpoint) else [],
        "split": {"train": [_member(Path(scan)) for scan in trained_on], "val": [], "test": []},
        "config": {"data": data},
        "changes": [],
        "versions": {"lts": __version__, "torch": torch.__version__.split("+", maxsplit=1)[0]},
    }
    weights = {f"network.{name}": tensor for name, tensor in _on_cpu(network).items()}
    saved = {"state_dict": weights, DESCRIPTION_KEY: description}
    networks = [network, *([locator.network] if locator else [])]
    open_saved(path, saved, trusted_modules=[type(_inner(each)).__module__ for each in networks])
    content = io.BytesIO()  # first, as torch turns an error of the disk into one about its archive
    torch.save(saved, content)
    with written_whole(path) as file:
        file.write(content.getbuffer())


def _inner(network: nn.Module) -> nn.Module:
    return network.network if isinstance(network, Padded) else network


def _describe_network(network: nn.Module, arguments: Mapping[str, Any] | None) -> dict[str, Any]:
    spec = describe_module(_inner(network), arguments)
    return describe_padded(spec, multiple=network.multiple) if isinstance(network, Padded) else spec


def _describe_locator(locator: Model) -> dict[str, Any]:
    return {
        "regions": list(locator.regions),
        "network": _describe_network(locator.network, None),
        "intensity": describe_module(locator.intensity),
        "intensity_state": _on_cpu(locator.intensity),
        "context": locator.context,
        "recipe": locator.recipe.describe(),
        "weights": _on_cpu(locator.network),
    }


def _cases_of(checkpoint: Checkpoint) -> list[dict[str, str]]:
    return [*checkpoint.split["train"], *checkpoint.start_cases]


def _on_cpu(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}


def _member(scan: Path) -> dict[str, str]:
    return {"case": scan.name, "patient": scan.name, "sha256": content_hash(scan)}
