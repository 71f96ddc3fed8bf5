"""Checkpoints: what they must hold, and how they are opened without running anything they bring."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lts import intensity as intensities
from lts import networks
from lts.base import DESCRIPTION_KEY, CheckpointError, check_regions
from lts.intensity import Intensity
from lts.slices import Recipe

CHECKPOINT_FORMAT = 1

_BUILDERS = {
    f"{module.__name__}.{name}": item
    for module in (networks, intensities)
    for name, item in vars(module).items()
    if isinstance(item, type) and issubclass(item, nn.Module)
}
"""All that a checkpoint can have built."""

_PARTS, _MEMBER = ("train", "val", "test"), ("case", "patient", "sha256")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained model, ready to serve, with what it says of itself.

    Attributes:
        path: The file.
        network: Channels to logits, weights loaded, in evaluation mode.
        intensity: HU to channels, fitted.
        regions: Regions in channel order.
        recipe: How volumes become slices.
        context: Neighboring slices on each side.
        split: Per subset, the cases: `case`, `patient` and `sha256` of the image.
        config: The configuration of the run, as plain types.
        versions: Versions of the libraries it was trained with.
    """

    path: Path
    network: nn.Module
    intensity: Intensity
    regions: tuple[str, ...]
    recipe: Recipe
    context: int
    split: dict[str, list[dict[str, str]]]
    config: dict[str, Any]
    versions: dict[str, str]

    def was_trained_on(self, sha256: str) -> bool:
        """Whether a scan of this content was among the training cases."""
        return any(member["sha256"] == sha256 for member in self.split["train"])


def load_checkpoint(path: Path) -> Checkpoint:
    """Open a checkpoint written by a training run.

    Raises:
        CheckpointError: The file is missing, damaged, of another format, or its weights do not fit.
    """
    saved = read_checkpoint(path)
    description = saved[DESCRIPTION_KEY]
    prefix = "network."
    try:
        weights = {
            key[len(prefix) :]: value for key, value in saved["state_dict"].items() if key.startswith(prefix)
        }
        # A description may state any size: memory is taken when the weights are known to be of that size.
        with torch.device("meta"):
            build(description["network"]).load_state_dict(weights, assign=True)
        network = build(description["network"])
        network.load_state_dict(weights)
        intensity = build(description["intensity"])
        if not isinstance(intensity, Intensity):
            raise CheckpointError(f"intensity must be one of lts.intensity, got a {type(intensity).__name__}")
        intensity.load_state_dict(description["intensity_state"])
        regions, context = check_regions(description["regions"]), int(description["context"])
        _check_sizes(description["network"], intensity, context=context, regions=regions)
        int(description["config"]["data"]["batch_size"])  # where whoever predicts has it from
        return Checkpoint(
            path=path,
            network=network.eval(),
            intensity=intensity.eval(),
            regions=regions,
            recipe=_recipe_of(description["recipe"]),
            context=context,
            split={
                part: [{key: str(member[key]) for key in _MEMBER} for member in description["split"][part]]
                for part in _PARTS
            },
            config=dict(description["config"]),
            versions=dict(description["versions"]),
        )
    except Exception as error:  # what comes of a description of other types has no bounds
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{path}: does not describe a model that can be built: {reason}") from error


def _recipe_of(described: Mapping[str, Any]) -> Recipe:
    """The recipe that was trained with, which no default of today may complete."""
    names = sorted(field.name for field in fields(Recipe))
    if sorted(described) != names:
        raise CheckpointError(f"recipe must have {', '.join(names)}, got {', '.join(map(str, described))}")
    return Recipe(**described)


def _check_sizes(
    network: Mapping[str, Any], intensity: Intensity, *, context: int, regions: Sequence[str]
) -> None:
    """Check that a network takes what the intensity makes of slices, and answers for each region."""
    sizes = {"in_channels": intensity.channels * (2 * context + 1), "out_channels": len(regions)}
    for name, size in sizes.items():
        if network[name] != size:
            raise CheckpointError(f"network.{name} must be {size}, got {network[name]}")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint file of lts holds, Lightning's own content included.

    Raises:
        CheckpointError: The file is missing, damaged, of another kind or of another format.
    """
    if path.is_dir():
        of_run = path / "checkpoints" / "best.ckpt"
        advice = f"; that of this run is {of_run}" if of_run.is_file() else ""
        raise CheckpointError(f"{path}: must be a checkpoint file, got a folder{advice}")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what an unpickler raises on a damaged file has no bounds
        raise CheckpointError(
            f"{path}: is damaged or holds more than weights and plain types, refused"
        ) from error
    if not isinstance(saved, dict):
        raise CheckpointError(f"{path}: is not a checkpoint of lts but a {type(saved).__name__}")
    description = saved.get(DESCRIPTION_KEY)
    if not isinstance(description, Mapping) or "state_dict" not in saved:
        raise CheckpointError(f"{path}: is not a checkpoint of lts: it does not describe itself")
    if description.get("format") != CHECKPOINT_FORMAT:
        found = description.get("format")
        raise CheckpointError(f"{path}: format must be {CHECKPOINT_FORMAT} to be read here, got {found}")
    return saved


def build(spec: Any) -> Any:
    """Build a module from plain types: `_target_` names a network or intensity, the rest its arguments.

    Raises:
        CheckpointError: `_target_` names something else, or weights from elsewhere are named.
    """
    if isinstance(spec, Mapping) and "_target_" in spec:
        check_buildable(spec)
        if spec.get("weights") is not None:
            raise CheckpointError(
                f"weights: must be null, a checkpoint brings its own, got {spec['weights']!r}"
            )
        arguments = {key: build(value) for key, value in spec.items() if key != "_target_"}
        return _BUILDERS[spec["_target_"]](**arguments)
    return [build(item) for item in spec] if isinstance(spec, list) else spec


def check_buildable(spec: Mapping[str, Any]) -> None:
    """Check that a checkpoint can name what a spec names: it must not have anything else called.

    Raises:
        CheckpointError: `_target_` is neither a network nor an intensity of lts.
    """
    if spec["_target_"] not in _BUILDERS:
        known = ", ".join(sorted(_BUILDERS))
        raise CheckpointError(f"_target_: must be one of {known}, got {spec['_target_']!r}")
