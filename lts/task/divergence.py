"""Ends a diverged training before its weights are kept, and warns of an exploding loss."""

import math
from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from lts.base import DivergedError
from lts.task.epochs import scores_of_epoch
from lts.task.model_selection import TRAIN_LOSS, VAL_LOSS

_STEPS_BETWEEN_LOOKS = 50
"""Each check waits for the device and the other processes."""
_EXPLODED = 10
_NEVER = torch.iinfo(torch.int64).max


class WatchLoss(Callback):
    """Ends the training at a NaN or infinite loss or weight, before a checkpoint is written.

    Each step is checked on a CPU, else (and with several processes) every 50th and the last of an epoch; all
    processes end at the same step. A loss has exploded if its mean over an epoch is above that of the
    untrained network and ten times its lowest so far; this is printed once.

    Args:
        remedies: Advice at the end of the error message.
        print_line: Called with a line, by the first process alone.

    Raises:
        DivergedError: From any hook of training or validation.

    Example:
        >>> watch_loss = WatchLoss(remedies="try a rate below 1e-3")
        >>> trainer = Trainer(accelerator="cpu", logger=False, callbacks=[watch_loss])
    """

    def __init__(
        self, *, remedies: str = "try a lower learning rate", print_line: Callable[[str], None] = print
    ) -> None:
        self._remedies, self._print_line = remedies, print_line
        self._first_bad: torch.Tensor | None = None
        self._first_loss: torch.Tensor | None = None
        self._untrained: float | None = None
        self._lowest: dict[str, float] = {}
        self._reported: set[str] = set()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Count the steps of an epoch anew."""
        self._first_bad = torch.full((), _NEVER, device=pl_module.device)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Note a step with a NaN or infinite loss; wait for the device only now and then."""
        loss = outputs["loss"].detach()
        assert self._first_bad is not None
        step = torch.full_like(self._first_bad, batch_idx)
        bad = torch.where(loss.isfinite(), _NEVER, step)
        self._first_bad = torch.minimum(self._first_bad, bad)
        if self._first_loss is None:
            self._first_loss = loss
        is_cheap = loss.device.type == "cpu" and trainer.world_size == 1
        if is_cheap or (batch_idx + 1) % _STEPS_BETWEEN_LOOKS == 0:
            self._look(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Check before validation, which takes time."""
        if not trainer.sanity_checking:
            self._look(trainer)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Check the validation loss, which is the same in all processes."""
        if not trainer.sanity_checking:
            self._check(VAL_LOSS, float(trainer.callback_metrics[VAL_LOSS]), trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the epoch and the weights before checkpoints are written."""
        self._look(trainer)
        self._check(TRAIN_LOSS, float(trainer.callback_metrics[TRAIN_LOSS]), trainer)
        for name, tensor in pl_module.state_dict().items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise DivergedError(self._line(f"{name}: must be finite", "NaN or infinity", trainer))
        self._warn_of_explosions(trainer)

    def state_dict(self) -> dict[str, Any]:
        """The losses that a resumed training is compared with."""
        return {"untrained": self._untrained, "lowest": self._lowest, "told": sorted(self._reported)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after an earlier run."""
        self._untrained, self._lowest = state_dict["untrained"], dict(state_dict["lowest"])
        self._reported = set(state_dict["told"])

    def _look(self, trainer: Trainer) -> None:
        first_bad = _NEVER if self._first_bad is None else int(self._first_bad)
        # Several processes see several losses, and must end together.
        if trainer.strategy.reduce_boolean_decision(first_bad != _NEVER, all=False):
            where = f"NaN or infinity in step {first_bad + 1}" if first_bad != _NEVER else "NaN or infinity"
            raise DivergedError(self._line(f"{TRAIN_LOSS}: must be finite", where, trainer))

    def _check(self, name: str, loss: float, trainer: Trainer) -> None:
        if not math.isfinite(loss):
            raise DivergedError(self._line(f"{name}: must be finite", f"{loss}", trainer))

    def _line(self, rule: str, got: str, trainer: Trainer) -> str:
        epoch = trainer.current_epoch + 1
        kept = f"the checkpoints of epoch {epoch - 1} are kept" if epoch > 1 else "no epoch was whole"
        return f"{rule}, got {got} of epoch {epoch}: the training diverged, {kept}; {self._remedies}"

    def _warn_of_explosions(self, trainer: Trainer) -> None:
        if self._untrained is None and self._first_loss is not None:
            self._untrained = float(trainer.strategy.reduce(self._first_loss, reduce_op="mean"))
        assert self._untrained is not None
        scores = scores_of_epoch(trainer)
        for name in (TRAIN_LOSS, VAL_LOSS):
            if name not in scores:
                continue
            loss = scores[name]
            lowest = self._lowest.get(name, self._untrained)
            if loss > self._untrained and loss > _EXPLODED * lowest and name not in self._reported:
                self._reported.add(name)
                if trainer.is_global_zero:
                    self._print_line(
                        f"epoch {trainer.current_epoch + 1}: {name} exploded to {loss:.4g}, "
                        f"its lowest was {lowest:.4g}; {self._remedies}"
                    )
            self._lowest[name] = min(lowest, loss)
