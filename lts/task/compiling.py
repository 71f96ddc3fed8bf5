"""Compiles the network for training: half a minute first, then faster steps."""

from collections.abc import Callable
from typing import Literal

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from lts.base import ConfigError
from lts.task.module import SegmentationTask

Choice = Literal["auto"] | bool

LONG_RUN_STEPS = 2000
"""Steps from which compiling saves time."""
_DEVICES = ("cuda",)
"""Where "auto" compiles. On a CPU a compiled step takes from seven eighths of the time to twice as long, with
instance norm."""


class CompileNetwork(Callback):
    """Compiles the network's training step with `torch.compile`, and prints a line.

    Scores, checkpoints and validation do not change; losses do by rounding.

    Args:
        when: True, False, or "auto": on a GPU, in runs of 2000 steps and more, if this machine can compile.
        print_line: Called with a line, by the first process alone.

    Raises:
        ConfigError: `when` is something else. From `on_train_start`: it is True and this machine cannot
            compile.

    Example:
        >>> compile_network = CompileNetwork(when=True)  # or end where this machine cannot
        >>> trainer = Trainer(accelerator="cpu", logger=False, callbacks=[compile_network])
    """

    def __init__(self, *, when: Choice = "auto", print_line: Callable[[str], None] = print) -> None:
        if when not in (True, False, "auto"):
            raise ConfigError(f'when: must be True, False or "auto", got {when!r}')
        self._when, self._print_line = when, print_line

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Decide, before the first step."""
        assert isinstance(pl_module, SegmentationTask)
        assert trainer.max_epochs is not None
        # Not trainer.estimated_stepping_batches: it makes the loader before a checkpoint has told its epoch.
        steps = trainer.max_epochs * trainer.num_training_batches
        gains = steps >= LONG_RUN_STEPS and pl_module.device.type in _DEVICES
        if not self._when or (self._when == "auto" and not gains):
            return
        reason = why_not_compiled(pl_module.device)
        if reason and self._when is True:
            raise ConfigError(f"when: this machine cannot compile ({reason})")
        if reason:
            line = f"the network is not compiled: {reason}"
        else:
            pl_module.compile_for_training()
            line = "the network is compiled, so the first step takes half a minute or more"
        if trainer.is_global_zero:
            self._print_line(line)


def why_not_compiled(device: torch.device | str = "cpu") -> str | None:
    """Why this machine cannot compile, found by compiling a tiny function; None if it can."""
    try:
        torch.compile(torch.sin)(torch.ones(8, device=device))
    except Exception as error:  # each compiler fails in its own way
        lines = str(error).strip().splitlines()
        return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return None
