"""Complete logs of killed and resumed runs, and the time that a run will take."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from lts.task.epochs import scores_of_epoch

_FIRST_BATCHES = 3
"""Not timed, as memory is allocated and kernels are chosen in them."""
_TIMED_BATCHES = 20


class WholeLogs(Callback):
    """Keeps the logs of a killed and resumed run complete.

    The trainer logs training scores after the checkpoint of an epoch, TensorBoard buffers its writes, and
    Lightning's CSV log starts anew with every process. So logs are flushed before a checkpoint is written,
    and a resumed run logs again the scores in its checkpoint that a log may lack.

    Example:
        >>> trainer = Trainer(accelerator="cpu", logger=False, callbacks=[WholeLogs()])
    """

    def __init__(self) -> None:
        self._scores_of_step: dict[int, dict[str, float]] = {}
        self._is_resumed = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Log scores that an earlier process may have lost."""
        if not self._is_resumed or not self._scores_of_step:
            return
        last = max(self._scores_of_step)
        training = {
            name: score for name, score in self._scores_of_step[last].items() if not name.startswith("val/")
        }
        for logger in trainer.loggers:
            if isinstance(logger, CSVLogger):
                for step, scores in self._scores_of_step.items():
                    logger.log_metrics({**scores}, step)
                logger.save()
            else:
                logger.log_metrics(training, last)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Keep the scores of the epoch by the step at which the trainer will log them."""
        self._scores_of_step[trainer.global_step - 1] = {
            **scores_of_epoch(trainer),
            "epoch": trainer.current_epoch,
        }

    def on_save_checkpoint(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],  # noqa: ARG002
    ) -> None:
        """Flush TensorBoard."""
        for logger in trainer.loggers:
            if trainer.is_global_zero and isinstance(logger, TensorBoardLogger):
                logger.experiment.flush()

    def state_dict(self) -> dict[str, Any]:
        """The logged scores, by step."""
        return {"scores_of_step": self._scores_of_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after what an earlier process logged."""
        self._scores_of_step = dict(state_dict["scores_of_step"])
        self._is_resumed = True


class PrintTimeLeft(Callback):
    """Prints once, after the first batches, how long the training will take at their pace.

    Args:
        print_line: Called with the line.

    Example:
        >>> trainer = Trainer(accelerator="cpu", logger=False, callbacks=[PrintTimeLeft()])
    """

    def __init__(self, print_line: Callable[[str], None] = print) -> None:
        self._print_line = print_line
        self._batches, self._began_s = 0, 0.0
        self._is_printed = False

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Time the first batches; print at the end of a shorter epoch."""
        self._batches += 1
        timed = self._batches - _FIRST_BATCHES
        if timed == 0:
            self._began_s = time.perf_counter()
        is_last = batch_idx + 1 == trainer.num_training_batches
        if self._is_printed or timed < 1 or (timed < _TIMED_BATCHES and not is_last):
            return
        self._is_printed = True
        batch_s = (time.perf_counter() - self._began_s) / timed
        assert trainer.max_epochs is not None
        epochs = trainer.max_epochs - trainer.current_epoch
        left = int(epochs * trainer.num_training_batches) - (batch_idx + 1)
        if left and trainer.is_global_zero:
            on_top = ", and validation some on top" if trainer.enable_validation else ""
            self._print_line(
                f"training takes about {as_duration(left * batch_s)} more at {batch_s:.2g} s a batch{on_top}"
            )


def as_duration(seconds: float) -> str:
    """Seconds, at least one, in a readable unit: `40 s`, `12 min`, `5.5 h`."""
    if seconds < 100:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def log_picture(logger: Logger, name: str, picture: np.ndarray, step: int) -> None:
    """Log a picture, `(H, W, 3)` uint8, where the logger takes pictures: TensorBoard, W&B and MLflow do."""
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(name, picture, step, dataformats="HWC")
    elif isinstance(logger, WandbLogger):
        logger.log_image(name, [picture], step)
    elif isinstance(logger, MLFlowLogger):
        logger.experiment.log_image(logger.run_id, picture, key=name, step=step)
