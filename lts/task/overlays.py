"""Pictures of validation slices in the logs, with contours of reference and prediction."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from pytorch_lightning import Callback, LightningModule, Trainer

from lts.base import MASK_THRESHOLD, ConfigError
from lts.figures import gray_range, overlay
from lts.task.logs import log_picture
from lts.task.module import Batch, SegmentationTask


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
