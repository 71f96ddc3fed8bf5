"""Callbacks for resumed trainings: the same random numbers, and changed settings."""

import warnings

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from lts.task.module import SegmentationTask

_COUNTS_OF_PLATEAU = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch", "_last_lr")


class ApplyNewSettings(Callback):
    """Applies the settings of the task to optimizer and scheduler, as a checkpoint restores its own.

    Moments stay. A schedule by epochs continues at the current point of its new curve. A plateau keeps its
    counts, and its reduced rate unless the rate itself changed.

    Args:
        learning_rate_changed: Whether the learning rate of the settings differs from the checkpoint's.

    Example:
        >>> take_rate = ApplyNewSettings(learning_rate_changed=True)  # the one that the task has now
        >>> trainer = Trainer(accelerator="cpu", logger=False, callbacks=[take_rate])
    """

    def __init__(self, *, learning_rate_changed: bool = False) -> None:
        self._learning_rate_changed = learning_rate_changed

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Change what was restored, before the first step."""
        assert isinstance(pl_module, SegmentationTask)
        (optimizer,) = trainer.optimizers
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        fresh = pl_module.make_optimizer()
        if not schedulers:
            _take_groups(optimizer, fresh, keep_rate=False)
            return
        (scheduler,) = schedulers
        new = pl_module.make_scheduler(fresh)
        if isinstance(scheduler, ReduceLROnPlateau):
            counts = {
                name: getattr(scheduler, name) for name in _COUNTS_OF_PLATEAU if hasattr(scheduler, name)
            }
            _take_groups(optimizer, fresh, keep_rate=not self._learning_rate_changed)
            scheduler.load_state_dict({**new.state_dict(), **counts})
        else:
            _move_on(new, epochs=scheduler.last_epoch)
            _take_groups(optimizer, fresh, keep_rate=False)
            scheduler.load_state_dict(new.state_dict())


def _move_on(scheduler: LRScheduler, *, epochs: int) -> None:
    with warnings.catch_warnings():
        # Its optimizer makes no steps; only the schedule is advanced.
        warnings.filterwarnings("ignore", ".*lr_scheduler.step.*before.*optimizer.step.*")
        for _ in range(epochs):
            scheduler.step()


def _take_groups(optimizer: Optimizer, fresh: Optimizer, *, keep_rate: bool) -> None:
    """Copy the settings of parameter groups from another optimizer of the same parameters."""
    for group, new in zip(optimizer.param_groups, fresh.param_groups, strict=True):
        kept = {"lr": group["lr"]} if keep_rate else {}
        group.update({name: value for name, value in new.items() if name != "params"} | kept)


class SeedEpochs(Callback):
    """Seeds torch at each epoch from seed, epoch and process, so that a resumed run has the same dropout.

    Args:
        seed: Of the run.

    Example:
        >>> seed_epochs = SeedEpochs(seed=3)  # as often as a run is resumed, dropout is the same
        >>> trainer = Trainer(accelerator="cpu", logger=False, callbacks=[seed_epochs])
    """

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Seed torch on all devices."""
        entropy = np.random.SeedSequence((self._seed, trainer.current_epoch, trainer.global_rank))
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0]))
