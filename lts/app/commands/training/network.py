"""From settings to a network, and to the description in its checkpoints."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any

import torch
from torch import nn

from lts.app.commands.training.locator import recipe_of
from lts.app.config.component import Component
from lts.app.config.instantiate import build_component, check_arguments_of
from lts.app.config.serialization import settings_to_dict
from lts.app.config.settings import TrainSettings
from lts.app.config.values import shown
from lts.app.run.provenance import library_versions
from lts.base import ConfigError, LtsError
from lts.inference import CHECKPOINT_FORMAT, check_buildable
from lts.inference.building import describe_padded, find_class, with_defaults, without_start_weights
from lts.networks import Padded


def build_network(
    settings: TrainSettings, *, in_channels: int, out_channels: int
) -> tuple[nn.Module, dict[str, Any]]:
    """Build the network of `model`.

    Besides the arguments of its class, `model` may hold `_in_channels_` and `_out_channels_`, the class's
    names for these two, and `_multiple_`, the multiple that image sides are padded to.

    Returns:
        The network, channels last, and the plain description from which a checkpoint builds it anew.

    Raises:
        ConfigError: A setting of the model breaks its rule, or a checkpoint could not name its classes.
    """
    arguments, trusted = settings.model.to_dict(), settings.trusted_modules
    with _naming_key("model"):
        kind = find_class(arguments.get("_target_"), trusted_modules=trusted)
    sizes: dict[str, Any] = {
        _argument_for_size(arguments, "_in_channels_", kind): in_channels,
        _argument_for_size(arguments, "_out_channels_", kind): out_channels,
    }
    multiple = arguments.pop("_multiple_", None)
    if not kind.__module__.startswith("lts."):  # of a library, none unless the config asks
        arguments = {**without_start_weights(kind, {}), **arguments}
    check_arguments_of("model", arguments, given=sizes)
    spec = without_start_weights(kind, {**arguments, **sizes})  # the checkpoint brings them
    with _naming_key("model"):
        check_buildable(spec, trusted_modules=trusted)
    with _naming_key("intensity"):
        check_buildable(settings.intensity.to_dict(), trusted_modules=trusted)
    network: nn.Module = build_component(Component.from_dict(arguments), key="model", kind=nn.Module, **sizes)
    if multiple is not None:
        with _naming_key("model._multiple_", instead_of="multiple: "):
            network, spec = Padded(network, multiple=multiple), describe_padded(spec, multiple=multiple)
    return network.to(memory_format=torch.channels_last), with_defaults(spec, trusted_modules=trusted)


def _argument_for_size(arguments: dict[str, Any], key: str, kind: type) -> str:
    """Pop the class's name for a size from the settings; by default the name of the key."""
    name = arguments.pop(key, key.strip("_"))
    parameters = signature(kind).parameters
    if name not in parameters:
        rule = f"must name an argument of {kind.__name__}, one of {', '.join(parameters)}"
        raise ConfigError(f"model.{key}: {rule}, got {shown(name)}")
    return str(name)


@contextmanager
def _naming_key(key: str, *, instead_of: str = "") -> Iterator[None]:
    try:
        yield
    except LtsError as error:
        reason = str(error).removeprefix(instead_of)
        raise ConfigError(f"{key}{': ' if instead_of else '.'}{reason}") from error


def describe_run(
    settings: TrainSettings,
    *,
    network: dict[str, Any],
    members: dict[str, list[dict[str, str]]],
    changes: list[dict[str, Any]],
    start_cases: Sequence[Mapping[str, str]],
    fingerprint: Mapping[str, Any],
    locator: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The description in every checkpoint of a run, as plain types.

    Args:
        settings: Those of the run.
        network: What `build_network` returned.
        members: Per subset its cases: `case`, `patient` and `sha256` of the scan's file.
        changes: The settings that differed in earlier epochs; `settings` holds the latest.
        start_cases: Cases that the weights it begins with, or its locator, were trained on, likewise.
        fingerprint: What settings were fitted to, and which; empty where none was.
        locator: What the checkpoint holds of its locator, weights included; None without one.
    """
    data = settings.data
    return {
        "format": CHECKPOINT_FORMAT,
        "regions": list(data.regions),
        "network": network,
        "intensity": with_defaults(settings.intensity.to_dict(), trusted_modules=settings.trusted_modules),
        "context": data.context,
        "recipe": recipe_of(settings).describe(),
        "locator": None if locator is None else dict(locator),
        "split": members,
        "start_cases": [dict(case) for case in start_cases],
        "fingerprint": dict(fingerprint),
        "config": settings_to_dict(settings),
        "changes": changes,
        "versions": library_versions(),
    }
