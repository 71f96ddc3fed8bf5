"""Callbacks: frozen encoders, curves, pictures, self-describing checkpoints."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from torch import nn

from lts.base import DESCRIPTION_KEY, MASK_THRESHOLD, CheckpointError, ConfigError, StorageError
from lts.figures import gray_range, overlay, save_curves
from lts.task.epochs import scores_of_epoch
from lts.task.logs import as_duration, log_picture
from lts.task.model_selection import TRAIN_LOSS, VAL_LOSS, best_epoch, mode_of
from lts.task.module import Batch, SegmentationTask

_SHARE_OF_DRAWING = 0.02
_EPOCHS_OF_PACE = 3
"""The last ones, by which the time that is left is told."""


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


class EpochHistory(Callback):
    """Keeps the scores of every epoch, counted from 1, and draws the curves.

    They are redrawn after an epoch, unless that would take more than 2 % of the time, and at the end, also
    that of a run that is stopped or fails.

    Args:
        path: The picture of the curves.
        monitor: The score that chooses the best checkpoint, None if the last epoch is the best.

    Example:
        >>> history = EpochHistory(path="curves.png", monitor="val/loss")
        >>> history.load_state_dict({"epochs": {1: {"val/loss": 0.5}, 2: {"val/loss": 0.3}}})
        >>> history.best_epoch()
        2
    """

    def __init__(self, *, path: str | Path, monitor: str | None = None) -> None:
        self.epochs: dict[int, dict[str, float]] = {}
        self.monitor, self._path = monitor, Path(path)
        self._is_drawn, self._draw_again_at = False, 0.0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Note and draw; validation has run by now, and the checkpoints come next."""
        scores = scores_of_epoch(trainer)
        self.epochs[trainer.current_epoch + 1] = scores
        self._is_drawn = False
        if trainer.is_global_zero and time.perf_counter() >= self._draw_again_at:
            self._draw()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Draw what has been noted since."""
        if trainer.is_global_zero and self.epochs and not self._is_drawn:
            self._draw()

    def on_exception(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        exception: BaseException,  # noqa: ARG002
    ) -> None:
        """Draw too; a disk that takes no picture does not hide what happened."""
        with suppress(StorageError):
            self.on_fit_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """The epochs so far, for a run that is resumed."""
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the epochs of an earlier run."""
        self.epochs = dict(state_dict["epochs"])

    def best_epoch(self) -> int | None:
        """The number of the best epoch so far."""
        highest_is_best = self.monitor is not None and mode_of(self.monitor) == "max"
        return best_epoch(self.epochs, monitor=self.monitor, highest_is_best=highest_is_best)

    def _draw(self) -> None:
        started = time.perf_counter()
        save_curves(self._path, self.epochs, best_epoch=self.best_epoch())
        now = time.perf_counter()
        self._is_drawn, self._draw_again_at = True, now + (now - started) / _SHARE_OF_DRAWING


class PrintEpochs(Checkpoint):
    """Prints a line for each epoch once its checkpoint is on the disk, with the time that is left.

    It is a `Checkpoint`, because Lightning calls these last and in order.

    Args:
        history: Holds the scores.
        print_line: Called with the line, by the first process alone.

    Example:
        >>> history = EpochHistory(path="curves.png", monitor="val/loss")
        >>> trainer = Trainer(accelerator="cpu", logger=False, callbacks=[history, PrintEpochs(history)])
    """

    def __init__(self, history: EpochHistory, *, print_line: Callable[[str], None] = print) -> None:
        self._history, self._print_line = history, print_line
        self._started = 0.0
        self._ends: deque[float] = deque(maxlen=_EPOCHS_OF_PACE + 1)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock of an epoch."""
        self._started = time.perf_counter()
        if not self._ends:
            self._ends.append(self._started)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Print the line."""
        if not trainer.is_global_zero:
            return
        number = trainer.current_epoch + 1
        scores = self._history.epochs[number]
        shown = dict.fromkeys((TRAIN_LOSS, VAL_LOSS, self._history.monitor))
        parts = [f"{name} {scores[name]:.4f}" for name in shown if name in scores]
        now = time.perf_counter()
        self._ends.append(now)
        assert trainer.max_epochs is not None
        epoch_s = (now - self._ends[0]) / (len(self._ends) - 1)  # with what is between epochs
        left_s = epoch_s * (trainer.max_epochs - number)
        left = f"  {as_duration(left_s)} left" if left_s else ""
        self._print_line(
            f"epoch {number}/{trainer.max_epochs}  {'  '.join(parts)}  {now - self._started:.1f} s{left}"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Shown:
    """A slice to draw; `pixels` of each region, the last region first, say how much it shows."""

    pixels: list[int]
    number: int
    pixel_mm: float
    hu: np.ndarray
    reference: np.ndarray
    prediction: np.ndarray


class LogOverlays(Callback):
    """Logs slices of validation cases, with contours of reference and prediction, where a logger takes them.

    Of each of the first cases it takes the slice with most of the last region, or of the first region if the
    last is absent.

    Args:
        cases: How many cases to show.
        every_n_epochs: How often.
        window_hu: Level and width of the gray window, None for percentiles of each slice.

    Raises:
        ConfigError: A setting breaks its rule.

    Example:
        >>> overlays = LogOverlays(cases=2, every_n_epochs=1)  # a picture of two cases after each epoch
        >>> trainer = Trainer(accelerator="cpu", logger=False, callbacks=[overlays])
    """

    def __init__(
        self, *, cases: int = 4, every_n_epochs: int = 5, window_hu: tuple[float, float] | None = (40, 400)
    ) -> None:
        if every_n_epochs < 1:
            raise ConfigError(f"every_n_epochs: must be at least 1, got {every_n_epochs}")
        if cases < 0:
            raise ConfigError(f"cases: must be 0 or more, got {cases}")
        if window_hu is not None and not window_hu[1] > 0:
            raise ConfigError(f"window_hu: must be a level and a width > 0, got {list(window_hu)}")
        self._cases, self._every_n_epochs = cases, every_n_epochs
        self._window_hu = window_hu
        self._best: dict[int, _Shown] = {}

    def on_validation_batch_end(  # noqa: PLR0917
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,
        batch: Batch,
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Remember the slice of each case that shows most."""
        if trainer.sanity_checking or not self._due(trainer):
            return
        pixels = batch["mask"].sum((2, 3)).flip(1).tolist()
        for item, (case, counts) in enumerate(zip(batch["case"].tolist(), pixels, strict=True)):
            if case < self._cases and (case not in self._best or counts > self._best[case].pixels):
                self._best[case] = _Shown(
                    pixels=counts,
                    number=int(batch["slice"][item]) + 1,
                    pixel_mm=float(batch["pixel_mm"][item]),
                    hu=batch["hu"][item].cpu().numpy(),
                    reference=batch["mask"][item].cpu().numpy(),
                    prediction=(outputs[item] > MASK_THRESHOLD).cpu().numpy(),
                )

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw what was remembered."""
        assert isinstance(pl_module, SegmentationTask)
        for case, shown in sorted(self._best.items()):
            level_hu, width_hu = self._window_hu or gray_range([shown.hu])
            picture = overlay(
                shown.hu,
                reference=shown.reference,
                prediction=shown.prediction,
                regions=pl_module.regions,
                spacing_mm=(shown.pixel_mm, shown.pixel_mm),
                title=f"validation case {case}, slice {shown.number}",
                level_hu=level_hu,
                width_hu=width_hu,
            )
            for logger in trainer.loggers:
                log_picture(logger, f"val/case {case}", picture, trainer.global_step)
        self._best = {}

    def _due(self, trainer: Trainer) -> bool:
        return (
            # the first validation at or after each n-th epoch
            trainer.current_epoch % self._every_n_epochs < (trainer.check_val_every_n_epoch or 1)
            or trainer.current_epoch + 1 == trainer.max_epochs
        )


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
