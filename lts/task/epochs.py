"""Scores of an epoch at its end; not every epoch is validated."""

from pytorch_lightning import Trainer

_OF_VALIDATION = "val/"


def is_validated(trainer: Trainer) -> bool:
    """Whether validation runs after the current epoch.

    Example:
        >>> is_validated(Trainer(accelerator="cpu", logger=False))  # which has no validation cases yet
        False
    """
    every = trainer.check_val_every_n_epoch or 1
    return bool(trainer.enable_validation) and (trainer.current_epoch + 1) % every == 0


def scores_of_epoch(trainer: Trainer) -> dict[str, float]:
    """The scores of the ending epoch, without earlier ones that the trainer still holds.

    Example:
        >>> scores_of_epoch(Trainer(accelerator="cpu", logger=False))  # of which no epoch has ended yet
        {}
    """
    validated = is_validated(trainer)
    return {
        name: float(score)
        for name, score in trainer.callback_metrics.items()
        if validated or not name.startswith(_OF_VALIDATION)
    }
