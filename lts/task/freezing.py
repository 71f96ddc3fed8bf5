"""Freezes the encoder of a network for the first epochs."""

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn

from lts.base import ConfigError


class FreezeEncoder(Callback):
    """Freezes the encoder, norm statistics included, for the first epochs.

    Its learning rate afterwards is `encoder_lr_scale` of `SegmentationTask` times that of the rest.

    Args:
        epochs: Epochs during which the encoder is frozen.

    Raises:
        ConfigError: `epochs` is negative, or the network has no part called `encoder`.

    Example:
        >>> freeze = FreezeEncoder(epochs=5)  # the encoder learns from the sixth epoch on
        >>> trainer = Trainer(accelerator="cpu", logger=False, callbacks=[freeze])
    """

    def __init__(self, *, epochs: int = 2) -> None:
        if epochs < 0:
            raise ConfigError(f"epochs: must be 0 or more, got {epochs}")
        self._epochs = epochs

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Refuse a network without an encoder before the first step."""
        self._encoder(pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Freeze or unfreeze by the number of the epoch, so that a resumed run does the same."""
        encoder = self._encoder(pl_module)
        frozen = trainer.current_epoch < self._epochs
        encoder.requires_grad_(not frozen)
        encoder.train(not frozen)

    def _encoder(self, pl_module: LightningModule) -> nn.Module:
        encoder = getattr(pl_module.network, "encoder", None)
        if not isinstance(encoder, nn.Module):
            network = type(pl_module.network).__name__
            raise ConfigError(f"network: must have a part called encoder to freeze, got {network}")
        return encoder
