"""Ends a training that no longer gets better."""

import math
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping

from lts.base import ConfigError, counted
from lts.task.model_selection import Mode, mode_of


class StopEarly(EarlyStopping):
    """Ends a training whose score has not improved in some validations one after the other.

    As Lightning's, but a resumed training has the patience of its settings, and one that was ended is not
    resumed unless it has more. A NaN does not end it: it counts as no improvement.

    Args:
        monitor: The score; one of training is looked at after each epoch, one of validation after each
            validation.
        mode: Whether its lowest (`min`) or highest (`max`) value is the best; None for `mode_of`.
        patience: After how many validations without improvement it ends.
        min_delta: By how much a score must be better to count as an improvement.

    Raises:
        ConfigError: A setting breaks its rule.

    Example:
        >>> stop = StopEarly(monitor="val/tumor/dice_where_present", patience=5)
        >>> stop.mode, stop.patience
        ('max', 5)
    """

    def __init__(
        self, *, monitor: str | None, mode: Mode | None = None, patience: int = 10, min_delta: float = 0.0
    ) -> None:
        if monitor is None:
            raise ConfigError("monitor: must be a score, got null; train/loss needs no validation case")
        if patience < 1:
            raise ConfigError(f"patience: must be at least 1, got {patience}")
        if not min_delta >= 0:
            raise ConfigError(f"min_delta: must be 0 or more, got {min_delta}")
        super().__init__(
            monitor=monitor,
            mode=mode or mode_of(monitor),
            patience=patience,
            min_delta=min_delta,
            check_finite=False,
            check_on_train_epoch_end=monitor.startswith("train/"),
        )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Do nothing more where a resumed training had ended."""
        trainer.should_stop = trainer.should_stop or self._is_over

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting where an earlier process ended."""
        super().load_state_dict({**state_dict, "patience": self.patience})

    def line(self) -> str | None:
        """A line that says why the training was ended; None where it was not."""
        if not self._is_over:
            return None
        best = float(self.best_score)
        how = f"did not get better than {best:.4f}" if math.isfinite(best) else "was no number"
        what = "epoch" if self.monitor.startswith("train/") else "validation"
        return f"{self.monitor} {how} in {counted(self.wait_count, what)}"

    @property
    def _is_over(self) -> bool:
        return self.wait_count >= self.patience
