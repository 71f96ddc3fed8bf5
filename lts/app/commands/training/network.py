"""From the config to a network, and to what its checkpoints say of themselves."""

from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from lts.app.config.making import make
from lts.app.config.plain import plain
from lts.app.run.provenance import library_versions
from lts.base import CheckpointError, ConfigError
from lts.inference import CHECKPOINT_FORMAT, check_buildable


def build_network(
    config: DictConfig, *, in_channels: int, out_channels: int
) -> tuple[nn.Module, dict[str, Any]]:
    """Build the network of `model`.

    Returns:
        The network, channels last, and the plain description from which a checkpoint builds it anew.

    Raises:
        ConfigError: A setting of the model breaks its rule, or a checkpoint could not name its classes.
    """
    sizes: dict[str, Any] = {"in_channels": in_channels, "out_channels": out_channels}
    spec = {**plain(config.model), **sizes}
    if "weights" in spec:
        spec["weights"] = None  # the checkpoint brings them
    for section in ("model", "intensity"):
        try:
            check_buildable(plain(config[section]))
        except CheckpointError as error:
            raise ConfigError(f"{section}.{error}") from error
    network: nn.Module = make(config.model, key="model", kind=nn.Module, **sizes)
    return network.to(memory_format=torch.channels_last), spec


def describe_run(
    config: DictConfig,
    *,
    network: dict[str, Any],
    members: dict[str, list[dict[str, str]]],
    changes: list[dict[str, Any]],
) -> dict[str, Any]:
    """What every checkpoint of a run says of itself, as plain types.

    Args:
        config: The config of the run.
        network: What `build_network` returned.
        members: Per subset its cases: `case`, `patient` and `sha256` of the scan's file.
        changes: The settings that were other ones in epochs before; `config` holds those of the last.
    """
    data = plain(config.data)
    return {
        "format": CHECKPOINT_FORMAT,
        "regions": data["regions"],
        "network": network,
        "intensity": plain(config.intensity),
        "context": data["context"],
        "recipe": {name: data[name] for name in ("image_size", "pixel_mm", "modality")},
        "split": members,
        "config": plain(config),
        "changes": changes,
        "versions": library_versions(),
    }
