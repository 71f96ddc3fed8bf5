"""Where a run goes on: from which checkpoint, or anew."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lts.app.records import RUN_FILE, read_run
from lts.base import CheckpointError, ConfigError
from lts.inference import read_checkpoint

_STATE_OF_TRAINING = ("loops", "global_step", "callbacks", "optimizer_states", "lr_schedulers")
_WRITTEN_BY_EPOCHS = ("checkpoints", "tensorboard", "csv", "curves.png")


def resume_from(ckpt: str | None, output_dir: Path, *, max_epochs: int) -> tuple[Path | None, int]:
    """The checkpoint to go on from and the steps it has behind it; None and 0 for a run that begins.

    Raises:
        ConfigError: As `checkpoint_to_go_on_from` and `check_epochs_left`.
        CheckpointError: The checkpoint cannot be gone on from.
    """
    path = checkpoint_to_go_on_from(ckpt, output_dir)
    if path is None:
        return None, 0
    saved = read_checkpoint(path)
    check_epochs_left(saved, path, max_epochs=max_epochs, ckpt=ckpt)
    return path, int(saved["global_step"])


def goes_on(ckpt: str | None) -> bool:
    """Whether a run goes on with the one that its folder may hold."""
    return ckpt in ("last", "auto")


def checkpoint_to_go_on_from(ckpt: str | None, output_dir: Path) -> Path | None:
    """The checkpoint that `ckpt` means, None for a run that begins anew.

    Args:
        ckpt: None; a file; `last` for the last whole epoch of the run in `output_dir`; or `auto`, which is
            `last` where there is a run and begins one where there is none.
        output_dir: Folder of the run.

    Raises:
        ConfigError: There is no such file, or no such run, or what the folder holds is no training.
    """
    if ckpt is None:
        return None
    if not goes_on(ckpt):
        if not Path(ckpt).is_file():
            raise ConfigError(f"ckpt: no such file: {ckpt}")
        return Path(ckpt)
    begun = output_dir / RUN_FILE
    if (command := read_run(output_dir).get("command") or "train") != "train":
        raise ConfigError(
            f"paths.output_dir: {output_dir} must hold a training to go on with, got one of {command}"
        )
    last = output_dir / "checkpoints" / "last.ckpt"
    if last.is_file():
        return last
    # A run that died before its first epoch was whole has nothing to go on from, and nothing to lose.
    if ckpt == "last" and not begun.is_file():
        raise ConfigError(f"ckpt: no such file: {last}")
    return None


def check_epochs_left(saved: Mapping[str, Any], path: Path, *, max_epochs: int, ckpt: str | None) -> None:
    """Check that a checkpoint leaves something to train.

    A run that goes on in its own folder may have trained to the end: then its best checkpoint is there, to be
    scored again.

    Raises:
        CheckpointError: It holds a model, but not the state of its training.
        ConfigError: All epochs are done; in another folder there would be no best checkpoint to score.
    """
    lacking = [key for key in _STATE_OF_TRAINING if key not in saved]
    if lacking:
        raise CheckpointError(f"{path}: must hold the state of a training to go on from, lacks {lacking}")
    done = saved["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    if done > max_epochs or (done == max_epochs and not goes_on(ckpt)):
        raise ConfigError(f"trainer.max_epochs: must exceed the {done} epochs of {path}, got {max_epochs}")


def clear_traces(output_dir: Path) -> None:
    """Take away what the epochs of a run left that begins anew, so that no curve shows them twice."""
    for name in _WRITTEN_BY_EPOCHS:
        path = output_dir / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
