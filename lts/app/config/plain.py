"""A config as plain types."""

from typing import Any

from omegaconf import DictConfig, OmegaConf


def plain(config: DictConfig) -> dict[str, Any]:
    """A config as plain types, resolved."""
    container: Any = OmegaConf.to_container(config, resolve=True)
    return dict(container)
