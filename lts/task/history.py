"""The scores of every epoch: kept, drawn as curves, and printed."""

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from lts.base import StorageError
from lts.figures import save_curves
from lts.task.epochs import scores_of_epoch
from lts.task.logs import as_duration
from lts.task.model_selection import TRAIN_LOSS, VAL_LOSS, best_epoch, mode_of

_SHARE_OF_DRAWING = 0.02
_EPOCHS_OF_PACE = 3
"""The last ones, by which the time that is left is told."""


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
