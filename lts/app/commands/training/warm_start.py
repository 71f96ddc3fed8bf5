"""A training that begins with the weights of another."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lts.app.commands.training.network import build_network
from lts.app.config.component import Component
from lts.app.config.settings import TrainSettings
from lts.base import DESCRIPTION_KEY, CheckpointError, ConfigError, listed, name_some
from lts.inference import cases_learned_from, read_checkpoint
from lts.inference.building import find_class, without_start_weights
from lts.inference.checkpoint import network_weights, not_finite
from lts.networks.meta import without_memory

_MOST_LAYERS = 8


@dataclass(frozen=True, eq=False, kw_only=True)
class WarmStart:
    """The weights of a checkpoint, and what they were learned from.

    Attributes:
        path: The checkpoint.
        weights: Those of its network, by name.
        regions: Its regions, in channel order.
        cases: Those it was trained on, and those that its own start was: `case`, `patient` and `sha256`.
    """

    path: Path
    weights: Mapping[str, Tensor]
    regions: Sequence[str]
    cases: Sequence[Mapping[str, str]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Fit:
    """Which weights of a start fit a network.

    Attributes:
        weights: What the network begins with, by name.
        n_tensors: How many tensors the network has.
        not_taken: Why not, by name: tensors of the network that begin anew, whole or in part.
        left_over: Names of tensors that the network does not have.
    """

    weights: Mapping[str, Tensor]
    n_tensors: int
    not_taken: Mapping[str, str]
    left_over: Sequence[str]

    def lines(self, path: Path) -> Iterator[str]:
        """What is printed of it."""
        yield f"init {path}: {len(self.weights)} of {self.n_tensors} tensors taken"
        if self.not_taken:
            layers = (f"{name} ({reason})" for name, reason in self.not_taken.items())
            yield f"init: begin anew: {listed(layers, most=_MOST_LAYERS)}"
        if self.left_over:
            yield f"init: have no place here: {listed(self.left_over, most=_MOST_LAYERS)}"


def open_start(settings: TrainSettings) -> WarmStart | None:
    """The checkpoint of `init`, None without one.

    Raises:
        CheckpointError: It cannot be read, or describes no model.
    """
    if settings.init is None:
        return None
    path = Path(settings.init)
    saved = read_checkpoint(path)
    try:
        weights = network_weights(saved)
        regions = [str(region) for region in saved[DESCRIPTION_KEY]["regions"]]
        cases = cases_learned_from(saved[DESCRIPTION_KEY])
    except (AttributeError, KeyError, TypeError) as error:
        raise CheckpointError(f"init: {path} does not describe a model: {error}") from error
    if wrong := not_finite(weights):
        raise CheckpointError(
            f"init: {path}: weights must be finite real numbers, not so: {name_some(wrong)}"
        )
    return WarmStart(path=path, weights=weights, regions=regions, cases=cases)


def fit_to_network(start: WarmStart, network: nn.Module, settings: TrainSettings, *, in_channels: int) -> Fit:
    """Find the weights that fit a network: those of the same name and shape.

    Layers with a channel per region are taken region by region, by name.

    Args:
        start: The start.
        network: The network of the settings, as it was built; stays as it is.
        settings: Those of the run.
        in_channels: Channels of its images.

    Raises:
        ConfigError: None fits.
    """
    regions = settings.data.regions
    of_regions = _layers_of_regions(settings, in_channels=in_channels)
    taken, not_taken = {}, {}
    own = network.state_dict()
    for name, weight in own.items():
        given = start.weights.get(name)
        if given is None:
            not_taken[name] = "not in the file"
        elif name in of_regions:
            known = [region for region in regions if region in start.regions]
            if given.shape[:1] != (len(start.regions),) or given.shape[1:] != weight.shape[1:]:
                not_taken[name] = _shapes(given, weight)
            elif known:
                taken[name] = _by_region(weight, given, regions=regions, saved=start.regions)
            if new := [region for region in regions if region not in known]:
                not_taken[name] = f"channels of {', '.join(new)}"
        elif given.shape == weight.shape:
            taken[name] = given
        else:
            not_taken[name] = _shapes(given, weight)
    if not taken:
        raise ConfigError(f"init: {start.path} has no weights that fit a {type(network).__name__} as here")
    return Fit(
        weights=taken,
        n_tensors=len(own),
        not_taken=not_taken,
        left_over=[name for name in start.weights if name not in own],
    )


def _by_region(weight: Tensor, given: Tensor, *, regions: Sequence[str], saved: Sequence[str]) -> Tensor:
    rows = [
        given[saved.index(region)] if region in saved else weight[number]
        for number, region in enumerate(regions)
    ]
    return torch.stack([row.to(weight.device, weight.dtype) for row in rows])


def _layers_of_regions(settings: TrainSettings, *, in_channels: int) -> set[str]:
    """Names of the tensors whose first dimension is that of the regions."""
    number = len(settings.data.regions)
    kind = find_class(settings.model.target, trusted_modules=settings.trusted_modules)
    model = Component.from_dict(without_start_weights(kind, settings.model.to_dict()))
    settings = replace(settings, model=model)  # shapes do not take the reading of ImageNet weights
    shapes: list[dict[str, Any]] = []
    with without_memory():
        for out_channels in (number, number + 1):
            network, _ = build_network(settings, in_channels=in_channels, out_channels=out_channels)
            shapes.append({name: tensor.shape for name, tensor in network.state_dict().items()})
    here, with_another = shapes
    return {name for name, shape in here.items() if shape and shape[0] != with_another[name][0]}


def _shapes(given: Tensor, weight: Tensor) -> str:
    return f"{tuple(given.shape)} in the file, {tuple(weight.shape)} here"
