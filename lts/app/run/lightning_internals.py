"""What is used of Lightning beyond its public interface, all of it: launchers, which have no public names.

`tests/test_private_interfaces.py` says which of it a new version breaks.
"""

import subprocess

from pytorch_lightning import Trainer
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher, _SubprocessScriptLauncher


def copies_this_process(trainer: Trainer) -> bool:
    """Whether the strategy has processes forked or spawned, which begin in the middle of a training."""
    return isinstance(trainer.strategy.launcher, _MultiProcessingLauncher)


def take_processes(trainer: Trainer) -> list[subprocess.Popen[bytes]]:
    """The processes that the strategy started anew; Lightning watches over them no longer.

    It would kill this process for the end of one of them.
    """
    launcher = trainer.strategy.launcher
    if not isinstance(launcher, _SubprocessScriptLauncher):
        return []
    taken = list(launcher.procs)
    launcher.procs.clear()
    return taken
