"""From settings to a network, and to what its checkpoints say of themselves."""

from typing import Any

import torch
from torch import nn

from lts.app.config.making import make
from lts.app.config.plain import to_plain
from lts.app.config.settings import TrainSettings
from lts.app.run.provenance import library_versions
from lts.base import CheckpointError, ConfigError
from lts.inference import CHECKPOINT_FORMAT, check_buildable


def build_network(
    settings: TrainSettings, *, in_channels: int, out_channels: int
) -> tuple[nn.Module, dict[str, Any]]:
    """Build the network of `model`.

    Returns:
        The network, channels last, and the plain description from which a checkpoint builds it anew.

    Raises:
        ConfigError: A setting of the model breaks its rule, or a checkpoint could not name its classes.
    """
    sizes: dict[str, Any] = {"in_channels": in_channels, "out_channels": out_channels}
    spec = {**settings.model.to_dict(), **sizes}
    if "weights" in spec:
        spec["weights"] = None  # the checkpoint brings them
    for section, component in (("model", settings.model), ("intensity", settings.intensity)):
        try:
            check_buildable(component.to_dict())
        except CheckpointError as error:
            raise ConfigError(f"{section}.{error}") from error
    network: nn.Module = make(settings.model, key="model", kind=nn.Module, **sizes)
    return network.to(memory_format=torch.channels_last), spec


def describe_run(
    settings: TrainSettings,
    *,
    network: dict[str, Any],
    members: dict[str, list[dict[str, str]]],
    changes: list[dict[str, Any]],
) -> dict[str, Any]:
    """What every checkpoint of a run says of itself, as plain types.

    Args:
        settings: Those of the run.
        network: What `build_network` returned.
        members: Per subset its cases: `case`, `patient` and `sha256` of the scan's file.
        changes: The settings that were other ones in epochs before; `settings` holds those of the last.
    """
    data = settings.data
    return {
        "format": CHECKPOINT_FORMAT,
        "regions": list(data.regions),
        "network": network,
        "intensity": settings.intensity.to_dict(),
        "context": data.context,
        "recipe": {"image_size": data.image_size, "pixel_mm": data.pixel_mm, "modality": data.modality},
        "split": members,
        "config": to_plain(settings),
        "changes": changes,
        "versions": library_versions(),
    }
