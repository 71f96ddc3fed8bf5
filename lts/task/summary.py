"""What a logger tells of a whole run: its settings, and the scores of its best epoch."""

import math
from collections.abc import Mapping
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger

from lts.task.history import EpochHistory
from lts.task.model_selection import score_names

_OF_SUMMARY = tuple(
    name
    for name in score_names()
    if name.endswith(("/loss", "/dice_where_present", "/dice_per_case", "/dice_global"))
)
"""Beside the monitored score; the others stay in the curves."""
_COLUMNS = {f"best/{name}": math.nan for name in _OF_SUMMARY}
"""TensorBoard has the scores of its first run as columns of all, also where other runs have others."""


class LogSummary(Callback):
    """Logs the settings of a run, and after each epoch the scores of the best one so far, as `best/val/loss`.

    TensorBoard shows tuned settings beside these scores under HPARAMS.

    Args:
        history: Knows the best epoch; its `on_train_epoch_end` must have been called before.
        settings: All settings, by key.
        tuned: Those for the table of TensorBoard.

    Example:
        >>> history = EpochHistory(path="curves.png", monitor="val/loss")
        >>> summary = LogSummary(history, settings={"seed": 0}, tuned={})
        >>> trainer = Trainer(accelerator="cpu", logger=False, callbacks=[history, summary])
    """

    def __init__(
        self, history: EpochHistory, *, settings: Mapping[str, Any], tuned: Mapping[str, Any]
    ) -> None:
        self._history, self._settings, self._tuned = history, dict(settings), dict(tuned)
        self._logged_epoch: int | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Log the settings; TensorBoard takes them with the first scores."""
        for logger in trainer.loggers:
            if not isinstance(logger, TensorBoardLogger):
                logger.log_hyperparams(_new_to(logger, self._settings))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Log the scores of the best epoch so far, if that is another one than was logged."""
        best = self._history.best_epoch()
        if best is None or best == self._logged_epoch:
            return
        is_first, self._logged_epoch = self._logged_epoch is None, best
        scores = {f"best/{name}": score for name, score in self._scores_of(best).items()}
        for logger in trainer.loggers:
            if is_first and isinstance(logger, TensorBoardLogger):
                logger.log_hyperparams(self._tuned, _COLUMNS | scores, trainer.global_step - 1)
            else:
                logger.log_metrics(scores, trainer.global_step - 1)

    def _scores_of(self, epoch: int) -> dict[str, float]:
        scores = self._history.epochs[epoch]
        return {name: scores[name] for name in scores if name in (*_OF_SUMMARY, self._history.monitor)}


def _new_to(logger: Logger, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a run does not have yet: MLflow keeps the first value of each, and refuses others."""
    known = {}
    if isinstance(logger, MLFlowLogger):
        known = logger.experiment.get_run(logger.run_id).data.params
    return {key: value for key, value in settings.items() if key not in known}
