"""Checkpoints on the disk: written whole or not at all, and the best one never forgotten."""

import io
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io import TorchCheckpointIO
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from lts.base import CheckpointError, written_whole
from lts.task.epochs import scores_of_epoch


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints beside their place and renames them: a kill leaves the old one or the new one.

    Lightning's own way moves them over from the folder of temporary files, which often is another disk: then
    the move is a copy in place.
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
    """Keeps the best checkpoint, and takes the best score of a resumed run from that file itself.

    The file is written before that of the last epoch. A run killed between the two goes on from the epoch
    before; where it does that epoch over with another score, as it may on a GPU, the file would hold weights
    that the run no longer knows the score of. A file in another folder is another run's: a run that starts
    from its checkpoint looks for its own best.
    """

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge the epoch, unless it has no score of its own."""
        if self.monitor is None or self.monitor in scores_of_epoch(trainer):
            super().on_train_epoch_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the best checkpoint so far.

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
        score = self._score_in(path)
        self.best_model_path = self.kth_best_model_path = str(path)
        self.best_model_score = self.current_score = self.kth_value = score
        self.best_k_models = {str(path): score}

    def _score_in(self, path: Path) -> torch.Tensor:
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            score = saved["callbacks"][self.state_key]["best_model_score"]
            assert isinstance(score, torch.Tensor)
        except Exception as error:  # what an unpickler raises on a damaged file has no bounds
            raise CheckpointError(
                f"{path}: is damaged, and the run cannot end without its best checkpoint"
            ) from error
        return score
