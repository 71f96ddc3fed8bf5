"""Atomic writing of checkpoints, and the best one across resumed runs."""

import io
import math
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io import TorchCheckpointIO
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from lts.base import CheckpointError, written_whole
from lts.task.epochs import scores_of_epoch
from lts.task.model_selection import VAL_LOSS, Mode, is_better, mode_of


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints atomically: a kill leaves the old or the new one.

    Lightning moves them from the folder of temporary files, which is often another disk, so that the move is
    a copy.

    Example:
        >>> io = WholeCheckpointIO()
        >>> io.save_checkpoint({"epoch": 3}, "a.ckpt")
        >>> io.load_checkpoint("a.ckpt", weights_only=True)
        {'epoch': 3}
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: Any | None = None,  # noqa: ARG002 - the signature that Lightning calls
    ) -> None:
        """Write a checkpoint.

        Raises:
            StorageError: It cannot be written; the checkpoint that was there stays.
        """
        # In memory first: on a full disk, torch turns the disk's error into one about its archive.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as file:
            file.write(content.getbuffer())


class BestCheckpoint(ModelCheckpoint):
    """Keeps the best checkpoint, and reads the best score of a resumed run from that file itself.

    Ties of the score go to the lower validation loss, as a constant score would keep the first epoch. Without
    a monitored score the last epoch is kept.

    The file is written before that of the last epoch. A run killed between the two resumes from the epoch
    before; if that epoch then gets another score, as it may on a GPU, the stored score would not belong to
    the file. A file in another folder belongs to another run: a run that starts from its checkpoint finds its
    own best.

    Args:
        dirpath: Folder of the file, None for that of the trainer's logs.
        filename: Its name, without `.ckpt`.
        monitor: The score that decides, None for the last epoch.
        mode: Whether its lowest (`min`) or highest (`max`) value is the best; None for `mode_of`.
        save_on_train_epoch_end: See `ModelCheckpoint`, as is the last.
        enable_version_counter: Whether an existing file is kept, and the new one called `best-v1`.

    Example:
        >>> best = BestCheckpoint("checkpoints", monitor="val/tumor/dice_where_present")
        >>> best.mode, best.filename
        ('max', 'best')
    """

    _best_loss = math.nan

    def __init__(
        self,
        dirpath: str | Path | None = None,
        *,
        filename: str = "best",
        monitor: str | None = None,
        mode: Mode | None = None,
        save_on_train_epoch_end: bool = True,
        enable_version_counter: bool = False,
    ) -> None:
        super().__init__(
            dirpath,
            filename=filename,
            monitor=monitor,
            mode=mode or ("min" if monitor is None else mode_of(monitor)),
            save_on_train_epoch_end=save_on_train_epoch_end,
            enable_version_counter=enable_version_counter,
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare the epoch, unless it has no score."""
        if self.monitor is None or self.monitor in scores_of_epoch(trainer):
            super().on_train_epoch_end(trainer, pl_module)

    def check_monitor_top_k(self, trainer: Trainer, current: torch.Tensor | None = None) -> bool:
        """Whether this epoch is the best so far."""
        better = super().check_monitor_top_k(trainer, current)
        loss = scores_of_epoch(trainer).get(VAL_LOSS, math.nan)
        if not better and current is not None and self.best_model_score is not None:
            better = trainer.strategy.reduce_boolean_decision(
                is_better(
                    float(current),
                    loss,
                    best_score=float(self.best_model_score),
                    best_loss=self._best_loss,
                    highest_is_best=self.mode == "max",
                )
            )
        if better:
            self._best_loss = loss
        return better

    def state_dict(self) -> dict[str, Any]:
        """Lightning's state, and the validation loss of the best."""
        return {**super().state_dict(), "best_loss": self._best_loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best checkpoint so far.

        Raises:
            CheckpointError: The file of the best checkpoint is gone or damaged.
        """
        path = Path(self.format_checkpoint_name({}))
        if not path.is_file():
            if state_dict["dirpath"] == self.dirpath:
                raise CheckpointError(
                    f"{path}: is missing, and the run cannot end without its best checkpoint"
                )
            return
        score, self._best_loss = self._found_in(path)
        self.best_model_path = str(path)
        if score is not None:
            self.kth_best_model_path = str(path)
            self.best_model_score = self.current_score = self.kth_value = score
            self.best_k_models = {str(path): score}

    def _found_in(self, path: Path) -> tuple[torch.Tensor | None, float]:
        """The score of the file, None where none is monitored, and its validation loss."""
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            state = saved["callbacks"][self.state_key]
            score, loss = state["best_model_score"], float(state.get("best_loss", math.nan))
            assert isinstance(score, torch.Tensor) or self.monitor is score is None
        except Exception as error:  # what an unpickler raises on a damaged file has no bounds
            raise CheckpointError(
                f"{path}: is damaged, and the run cannot end without its best checkpoint"
            ) from error
        return score, loss
