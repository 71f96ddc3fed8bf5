"""Checkpoints that describe themselves."""

from collections.abc import Mapping
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn

from lts.base import DESCRIPTION_KEY, CheckpointError


class DescribeCheckpoint(Callback):
    """Adds to every checkpoint the description and intensity state that are needed to use it.

    Args:
        description: How to build the network, and where its weights come from; plain types.
        intensity: Its current state is saved.

    Example:
        >>> describe = DescribeCheckpoint(description={"regions": ["tumor"]}, intensity=nn.Identity())
        >>> checkpoint = {}
        >>> describe.on_save_checkpoint(None, None, checkpoint)
        >>> checkpoint["lts"]["regions"]
        ['tumor']
    """

    def __init__(self, *, description: Mapping[str, Any], intensity: nn.Module) -> None:
        self._description, self._intensity = description, intensity

    def on_save_checkpoint(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Add the description."""
        intensity_state = {name: tensor.cpu() for name, tensor in self._intensity.state_dict().items()}
        checkpoint[DESCRIPTION_KEY] = {**self._description, "intensity_state": intensity_state}

    def on_load_checkpoint(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Refuse to resume with another split or other regions."""
        saved = checkpoint.get(DESCRIPTION_KEY, {})
        for key in ("regions", "split"):
            if saved.get(key) != self._description[key]:
                raise CheckpointError(
                    f"checkpoint: was trained with another {key} than this run's; resume with the same data"
                )
